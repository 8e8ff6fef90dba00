"""What a verifiable task is: problems made at random, each with a rule that judges any answer, and one right answer.

Whatever a rule pays for will be found, so each rule is written against the ways around it:
    nothing, or the question again      is paid nothing
    everything, so that something fits  an answer must be exactly one of a few forms; only what follows the last
                                        `答案：` counts, so that working is free
    going on for ever                   an answer that does not end by itself is paid nothing (`environment.py`)
    part of it                          is paid (at most half) only where the parts are harder to get by chance than by
                                        doing the task; each rule says so
A task is passed by the full reward of 1 and nothing less.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import xxhash

ANSWER = "答案："
HELD_OUT = 5
"""Every fifth problem, by a hash of what it is about, is for testing only."""
TRIES = 1000


@dataclass(frozen=True)
class Problem:
    question: str
    solution: str
    """One right answer, such as a primer for fine-tuning needs."""
    check: Callable[[str], float]
    """Answer -> reward from 0 to 1."""
    key: str
    """What it is about: problems with the same key are all for training or all for testing."""

    @property
    def held_out(self) -> bool:
        return xxhash.xxh3_64_intdigest(self.key.encode()) % HELD_OUT == 0


@dataclass(frozen=True)
class Task:
    name: str
    summary: str
    levels: int
    """They are 1 to this, the easiest first."""
    make: Callable[[random.Random, int], Problem]

    def draw(self, generator: random.Random, level: int, test: bool) -> Problem:
        """A problem of this level, from those to train on or those to test on."""
        assert 1 <= level <= self.levels
        for _ in range(TRIES):
            problem = self.make(generator, level)
            if problem.held_out == test:
                return problem
        raise AssertionError(f"{self.name}, level {level}: no problem for {'testing' if test else 'training'}")


def final(answer: str) -> str:
    """What an answer says in the end: after the last `答案：`, in one width, without space and stops around it."""
    text = unicodedata.normalize("NFKC", answer.rpartition(ANSWER)[2])
    return text.strip().rstrip(".。!;").strip()


def exactly(*forms: str) -> Callable[[str], float]:
    """A rule that pays 1 for one of these answers and 0 for any other. No partial credit."""
    accepted = {final(form) for form in forms}
    return lambda answer: float(final(answer) in accepted)


def is_hanzi(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def clauses(text: str) -> list[str]:
    """Runs of characters between punctuation, spaces and line ends."""
    return "".join(character if is_hanzi(character) else " " for character in text).split()


def varied(text: str) -> bool:
    """At least three in five of its characters differ: no syllable said again and again."""
    return len(set(text)) >= 0.6 * len(text)


def copied(text: str, source: str, length: int = 4) -> bool:
    """`length` characters in a row of the text stand in the source."""
    return any(text[start : start + length] in source for start in range(len(text) - length + 1))
