"""The characters a Chinese vocabulary must have whole: GB2312 level 1 and the usual punctuation.

GB2312 level 1 is the 3,755 characters of everyday use, in the order of their pronunciation. Python's own codec
knows the standard, so no table is carried along. (The 3,500 of the General Standard Chinese Characters are for
the most part the same ones.)
"""

from __future__ import annotations

from collections import Counter

from yanmo.tokenizer.special import SPECIAL_TOKENS

PUNCTUATION = "，。、；：？！“”‘’（）《》〈〉【】「」『』〔〕—…～·￥％°×÷　"

ALL_FROM = 8192
"""Vocabularies from this size on hold every required character, seen in the corpus or not. Measured on 20 MB of
prose: at 6,400 entries all of them cost 2.7 % of the compression, at 8,192 1.1 %, at 32,000 nothing."""

SHARE_BELOW = 3 / 8
"""Below that size, the most frequent required characters up to this share of the entries beside bytes and control
tokens: 2,302 of 6,400. Compression is best there (1,200: -4.0 %, 2,000: -0.2 %, 2,400: best, 2,800: -0.4 %)."""


def level_1() -> list[str]:
    """The 3,755 characters of GB2312 level 1: rows 0xB0 to 0xD7 of 94 each, the last five cells empty."""
    cells = [bytes([row, cell]) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    return [cell.decode("gb2312") for cell in cells[:-5]]


def required(vocab_size: int, counts: Counter[str]) -> list[str]:
    """The characters guaranteed to be single tokens in a vocabulary of that size, most frequent first."""
    everyday = sorted([*PUNCTUATION, *level_1()], key=lambda character: -counts[character])
    if vocab_size >= ALL_FROM:
        return everyday
    seen = [character for character in everyday if counts[character]]
    return seen[: int((vocab_size - 256 - len(SPECIAL_TOKENS)) * SHARE_BELOW)]
