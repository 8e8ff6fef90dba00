"""The town is the same for a seed, another for another seed, and free of contradictions."""

from collections import Counter

import pytest

from yanmo.demo.world import HOUSEHOLDS, build_world, chinese_number


@pytest.mark.parametrize(("value", "text"), [(6, "六"), (10, "十"), (13, "十三"), (20, "二十"), (42, "四十二")])
def test_chinese_numbers(value: int, text: str) -> None:
    assert chinese_number(value) == text


def test_a_seed_is_a_town() -> None:
    assert build_world(3) == build_world(3)
    assert build_world(3) != build_world(4)


@pytest.mark.parametrize("seed", range(20))
def test_the_town_is_consistent(seed: int) -> None:
    world = build_world(seed)
    names = Counter(person.name for person in world.people)
    assert set(names.values()) == {1} and len(names) >= 25
    for unique in ("petname", "job"):
        values = [person.fields[unique] for person in world.people if unique in person.fields]
        assert len(set(values)) == len(values)
    assert len({person.fields["street"] for person in world.people}) == HOUSEHOLDS
    for person in world.people:
        friend = world.person(person.relations["好朋友"])
        assert friend.relations["好朋友"] == person.name and friend.generation == person.generation
        if person.generation == "child":
            mother, father = (world.person(person.relations[word]) for word in ("妈妈", "爸爸"))
            assert mother.female and not father.female and mother.relations["爱人"] == father.name
            assert mother.fields["street"] == person.fields["street"]
            assert min(mother.years, father.years) - person.years >= 18


def test_every_fact_has_its_own_subject() -> None:
    keys = [(fact.kind, fact.subject) for fact in build_world(0).facts]
    assert len(set(keys)) == len(keys) > 400


def test_small_sums_are_right() -> None:
    for fact in build_world(0).of_kind("加减"):
        a, b, c = (int(fact.fields[name]) for name in "abc")
        assert c == (a + b if fact.fields["sign"] == "加" else a - b)
