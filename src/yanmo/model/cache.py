"""Keys and values of what was read already, preallocated, one tensor a layer, each row at its own length.

The cache is an argument of the model's forward, never its state: any number of conversations share one model.
Rows advance independently: prompts of different lengths lie right-padded in one batch, what stands behind a
row's length is never attended to, and rows may leave (or be reordered) between steps. One tensor a layer
rather than one for all keeps each one's writes and reads together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.model.config import ModelConfig


@dataclass(frozen=True)
class LayerCache:
    """One layer's keys and values (B, Hkv, capacity, D), and where in them the tokens of this step go."""

    keys: Tensor
    values: Tensor
    step: Step

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Store key and value (B, Hkv, T, D); query (B, H, T, D) sees all up to its token. (B, H, T, D)."""
        step, grouped = self.step, query.shape[1] != key.shape[1]
        if step.start is None:
            self.keys[step.rows, :, step.positions] = key.transpose(1, 2)
            self.values[step.rows, :, step.positions] = value.transpose(1, 2)
        else:
            self.keys.narrow(2, step.start, key.shape[2]).copy_(key)
            self.values.narrow(2, step.start, value.shape[2]).copy_(value)
        if step.start == 0:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        keys, values = self.keys.narrow(2, 0, step.span), self.values.narrow(2, 0, step.span)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=step.mask, enable_gqa=grouped)


@dataclass(frozen=True)
class Step:
    """What all layers share in one forward pass of T tokens a row."""

    cache: KVCache
    positions: Tensor
    """(B, T): where the tokens stand."""
    rows: Tensor
    """(B, 1): 0..B-1, the partner of `positions` in indexing."""
    start: int | None
    """The common position of the first token, None if rows differ."""
    span: int
    """Cache entries that any row attends to."""
    mask: Tensor | None
    """(B, 1, T, span): True where a token may look; None if it may look at all."""

    def layer(self, index: int) -> LayerCache:
        return LayerCache(self.cache.keys[index], self.cache.values[index], self)


class KVCache:
    """`lengths` are plain numbers on the host, so that no step has to wait for the device to know them."""

    def __init__(
        self,
        config: ModelConfig,
        rows: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (rows, config.kv_heads, capacity, config.head_size)

        def allocate() -> list[Tensor]:
            # Zeros, not empty: attention multiplies unread entries by zero, and zero times NaN is NaN.
            return [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]

        self._storage = allocate(), allocate()
        self.keys, self.values = self._storage
        self.capacity = capacity
        self.lengths = [0] * rows
        """Tokens stored in each live row."""

    def begin(self, tokens: int) -> Step:
        """Where `tokens` new tokens of every row go. Nothing moves until `advance`."""
        device = self.keys[0].device
        span, rows = max(self.lengths) + tokens, len(self.lengths)
        assert span <= self.capacity, f"{span} tokens in a cache of {self.capacity}"
        positions = torch.tensor(self.lengths, device=device)[:, None] + torch.arange(tokens, device=device)
        start = self.lengths[0] if len(set(self.lengths)) == 1 else None
        mask = None
        if start is None or (start and tokens > 1):
            mask = (torch.arange(span, device=device) <= positions[:, :, None])[:, None]
        return Step(self, positions, torch.arange(rows, device=device)[:, None], start, span, mask)

    def advance(self, counts: int | list[int]) -> None:
        """Accept the tokens of the last forward pass: `counts` of them in every row, or so many in each."""
        counts = [counts] * len(self.lengths) if isinstance(counts, int) else counts
        self.lengths = [length + count for length, count in zip(self.lengths, counts, strict=True)]

    def take(self, other: KVCache, rows: list[int]) -> None:
        """Fill an empty cache: row i becomes row `rows[i]` of the other."""
        used = max(other.lengths)
        for mine, theirs in zip((*self.keys, *self.values), (*other.keys, *other.values), strict=True):
            mine[:, :, :used] = theirs[rows, :, :used]
        self.lengths = [other.lengths[row] for row in rows]

    def select(self, rows: list[int]) -> None:
        """Row i becomes what row `rows[i]` was, rows beyond are free: for beams and finished rows."""
        target = [row for row, source in enumerate(rows) if row != source]
        source = [rows[row] for row in target]
        used = max((self.lengths[row] for row in source), default=0)
        if target:
            for tensor in (*self._storage[0], *self._storage[1]):
                tensor[target, :, :used] = tensor[source, :, :used]
        self.lengths = [self.lengths[row] for row in rows]
        self.keys, self.values = ([tensor[: len(rows)] for tensor in tensors] for tensors in self._storage)
