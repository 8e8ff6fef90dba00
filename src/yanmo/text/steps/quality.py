"""Rules about what a document is made of: each is a step that gives the text back or says why not."""

from __future__ import annotations

import re

from yanmo.text.step import Drop, Step
from yanmo.text.steps.characters import composition
from yanmo.text.steps.kinds import Profile

ENOUGH = 50
"""Characters from which shares other than that of Han mean something."""
ASCII_STOP = re.compile("(?<=[\u3400-\u9fff])[.．](?![.．])")
"""Some type the full stop of English after Chinese."""
WHOLE_PARAGRAPH = 200
"""Characters from which a text without a sentence end is no sentence."""


def length(minimum: int, maximum: int | None) -> Step:
    """Keep documents of `minimum` to `maximum` characters (Unicode code points)."""

    def step(text: str) -> str | Drop:
        if len(text) < minimum:
            return Drop("too_short", f"{len(text)} characters")
        if maximum is not None and len(text) > maximum:
            return Drop("too_long", f"{len(text)} characters")
        return text

    return step


def proportions(profile: Profile, min_han: float) -> Step:
    """Keep documents in which each class of characters has the share that `profile` allows."""

    def step(text: str) -> str | Drop:
        made_of = composition(text)
        total = max(made_of.visible, 1)
        if made_of.han < min_han * total:
            return Drop("few_han", f"Han ratio {made_of.han / total:.3f}")
        if made_of.damaged > max(profile.max_damaged * total, 1):
            return Drop("mojibake", f"{made_of.damaged} unreadable characters")
        if total < ENOUGH:
            return text
        digits, symbols, marks = made_of.digits / total, made_of.symbols / total, made_of.punctuation / total
        if profile.max_digits is not None and digits > profile.max_digits:
            return Drop("digits", f"{digits:.0%} are digits")
        if profile.max_symbols is not None and symbols > profile.max_symbols:
            return Drop("symbols", f"{symbols:.0%} are symbols")
        if profile.min_punctuation is not None and marks < profile.min_punctuation:
            return Drop("few_marks", f"{marks:.1%} are punctuation marks")
        if profile.max_punctuation is not None and marks > profile.max_punctuation:
            return Drop("many_marks", f"{marks:.0%} are punctuation marks")
        if profile.max_sentence is not None and total > WHOLE_PARAGRAPH:
            ends = made_of.sentence_ends
            if total > profile.max_sentence * ends:
                ends += len(ASCII_STOP.findall(text))  # not worth looking for in every text
            if total > profile.max_sentence * ends:
                return Drop("no_sentences", f"{ends} sentence ends in {total} characters")
        return text

    return step
