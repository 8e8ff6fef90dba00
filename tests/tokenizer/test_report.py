"""The tokenizer's report."""

from __future__ import annotations

import pytest

from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.report import compression, describe, script, vocabulary_by_script


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("我", "Han, one"),
        ("我们", "Han, several"),
        ("，但是", "Han with punctuation"),
        (" the", "Latin"),
        ("7", "digit"),
        ("。\n", "punctuation"),
        ("\n\n", "space"),
        ("A股", "mixed"),
        ("の", "other letter"),
    ],
)
def test_script(text: str, kind: str) -> None:
    assert script(text.encode()) == kind


def test_parts_of_characters() -> None:
    assert script("我".encode()[:2]) == "part of a character"
    assert script("我".encode()[2:]) == "part of a character"
    assert script("，我".encode()[:4]) == "parts of several characters"


def test_counts_add_up(tokenizer: Tokenizer) -> None:
    assert sum(vocabulary_by_script(tokenizer).values()) == tokenizer.vocab_size
    figures = compression(tokenizer, ["张明在北京", "a"])
    tokens = len(tokenizer.encode("张明在北京")) + 1
    assert figures["characters_per_token"] == round(6 / tokens, 4)
    assert figures["bytes_per_token"] == round(16 / tokens, 4)
    report = describe(tokenizer, {"a": ["张明"], "b": ["李华"]})
    assert report["gb2312_level_1"]["of"] == 3755
    assert report["held_out"]["characters"] == 4
