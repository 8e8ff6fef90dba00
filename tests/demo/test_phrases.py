"""Every kind of fact can be said, asked and answered in many ways; the ways of the test are kept apart."""

import random
import re

import pytest

from yanmo.demo.phrases import MAY_BE_UNASKED, Language, phrasebook
from yanmo.demo.world import build_world

WORLD = build_world(0)


@pytest.mark.parametrize("kind", phrasebook())
def test_phrasings_are_many_and_distinct(kind: str) -> None:
    phrases = phrasebook()[kind]
    assert len(set(phrases.questions)) >= 12 and len(set(phrases.held_out)) >= 2
    assert not set(phrases.questions) & set(phrases.held_out)
    assert all(not re.search("[a-zA-Z]", re.sub(r"\{\w+\}", "", text)) for text in phrases.questions)


def test_every_phrasing_of_every_fact_can_be_filled() -> None:
    book = phrasebook()
    for fact in WORLD.facts:
        phrases, fields = book[fact.kind], {"n": "她", **fact.fields}
        for text in [*phrases.statements, *phrases.questions, *phrases.held_out, *phrases.answers]:
            assert "{" not in text.format(**fields)
        assert all(fields[phrases.asks] in text.format(**fields) for text in phrases.answers)


def test_a_fact_is_never_asked_in_a_reserved_phrasing() -> None:
    language, rng = Language(WORLD, 0), random.Random(1)
    for fact in WORLD.facts[::7]:
        if language.may_ask(fact):
            asked = {language.ask(fact, rng, frame=False) for _ in range(100)}
            assert len(asked) >= 8 and not asked & {*language.reserved(fact), *language.held_out(fact)}


def test_some_facts_are_only_told() -> None:
    language = Language(WORLD, 0)
    personal = [fact for fact in WORLD.facts if fact.kind in MAY_BE_UNASKED]
    assert 0.03 < sum(not language.may_ask(fact) for fact in personal) / len(personal) < 0.15


def test_rivals_are_other_values() -> None:
    language = Language(WORLD, 0)
    january = next(fact for fact in WORLD.of_kind("节日月份") if fact.fields["month"] == "十一月")
    assert language.value(january) == "十一月" and "三月" in language.rivals(january, "二月？")
    assert not {"一月", "二月", "十一月"} & set(language.rivals(january, "二月？"))
