"""A document step: a function `text -> text | Drop(reason)`. `clean` runs every document through a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Drop(NamedTuple):
    """Why a document, a row or a conversation is not kept. `reason` is a short word, also a file name."""

    reason: str
    detail: str = ""


Step = Callable[[str], "str | Drop"]


def run_steps(text: str, steps: Iterable[Step]) -> str | Drop:
    """The text after all steps, or the first Drop."""
    for step in steps:
        result = step(text)
        if isinstance(result, Drop):
            return result
        text = result
    return text
