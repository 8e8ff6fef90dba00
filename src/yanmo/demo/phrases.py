"""How facts are said, asked and answered, and which way of asking is kept for the test.

Three levels of the unseen, from easy to hard:
  新搭配  the phrasing is known from other subjects, but was never used of this one in training
  新说法  the phrasing itself occurs nowhere in training
  没问过  no question about this fact, in any phrasing, occurs in training: it was only ever told
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from yanmo.demo.world import Fact, World, load

RESERVED = 0.25
"""Share of a fact's training phrasings that are left out for this fact, as test of new combinations."""

UNASKED = 0.08
"""Share of the personal facts that are only told, never asked about, before the test."""

MAY_BE_UNASKED = ("职业", "住处", "宠物", "食物", "爱好", "好友", "生日")
OPPOSITE = {"职业": "谁做"}  # asks for the same fact from its other end


@dataclass(frozen=True)
class Phrases:
    """One kind's table of `phrases.toml`."""

    asks: str
    statements: list[str]
    questions: list[str]
    held_out: list[str]
    answers: list[str]


def phrasebook() -> dict[str, Phrases]:
    return {kind: Phrases(**table) for kind, table in load("phrases").items()}


class Language:
    """The phrasebook with its split into training and test for one world."""

    def __init__(self, world: World, seed: int):
        rng = random.Random(f"language {seed}")
        self.book = phrasebook()
        self.frames: dict[str, Any] = load("voice")["frames"]
        self.values = {
            kind: sorted({fact.fields[phrases.asks] for fact in world.of_kind(kind)})
            for kind, phrases in self.book.items()
        }
        self.unasked = {
            (fact.kind, fact.subject) for fact in world.facts if fact.kind in MAY_BE_UNASKED and rng.random() < UNASKED
        }
        self.unasked |= {(OPPOSITE[kind], who) for kind, who in self.unasked if kind in OPPOSITE}
        self._asked: dict[tuple[str, str], list[str]] = {}
        self._reserved: dict[tuple[str, str], list[str]] = {}
        for fact in world.facts:
            order = rng.sample(self.book[fact.kind].questions, len(self.book[fact.kind].questions))
            cut = round(len(order) * RESERVED)
            self._reserved[fact.kind, fact.subject], self._asked[fact.kind, fact.subject] = order[:cut], order[cut:]

    def may_ask(self, fact: Fact) -> bool:
        return (fact.kind, fact.subject) not in self.unasked

    def state(self, fact: Fact, rng: random.Random, pronoun: bool = False) -> str:
        """A sentence that tells the fact; with `pronoun`, about 他 or 她 where the sentence allows it."""
        fields = {"n": fact.fields["ta"] if pronoun else fact.fields["name"]} if "name" in fact.fields else {}
        return rng.choice(self.book[fact.kind].statements).format(**fact.fields, **fields)

    def ask(self, fact: Fact, rng: random.Random, frame: bool = True) -> str:
        """A question about the fact as training may ask it."""
        assert self.may_ask(fact), f"{fact.kind} of {fact.subject} must not be asked in training"
        question = rng.choice(self._asked[fact.kind, fact.subject]).format(**fact.fields)
        return self.framed(question, rng) if frame else question

    def ask_pronoun(self, fact: Fact, rng: random.Random) -> str:
        """A follow-up question, about 他 or 她: whom it means, only the conversation says."""
        fields = {**fact.fields, "name": fact.fields["ta"]}
        return rng.choice(self.book[fact.kind].questions).format(**fields)

    def ask_of(self, fact: Fact, phrase: str, rng: random.Random) -> str:
        """A training question about somebody named by a phrase, such as 林小满的妈妈."""
        return rng.choice(self.book[fact.kind].questions).format(**{**fact.fields, "name": phrase})

    def framed(self, question: str, rng: random.Random, split: str = "training") -> str:
        """The question behind an opening such as 请问; one in eight has lost its question mark."""
        question = rng.choice(self.frames[split]) + question
        return question.rstrip("？。") if rng.random() < 1 / 8 else question

    def held_out(self, fact: Fact) -> list[str]:
        return [text.format(**fact.fields) for text in self.book[fact.kind].held_out]

    def reserved(self, fact: Fact) -> list[str]:
        return [text.format(**fact.fields) for text in self._reserved[fact.kind, fact.subject]]

    def answer(self, fact: Fact, rng: random.Random) -> str:
        return rng.choice(self.book[fact.kind].answers).format(**fact.fields)

    def answers(self, fact: Fact) -> list[str]:
        """All that the assistant may say."""
        return [text.format(**fact.fields) for text in self.book[fact.kind].answers]

    def value(self, fact: Fact) -> str:
        """The words that make an answer right."""
        return fact.fields[self.book[fact.kind].asks]

    def rivals(self, fact: Fact, said: str) -> list[str]:
        """What must not stand in a right answer: the same kind's other values, unless they are part of this one or
        were said in the question, which an answer may take up."""
        own = self.value(fact)
        return [value for value in self.values[fact.kind] if value not in own and value not in said]
