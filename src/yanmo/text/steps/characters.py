"""What each character of a text is: Han, letter, digit, punctuation, symbol; one table over all code points.

One numpy `take` and one `bincount` classify a whole document, so every share of every rule costs the same few
microseconds. The table holds what Chinese text needs, not Unicode's thirty categories: '#' and '|' are symbols
(Markdown, tables, code), '，' and '"' punctuation (prose), and what ends a sentence is a class of its own.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

from yanmo.text.overlap.fold import code_points

SPACE, LETTER, HAN, DIGIT, PUNCTUATION, SENTENCE_END, SYMBOL, DAMAGED = range(8)
HAN_BLOCKS = (
    (0x3400, 0x4DBF),  # extension A
    (0x4E00, 0x9FFF),  # the common ideographs
    (0xF900, 0xFAFF),  # compatibility
    (0x20000, 0x33479),  # extensions B to J
    (0x3007, 0x3007),  # 〇
)
SENTENCE_ENDS = "。！？!?…；;．"
SYMBOLIC = "#*_/\\@&%§†‡•※"
"""Unicode calls these punctuation; in text they are Markdown, code and decoration."""
PRIVATE_USE = ((0xE000, 0xF8FF), (0xF0000, 0x10FFFF))
"""Icons of some font, or GBK's user-defined area read by the wrong table: nobody can know what was meant."""
CLASS_OF_CATEGORY = {"L": LETTER, "M": LETTER, "N": DIGIT, "P": PUNCTUATION, "S": SYMBOL, "Z": SPACE, "C": SPACE}


class Composition(NamedTuple):
    """How many characters of each class a text has."""

    visible: int
    """All that is not white space."""
    han: int
    digits: int
    punctuation: int
    """With the sentence ends."""
    sentence_ends: int
    symbols: int
    damaged: int
    """U+FFFD and private use."""


def composition(text: str) -> Composition:
    counts = np.bincount(character_classes().take(code_points(text)), minlength=8).tolist()
    return Composition(
        visible=len(text) - counts[SPACE],
        han=counts[HAN],
        digits=counts[DIGIT],
        punctuation=counts[PUNCTUATION] + counts[SENTENCE_END],
        sentence_ends=counts[SENTENCE_END],
        symbols=counts[SYMBOL],
        damaged=counts[DAMAGED],
    )


@cache
def character_classes() -> np.ndarray:
    """Code point -> class, uint8."""
    table = np.full(0x110000, LETTER, np.uint8)
    for point in (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x10000)):
        table[point] = CLASS_OF_CATEGORY[unicodedata.category(chr(point))[0]]
    table[0x1F000:0x1FB00] = SYMBOL  # emoji, by number: their categories depend on Python's Unicode version
    for first, last in HAN_BLOCKS:
        table[first : last + 1] = HAN
    for first, last in PRIVATE_USE:
        table[first : last + 1] = DAMAGED
    table[0xFFFD] = DAMAGED
    table[[ord(character) for character in SYMBOLIC]] = SYMBOL
    table[[ord(character) for character in SENTENCE_ENDS]] = SENTENCE_END
    return table
