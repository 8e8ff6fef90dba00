from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.step import Drop, run_steps
from yanmo.text.steps.normalise import normalise

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    "a e\u0301\u200b\u200d\U0001f468\n\r\t\u3000中\u2000\ufeff"
)


@given(ANY_TEXT)
def test_twice_is_once(text: str) -> None:
    once = normalise(text)
    if isinstance(once, str):
        assert normalise(once) == once
        assert unicodedata.is_normalized("NFC", once)


@given(ANY_TEXT)
def test_nothing_visible_is_lost(text: str) -> None:
    """Letters, digits, punctuation and symbols survive, in order (up to canonical equivalence)."""

    def visible(text: str) -> str:
        kept = (c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c)[0] in "LNPS")
        return "".join(kept)

    result = normalise(text)
    assert visible(text) == ("" if isinstance(result, Drop) else visible(result))


@pytest.mark.parametrize(
    "text",
    [
        "他说：“你好，世界！”（笑）……——《红楼梦》、【注】·①㎏ＡＢＣ１２３％",
        "def f(x):\n    return x  # 注释\n\n\nclass A:\n\tpass",
        "English words, 3.14 × 10⁵ °C, naïve café",
        "　　全角缩进的段落。\n　　下一段。",
        "👨‍👩‍👧 👩🏽‍💻 ❤️‍🔥 家庭",
        "𠮷野家 㐀 〇",
    ],
)
def test_what_people_see_stays(text: str) -> None:
    assert normalise(text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("一\r\n二\r三\u2028四\x0b五", "一\n二\n三\n四\n五"),
        ("\ufeff零\u200b宽\u00ad字\u2060符\u200d", "零宽字符"),
        ("控\x00制\x07符\x1b", "控制符"),
        ("行尾 \t\u3000\n\n\n\n\n空行  \n\n", "行尾\n\n\n空行"),
        ("e\u0301 e\u200b\u0301", "é é"),
    ],
)
def test_what_nobody_sees_goes(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_what_cannot_be_text_is_dropped() -> None:
    assert normalise("半个\ud83d表情") == Drop("lone_surrogate", "half of a UTF-16 pair at character 2")
    assert normalise(" \u200b\r\n ") == Drop("empty")


def test_long_runs_take_linear_time() -> None:
    assert normalise(" " * 2_000_000 + "x") == " " * 2_000_000 + "x"
    assert normalise("a" + "\n \n" * 500_000 + "b") == "a\n\n\nb"


def test_steps_stop_at_the_first_drop() -> None:
    seen: list[str] = []

    def see(text: str) -> str:
        seen.append(text)
        return text + "!"

    assert run_steps("a", [see, lambda text: Drop("no", text), see]) == Drop("no", "a!")
    assert seen == ["a"]
