from __future__ import annotations

import pytest

from yanmo.text.step import Drop
from yanmo.text.steps.characters import composition
from yanmo.text.steps.kinds import PROFILES, Profile
from yanmo.text.steps.quality import length, proportions

PROSE = "春天来了，河边的柳树发出了新芽。孩子们在草地上放风筝，笑声传得很远。老人坐在长椅上，慢慢地讲着从前的事。"


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
    made_of = composition(text)
    assert made_of.han / max(made_of.visible, 1) == ratio


def test_composition_counts_every_visible_character_once() -> None:
    made_of = composition("中文a ä\n１2，。！#|😀\ue000\ufffd ")
    assert made_of == (14, 2, 2, 3, 2, 3, 2)
    assert made_of._fields == ("visible", "han", "digits", "punctuation", "sentence_ends", "symbols", "damaged")


def test_length() -> None:
    assert length(2, 3)("ab") == "ab"
    assert length(2, 3)("a") == Drop("too_short", "1 characters")
    assert length(2, 3)("abcd") == Drop("too_long", "4 characters")
    assert length(0, None)("") == ""


def reason(text: str, **limits: float) -> str | None:
    result = proportions(Profile(min_chars=0, min_han=0, **limits), 0)(text)  # type: ignore[arg-type]
    return result.reason if isinstance(result, Drop) else None


@pytest.mark.parametrize(
    "expected, text, limit",
    [
        ("digits", PROSE + "0123456789" * 3, {"max_digits": 0.3}),
        ("symbols", PROSE + "★☆" * 12, {"max_symbols": 0.2}),
        ("few_marks", "首页 新闻 体育 财经 娱乐 " * 6, {"min_punctuation": 0.02}),
        ("many_marks", "有、的、没、的、" * 10, {"max_punctuation": 0.3}),
        ("no_sentences", "春季新款连衣裙、夏季短袖衬衫、" * 20, {"max_sentence": 250}),
        ("mojibake", PROSE + "\ufffd" * 3, {"max_damaged": 0.005}),
    ],
)
def test_each_share_has_its_limit(expected: str, text: str, limit: dict[str, float]) -> None:
    """The rule drops the text, and keeps prose and what is too short to tell."""
    assert reason(text, **limit) == expected
    assert reason(PROSE * 6, **limit) is None
    if expected != "mojibake":
        assert reason(text[:40], **limit) is None


def test_few_han() -> None:
    step = proportions(PROFILES["general"], 0.5)
    assert step("中a") == "中a"
    assert step("中ab") == Drop("few_han", "Han ratio 0.333")
