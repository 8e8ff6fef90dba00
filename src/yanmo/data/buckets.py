"""Encoded documents on their way to the shards: dealt out at random to files, read back in a random order.

A corpus cannot be shuffled in memory, and reading single documents from all over a disk is slow. So each document
goes to a bucket drawn by its number; later one bucket after the other is read in a random order of its own. What
comes out is a shuffle of the whole that has moved through memory a document at a time.

    00.ids   the ids of its documents, as the shards will hold them
    00.rows  a row of figures for each document
    state.json  how far every file is good: after `kill -9` the work goes on from there

Until everything is encoded nobody knows how many tokens an input has or which hashes are smallest, so the split and
the weights are applied on the way back.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from yanmo.core.files import read_json, write_json
from yanmo.data.shuffle import draws

COUNT = 32
"""Two files each are open at once; macOS allows a process 256."""

CHECKPOINT = 1 << 27
"""Characters between two notes of how far the work has come: some ten seconds on one core."""

ROW = np.dtype(
    [
        ("hash", "<u8"),
        ("tokens", "<u4"),
        ("bytes", "<u4"),
        ("characters", "<u4"),
        ("label", "<u2"),
    ]
)
"""A document: the hash of its text, its ids with the end token, its size, and a number for where it comes from."""

_BUCKET = 2  # tells these random numbers from others of the same seed


class Buckets:
    """A directory of buckets; with no `seed` there is one, and it keeps the order."""

    def __init__(self, path: Path, dtype: np.dtype, seed: int | None):
        self.path, self.dtype, self.seed = path, dtype, seed
        self.count = 1 if seed is None else COUNT
        self.documents = 0

    def file(self, bucket: int, kind: str) -> Path:
        return self.path / f"{bucket:02}.{kind}"

    def rows(self, bucket: int) -> np.ndarray:
        return np.fromfile(self.file(bucket, "rows"), dtype=ROW)


class BucketWriter:
    """Deals documents out. As a context: goes on after the last checkpoint if there is one."""

    def __init__(self, buckets: Buckets):
        self.buckets = buckets
        self._names = [buckets.file(bucket, kind) for bucket in range(buckets.count) for kind in ("ids", "rows")]
        self._since = 0

    def __enter__(self) -> BucketWriter:
        state = self.buckets.path / "state.json"
        self.buckets.path.mkdir(exist_ok=True)
        sizes = [0] * len(self._names)
        if state.is_file():
            self.buckets.documents, sizes = read_json(state)["documents"], read_json(state)["sizes"]
        self._stack = ExitStack()
        self._files = []
        for name, size in zip(self._names, sizes, strict=True):
            file = self._stack.enter_context(open(name, "ab"))
            file.truncate(size)
            file.seek(size)
            self._files.append(file)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Some documents: their ids, flat, and a ROW for each."""
        numbers = np.arange(self.buckets.documents, self.buckets.documents + len(rows))
        if self.buckets.seed is None:
            chosen = np.zeros(len(rows), dtype=np.int64)
        else:
            chosen = (draws(numbers, _BUCKET, self.buckets.seed) % COUNT).astype(np.int64)
        data, start = memoryview(ids.astype(self.buckets.dtype, copy=False).tobytes()), 0
        lengths = (rows["tokens"].astype(np.int64) * self.buckets.dtype.itemsize).tolist()
        for row, bucket, length in zip(rows, chosen.tolist(), lengths, strict=True):
            self._files[2 * bucket].write(data[start : start + length])
            self._files[2 * bucket + 1].write(row.tobytes())
            start += length
        self.buckets.documents += len(rows)
        self._since += int(rows["characters"].sum())
        if self._since >= CHECKPOINT:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Make everything so far durable, and note how far it goes."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        sizes = [file.tell() for file in self._files]
        write_json(self.buckets.path / "state.json", {"documents": self.buckets.documents, "sizes": sizes})
        self._since = 0
