"""The folded form of a text: what is left when width, case, script, spacing and the shape of punctuation do not count.

One table over all code points and one numpy `take` fold whole batches of documents at memory speed. Two documents
with the same folded form are the same document typed differently: full or half width, traditional or simplified.
Punctuation is unified but kept: 1.5 and 15 must not become the same. Where even punctuation does not count (near
duplicates, test questions in other dress) the folded *letters* are looked at: letters, marks and digits alone.

Simplified characters are those of OpenCC's t2s for a character on its own; words are not looked at, so 乾隆 and
干隆 fold together, which is harmless for finding what is the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import opencc
import xxhash

REMOVED = 0
PUNCTUATION = {"。": ".", "、": ",", "‘": "'", "’": "'"} | dict.fromkeys("“”「」『』", '"')
UNFOLDED = ((0x3400, 0x9FFF), (0xAC00, 0xDFFF), (0xE000, 0xF8FF))
"""Ideographs, Hangul, surrogates, private use: their own folded form, not worth asking for one by one."""
IDEOGRAPHS = ((0x3400, 0x9FFF), (0x20000, 0x3FFFF))
BATCH = 1 << 16
"""Characters to fold at once: their code points, 256 kB, and as much again stay in the second-level cache."""


class Folded(NamedTuple):
    """Several folded texts, one after the other."""

    points: np.ndarray
    """Code points, uint32."""
    ends: np.ndarray
    """Where each text ends, int64."""

    def letters(self) -> Folded:
        """The same without punctuation and symbols."""
        return self.select(np.flatnonzero(letter_table()[self.points]))

    def select(self, places: np.ndarray) -> Folded:
        """What stands at these ascending places."""
        return Folded(self.points[places], np.searchsorted(places, self.ends))

    def starts(self) -> np.ndarray:
        return np.concatenate(([0], self.ends[:-1]))


def code_points(text: str) -> np.ndarray:
    """The text's code points, uint32; lone surrogates are code points too."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@cache
def fold_table() -> np.ndarray:
    """Code point -> folded code point, uint32; 0 where nothing is left. Beyond the first plane: simplified only."""
    table = np.arange(0x110000, dtype=np.uint32)
    start = 0
    for first, last in (*UNFOLDED, (0x10000, 0x10000)):
        for point in range(start, first):
            table[point] = _fold(chr(point))
        start = last + 1
    return _simplified()[table]


def _fold(character: str) -> int:
    character = PUNCTUATION.get(character, character)
    if unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc", "Cf"):
        return REMOVED
    folded = unicodedata.normalize("NFKC", character).casefold()
    return ord(folded) if len(folded) == 1 and folded != " " else ord(character)


def _simplified() -> np.ndarray:
    table = np.arange(0x110000, dtype=np.uint32)
    characters = [chr(point) for first, last in IDEOGRAPHS for point in range(first, last + 1)]
    # No word reaches over a line's end, so each character is converted on its own.
    converted = opencc.OpenCC("t2s").convert("\n".join(characters)).split("\n")
    for character, simple in zip(characters, converted, strict=True):
        if len(simple) == 1:
            table[ord(character)] = ord(simple)
    return table


@cache
def letter_table() -> np.ndarray:
    """Code point -> whether it is a letter, a mark or a digit, bool. The ideographic planes count as letters."""
    table = np.zeros(0x110000, bool)
    table[0x20000:0x40000] = True
    for point in range(0x20000):
        table[point] = unicodedata.category(chr(point))[0] in "LMN"
    return table


def batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of texts that together have BATCH characters at most, or are one longer text."""
    first = size = 0
    for index, text in enumerate(texts):
        if size and size + len(text) > BATCH:
            yield first, index
            first, size = index, 0
        size += len(text)
    if first < len(texts):
        yield first, len(texts)


@cache
def folded_letter_table() -> np.ndarray:
    """Code point -> folded letter, uint32; 0 where it is none."""
    return np.where(letter_table()[fold_table()], fold_table(), REMOVED).astype(np.uint32)


def fold_all(texts: Sequence[str]) -> Folded:
    """Texts folded in one go."""
    return _fold_with(fold_table(), texts)[0]


def letters_of(texts: Sequence[str]) -> tuple[Folded, np.ndarray]:
    """The folded letters of texts, and the place of each in the texts joined together."""
    return _fold_with(folded_letter_table(), texts)


def _fold_with(table: np.ndarray, texts: Sequence[str]) -> tuple[Folded, np.ndarray]:
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    points = table[code_points("".join(texts))]
    places = np.flatnonzero(points != REMOVED)
    return Folded(points, ends).select(places), places


def folded(text: str) -> np.ndarray:
    """The folded text as uint32 code points."""
    return fold_all([text]).points


def folded_hash(text: str) -> bytes:
    """xxh3-128 of the folded text: 16 bytes; a pair of equal ones in 10^12 documents has odds of 1 to 10^14."""
    return folded_hashes(fold_all([text]))


def folded_hashes(texts: Folded) -> bytes:
    """The xxh3-128 of each text, 16 bytes each."""
    points = texts.points
    return b"".join(
        xxhash.xxh3_128_digest(points[start:end].data)
        for start, end in zip(texts.starts().tolist(), texts.ends.tolist(), strict=True)
    )
