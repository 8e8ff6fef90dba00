"""MinHash of folded character 5-grams, many documents at once: which documents may be near duplicates.

Two sets with Jaccard index J (common elements / all elements) have the same smallest element under a random
permutation with probability J (Broder, On the resemblance and containment of documents, 1997). Several such minima
form a band; documents that agree in a whole band of at least one are candidates, with probability
1 - (1 - J^rows)^bands (Indyk and Motwani, Approximate nearest neighbors, 1998). Candidates are only that: whoever
uses them compares the documents themselves.

Chinese has no words to shingle by: 5 characters are about three words. Shingles are taken of the letters alone
(`fold.Folded.letters`), so punctuation, spacing, width, case and script do not count.

A shingle's hash is a uint32, and a permutation one multiplication by an odd number, a bijection of uint32. So the
minima of a batch are two passes a permutation over an array that stays in the cache, with no loop over documents.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import xxhash

from yanmo.text.overlap.fold import Folded

SHINGLE = 5
SHORTEST = 20
"""A document with fewer letters has no bands: one changed character in 20 already leaves a Jaccard index of 0.5."""
PERMUTATIONS = 112
RECALL = 0.98
LOWEST, HIGHEST = 0.5, 0.95
NONE = 0
"""In the place of a band's hash: the document has no bands."""


class Banding(NamedTuple):
    bands: int
    rows: int
    """Minima a band."""

    def found(self, jaccard: float) -> float:
        """The probability that two documents of this Jaccard index become candidates."""
        return 1 - (1 - jaccard**self.rows) ** self.bands


def banding(threshold: float) -> Banding:
    """The steepest banding that finds pairs right at the threshold with probability 0.98, in 112 permutations.

    0.8 gives 13 bands of 6 rows: pairs of Jaccard index 0.9 are found with probability 0.99995, 0.8 0.981,
    0.5 0.19, 0.3 0.01, 0.1 0.00001.

    Raises: ValueError: the threshold is outside of what can be found so.
    """
    if not LOWEST <= threshold <= HIGHEST:
        raise ValueError(f"a Jaccard index of {threshold}: near duplicates are found from {LOWEST} to {HIGHEST}")
    fits = [
        Banding(bands, rows)
        for rows in range(1, PERMUTATIONS + 1)
        if (bands := math.ceil(math.log(1 - RECALL) / math.log1p(-(threshold**rows)))) * rows <= PERMUTATIONS
    ]
    return fits[-1]


def shingles(points: np.ndarray) -> np.ndarray:
    """The uint32 hash of the 5-gram that starts at each position; the last four positions start none."""
    count = max(len(points) - SHINGLE + 1, 0)
    hashes = np.zeros(count, np.uint32)
    for offset, multiplier in enumerate(_odd_numbers("shingle", SHINGLE)):
        hashes += points[offset : offset + count] * multiplier
    # Murmur3's finaliser: every bit of the 5-gram reaches every bit of its hash.
    hashes ^= hashes >> np.uint32(16)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(0xC2B2AE35)
    hashes ^= hashes >> np.uint32(16)
    return hashes


def band_hashes(letters: Folded, banding: Banding) -> np.ndarray:
    """(bands, documents) uint64; NONE throughout for documents with fewer than SHORTEST letters."""
    starts = letters.starts()
    long = np.flatnonzero(letters.ends - starts >= SHORTEST)
    result = np.full((banding.bands, len(starts)), NONE, np.uint64)
    if not len(long):
        return result
    hashes = shingles(letters.points)
    # From each start to the last shingle's end, and from there to the next start, which is no shingle of one document.
    borders = np.stack([starts[long], letters.ends[long] - SHINGLE + 1], 1).ravel()[:-1]
    hashes = hashes[: letters.ends[long[-1]] - SHINGLE + 1]
    permuted = np.empty_like(hashes)
    minima = np.empty((banding.bands * banding.rows, len(borders)), np.uint32)
    for multiplier, row in zip(_odd_numbers("permutation", len(minima)), minima, strict=True):
        np.multiply(hashes, multiplier, out=permuted)
        np.minimum.reduceat(permuted, borders, out=row)
    result[:, long] = _mixed(minima[:, ::2].reshape(banding.bands, banding.rows, len(long)))
    return result


class Sets(NamedTuple):
    """Sets of 5-grams, one after the other."""

    values: np.ndarray
    """Their hashes, uint32, each once and ascending within a set."""
    ends: np.ndarray
    """Where each set ends, int64."""


def shingle_sets(letters: Folded) -> Sets:
    """The set of 5-grams of each document.

    In sets of n elements about n / 2^32 of them share their hash with another: a Jaccard index is exact to that.
    """
    hashes = shingles(letters.points)
    document = np.repeat(np.arange(len(letters.ends)), np.diff(letters.ends, prepend=0))[: len(hashes)]
    whole = np.arange(SHINGLE, len(hashes) + SHINGLE) <= letters.ends[document]
    values = distinct(document[whole].astype(np.uint64) << np.uint64(32) | hashes[whole])
    ends = np.searchsorted(values, np.arange(1, len(letters.ends) + 1, dtype=np.uint64) << np.uint64(32))
    return Sets(values.astype(np.uint32), ends)


def distinct(values: np.ndarray) -> np.ndarray:
    """The different values, ascending; sorts `values`. np.unique hashes them first, which takes 20 times as long."""
    values.sort()
    return values[np.append(True, values[1:] != values[:-1])[: len(values)]]


def _mixed(minima: np.ndarray) -> np.ndarray:
    """(bands, rows, documents) uint32 -> (bands, documents) uint64, never NONE."""
    hashes = np.zeros((minima.shape[0], minima.shape[2]), np.uint64)
    for row in range(minima.shape[1]):
        hashes = (hashes ^ minima[:, row]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    return hashes | np.uint64(1)


@cache
def _odd_numbers(name: str, count: int) -> tuple[np.uint32, ...]:
    """Random odd numbers that are the same on every machine and with every version of numpy."""
    return tuple(np.uint32(xxhash.xxh32_intdigest(f"{name} {number}".encode()) | 1) for number in range(count))
