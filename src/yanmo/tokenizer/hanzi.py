"""The characters of Chinese by standard: what a vocabulary must have whole, and what its coverage is measured on.

GB2312 level 1 is the 3,755 characters of everyday use, in the order of their pronunciation, level 2 the 3,008
less common ones, by radical; Python's own codec knows them. The General Standard Chinese Characters of 2013
(通用规范汉字表) are 3,500 for basic education, 3,000 more for publishing, and 1,605 of names, places and terms;
`standard_characters.txt` holds them.
"""

from __future__ import annotations

import functools
from collections import Counter
from importlib import resources

from yanmo.tokenizer.special import SPECIAL_TOKENS

PUNCTUATION = "，。、；：？！“”‘’（）《》〈〉【】「」『』〔〕—…～·￥％°×÷　"

STANDARD_LEVELS = (3500, 6500, 8105)
"""Up to which number of the table of 2013 its levels 1, 2 and 3 go."""

ALL_FROM = 8192
"""Vocabularies from this size on hold every required character, seen in the corpus or not. Measured on 20 MB of
prose: at 6,400 entries all of them cost 2.7 % of the compression, at 8,192 1.1 %, at 32,000 nothing."""

STANDARD_FROM = 16_384
"""From this size on the 119 of the 3,500 that GB2312 has elsewhere are required as well."""

SHARE_BELOW = 3 / 8
"""Below that size, the most frequent required characters up to this share of the entries beside bytes and control
tokens: 2,302 of 6,400. Compression is best there (1,200: -4.0 %, 2,000: -0.2 %, 2,400: best, 2,800: -0.4 %)."""


def level_1() -> list[str]:
    """The 3,755 characters of GB2312 level 1: rows 0xB0 to 0xD7 of 94 each, the last five cells empty."""
    return _rows(0xB0, 0xD7)[:-5]


def level_2() -> list[str]:
    """The 3,008 characters of GB2312 level 2: rows 0xD8 to 0xF7."""
    return _rows(0xD8, 0xF7)


def _rows(first: int, last: int) -> list[str]:
    cells = (bytes([row, cell]) for row in range(first, last + 1) for cell in range(0xA1, 0xFF))
    return [cell.decode("gb2312", "replace") for cell in cells]


@functools.cache
def standard() -> str:
    """The 8,105 General Standard Chinese Characters in the table's order; its levels end at `STANDARD_LEVELS`."""
    file = resources.files("yanmo.tokenizer") / "standard_characters.txt"
    return "".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))


def required(vocab_size: int, counts: Counter[str]) -> list[str]:
    """The characters guaranteed to be single tokens in a vocabulary of that size, most frequent first."""
    usual = [*PUNCTUATION, *level_1()]
    if vocab_size >= STANDARD_FROM:
        usual += sorted(set(standard()[: STANDARD_LEVELS[0]]) - set(usual))
    everyday = sorted(usual, key=lambda character: -counts[character])
    if vocab_size >= ALL_FROM:
        return everyday
    seen = [character for character in everyday if counts[character]]
    return seen[: int((vocab_size - 256 - len(SPECIAL_TOKENS)) * SHARE_BELOW)]
