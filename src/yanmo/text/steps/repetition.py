"""Text that says the same again: repeated lines, repeated passages, one phrase all over.

The repetition rules of Gopher (https://arxiv.org/abs/2112.11446, table A1) count words; Chinese has none to
count, so these count characters: a passage is 13 of them (about eight words), a phrase 5 (about three). Only Han
characters and letters count, so that tables, rulers and dates are not taken for repetition. All n-grams of a
document are hashed at once, by doubling, without a Python object for any.
"""

from __future__ import annotations

import numpy as np

from yanmo.text.overlap.fold import code_points
from yanmo.text.step import Drop, Step
from yanmo.text.steps.characters import HAN, LETTER, character_classes
from yanmo.text.steps.kinds import Profile

PASSAGE, PHRASE = 13, 5
ENOUGH = 100
"""Shorter texts are not judged: a rhyme or a list of three lines repeats itself by nature."""
MANY = 6
"""A phrase that comes back fewer times is none that a text is stuffed with, however short the text."""
BASE = 0x9E3779B1
"""2^32 over the golden ratio, made odd: the base of the polynomial hash modulo 2^32."""


def repetition(profile: Profile) -> Step:
    """Keep documents that repeat themselves no more than `profile` allows."""

    def step(text: str) -> str | Drop:
        if len(text) < ENOUGH:
            return text
        if profile.max_repeated_lines is not None:
            share = repeated_lines(text)
            if share > profile.max_repeated_lines:
                return Drop("repeated_lines", f"{share:.0%} of the text is lines said before")
        if profile.max_repeated_text is None and profile.max_one_phrase is None:
            return text
        letters = letter_points(text)
        if profile.max_repeated_text is not None and may_repeat(text, profile.max_repeated_text):
            share = repeated_text(letters)
            if share > profile.max_repeated_text:
                return Drop("repeated_text", f"{share:.0%} of the passages were there before")
        if profile.max_one_phrase is not None and one_phrase(letters, profile.max_one_phrase):
            return Drop("one_phrase", f"{PHRASE} characters make up over {profile.max_one_phrase:.0%} of the text")
        return text

    return step


def repeated_lines(text: str) -> float:
    """Share of characters in lines that occurred before in the same text."""
    lines = [line.strip() for line in text.split("\n")]
    distinct = set(lines)
    if len(distinct) == len(lines):
        return 0.0
    total = sum(map(len, lines))
    return 1 - sum(map(len, distinct)) / total if total else 0.0


def may_repeat(text: str, limit: float) -> bool:
    """Whether more than `limit` of the passages can have been there before; False spares counting them.

    Passages that begin with different letters differ, so a text has about as many new passages as different letters,
    which in a short one is enough to tell.
    """
    different = sum(map(str.isalpha, set(text))) - (PASSAGE - 1)
    return different < (1 - limit) * (len(text) - (PASSAGE - 1))


def repeated_text(letters: np.ndarray) -> float:
    """Share of the 13-grams that occurred before among these code points."""
    grams = np.sort(ngrams(letters, PASSAGE))
    return int(np.count_nonzero(grams[1:] == grams[:-1])) / max(len(grams), 1)


def one_phrase(letters: np.ndarray, limit: float) -> bool:
    """Whether some 5-gram, after its first time, makes up more than `limit` of these code points."""
    grams = np.sort(ngrams(letters, PHRASE))
    repeats = max(int(limit * len(letters) / PHRASE) + 1, MANY)
    # Among sorted values, one that comes back k times after the first equals the one k places further on.
    return bool((grams[repeats:] == grams[:-repeats]).any())


def letter_points(text: str) -> np.ndarray:
    """The code points that are Han characters or letters, uint32."""
    points = code_points(text)
    classes = character_classes().take(points)
    return points[(classes == HAN) | (classes == LETTER)]


def ngrams(points: np.ndarray, n: int) -> np.ndarray:
    """A 32-bit hash of the n code points from each position on; empty for fewer than n."""
    block, width = points * np.uint32(BASE), 1
    result, covered = block, 0
    while True:
        if n & width:
            result = _joined(result, covered, block, width) if covered else block
            covered += width
        if 2 * width > n:
            return result
        block, width = _joined(block, width, block, width), 2 * width


def _joined(left: np.ndarray, width: int, right: np.ndarray, added: int) -> np.ndarray:
    """Hashes of `width + added` characters from those of the first `width` and of the `added` after them."""
    length = max(len(right) - width, 0)
    return left[:length] * np.uint32(pow(BASE, added, 1 << 32)) + right[width : width + length]
