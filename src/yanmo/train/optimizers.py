"""Optimizers: Muon for the hidden matrices, AdamW for the rest; or AdamW for everything.

Muon replaces a matrix's momentum by the nearest semi-orthogonal matrix, so that every direction of the update
counts alike (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon). The update is scaled by
0.2 * sqrt(max(rows, columns)), which gives it AdamW's usual root mean square, so one learning rate serves both
(Liu et al. 2025, arXiv:2502.16982). Embedding and head are lookup tables, not maps between hidden spaces, and
stay with AdamW.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from yanmo.core.device import product_dtype
from yanmo.train.settings import TrainSettings

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic whose slope at 0 is largest; five rounds take singular values into 0.7 to 1.2."""
ROUNDS = 5
HEADS = ("lm_head", "score")
TABLES = ("model.embed_tokens", *HEADS)
"""Lookup tables and what maps to single numbers: not maps between hidden spaces."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices of a stack (n, rows, columns), roughly, by five Newton-Schulz rounds.

    Runs in bf16, as the rounding is far below what the iteration leaves open, or where a CPU is faster at it, in fp32.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(product_dtype(matrices.device.type, torch.bfloat16))
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay; matrices of one shape go as one stack."""

    def __init__(self, parameters: ParamsT, lr: float, momentum: float, weight_decay: float):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            weights = sorted((p for p in group["params"] if p.grad is not None), key=lambda p: tuple(p.shape))
            for shape, same in itertools.groupby(weights, key=lambda p: tuple(p.shape)):
                self._update(list(same), shape, group)

    def _update(self, weights: list[Tensor], shape: tuple[int, ...], group: dict[str, Any]) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        buffers = [self._buffer(weight) for weight in weights]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        looking_ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])
        updates = orthogonalise(torch.stack(looking_ahead)).to(weights[0].dtype).unbind()
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-group["lr"] * 0.2 * math.sqrt(max(shape)))

    def _buffer(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state["momentum_buffer"]


def build_optimizers(model: nn.Module, settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """The optimizers of all trainable parameters; every group keeps its peak in `peak_lr`."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    tables = {name: p for name, p in named.items() if name.startswith(TABLES)}
    vectors = {name: p for name, p in named.items() if p.ndim < 2}
    adapters = {name: p for name, p in named.items() if ".lora_" in name}
    matrices = {name: p for name, p in named.items() if not any(name in part for part in (tables, vectors, adapters))}
    adapter_lr = settings.lr * settings.adapter_lr_ratio
    if settings.optimizer == "adamw":
        decayed = [*matrices.values(), *tables.values()]
        groups = [
            _group(decayed, settings.lr, settings.weight_decay),
            _group(vectors.values(), settings.lr, 0.0),
            _group(adapters.values(), adapter_lr, settings.weight_decay),
        ]
        return [_adamw(groups, settings)]
    tied = not any(name.startswith(HEADS) for name in tables)
    groups = [_group(vectors.values(), settings.lr * settings.norm_lr_ratio, 0.0)]
    for name, table in tables.items():
        is_head = tied or name.startswith(HEADS)
        ratio = settings.head_lr_ratio if is_head else settings.embedding_lr_ratio
        groups.append(_group([table], settings.lr * ratio, 0.0))
    optimizers: list[torch.optim.Optimizer] = []
    if tables or vectors:
        optimizers.append(_adamw(groups, settings))
    hidden = [
        _group(matrices.values(), settings.lr, settings.weight_decay),
        _group(adapters.values(), adapter_lr, settings.weight_decay),
    ]
    if hidden := [group for group in hidden if group["params"]]:
        optimizers.append(Muon(hidden, settings.lr, settings.momentum, settings.weight_decay))
    return optimizers


def _group(parameters: Iterable[Tensor], lr: float, weight_decay: float) -> dict[str, Any]:
    return {"params": list(parameters), "lr": lr, "peak_lr": lr, "weight_decay": weight_decay}


def _adamw(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, betas=(settings.beta1, settings.beta2), eps=1e-10, fused=True)


def set_learning_rate(optimizers: list[torch.optim.Optimizer], multiplier: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * multiplier


def optimizer_tensors(optimizers: list[torch.optim.Optimizer], model: nn.Module) -> dict[str, Tensor]:
    """All optimizer state as `parameter/key` -> tensor: plain data for safetensors, nothing to unpickle."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for optimizer in optimizers
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer_tensors(
    optimizers: list[torch.optim.Optimizer], model: nn.Module, tensors: dict[str, Tensor]
) -> None:
    """The inverse of `optimizer_tensors`. Raises: ValueError: state for a parameter that does not exist."""
    owners = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("/")
        if parameter not in parameters or parameters[parameter] not in owners:
            raise ValueError(f"optimizer state for {parameter}, which is not trained here")
        weight = parameters[parameter]
        placed = value if key == "step" else value.to(weight.device)
        owners[weight].state[weight][key] = placed
