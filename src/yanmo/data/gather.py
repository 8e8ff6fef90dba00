"""From buckets to splits: which documents are held out, how often each of the others is used, and in what order.

Copies of a document lie as far apart as can be: of four, each is a quarter of the stream from the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np

from yanmo.data.buckets import Buckets
from yanmo.data.documents import ValidationSplit
from yanmo.data.mixing import copies, epochs
from yanmo.data.shards import Split
from yanmo.data.shuffle import draws

TOGETHER = 1 << 19
"""Tokens handed on at a time."""

_ORDER = 3  # tells these random numbers from others of the same seed


@dataclass(frozen=True)
class Plan:
    """What becomes of the documents of some buckets."""

    buckets: Buckets
    threshold: int
    """Documents whose hash is below it are held out, so that equal texts stay on one side."""
    groups: np.ndarray
    """The group of each label: documents that share a weight."""
    epochs: list[float]
    """How often each group is used for training."""
    wanted: np.ndarray
    """(buckets, groups): training tokens to take."""

    def times(self, bucket: int, rows: np.ndarray) -> np.ndarray:
        """How often each document of a bucket is used for training."""
        training = rows["hash"] >= self.threshold
        times = training.astype(np.int64)
        for group, often in enumerate(self.epochs):
            if often != 1:
                mine = training & (self.groups[rows["label"]] == group)
                wanted = float(self.wanted[bucket, group])
                times[mine] = copies(rows["tokens"][mine], wanted, self.buckets.seed or 0, bucket)
        return times


def make_plan(
    buckets: Buckets, split: ValidationSplit, groups: np.ndarray, weights: Sequence[float], most: float
) -> Plan:
    """Split and mix the buckets' documents; with no `weights` each document is used once.

    Raises: ValueError: there are no documents, or a group with a weight has none to train on.
    """
    for bucket in range(buckets.count):
        split.see_all(buckets.rows(bucket)["hash"])
    count = len(weights) or int(groups.max(initial=0)) + 1
    tokens = np.zeros((buckets.count, count))
    for bucket in range(buckets.count):
        rows = buckets.rows(bucket)
        rows = rows[rows["hash"] >= split.threshold()]
        tokens[bucket] = np.bincount(groups[rows["label"]], weights=rows["tokens"], minlength=count)
    often = epochs(tokens.sum(axis=0), weights, most) if weights else [1.0] * count
    plan = Plan(buckets, split.threshold(), groups, often, tokens * often)
    owed = np.zeros(count)
    for bucket in range(buckets.count if weights else 0):
        low, high = tokens[bucket] * np.floor(often), tokens[bucket] * np.ceil(often)
        plan.wanted[bucket] = np.clip(tokens[bucket] * often + owed, low, high)
        rows = buckets.rows(bucket)
        taken = rows["tokens"] * plan.times(bucket, rows)
        owed += tokens[bucket] * often - np.bincount(groups[rows["label"]], weights=taken, minlength=count)
    return plan


class Gathered(NamedTuple):
    ids: np.ndarray
    rows: np.ndarray
    """`buckets.ROW`, one for each document."""


def gather(plan: Plan, split: Split) -> Iterator[Gathered]:
    """The documents of a split in their final order, a few at a time."""
    buckets = plan.buckets
    most = math.ceil(max(plan.epochs)) if split == "train" else 1
    for place in range(buckets.count):
        sources = [(place + copy * buckets.count // most) % buckets.count for copy in range(most)]
        drawn = [_draw(plan, split, bucket, copy) for copy, bucket in enumerate(sources)]
        order = np.argsort(np.concatenate([part.keys for part in drawn]), kind="stable")
        rows = np.concatenate([part.rows for part in drawn])[order]
        starts = np.concatenate([part.starts for part in drawn])[order]
        copy = np.repeat(np.arange(most), [part.keys.size for part in drawn])[order]
        with ExitStack() as stack:
            files = [stack.enter_context(open(buckets.file(bucket, "ids"), "rb")) for bucket in sources]
            yield from _read(files, copy, starts, rows, buckets.dtype)


class Drawn(NamedTuple):
    """The documents of one bucket that are used once more."""

    keys: np.ndarray
    """They are ordered by these."""
    rows: np.ndarray
    starts: np.ndarray
    """Where their ids begin in the bucket's file."""


def _draw(plan: Plan, split: Split, bucket: int, copy: int) -> Drawn:
    rows = plan.buckets.rows(bucket)
    times = plan.times(bucket, rows) if split == "train" else rows["hash"] < plan.threshold
    chosen = np.flatnonzero(times > copy)
    starts = np.cumsum(rows["tokens"], dtype=np.int64) - rows["tokens"]
    seed = plan.buckets.seed
    keys = chosen if seed is None else draws(chosen, _ORDER, seed, bucket, copy)
    return Drawn(keys, rows[chosen], starts[chosen])


def _read(
    files: Sequence[BinaryIO], which: np.ndarray, starts: np.ndarray, rows: np.ndarray, dtype: np.dtype
) -> Iterator[Gathered]:
    """Some documents in order, each from the file and the place that are given for it."""
    ends = np.cumsum(rows["tokens"], dtype=np.int64)
    first = 0
    while first < len(rows):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + TOGETHER, side="right")))
        part = slice(first, last)
        parts = []
        for file, start, length in zip(which[part], starts[part].tolist(), rows["tokens"][part].tolist(), strict=True):
            files[file].seek(start * dtype.itemsize)
            parts.append(files[file].read(length * dtype.itemsize))
        yield Gathered(np.frombuffer(b"".join(parts), dtype=dtype), rows[part])
        first = last
