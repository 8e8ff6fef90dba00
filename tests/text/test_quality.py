from __future__ import annotations

import pytest

from yanmo.text.quality import han, han_ratio, length
from yanmo.text.step import Drop


@pytest.mark.parametrize(
    "text, ratio",
    [
        ("", 0),
        (" \n　", 0),
        ("中文", 1),
        ("中 文\n", 1),
        ("中a文b", 0.5),
        ("，。", 0),
        ("㐀𠮷〇𰻝豈", 1),
        ("カタ한국", 0),
    ],
)
def test_han_ratio(text: str, ratio: float) -> None:
    assert han_ratio(text) == ratio


def test_rules_say_why() -> None:
    assert length(2, 3)("ab") == "ab"
    assert length(2, 3)("a") == Drop("too_short", "1 characters")
    assert length(2, 3)("abcd") == Drop("too_long", "4 characters")
    assert length(0, None)("") == ""
    assert han(0.5)("中a") == "中a"
    assert han(0.5)("中ab") == Drop("few_han", "Han ratio 0.333")
