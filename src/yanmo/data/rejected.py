"""A model's own answers beside the right ones: which make a preference, and which are the same again.

Similarity is that of what a reader sees: 2 c / (a + b) for answers of a and b letters whose longest common subsequence
has c. A set of n-grams, usual for documents, is too coarse for answers of ten characters, where one changed character
changes a third of them, and does not know order. Punctuation and width do not count.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from yanmo.text.preferences import Preference
from yanmo.tokenizer.chat import Message


def preferences(
    answered: Iterable[tuple[Sequence[Message], str, str]], similar: float, left_out: Counter[str]
) -> Iterator[Preference]:
    """Pairs from (messages, right answer, the model's answer); `left_out` counts those that say nothing, by reason."""
    for messages, right, own in answered:
        rejected = own.strip()
        if not rejected:
            left_out["empty_rejected"] += 1
        elif rejected == right:
            left_out["equal_answers"] += 1
        elif similarity(right, rejected) >= similar:
            left_out["similar_answers"] += 1
        else:
            yield Preference([dict(message) for message in messages], right, rejected)


def similarity(one: str, other: str) -> float:
    """0 to 1; 1 for two texts with the same letters and digits in the same order."""
    a, b = (letters(text) for text in (one, other))
    return 2 * common(a, b) / (len(a) + len(b)) if a or b else 1.0


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text)))


def common(one: str, other: str) -> int:
    """Length of the longest common subsequence, a row of the table at a time as the bits of one integer (Hyyrö 2004,
    "Bit-parallel LCS-length computation revisited")."""
    places: dict[str, int] = {}
    for place, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << place
    mask = (1 << len(one)) - 1
    row = mask
    for character in other:
        matched = row & places.get(character, 0)
        row = ((row + matched) | (row - matched)) & mask
    return len(one) - row.bit_count()
