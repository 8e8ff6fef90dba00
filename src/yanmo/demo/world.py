"""The town of 墨溪镇: who lives there and what is true of them, dealt out by a seed.

A demo needs a world whose facts are known exactly, so that answers can be judged by rule, and that no other text
contains, so that a right answer can only come from training. The pools lie in `words.toml`; the seed decides who
gets which trade, street, animal and friend. Everything sayable about the town is a `Fact`.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

DIGITS = "零一二三四五六七八九"
MONTHS = tuple(f"{name}月" for name in (*"一二三四五六七八九十", "十一", "十二"))
WEEKDAYS = tuple(f"星期{name}" for name in "一二三四五六日")
SEASONS = ("春天", "夏天", "秋天", "冬天")
EXERCISES = ("加减", "次序")
"""Kinds of facts that are learnt at school and not talked about in the street."""
HOUSEHOLDS = 7
TWO_CHILDREN = 3  # households with a second child; 10 children in all, an even number so that all have a friend
GRANDPARENTS = 2
DEALT = (
    "surnames", "men", "women", "boys", "girls", "grandfathers", "grandmothers",
    "streets", "pets", "pet_names", "foods", "colors", "hobbies", "jobs",
)  # fmt: skip


@cache
def load(name: str) -> dict[str, Any]:
    """One of the language files beside this module, e.g. `words`."""
    return tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def chinese_number(value: int) -> str:
    """0..99 in Chinese numerals: 42 -> 四十二."""
    tens, ones = divmod(value, 10)
    if not tens:
        return DIGITS[ones]
    return ("" if tens == 1 else DIGITS[tens]) + "十" + (DIGITS[ones] if ones else "")


@dataclass
class Person:
    name: str
    female: bool
    generation: str  # child, parent or grandparent
    years: int
    fields: dict[str, str]  # everything a sentence may say of this person, e.g. street, pet, friend
    relations: dict[str, str] = field(default_factory=dict)  # 妈妈 爸爸 爱人 好朋友 -> full name

    @property
    def pronoun(self) -> str:
        return "她" if self.female else "他"


@dataclass(frozen=True)
class Fact:
    """One thing that is true: its kind (a table of `phrases.toml`), whom it is about, the words to say it with."""

    kind: str
    subject: str
    fields: dict[str, str]


@dataclass
class World:
    people: list[Person]
    facts: list[Fact]

    def person(self, name: str) -> Person:
        return next(person for person in self.people if person.name == name)

    def about(self, subject: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.subject == subject]

    def of_kind(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind == kind]


def build_world(seed: int) -> World:
    rng = random.Random(f"world {seed}")
    people = list(_people(rng))
    _befriend(people, rng)
    places = list(_places(people, rng))
    return World(people, [*(fact for person in people for fact in _personal(person)), *places, *_general()])


def _deal(pool: list[str], rng: random.Random) -> Iterator[str]:
    """The pool in random order, again and again: every value is used about equally often."""
    while True:
        yield from rng.sample(pool, len(pool))


def _people(rng: random.Random) -> Iterator[Person]:
    words = load("words")
    draw = {name: _deal(list(words[name]), rng) for name in DEALT}
    months = _deal(list(MONTHS), rng)
    ages = {
        "child": _deal([str(n) for n in range(6, 14)], rng),
        "parent": _deal([str(n) for n in range(34, 50)], rng),
        "grandparent": _deal([str(n) for n in range(66, 86)], rng),
    }

    def person(surname: str, given: str, generation: str, street: str) -> Person:
        female = given in ("women", "girls", "grandmothers")
        name, pet, years = surname + next(draw[given]), next(draw["pets"]), int(next(ages[generation]))
        one, habit = words["pets"][pet]
        fields = {
            "name": name, "ta": "她" if female else "他", "street": street, "pet": pet, "one": one, "habit": habit,
            "petname": next(draw["pet_names"]), "food": next(draw["foods"]), "color": next(draw["colors"]),
            "hobby": next(draw["hobbies"]), "age": f"{chinese_number(years)}岁", "month": next(months),
            "work": "背着书包到溪边小学上学",
        }  # fmt: skip
        if generation != "child":
            job = next(draw["jobs"])
            fields |= {"job": job, "does": words["jobs"][job], "work": words["jobs"][job]}
        return Person(name, female, generation, years, fields)

    children = _deal(["boys", "girls"], rng)
    for number in range(HOUSEHOLDS):
        surname, street = next(draw["surnames"]), next(draw["streets"])
        father = person(surname, "men", "parent", street)
        mother = person(next(draw["surnames"]), "women", "parent", street)
        father.relations["爱人"], mother.relations["爱人"] = mother.name, father.name
        yield from (father, mother)
        for _ in range(2 if number < TWO_CHILDREN else 1):
            child = person(surname, next(children), "child", street)
            child.relations |= {"妈妈": mother.name, "爸爸": father.name}
            yield child
        if number < GRANDPARENTS:
            yield person(surname, ("grandfathers", "grandmothers")[number % 2], "grandparent", street)


def _befriend(people: list[Person], rng: random.Random) -> None:
    """Pair the people of each generation off as best friends, never within a family."""
    for generation in ("child", "parent", "grandparent"):
        group = [person for person in people if person.generation == generation]
        while True:
            rng.shuffle(group)
            pairs = list(zip(group[::2], group[1::2], strict=True))
            if all(a.fields["street"] != b.fields["street"] for a, b in pairs):
                break
        for a, b in pairs:
            a.relations["好朋友"], b.relations["好朋友"] = b.name, a.name


def _personal(person: Person) -> Iterator[Fact]:
    relations = {"妈妈": "mother", "爸爸": "father", "爱人": "spouse", "好朋友": "friend"}
    fields = person.fields
    fields |= {relations[word]: name for word, name in person.relations.items()}
    kinds = ["住处", "宠物", "宠物名", "食物", "颜色", "爱好", "年龄", "生日", "好友", "谁的宠物"]
    kinds += [kind for kind in ("妈妈", "爸爸", "爱人") if kind in person.relations]
    kinds += ["职业", "谁做"] if "job" in fields else []
    for kind in kinds:
        yield Fact(kind, person.name, fields)


def _places(people: list[Person], rng: random.Random) -> Iterator[Fact]:
    words = load("words")
    streets = _deal(words["streets"], rng)
    keepers = {person.fields["job"]: person.name for person in people if "job" in person.fields}
    shops = {shop: row for shop, row in words["shops"].items() if row[0] in keepers}
    for shop, (trade, *goods) in shops.items():
        fields = {"shop": shop, "keeper": keepers[trade], "street": next(streets)}
        yield Fact("店址", shop, fields)
        yield Fact("店主", shop, fields)
        for item in goods:
            yield Fact("哪里买", item, {**fields, "goods": item})
    sides = _deal(words["sides"], rng)
    for landmark, look in words["landmarks"].items():
        yield Fact("地标", landmark, {"landmark": landmark, "look": look, "side": next(sides)})
    for feast, (month, dish, custom) in words["feasts"].items():
        fields = {"feast": feast, "month": month, "dish": dish, "custom": custom}
        for kind in ("节日月份", "节日食物", "节日习俗"):
            yield Fact(kind, feast, fields)


def _general() -> Iterator[Fact]:
    """What is true outside the town as well: animals, flowers, small sums, the order of days."""
    words = load("words")
    for animal, (diet, voice) in words["animals"].items():
        for kind in ("动物食物", "动物叫声"):
            yield Fact(kind, animal, {"animal": animal, "diet": diet, "voice": voice})
    for season, flowers in words["flowers"].items():
        for flower in flowers:
            yield Fact("花期", flower, {"flower": flower, "season": season})
    for a in range(1, 10):
        for b in range(1, 11 - a):
            yield _sum(a, "加", b, a + b)
            yield _sum(a + b, "减", b, a)
    for round_ in (WEEKDAYS, MONTHS, SEASONS):
        for before, after in zip(round_, round_[1:] + round_[:1], strict=True):
            yield Fact("次序", before, {"before": before, "after": after})


def _sum(a: int, sign: str, b: int, c: int) -> Fact:
    return Fact("加减", f"{a}{sign}{b}", {"a": str(a), "sign": sign, "b": str(b), "c": str(c), "sum": f"等于{c}"})
