"""Where no merge will ever join two characters: training text is cut there, and so repeats itself more.

A token occurs at most as often as the rarest pair of characters in it. So a pair too rare for the vocabulary
keeps its characters apart whatever else is learned, and a cut between them loses nothing; but the pieces are
short and mostly known, where clauses are long and nearly all new, and it is different pieces that cost the
trainer its memory. Measured on 32 MB of modern text (docs/log.md): 365 instead of 1,193 MB at 6,400 entries,
640 instead of 1,309 MB at 32,000, and no token worse.

Pairs are counted in 4 million slots, by hash: two that share one only seem more frequent, and are cut less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SEPARATOR = "\0"
"""Stands where text is cut, and between documents."""

TOGETHER = 1 << 20
"""Characters handled at once."""

_SLOTS = 22  # bits
_MIX, _SPREAD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)  # odd constants of splitmix-like hashes


def cut_rare_pairs(texts: Sequence[str], kept: int, fewest: int) -> Iterator[str]:
    """The texts, about a megabyte at once, with `SEPARATOR` between them and between rare neighbours.

    Only neighbouring Han characters are ever parted. About `kept` different pairs stay together, the most
    frequent ones, and none that occurs less than `fewest` times.
    """
    counts = np.zeros(1 << _SLOTS, dtype=np.int64)
    for points in _code_points(texts):
        counts += np.bincount(_slots(points)[_between_han(points)], minlength=len(counts))
    least = max(fewest, int(np.partition(counts, -kept)[-kept]))
    for points in _code_points(texts):
        rare = _between_han(points) & (counts[_slots(points)] < least)
        yield np.insert(points, np.flatnonzero(rare) + 1, 0).tobytes().decode("utf-32-le")


def _code_points(texts: Sequence[str]) -> Iterator[np.ndarray]:
    """uint32 arrays of about `TOGETHER` characters, each of whole texts."""
    part: list[str] = []
    size = 0
    for number, text in enumerate(texts, 1):
        part.append(text)
        size += len(text)
        if size >= TOGETHER or number == len(texts):
            yield np.frombuffer(SEPARATOR.join(part).encode("utf-32-le", "replace"), dtype="<u4")
            part, size = [], 0


def _slots(points: np.ndarray) -> np.ndarray:
    """The slot of every pair of neighbours."""
    left, right = points[:-1].astype(np.uint64), points[1:].astype(np.uint64)
    return ((left * _MIX + right) * _SPREAD >> np.uint64(64 - _SLOTS)).astype(np.int64)


def _between_han(points: np.ndarray) -> np.ndarray:
    """Which pairs are of two unified ideographs of the Basic Multilingual Plane."""
    han = (points >= 0x3400) & (points <= 0x9FFF)
    return han[:-1] & han[1:]
