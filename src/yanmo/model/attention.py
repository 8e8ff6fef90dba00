"""Causal attention over packed documents, which lie behind one another in a row and must not see each other.

On a GPU this is torch's scaled_dot_product_attention. On a CPU its backward takes several times its forward and
it cannot skip what a mask hides, so there we walk block rows: a block of queries meets only the keys from the
start of its first token's document to the block's end. The backward needs nothing but query, key and value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.core.device import product_dtype

BLOCK = 64
"""Queries at once: a row's scores stay in the cache, and little of the work is above the diagonal."""


def packed_attention(query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None) -> Tensor:
    """Softmax attention, causal within each document.

    query (B, H, T, D), key and value (B, Hkv, T, D) with H a multiple of Hkv (grouped-query attention,
    https://arxiv.org/abs/2305.13245); segments (B, T) numbers the document of each token in rising order,
    None = one document a row. Returns (B, H, T, D).
    """
    if query.device.type == "cpu":
        return torch.ops.yanmo.packed_attention(query, key, value, segments)
    return masked_attention(query, key, value, segments)


def masked_attention(query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None) -> Tensor:
    """`packed_attention` by torch's own attention, with a boolean mask where there are segments."""
    group = query.shape[1] // key.shape[1]
    if segments is None:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=group > 1)
    tokens = query.shape[2]
    same = segments[:, :, None] == segments[:, None, :]
    mask = same & torch.ones(tokens, tokens, dtype=torch.bool, device=segments.device).tril()
    # With both a mask and enable_gqa torch falls back to its slow path; the fused kernels want equal heads.
    key, value = (x.repeat_interleave(group, dim=1) if group > 1 else x for x in (key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None])


# A custom operator: torch.compile puts it into the block's graph whole, without tracing the loops.
@torch.library.custom_op("yanmo::packed_attention", mutates_args=(), device_types="cpu")
def _forward(query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None) -> Tensor:
    output = _empty_like(query)
    for row, documents, q, k, v in _rows(query, key, value, segments):
        for queries, keys in _blocks(documents, q.shape[2]):
            probabilities = _probabilities(q, k, documents, queries, keys)
            mixed = probabilities @ v[:, keys]
            output[row, :, queries] = mixed.view(query.shape[1], -1, q.shape[-1])
    return output


@torch.library.custom_op("yanmo::packed_attention_backward", mutates_args=(), device_types="cpu")
def _backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    d_query, d_key, d_value = _empty_like(query), _empty_like(key), _empty_like(value)
    for row, documents, q, k, v in _rows(query, key, value, segments):
        d_output = gradient[row].to(q.dtype).view(q.shape)
        d_k, d_v = torch.zeros_like(k), torch.zeros_like(v)
        for queries, keys in _blocks(documents, q.shape[2]):
            probabilities = _probabilities(q, k, documents, queries, keys)
            d_o = d_output[:, :, queries].flatten(1, 2)
            d_v[:, keys].baddbmm_(probabilities.mT, d_o)
            d_probabilities = d_o @ v[:, keys].mT
            d_scores = torch._softmax_backward_data(d_probabilities, probabilities, -1, q.dtype)
            d_q = (d_scores @ k[:, keys]).mul_(_scale(q))
            d_query[row, :, queries] = d_q.view(query.shape[1], -1, q.shape[-1])
            d_k[:, keys].baddbmm_(d_scores.mT, q[:, :, queries].flatten(1, 2))
        d_key[row], d_value[row] = d_k, d_v
    return d_query, d_key, d_value


def _rows(
    query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None
) -> Iterator[tuple[int, Tensor | None, Tensor, Tensor, Tensor]]:
    """For each row its number, segments (T,), query / sqrt(D) (Hkv, H / Hkv, T, D), key and value (Hkv, T, D)."""
    dtype = product_dtype("cpu", query.dtype)
    for row in range(len(query)):
        k, v = key[row].to(dtype), value[row].to(dtype)
        q = (query[row].to(dtype) * _scale(query)).unflatten(0, (len(k), -1))
        yield row, None if segments is None else segments[row], q, k, v


def _blocks(documents: Tensor | None, tokens: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of queries and the keys that any of them may see."""
    for start in range(0, tokens, BLOCK):
        stop = min(start + BLOCK, tokens)
        first = 0 if documents is None else int(torch.searchsorted(documents, documents[start]))
        yield slice(start, stop), slice(first, stop)


def _probabilities(q: Tensor, k: Tensor, documents: Tensor | None, queries: slice, keys: slice) -> Tensor:
    """softmax(q k^T) of a block, q scaled already: (Hkv, H / Hkv * queries, keys)."""
    scores = torch.bmm(q[:, :, queries].flatten(1, 2), k[:, keys].mT)
    _hide(scores, documents, queries, keys)
    return torch.softmax(scores, dim=-1)


def _hide(scores: Tensor, documents: Tensor | None, queries: slice, keys: slice) -> None:
    """-inf where a key comes after the query or is of another document."""
    size = queries.stop - queries.start
    grid = scores.view(len(scores), -1, size, scores.shape[-1])
    grid[..., -size:] += scores.new_full((size, size), -torch.inf).triu_(1)
    if documents is not None and documents[keys.start] != documents[queries.stop - 1]:
        apart = documents[queries, None] != documents[keys]
        grid += torch.zeros_like(apart, dtype=scores.dtype).masked_fill_(apart, -torch.inf)


def _scale(query: Tensor) -> float:
    return float(query.shape[-1] ** -0.5)


def _empty_like(heads: Tensor) -> Tensor:
    """(B, H, T, D) that lies in memory as (B, T, H, D), so that joining the heads afterwards copies nothing."""
    return torch.empty_like(heads.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)


@_forward.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None) -> Tensor:
    return _empty_like(query)


@_backward.register_fake
def _(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_like(query), _empty_like(key), _empty_like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return *torch.ops.yanmo.packed_attention_backward(gradient, *ctx.saved_tensors), None


_forward.register_autograd(_differentiate, setup_context=_keep)
