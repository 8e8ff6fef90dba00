from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.step import Drop
from yanmo.text.steps.kinds import Profile
from yanmo.text.steps.repetition import (
    MANY,
    letter_points,
    may_repeat,
    ngrams,
    one_phrase,
    repeated_lines,
    repeated_text,
    repetition,
)

PARAGRAPH = "大运河从北京到杭州，长一千多公里，开凿于两千多年以前，今天仍有货船往来。"
OTHER = "沿河的城市因漕运而兴旺，茶馆、书场和会馆都聚在码头边上，南腔北调，十分热闹。"


@given(st.text("春夏秋冬a1，", max_size=60), st.integers(1, 16))
def test_ngrams_are_equal_where_the_text_is(text: str, n: int) -> None:
    points = np.array([ord(character) for character in text], np.uint32)
    hashes = ngrams(points, n)
    pieces = [text[start : start + n] for start in range(len(text) - n + 1)]
    assert len(hashes) == len(pieces)
    assert Counter(hashes.tolist()).values() == Counter(pieces).values() or (
        sorted(Counter(hashes.tolist()).values()) == sorted(Counter(pieces).values())
    )


@given(st.text("春夏秋", min_size=20, max_size=30).map(lambda text: text * 4) | st.text("春夏秋", min_size=20))
def test_shares_are_those_of_a_plain_count(text: str) -> None:
    letters = letter_points(text)
    passages = [text[start : start + 13] for start in range(len(text) - 12)]
    assert repeated_text(letters) == pytest.approx(1 - len(set(passages)) / len(passages))
    phrases = Counter(text[start : start + 5] for start in range(len(text) - 4))
    share = (max(phrases.values()) - 1) * 5 / len(text)
    assert one_phrase(letters, share - 0.01) == (max(phrases.values()) > MANY)
    assert not one_phrase(letters, share + 0.01)


def test_only_letters_count() -> None:
    assert repeated_text(letter_points("| 1 | 2 | 3 |\n" * 50)) == 0
    assert not one_phrase(letter_points("----------" * 50), 0.1)
    assert repeated_text(letter_points("say it again and again " * 50)) > 0.9


def test_repeated_lines() -> None:
    assert repeated_lines("一\n二\n三") == 0
    assert repeated_lines("一二\n\n一二\n\n  一二\n三四") == 0.5
    assert repeated_lines("\n\n") == 0


@pytest.mark.parametrize(
    "expected, text, limits",
    [
        ("repeated_lines", f"{PARAGRAPH}\n" * 5, {"max_repeated_lines": 0.3}),
        ("repeated_text", f"{PARAGRAPH}" * 5, {"max_repeated_text": 0.4}),
        ("one_phrase", "".join(f"大运河旅游第{n}天，" + OTHER[n : n + 9] for n in range(14)), {"max_one_phrase": 0.15}),
    ],
)
def test_each_rule_drops_and_keeps(expected: str, text: str, limits: dict[str, float]) -> None:
    step = repetition(Profile(min_chars=0, min_han=0, **limits))  # type: ignore[arg-type]
    result = step(text)
    assert isinstance(result, Drop) and result.reason == expected
    assert step(PARAGRAPH + OTHER * 1 + "除此以外没有别的了。" * 2) == PARAGRAPH + OTHER + "除此以外没有别的了。" * 2
    assert step(text[:90]) == text[:90]


@given(st.text("天地玄黄宇宙洪荒日月盈昃a1，。", min_size=20, max_size=200), st.sampled_from([0.2, 0.4, 0.6, 0.8]))
def test_what_is_spared_counting_could_not_have_been_removed(text: str, limit: float) -> None:
    if not may_repeat(text, limit):
        assert repeated_text(letter_points(text)) <= limit
