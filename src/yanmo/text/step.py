"""A document step: a function `text -> text | Drop(reason)`. `clean` runs every document through a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Drop(NamedTuple):
    """Why a document, a row or a conversation is not kept. `reason` is a short word, also a file name."""

    reason: str
    detail: str = ""


Step = Callable[[str], "str | Drop"]
ROUNDS = 8
"""Real documents settle in two rounds, the second of which changes nothing."""


def run_steps(text: str, steps: Iterable[Step]) -> str | Drop:
    """The text after all steps, or the first Drop."""
    for step in steps:
        result = step(text)
        if isinstance(result, Drop):
            return result
        text = result
    return text


def settled(steps: Sequence[Step]) -> Step:
    """One step of steps that rewrite, run until they change nothing any more: so cleaning twice is cleaning once.

    One step may uncover work for an earlier one: a boilerplate line that goes brings blank lines together.
    """

    def step(text: str) -> str | Drop:
        for _ in range(ROUNDS):
            result = run_steps(text, steps)
            if isinstance(result, Drop) or result == text:
                return result
            text = result
        return Drop("unsettled", f"still changing after {ROUNDS} rounds of cleaning")

    return step
