"""The character standards: their sizes, known members, and how they lie in one another."""

from __future__ import annotations

import unicodedata

import pytest

from yanmo.tokenizer.hanzi import STANDARD_LEVELS, level_1, level_2, standard


def test_sizes() -> None:
    assert (len(level_1()), len(level_2())) == (3755, 3008)
    assert STANDARD_LEVELS == (3500, 6500, 8105)
    assert len(standard()) == len(set(standard())) == 8105
    assert all(unicodedata.name(character).startswith("CJK UNIFIED") for character in standard())


@pytest.mark.parametrize(
    ("number", "character"),
    [(1, "一"), (3500, "矗"), (3501, "乂"), (6500, "齉"), (6501, "亍"), (8105, "蠼")],
)
def test_first_and_last_of_each_level(number: int, character: str) -> None:
    assert standard()[number - 1] == character


def test_known_members() -> None:
    assert level_1()[0] == "啊" and level_1()[-1] == "座"
    assert level_2()[0] == "亍" and level_2()[-1] == "齄"
    common, everything = set(standard()[:3500]), set(standard())
    assert set("的是不我在人有这了他") <= common & set(level_1())
    assert "琚" in everything - common
    assert everything.isdisjoint("個們說這龍龜")  # traditional forms
    assert "㑇" in everything  # beyond the URO block


def test_standards_agree_for_the_most_part() -> None:
    assert len(set(standard()[:3500]) & set(level_1())) == 3381  # 117 of the others are in level 2
