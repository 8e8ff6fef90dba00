"""Finding any of many phrases in a text, in time that hardly depends on how many they are.

A phrase can only begin where its first two characters stand: one look-up of every pair of neighbours in a table
of bits leaves a few places, and only those are compared. Both sides are folded (`fold`): 加 Ｖ 信 is 加v信.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from yanmo.text.overlap.fold import folded

BITS = 18
MULTIPLIER = 0x9E3779B1


class Phrases:
    """Lists of phrases, each with a name."""

    def __init__(self, lists: Mapping[str, Iterable[str]]):
        """Raises: ValueError: a phrase has less than two characters that count."""
        self._lists: dict[str, str] = {}
        self._by_pair: dict[str, list[str]] = {}
        self._begins = np.zeros(1 << BITS, bool)
        for name, phrases in lists.items():
            for phrase in phrases:
                points = folded(phrase)
                if len(points) < 2:
                    raise ValueError(f"{phrase!r}: a listed word needs at least two characters")
                plain = _string(points)
                self._begins[_pairs(points)[0]] = True
                if plain not in self._lists:
                    self._by_pair.setdefault(plain[:2], []).append(plain)
                self._lists[plain] = name
        for listed in self._by_pair.values():
            listed.sort(key=len, reverse=True)

    def find(self, text: str) -> tuple[dict[str, list[str]], int]:
        """The phrases found of each list, from left to right, the longest at each place; the folded text's length."""
        points = folded(text)
        found: dict[str, list[str]] = {}
        places = np.flatnonzero(self._begins[_pairs(points)])
        if len(places):
            plain, end = _string(points), 0
            for place in places.tolist():
                phrase = self._at(plain, place) if place >= end else None
                if phrase is not None:
                    found.setdefault(self._lists[phrase], []).append(phrase)
                    end = place + len(phrase)
        return found, len(points)

    def _at(self, text: str, place: int) -> str | None:
        listed = self._by_pair.get(text[place : place + 2], ())
        return next((phrase for phrase in listed if text.startswith(phrase, place)), None)


def read_phrases(path: Path) -> list[str]:
    """A file of phrases, one a line; blank lines and lines that begin with # are skipped.

    Raises: ValueError: the file is not UTF-8 or a phrase is too short; the line names the place.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}; save the list as UTF-8") from None
    phrases = []
    for number, line in enumerate(lines, 1):
        phrase = line.strip()
        if phrase and not phrase.startswith("#"):
            if len(folded(phrase)) < 2:
                raise ValueError(f"{path}:{number}: {phrase!r}: a listed word needs at least two characters")
            phrases.append(phrase)
    if not phrases:
        raise ValueError(f"{path}: no words in it; write one a line")
    return phrases


def _pairs(points: np.ndarray) -> np.ndarray:
    """A hash of `BITS` bits of each pair of neighbours."""
    return ((points[:-1] * np.uint32(MULTIPLIER)) ^ (points[1:] * np.uint32(0x85EBCA6B))) >> np.uint32(32 - BITS)


def _string(points: np.ndarray) -> str:
    return points.tobytes().decode("utf-32-le", "surrogatepass")
