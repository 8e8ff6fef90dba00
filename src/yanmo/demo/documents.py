"""Documents for pretraining: the town's facts told as portraits, chronicles, stories, talk and quizzes.

A fact is learnt as knowledge, not as one sentence, only if it is met in many wordings and places (Allen-Zhu and Li,
Physics of Language Models 3.1); so every kind of document mixes facts, order, names and pronouns anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from yanmo.demo.conversations import Conversations
from yanmo.demo.phrases import Language
from yanmo.demo.world import EXERCISES, Fact, Person, World, load

Writer = Callable[[], str]


class Documents:
    """An endless supply of documents about a world; the same seed gives the same ones."""

    def __init__(self, world: World, language: Language, conversations: Conversations, seed: int):
        self.world, self.language, self.conversations = world, language, conversations
        self.rng = random.Random(f"documents {seed}")
        self.words, self.stories = load("words"), load("stories")
        self.personal = {p.name: [f for f in world.about(p.name) if self.told(f)] for p in world.people}
        self.town = [fact for fact in world.facts if fact.kind not in EXERCISES]
        subjects = dict.fromkeys(fact.subject for fact in self.town if "name" not in fact.fields)
        self.things = [[f for f in world.about(name) if self.told(f)] for name in subjects]
        self.kinds = [kind for kind, phrases in language.book.items() if phrases.statements]
        self.gossip = [fact for fact in self.town if language.may_ask(fact)]

    def told(self, fact: Fact) -> bool:
        return bool(self.language.book[fact.kind].statements)

    def __iter__(self) -> Iterator[str]:
        # Shares by trial: portraits and stories carry the facts, quizzes the form of questions.
        writers: dict[Writer, int] = {
            self.portrait: 22, self.chronicle: 12, self.story: 14, self.talk: 9, self.quiz: 20,
            self.notes: 14, self.family: 6, self.scenery: 2, self.sums: 5,
        }  # fmt: skip
        while True:
            yield self.rng.choices(list(writers), list(writers.values()))[0]()

    def scene(self) -> str:
        if self.rng.random() < 0.5:
            return self.rng.choice(self.stories["scenes"])
        return f"{self.rng.choice(self.stories['times'])}，{self.rng.choice(self.stories['weathers'])}。"

    def portrait(self) -> str:
        """One person: some of their facts in any order, by name first and by pronoun later."""
        person = self.rng.choice(self.world.people)
        facts = self.rng.sample(self.personal[person.name], self.rng.randint(4, len(self.personal[person.name])))
        sentences = [self.state(fact, pronoun=bool(i) and self.rng.random() < 0.5) for i, fact in enumerate(facts)]
        return (self.scene() if self.rng.random() < 0.2 else "") + "".join(sentences)

    def family(self) -> str:
        """The people of one street, with a few facts each."""
        street = self.rng.choice(self.world.people).fields["street"]
        members = [person for person in self.world.people if person.fields["street"] == street]
        parts = [f"{street}住着一家人：{'、'.join(person.name for person in members)}。"]
        for person in self.rng.sample(members, len(members)):
            parts += [self.state(fact) for fact in self.rng.sample(self.personal[person.name], 2)]
        return "".join(parts)

    def chronicle(self) -> str:
        """One kind of fact about many: 镇志."""
        kind = self.rng.choice(self.kinds)
        facts = self.world.of_kind(kind)
        sentences = [self.state(fact) for fact in self.rng.sample(facts, min(len(facts), self.rng.randint(6, 12)))]
        return f"墨溪镇志，{kind}篇。\n" + "".join(sentences)

    def notes(self) -> str:
        """Shops, feasts, animals and flowers."""
        things = self.rng.sample(self.things, 4)
        sentences = [self.state(fact) for facts in things for fact in self.rng.sample(facts, min(2, len(facts)))]
        return self.scene() + "".join(sentences)

    def scenery(self) -> str:
        scenes = self.rng.sample(self.stories["scenes"], 3)
        return scenes[0] + self.scene() + "".join(scenes[1:])

    def sums(self) -> str:
        """A child's exercise book."""
        facts = self.rng.sample(self.world.of_kind("加减"), 8) + self.rng.sample(self.world.of_kind("次序"), 6)
        return "".join(self.state(fact) for fact in facts)

    def talk(self) -> str:
        """Two people of the town talk about others."""
        a, b = self.rng.sample(self.world.people, 2)
        lines = [f"{a.name}遇见了{b.name}。"] if self.rng.random() < 0.5 else [self.scene()]
        for fact in self.rng.sample(self.gossip, self.rng.randint(3, 5)):
            asks, says = self.rng.choice((("问", "说"), ("问道", "回答"), ("想知道，就问", "笑着说")))
            lines.append(f"{a.name}{asks}：“{self.language.ask(fact, self.rng, frame=False)}”")
            lines.append(f"{b.name}{says}：“{self.language.answer(fact, self.rng)}”")
            if self.rng.random() < 0.3:
                a, b = b, a
        return "\n".join(lines)

    def quiz(self) -> str:
        """Questions and answers as fine-tuning has them, so that their words and forms are familiar by then."""
        rows = [self.conversations.one(self.rng) for _ in range(self.rng.randint(3, 6))]
        turns = [message for row in rows for message in row]
        return "\n".join(f"{'问' if turn['role'] == 'user' else '答'}：{turn['content']}" for turn in turns)

    def story(self) -> str:
        hero = self.rng.choice(self.world.people)
        near = [self.world.person(name) for name in hero.relations.values()]
        other = self.rng.choice(near) if self.rng.random() < 0.6 else hero
        while other is hero:
            other = self.rng.choice(self.world.people)
        fields = {**_cast("a", hero), **_cast("b", other), **self._stage(hero, other)}
        story = self.rng.choice(self.stories["story"])
        told = [self.rng.choice(moment).format(**fields) for moment in story["moments"]]
        if self.rng.random() < 0.5:
            told.append(self.rng.choice(self.stories["endings"]).format(**fields))
        title = story["title"].format(**fields) + "\n" if self.rng.random() < 0.6 else ""
        return title + "".join(told)

    def _stage(self, hero: Person, other: Person) -> dict[str, str]:
        goods = self.rng.choice(self.world.of_kind("哪里买")).fields
        place = self.rng.choice(self.world.of_kind("地标")).fields
        feast = self.rng.choice(self.world.of_kind("节日月份")).fields
        return {
            "time": self.rng.choice(self.stories["times"]), "weather": self.rng.choice(self.stories["weathers"]),
            "shop": goods["shop"], "goods": goods["goods"], "place": place["landmark"], "side": place["side"],
            "look": place["look"], "feast": feast["feast"], "dish": feast["dish"], "custom": feast["custom"],
            "older": (hero if hero.years >= other.years else other).name,
        }  # fmt: skip

    def state(self, fact: Fact, pronoun: bool = False) -> str:
        return self.language.state(fact, self.rng, pronoun)


def _cast(role: str, person: Person) -> dict[str, str]:
    """The person's fields under a role: {a}, {a_food}, ..."""
    return {role: person.name, **{f"{role}_{key}": value for key, value in person.fields.items()}}
