"""A document step: a function `text -> text | Drop(reason)`. `clean` runs every document through a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Drop(NamedTuple):
    """Why a document, a row or a conversation is not kept. `reason` is a short word, also a file name."""

    reason: str
    detail: str = ""


Step = Callable[[str], "str | Drop"]
Check = Callable[[Sequence[str]], "list[Drop | None]"]
"""Judges many documents at once."""
ROUNDS = 8
"""Real documents settle in two."""


def run_steps(text: str, steps: Iterable[Step]) -> str | Drop:
    """The text after all steps, or the first Drop."""
    for step in steps:
        result = step(text)
        if isinstance(result, Drop):
            return result
        text = result
    return text


def settled(steps: Sequence[Step]) -> Step:
    """One step of steps that rewrite, run in turn until all have seen the text without changing it.

    So cleaning twice is cleaning once, although one step may uncover work for an earlier one: a boilerplate line
    that goes brings blank lines together.
    """

    def step(text: str) -> str | Drop:
        turn = quiet = 0
        while quiet < len(steps):
            result = steps[turn % len(steps)](text)
            if isinstance(result, Drop):
                return result
            quiet = quiet + 1 if result == text else 0
            text, turn = result, turn + 1
            if turn > ROUNDS * len(steps):
                return Drop("unsettled", f"still changing after {ROUNDS} rounds of cleaning")
        return text

    return step
