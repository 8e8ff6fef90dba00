from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.steps.typography import ascii_letters, short_runs

TYPED = st.text("ＡｚＺ０９．，。！？!?…—～全半角中a1 \n", max_size=60)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ＡＢＣ　ｘｙｚ　０１２３４５６７８９", "ABC　xyz　0123456789"),
        ("圆周率是３．１４，不是３．２。", "圆周率是3.14，不是3.2。"),
        ("Ｗｉｎｄｏｗｓ１０系统（６４位）！", "Windows10系统（64位）！"),
    ],
)
def test_letters_and_digits_become_ascii(text: str, expected: str) -> None:
    assert ascii_letters(text) == expected


@pytest.mark.parametrize(
    "text", ["你好，世界！（真的？）：；～％＠＃「」￥", "①㎏㈱½", "在全角模式下输入Ａ，在半角模式下输入A。"]
)
def test_punctuation_stays_full_width(text: str) -> None:
    assert ascii_letters(text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("太好了！！！！！！！", "太好了！！！"),
        ("什么？？？？？？你说什么?????", "什么？？？你说什么???"),
        ("然后。。。。。。就没有然后了", "然后。。。就没有然后了"),
        ("等等……………………", "等等…………"),
    ],
)
def test_runs_are_cut_to_three(text: str, expected: str) -> None:
    assert short_runs(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "他想说……——算了。——鲁迅",
        "…………",  # a whole line left out (GB/T 15834)
        "真的！！！假的？？？！？！？",
        "========\n--------\n~~~~~~~~\n* * * *\n########",
        "+------+------+\n| a    | b    |\n+======+======+",
        "第一章 .......... 1\n目　录 ········ 3\n姓名：________",
        "!!!! warning\na????b  # glob\n<!---->",
    ],
)
def test_what_is_no_habit_survives(text: str) -> None:
    assert short_runs(text) == text


@given(TYPED)
def test_twice_is_once(text: str) -> None:
    once = short_runs(ascii_letters(text))
    assert ascii_letters(once) == once or "角" in text
    assert short_runs(once) == once
