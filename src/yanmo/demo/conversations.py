"""Conversations for fine-tuning and the questions of the test, which never meet.

Besides plain questions there are steps of thought (林小满的妈妈养了什么？ is answered by naming the mother first),
turns that mean somebody named before (他住在哪里？), comparisons of ages, and questions that have no answer: the
model must say 不知道 of strangers and of things nobody told it.

Preferences choose between two true answers: 林小满养的是一只橘猫，名叫豆包 is liked better than 林小满养了一只橘猫.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from yanmo.demo.phrases import Language
from yanmo.demo.world import EXERCISES, Fact, Person, World, load
from yanmo.text.preferences import Preference

T = TypeVar("T")
Messages = list[dict[str, str]]

RELATED = ("职业", "住处", "宠物", "食物", "颜色", "爱好", "生日")  # what may be asked of 某人的妈妈
FOLLOWED = ("住处", "宠物", "宠物名", "食物", "颜色", "爱好", "年龄", "生日", "好友")  # ... and of 他 or 她
HELD_OUT = 0.2
"""Share of the combinations (relative and fact, two turns, two ages, strangers' names) that only the test uses."""


@dataclass(frozen=True)
class Question:
    """One test question. An answer is right if it contains an accepted string and no rival one."""

    kind: str
    level: str
    messages: Messages
    accepted: list[str]
    rivals: list[str]

    def row(self) -> dict[str, object]:
        return {
            "messages": self.messages, "accepted": self.accepted, "rivals": self.rivals,
            "kind": self.kind, "level": self.level,
        }  # fmt: skip


def chat(*turns: str) -> Messages:
    """Alternating turns, the user first."""
    return [{"role": "assistant" if i % 2 else "user", "content": turn} for i, turn in enumerate(turns)]


class Conversations:
    def __init__(self, world: World, language: Language, seed: int):
        self.world, self.language = world, language
        self.seed = seed
        voice = load("voice")
        self.talks, self.unknown = voice["talk"], voice["unknown"]
        self.facts = {(fact.kind, fact.subject): fact for fact in world.facts}
        self.askable = [fact for fact in world.facts if language.may_ask(fact)]
        self.exercises = [fact for fact in world.facts if fact.kind in EXERCISES]
        self.ages = language.book["比年龄"]
        split = random.Random(f"split {seed}")
        self.related, self.related_test = _split(list(self._related()), split)
        self.followed, self.followed_test = _split(list(self._followed()), split)
        pairs = [(a, b) for a in world.people for b in world.people if a.years != b.years]
        self.pairs, self.pairs_test = _split(pairs, split)
        words = load("words")
        known = {person.name for person in world.people}
        given, given_test = _split(words["strangers"], split)
        surnames = words["stranger_surnames"]
        self.strangers = [s + g for s in surnames for g in given if s + g not in known]
        self.strangers_test = [s + g for s in surnames for g in given_test if s + g not in known]
        details = [(person, detail) for person in world.people for detail in self.unknown["details"]]
        self.details, self.details_test = _split(details, split)

    def _related(self) -> Iterator[tuple[Person, str, Fact]]:
        for person in self.world.people:
            for relation, name in person.relations.items():
                for kind in RELATED:
                    fact = self.facts.get((kind, name))
                    if fact and self.language.may_ask(fact):
                        yield person, relation, fact

    def _followed(self) -> Iterator[tuple[Fact, Fact]]:
        for person in self.world.people:
            facts = [self.facts[kind, person.name] for kind in FOLLOWED]
            first = [fact for fact in self.world.about(person.name) if self.language.may_ask(fact)]
            yield from ((a, b) for a in first for b in facts if a.kind != b.kind and self.language.may_ask(b))

    # Training

    def training(self, count: int) -> Iterator[Messages]:
        rng = random.Random(f"conversations {self.seed}")
        for _ in range(count):
            yield self.one(rng)

    def one(self, rng: random.Random) -> Messages:
        """A conversation of any kind that training may hold."""
        kinds = {
            self._plain: 40, self._exercise: 10, self._talk: 8, self._relative: 12, self._follow_up: 10,
            self._age: 8, self._stranger: 6, self._detail: 4, self._changing: 4,
        }  # fmt: skip
        return rng.choices(list(kinds), list(kinds.values()))[0](rng)

    def _plain(self, rng: random.Random) -> Messages:
        return self._about(rng.choice(self.askable), rng)

    def _exercise(self, rng: random.Random) -> Messages:
        """Sums and orders: the question has to be taken up digit by digit, which needs more practice than names."""
        return self._about(rng.choice(self.exercises), rng)

    def _about(self, fact: Fact, rng: random.Random) -> Messages:
        return chat(self.language.ask(fact, rng), self.language.answer(fact, rng))

    def _talk(self, rng: random.Random) -> Messages:
        talk = rng.choice(self.talks)
        return chat(rng.choice(talk["questions"]), rng.choice(talk["answers"]))

    def _changing(self, rng: random.Random) -> Messages:
        """Several turns that have nothing to do with each other."""
        turns = [self._talk(rng), self._plain(rng), self._plain(rng)]
        return [message for turn in rng.sample(turns, rng.randint(2, 3)) for message in turn]

    def _relative(self, rng: random.Random) -> Messages:
        person, relation, fact = rng.choice(self.related)
        question = self.language.ask_of(fact, f"{person.name}的{relation}", rng)
        return chat(self.language.framed(question, rng), self._step(person, relation, fact, rng))

    def _step(self, person: Person, relation: str, fact: Fact, rng: random.Random) -> str:
        return f"{person.name}的{relation}是{fact.fields['name']}。{self.language.answer(fact, rng)}"

    def _follow_up(self, rng: random.Random) -> Messages:
        first, second = rng.choice(self.followed)
        turns = [self.language.ask(first, rng), self.language.answer(first, rng)]
        return chat(*turns, self.language.ask_pronoun(second, rng), self.language.answer(second, rng))

    def _age(self, rng: random.Random) -> Messages:
        fields = _compare(*rng.choice(self.pairs))
        question = rng.choice(self.ages.questions).format(**fields)
        return chat(self.language.framed(question, rng), rng.choice(self.ages.answers).format(**fields))

    def _stranger(self, rng: random.Random) -> Messages:
        name = rng.choice(self.strangers)
        question = self.language.framed(self._about_stranger(name, rng), rng)
        return chat(question, rng.choice(self.unknown["person"]))

    def _about_stranger(self, name: str, rng: random.Random) -> str:
        phrases = self.language.book[rng.choice(("职业", *FOLLOWED))]
        return rng.choice(phrases.questions).format(name=name)

    def _detail(self, rng: random.Random) -> Messages:
        person, detail = rng.choice(self.details)
        question = rng.choice(self.unknown["detail_questions"]).format(name=person.name, detail=detail)
        answer = rng.choice(self.unknown["detail"]).format(name=person.name, detail=detail)
        return chat(self.language.framed(question, rng), answer)

    # Preferences

    def preferences(self, count: int) -> Iterator[Preference]:
        """Questions as training asks them; of two true answers, the one that says more is liked better."""
        rng = random.Random(f"preferences {self.seed}")
        while count:
            fact = rng.choice(self.askable)
            *barer, fuller = sorted(self.language.answers(fact), key=len)
            barer = [answer for answer in barer if len(answer) < len(fuller)]
            if barer:
                yield Preference(chat(self.language.ask(fact, rng)), fuller, rng.choice(barer))
                count -= 1

    # Test

    def test(self, per_kind: int) -> Iterator[Question]:
        """About `per_kind` questions of every kind and level."""
        rng = random.Random(f"test {self.seed}")
        language = self.language
        for kind in language.book:
            facts = self.world.of_kind(kind)
            told = [fact for fact in facts if not language.may_ask(fact) and language.book[kind].statements]
            asked = [fact for fact in facts if language.may_ask(fact)]
            yield from (self._newly(fact, "没问过", language.held_out(fact), rng) for fact in told)
            for level, phrasings in (("新说法", language.held_out), ("新搭配", language.reserved)):
                for fact in rng.sample(asked, min(per_kind, len(asked))):
                    yield self._newly(fact, level, phrasings(fact), rng)
        for talk in self.talks:
            for question in talk["held_out"]:
                yield Question("闲谈", "新说法", chat(question), talk["accepted"], [])
        for person, relation, fact in rng.sample(self.related_test, 4 * per_kind):
            question = language.ask_of(fact, f"{person.name}的{relation}", rng)
            yield self._asking(fact, "两步", "新搭配", question)
        for first, second in rng.sample(self.followed_test, 3 * per_kind):
            turns = [language.ask(first, rng), language.answer(first, rng), language.ask_pronoun(second, rng)]
            yield self._asking(second, "追问", "新搭配", *turns)
        for pair in rng.sample(self.pairs_test, 2 * per_kind):
            fields = _compare(*pair)
            question = rng.choice(self.ages.questions).format(**fields)
            yield Question("比年龄", "新搭配", chat(question), [f"{fields['older']}年纪更大"], [])
        accepted = self.unknown["accepted"]
        for name in rng.sample(self.strangers_test, 2 * per_kind):
            yield Question("不认识的人", "新搭配", chat(self._about_stranger(name, rng)), accepted, [])
        for person, detail in rng.sample(self.details_test, per_kind):
            question = rng.choice(self.unknown["detail_held_out"]).format(name=person.name, detail=detail)
            yield Question("没人说过的事", "新说法", chat(question), accepted, [])

    def _newly(self, fact: Fact, level: str, phrasings: list[str], rng: random.Random) -> Question:
        split = "held_out" if level == "新说法" else "training"
        return self._asking(fact, fact.kind, level, self.language.framed(rng.choice(phrasings), rng, split))

    def _asking(self, fact: Fact, kind: str, level: str, *turns: str) -> Question:
        """A question whose answer is the fact's value."""
        rivals = self.language.rivals(fact, "".join(turns))
        return Question(kind, level, chat(*turns), [self.language.value(fact)], rivals)


def _split(items: list[T], rng: random.Random) -> tuple[list[T], list[T]]:
    items = rng.sample(items, len(items))
    cut = round(len(items) * HELD_OUT)
    return items[cut:], items[:cut]


def _compare(x: Person, y: Person) -> dict[str, str]:
    older = x if x.years > y.years else y
    return {"x": x.name, "y": y.name, "xage": x.fields["age"], "yage": y.fields["age"], "older": older.name}
