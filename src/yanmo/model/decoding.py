"""A twin of a model arranged for reading one token at a time: fewer and better laid out matrices, the same numbers.

Decoding multiplies a few rows by every weight once a token: it waits for memory and for the calls themselves. The
twin joins the query, key and value projections into one product, and gate and up into another; on a CPU it keeps
weights in the blocked layout that oneDNN multiplies from, which `F.linear` otherwise makes anew in every call.
Measured against `torch.compile` of the blocks it is faster and needs no warm-up (docs/log.md).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yanmo.core.device import product_dtype
from yanmo.model.cache import LayerCache
from yanmo.model.linear import Linear
from yanmo.model.transformer import MLP, Attention, Block, RMSNorm, Transformer, rotate

MANY_ROWS = 16
"""From about so many rows on arithmetic, no longer memory, is the limit of one core (bench/RESULTS.md)."""


def for_decoding(model: Transformer) -> Transformer:
    """A model for inference with the weights that `model` has now; later changes do not reach it."""
    with torch.device("meta"):
        twin = Transformer(model.config)
    twin.compute_dtype = model.compute_dtype
    dtype = model.compute_dtype or model.model.embed_tokens.weight.dtype
    twin.model.embed_tokens, twin.model.norm = model.model.embed_tokens, QuickRMSNorm(model.model.norm)
    for target, source in zip(twin.model.layers, model.model.layers, strict=True):
        target, source = cast(Block, target), cast(Block, source)
        target.input_layernorm = QuickRMSNorm(source.input_layernorm)
        target.self_attn = FusedAttention(source.self_attn, dtype)
        target.post_attention_layernorm = QuickRMSNorm(source.post_attention_layernorm)
        target.mlp = FusedMLP(source.mlp, dtype)
    twin.lm_head = join(dtype, model.lm_head)
    return twin.eval()


def decoding_dtype(device: torch.device, rows: int) -> torch.dtype:
    """The fastest dtype to decode `rows` answers at once.

    Few rows wait for the weights to arrive, so half the bytes is half the time. Many rows are limited by
    arithmetic, in which some CPUs are faster with fp32 (`product_dtype`).
    """
    return torch.bfloat16 if rows < MANY_ROWS else product_dtype(device.type, torch.bfloat16)


class FusedAttention(Attention):
    """`Attention` whose queries, keys and values come out of one product and are normed and turned as one."""

    def __init__(self, source: Attention, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.head_size = source.head_size
        projections = (source.q_proj, source.k_proj, source.v_proj)
        self.heads = [projection.out_features // self.head_size for projection in projections]
        self.qkv_proj = join(dtype, *projections)
        self.o_proj = join(dtype, source.o_proj)
        self.qk_norm: nn.Module = nn.Identity()
        if isinstance(source.q_norm, RMSNorm) and isinstance(source.k_norm, RMSNorm):
            norms = [source.q_norm] * self.heads[0] + [source.k_norm] * self.heads[1]
            self.qk_norm = QuickRMSNorm(*norms)

    def forward(
        self, hidden: Tensor, cos: Tensor, sin: Tensor, segments: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        assert cache is not None, "a twin for decoding reads with a cache"
        queries, keys, values = self.heads
        heads = self.qkv_proj(hidden).view(*hidden.shape[:-1], -1, self.head_size).transpose(1, 2)
        query_key, value = heads.split((queries + keys, values), dim=1)
        query, key = rotate(self.qk_norm(query_key), cos, sin).split((queries, keys), dim=1)
        return self.o_proj(cache.attend(query, key, value).transpose(1, 2).flatten(2))


class FusedMLP(MLP):
    """`MLP` whose gate and up come out of one product."""

    def __init__(self, source: MLP, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.act = source.act
        self.gate_up_proj = join(dtype, source.gate_proj, source.up_proj)
        self.down_proj = join(dtype, source.down_proj)

    def forward(self, hidden: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
        return self.down_proj(self.act(gate) * up)


class QuickRMSNorm(RMSNorm):
    """`RMSNorm` in half as many calls, for calls are what a single row costs; several norms go head by head.

    x / sqrt(mean(x^2) + eps) is x sqrt(n) / hypot(|x|, sqrt(n eps)) for n numbers.
    """

    scale: Tensor
    floor: Tensor

    def __init__(self, *sources: RMSNorm) -> None:
        nn.Module.__init__(self)
        weight = torch.stack([source.weight.detach().float() for source in sources])
        size = weight.shape[-1]
        scale = weight * size**0.5
        self.register_buffer("scale", scale[:, None] if len(sources) > 1 else scale[0])
        self.register_buffer("floor", weight.new_tensor((size * sources[0].eps) ** 0.5))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return (self.scale / torch.hypot(length, self.floor)).mul_(wide).to(x.dtype)


class FixedLinear(Linear):
    """A product with weights (out, in) that stay as they are, on a CPU in oneDNN's own layout."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.packed = weight.device.type == "cpu" and weight.dtype in _onednn_dtypes()
        # Plain attributes, not parameters: a packed tensor cannot be moved, cast or saved.
        self.fixed = torch.ops.mkldnn._reorder_linear_weight(weight) if self.packed else weight
        self.fixed_bias = bias

    def forward(self, input: Tensor) -> Tensor:
        if self.packed:
            # What torch.compile's CPU backend emits for frozen weights.
            return torch.ops.mkldnn._linear_pointwise(input, self.fixed, self.fixed_bias, "none", [], "")
        return F.linear(input, self.fixed, self.fixed_bias)


def _onednn_dtypes() -> set[torch.dtype]:
    if not torch.backends.mkldnn.is_available():
        return set()
    return {torch.float32} | ({torch.bfloat16} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else set())


@torch.no_grad()
def join(dtype: torch.dtype, *parts: Linear) -> FixedLinear:
    """One product whose output is that of `parts` side by side."""
    weight = torch.cat([part.folded() for part in parts]).to(dtype)
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    return FixedLinear(weight, torch.cat(biases).to(dtype) if biases else None)
