"""Low-rank adapters, put onto a model from outside: W x + (alpha / r) B A x, where only A and B are trained.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685), with rsLoRA's scale alpha / sqrt(r)
(https://arxiv.org/abs/2312.03732) as an option. `add_adapters` replaces the `Linear` layers it is told to by
`LoraLinear`, which keeps their weight under the same name and frozen, so that everything that knows a model by its
parameters' names (optimizers, checkpoints) needs to know nothing about adapters. `merge` folds them back in.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yanmo.model.linear import Linear
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.transformer import Transformer


class LoraLinear(Linear):
    """A `Linear` with an adapter beside it: (..., in_features) -> (..., out_features).

    lora_A (rank, in_features) starts as `nn.Linear` would, lora_B (out_features, rank) as zero: at first the
    adapter changes nothing.
    """

    def __init__(self, source: Linear, settings: LoraSettings) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = source.in_features, source.out_features
        self.weight, self.bias = source.weight, source.bias
        self.weight.requires_grad_(False)
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.lora_A = nn.Parameter(source.weight.new_empty(settings.rank, self.in_features))
        self.lora_B = nn.Parameter(source.weight.new_zeros(self.out_features, settings.rank))
        if not self.lora_A.is_meta:
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.scale, self.dropout = settings.scale, settings.dropout
        self.enabled = True

    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        if not self.enabled:
            return output
        narrow = F.linear(F.dropout(input, self.dropout, self.training), self.lora_A.to(input.dtype)) * self.scale
        return output + F.linear(narrow, self.lora_B.to(input.dtype))

    @torch.no_grad()
    def folded(self) -> Tensor:
        change = (self.lora_B.float() @ self.lora_A.float()) * self.scale
        return (self.weight.float() + change).to(self.weight.dtype) if self.enabled else self.weight


def add_adapters(model: Transformer, settings: LoraSettings, base: Path) -> None:
    """Give the target layers adapters and freeze everything else but `modules_to_save`.

    base: the directory that `model` was loaded from, which the adapters will need again.
    Raises: ValueError: a name fits no linear layer of the blocks, or no module.
    """
    assert model.lora is None and settings.rank > 0
    linear = {name: module for name, module in model.model.named_modules(prefix="model") if type(module) is Linear}
    whole = {name: module for name, module in model.named_modules() if name.endswith(tuple(settings.modules_to_save))}
    _check(settings, linear, whole, model.config.tie_word_embeddings)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, module in linear.items():
        if _named(name, settings.targets):
            model.set_submodule(name, LoraLinear(module, settings))
    for module in whole.values():
        module.requires_grad_(True)
    model.lora, model.base = settings, base


def _named(name: str, ends: Iterable[str]) -> bool:
    """PEFT's rule for targets: a name is meant by its last parts."""
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _check(settings: LoraSettings, linear: Iterable[str], whole: Iterable[str], tied: bool) -> None:
    there = " ".join(dict.fromkeys(name.rpartition(".")[2] for name in linear))
    if not settings.targets:
        raise ValueError(f"--lora.targets: names no layer; there are {there}")
    for target in settings.targets:
        if not any(_named(name, [target]) for name in linear):
            hint = "; a head is trained whole: --lora.modules-to-save lm_head" if target == "lm_head" else ""
            raise ValueError(f"--lora.targets: no linear layer {target!r}; there are {there}{hint}")
    if tied and "lm_head" in settings.modules_to_save:
        raise ValueError("--lora.modules-to-save lm_head: this model's head is its embedding; name embed_tokens")
    for module in settings.modules_to_save:
        if _named(module, settings.targets) or not any(name.endswith(module) for name in whole):
            raise ValueError(f"--lora.modules-to-save: no module {module!r} without an adapter")


@contextlib.contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Within the block the model is its own base: the reference of DPO, PPO and GRPO at no cost in memory."""
    layers = [module for module in model.modules() if isinstance(module, LoraLinear)]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True


@torch.no_grad()
def merge(model: Transformer) -> None:
    """Fold every adapter into its weight; the model is an ordinary one afterwards, all of it trainable."""
    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLinear):
            layer = Linear(module.in_features, module.out_features, bias=module.bias is not None, device="meta")
            layer.weight, layer.bias = nn.Parameter(module.folded()), module.bias
            model.set_submodule(name, layer)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.lora = model.base = None
