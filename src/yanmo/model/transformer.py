"""The Transformer: one pre-norm decoder that is a Llama, a Qwen2 or a Qwen3 by two switches of its config.

Modules carry `transformers`' parameter names, so `state_dict()` is the checkpoint and no conversion exists.
Weights are fp32 masters; `compute_dtype` sets the activations' dtype and every `Linear` follows its input,
so there is no autocast. Whatever is not the network itself stays outside: adapters, compilation (each block
compiles to the same graph), sharding, quantisation, fusing for decoding. The cache is an argument.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yanmo.model.attention import packed_attention
from yanmo.model.cache import KVCache, LayerCache
from yanmo.model.config import ModelConfig
from yanmo.model.linear import Linear

if TYPE_CHECKING:
    from yanmo.model.lora_settings import LoraSettings


class RMSNorm(nn.Module):
    """Root mean square normalisation (https://arxiv.org/abs/1910.07467), computed in fp32 whatever comes in."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * self.weight.float()).to(x.dtype)


def rotary_angles(position_ids: Tensor, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary angles (https://arxiv.org/abs/2104.09864), fp32.

    position_ids (B, T) -> two tensors (B, 1, T, head_size / 2); pair i turns by position / theta^(2i/D).
    """
    pairs = torch.arange(0, head_size, 2, device=position_ids.device, dtype=torch.int64)
    frequencies = 1.0 / theta ** (pairs.float() / head_size)
    angles = position_ids[:, None, :, None].float() * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + D/2]), transformers' layout, by its angle. x (B, H, T, D)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    """Grouped-query attention (https://arxiv.org/abs/2305.13245) with rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_size = config.head_size
        queries, keys = config.num_attention_heads * self.head_size, config.kv_heads * self.head_size
        self.q_proj = Linear(config.hidden_size, queries, bias=config.qkv_bias)
        self.k_proj = Linear(config.hidden_size, keys, bias=config.qkv_bias)
        self.v_proj = Linear(config.hidden_size, keys, bias=config.qkv_bias)
        self.o_proj = Linear(queries, config.hidden_size, bias=False)
        if config.qk_norm:
            self.q_norm: nn.Module = RMSNorm(self.head_size, config.rms_norm_eps)
            self.k_norm: nn.Module = RMSNorm(self.head_size, config.rms_norm_eps)
        else:
            self.q_norm = self.k_norm = nn.Identity()

    def forward(
        self, hidden: Tensor, cos: Tensor, sin: Tensor, segments: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        heads = (*hidden.shape[:-1], -1, self.head_size)
        query = rotate(self.q_norm(self.q_proj(hidden).view(heads)).transpose(1, 2), cos, sin)
        key = rotate(self.k_norm(self.k_proj(hidden).view(heads)).transpose(1, 2), cos, sin)
        value = self.v_proj(hidden).view(heads).transpose(1, 2)
        attend = partial(packed_attention, segments=segments) if cache is None else cache.attend
        return self.o_proj(attend(query, key, value).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Gated feed-forward layer (https://arxiv.org/abs/2002.05202): down(act(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.ffn_size, bias=False)
        self.up_proj = Linear(config.hidden_size, config.ffn_size, bias=False)
        self.down_proj = Linear(config.ffn_size, config.hidden_size, bias=False)
        self.act = F.silu if config.hidden_act == "silu" else relu2

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down_proj(self.act(self.gate_proj(hidden)) * self.up_proj(hidden))


def relu2(x: Tensor) -> Tensor:
    """The square of ReLU (https://arxiv.org/abs/2109.08668)."""
    return F.relu(x).square()


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(
        self, hidden: Tensor, cos: Tensor, sin: Tensor, segments: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cos, sin, segments, cache)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Stack(nn.Module):
    """Embedding, blocks and final norm: what the checkpoint calls `model`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Transformer(nn.Module):
    """A causal language model; logits = `model.lm_head(model(input_ids))`.

    Raises ValueError (from `ModelConfig.validate`) for an impossible shape.
    """

    ARCHITECTURE = "ForCausalLM"
    """How `transformers` calls what stands on top of the blocks."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config.validate()
        self.compute_dtype: torch.dtype | None = None
        """Dtype of the activations; None is that of the weights."""
        self.lora: LoraSettings | None = None
        """The adapters that were put onto it (`yanmo.model.lora`), and `base`, the directory of the model below."""
        self.base: Path | None = None
        self.model = Stack(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie_weights()
        init_weights(self)

    def tie_weights(self) -> None:
        """Make a tied head the very Parameter of the embedding; needed again when parameters were replaced."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        segments: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Hidden states (B, T, hidden_size) after the final norm, in `compute_dtype`.

        input_ids (B, T); position_ids (B, T), by default 0..T-1 or what follows the cache;
        segments (B, T): the document of each token, None = one document a row, not together with a cache.
        With a cache the tokens stand at each row's own length and their keys and values are stored there;
        the caller moves on with `cache.advance`.
        """
        assert segments is None or cache is None
        hidden = self.model.embed_tokens(input_ids)
        if self.compute_dtype is not None:
            hidden = hidden.to(self.compute_dtype)
        step = None if cache is None else cache.begin(input_ids.shape[1])
        if position_ids is None:
            position_ids = _count_up(input_ids) if step is None else step.positions
        cos, sin = rotary_angles(position_ids, self.config.head_size, self.config.rope_theta)
        cos, sin = cos.to(hidden.dtype), sin.to(hidden.dtype)
        for index, layer in enumerate(self.model.layers):
            hidden = layer(hidden, cos, sin, segments, None if step is None else step.layer(index))
        return self.model.norm(hidden)


def _count_up(input_ids: Tensor) -> Tensor:
    return torch.arange(input_ids.shape[1], device=input_ids.device)[None]


@torch.no_grad()
def init_weights(model: Transformer) -> None:
    """Normal weights of `initializer_range`; projections into the residual stream divided by sqrt(2 x layers).

    2 x layers sums run into the stream, so that factor keeps its variance at the end independent of depth
    (GPT-2, section 2.3). Norms are one, biases zero.
    """
    std = model.config.initializer_range
    residual = std / (2 * model.config.num_hidden_layers) ** 0.5
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=residual if name.endswith(RESIDUAL) else std)


RESIDUAL = ("o_proj.weight", "down_proj.weight")


@torch.no_grad()
def zero_residual_projections(model: Transformer) -> None:
    """Start every block as the identity: what it adds to the stream is zero."""
    for name, parameter in model.named_parameters():
        if name.endswith(RESIDUAL):
            nn.init.zeros_(parameter)
