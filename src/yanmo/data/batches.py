"""Pretraining batches: rows of the token stream, packed without padding, in an order that needs no cursor.

Row r holds the tokens r*T .. r*T+T: T inputs, and each one's successor as its label. Every token of the
stream but the first is a label exactly once an epoch; the last row is filled up with end tokens whose labels
are ignored.

A document never sees another: the end token as an input starts the next document, so that the first token
of a document is predicted from a clean slate. `segments` numbers the documents in a row, `position_ids` counts
within each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from yanmo.data.shuffle import Permutation
from yanmo.model.labels import IGNORE

Batch = dict[str, torch.Tensor]


class TokenStream(Protocol):
    """What batches read: `yanmo.data.shards.Tokens`, or `ArrayTokens` around an array."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> np.ndarray: ...


class ArrayTokens:
    """Tokens that lie in memory."""

    def __init__(self, ids: np.ndarray):
        self._ids = ids.astype(np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._ids[start:stop]


class PackedBatches:
    """`batches(start)` yields batch number start, start + 1, ... for ever, each a function of (seed, number).

    Rows are permuted anew every epoch. Where `batch_size` does not divide the rows of an epoch, a batch holds
    the last rows of one epoch and the first of the next, so none is lost.
    """

    def __init__(self, tokens: TokenStream, sequence_length: int, batch_size: int, seed: int, end_id: int):
        self.rows = row_count(tokens, sequence_length)
        self.tokens, self.sequence_length, self.batch_size = tokens, sequence_length, batch_size
        self.seed, self.end_id = seed, end_id

    @property
    def batches_per_epoch(self) -> int:
        """How many batches see every row at least once."""
        return -(-self.rows // self.batch_size)

    def __call__(self, start: int) -> Iterator[Batch]:
        number = start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """`input_ids`, `labels`, `position_ids` (B, T) int64 and `segments` (B, T) int32 of one batch."""
        return self.at(range(number * self.batch_size, (number + 1) * self.batch_size))

    def at(self, numbers: range) -> Batch:
        """The rows at these places of the endless sequence of epochs."""
        epochs, places = np.divmod(np.array(numbers), self.rows)
        chosen = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = Permutation(self.rows, self.seed, int(epoch))(places[here])
        return rows_as_batch(self.tokens, chosen, self.sequence_length, self.end_id)


def sequential(tokens: TokenStream, sequence_length: int, batch_size: int, end_id: int) -> Iterator[Batch]:
    """Every row once, in order, for validation; the last batch may be short."""
    rows = row_count(tokens, sequence_length)
    for start in range(0, rows, batch_size):
        yield rows_as_batch(tokens, np.arange(start, min(start + batch_size, rows)), sequence_length, end_id)


def row_count(tokens: TokenStream, sequence_length: int) -> int:
    """Rows of `sequence_length` that hold every target of the stream.

    Raises: ValueError: the stream has no target.
    """
    targets = len(tokens) - 1
    if targets < 1:
        raise ValueError(f"the token stream has {len(tokens)} tokens; training needs at least 2")
    return -(-targets // sequence_length)


def rows_as_batch(tokens: TokenStream, rows: np.ndarray, sequence_length: int, end_id: int) -> Batch:
    """The given rows of the stream as a batch."""
    ids = np.full((len(rows), sequence_length + 1), end_id, dtype=np.int64)
    labels = np.full((len(rows), sequence_length), IGNORE, dtype=np.int64)
    for place, row in enumerate(rows.tolist()):
        start = row * sequence_length
        part = tokens.read(start, min(start + sequence_length + 1, len(tokens)))
        ids[place, : len(part)] = part
        labels[place, : len(part) - 1] = part[1:]
    inputs = ids[:, :-1]
    return to_tensors(inputs, labels, np.cumsum(inputs == end_id, axis=1))


def to_tensors(inputs: np.ndarray, labels: np.ndarray, segments: np.ndarray) -> Batch:
    """A batch from (B, T) arrays; positions follow from the segments, whose numbers rise along a row."""
    places = np.arange(inputs.shape[1])
    starts = np.zeros_like(segments)
    starts[:, 1:] = np.where(segments[:, 1:] != segments[:, :-1], places[1:], 0)
    positions = places - np.maximum.accumulate(starts, axis=1)
    return {
        "input_ids": torch.from_numpy(np.ascontiguousarray(inputs)),
        "labels": torch.from_numpy(labels),
        "segments": torch.from_numpy(segments.astype(np.int32)),
        "position_ids": torch.from_numpy(positions.astype(np.int64)),
    }
