"""A seeded permutation that is a function, not an array.

Shuffling 10^8 rows with an array costs 800 MB and seconds at every resume. A Feistel network (Luby and Rackoff,
1988) over the next power of four, with values outside the range sent round again (cycle walking, Black and
Rogaway 2002), gives the place of any row at once, from nothing but the seed; and it does not change with
the version of a random-number library, so neither does the order of a training run.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 6


class Permutation:
    """A bijection of 0 .. size-1 chosen by `key`; `permutation(numbers)` maps arrays of any shape, int64."""

    def __init__(self, size: int, *key: int):
        assert size > 0, size
        self.size = size
        self._half = max(1, (size - 1).bit_length() + 1 >> 1)
        self._keys = [_mix(np.array(_fold(key, number), dtype=np.uint64)) for number in range(ROUNDS)]

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        values = self._network(numbers.astype(np.uint64))
        while (outside := values >= self.size).any():
            values[outside] = self._network(values[outside])
        return values.astype(np.int64)

    def _network(self, values: np.ndarray) -> np.ndarray:
        half, mask = np.uint64(self._half), np.uint64((1 << self._half) - 1)
        left, right = values >> half, values & mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return (left << half) | right


def draws(numbers: np.ndarray, *key: int) -> np.ndarray:
    """A random uint64 for each of the numbers, a function of number and key."""
    return _mix(_mix(numbers.astype(np.uint64)) ^ _mix(np.array(_fold(key, ROUNDS), dtype=np.uint64)))


def _fold(key: tuple[int, ...], number: int) -> int:
    """A tuple of integers as one 64-bit integer; the order matters."""
    value = 0
    for part in (*key, number):
        value = (value * 0x9E3779B97F4A7C15 + part + 1) % (1 << 64)
    return value


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
