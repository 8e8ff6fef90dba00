"""Exact deduplication: which documents' hashes have been seen. The first stays, so the input's order decides.

A Python set of 16-byte strings takes about 100 bytes a document, half a gigabyte for the 5.6 million entries
of BaiduBaike. This is one numpy array of 16-byte slots with open addressing, at most two thirds full: 24 to 48
bytes a document. Whole blocks of documents are looked up at once, so it is not slower than the set.
"""

from __future__ import annotations

import numpy as np

EMPTY = 0
START = 1 << 14
FULLEST = 2 / 3


class Seen:
    """A growing set of 128-bit hashes."""

    def __init__(self) -> None:
        self._slots = np.zeros((START, 2), np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._slots.nbytes

    def add(self, hashes: bytes) -> np.ndarray:
        """Add hashes of 16 bytes each, one after the other; a bool array tells which are new.

        Of equal ones among them the first is new.
        """
        keys = np.frombuffer(hashes, np.uint64).reshape(-1, 2) | np.array([0, 1], np.uint64)  # no key is EMPTY
        new = np.zeros(len(keys), bool)
        _, first = np.unique(keys, axis=0, return_index=True)
        if self._count + len(first) > len(self._slots) * FULLEST:
            self._grow(self._count + len(first))
        new[first] = self._insert(keys[first])
        self._count += int(np.count_nonzero(new))
        return new

    def _insert(self, keys: np.ndarray) -> np.ndarray:
        """Insert keys that differ from each other; returns which were absent."""
        absent = np.zeros(len(keys), bool)
        pending = np.arange(len(keys))
        mask = np.uint64(len(self._slots) - 1)
        slot = keys[:, 0] & mask
        while len(pending):
            there = self._slots[slot[pending]]
            free = there[:, 1] == EMPTY
            # Two keys may claim one free slot: both write, one wins, the other moves on.
            claiming = pending[free]
            self._slots[slot[claiming]] = keys[claiming]
            now = self._slots[slot[pending]]
            settled = (now == keys[pending]).all(axis=1)
            absent[pending[settled & free]] = True
            pending = pending[~settled]
            slot[pending] = (slot[pending] + np.uint64(1)) & mask
        return absent

    def _grow(self, count: int) -> None:
        old = self._slots[self._slots[:, 1] != EMPTY]
        size = len(self._slots)
        while count > size * FULLEST:
            size *= 2
        self._slots = np.zeros((size, 2), np.uint64)
        for start in range(0, len(old), START):
            self._insert(old[start : start + START])
