"""No page takes longer than its length warrants, whatever it holds, and none is too strange.

Time is the process's CPU time for a text and for one eight times as long; a quadratic step would show as 64.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.text.steps.simplify import simplifier
from yanmo.text.wiki.article import plain_text
from yanmo.text.wiki.page import RESERVED, Page

REPEATED = [
    "{{", "}}", "{{{", "[[", "]]", "]]]", "[[File:", "[[a|", "-{", "}-", "-{H|", "{|\n", "|}\n", "\n{|", "<ref>",
    "<ref name=a>", "<ref/>", "</ref>", "<!--", "-->", "<nowiki>", "<math>", "<table>", "</table>", "<ref>{{a",
    "<ref>[a", "<gallery>\n", "<span style='display:none'>", "{{nowrap|", "{{lang|en|", "{{nowrap|a}}",
    "{{nowrap|[[b|", "{{a|-{", "[[a|{{nowrap|", "-{A|zh-cn:甲;zh-tw:乙;}-", "-{zh-cn:甲;",
    "{{noteTA|1=zh-cn:甲;zh-tw:乙}}", "=", "\n=", "\n== a", "\n= a =", "= ", "\n*", "'", "''", "（{{x}}", "（{{x}}，",
    "{{x}}，", "{{x}}）", "((({{x}})", "，", "（", " ", "\n", "\n ", "|", "&", "&amp;", "__", "__NOTOC", "[http://a",
    "[http://a b]", "[//", "{{t:", "{{template:", "{{#if:", "{{#if:a|", "{{!}}", "{{{!}}", "{{{a|", ";zh-tw:", "-{;",
    "`", "``", "```", "$$", "著", "あ", "{{ruby|a|", "{{quote|a\n", "-{R|", "<code>", "</code>", "<ref <",
    "File:a.jpg|", "\nFile:a", "\n|a", "\n!", ";a:b\n", "a=>zh-cn:b;", "-{a=>zh-cn:b;", "-{zh-cn:a=>", "{{convert|",
    "{{age|1|1|1|", "{{bd|",
]  # fmt: skip
SIZE = 40_000
"""Characters: some milliseconds at the usual speed."""


def seconds(work: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    work(text)
    return time.process_time() - start


def extract(text: str) -> str:
    simplified = simplifier("tw2s")(plain_text(text, Page("頁")))
    assert isinstance(simplified, str)
    return simplified


@pytest.mark.parametrize("repeated", REPEATED)
def test_time_is_linear(repeated: str) -> None:
    extract("頭")  # the converter loads once
    short, long = (repeated * (size // len(repeated)) for size in (SIZE // 4, 2 * SIZE))
    small = min(seconds(extract, short) for _ in range(3))
    large = seconds(extract, long)
    assert large < 28 * small + 0.05, f"{large:.3f} s against {small:.3f} s"


def test_a_page_of_a_million_rules() -> None:
    rules = "".join(f"-{{H|zh-cn:甲{n};zh-tw:乙{n}}}-" for n in range(20_000))
    assert seconds(extract, rules + "乙1與乙3。" * 2000) < 5
    assert extract("-{H|zh-cn:甲;zh-tw:乙}-" + "乙" * 3) == "甲甲甲"


@pytest.mark.parametrize("opening", ["{{nowrap|", "[[甲|", "-{zh-cn:", "{{quote|"])
def test_nesting_without_end(opening: str) -> None:
    closing = {"{": "}}", "[": "]]", "-": "}-"}[opening[0]]
    depth = 30_000
    assert "外" in extract("外" + opening * depth + "內" * 10_000 + closing * depth)


MARKUP = st.sampled_from([
    "{{", "}}", "[[", "]]", "-{", "}-", "{|", "|}", "|", "=", "==", "\n", "\n== 甲 ==\n", "<ref>", "</ref>",
    "<ref name=a/>", "<!--", "-->", "''", "*", "nowrap|", "bd|", "lang|ja|", "zh-cn:", "zh-tw:", ";", "H|", "A|",
    "T|", "=>", "noteTA|1=", "<nowiki>", "</nowiki>", "<math>", "</math>", "（", "）", "，", "File:", "http://", "[",
    "]", "{", "}", "-", "&lt;", "&#65;", "著", "あ", "頭髮", "甲", "__NOTOC__", "<table>", "</table>", "<br>",
    "\ufdd1", "\ufdd2", "\ufdd4", "\ufdd5", "\ufdd60\ufdd4", "\ud800", "```", "$$",
])  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(MARKUP, max_size=60).map("".join) | st.text(max_size=80))
def test_every_text_is_a_page(wikitext: str) -> None:
    text = plain_text(wikitext, Page("頁"))
    assert text == plain_text(wikitext, Page("頁"))
    assert "\n\n\n" not in text or "<pre" in wikitext or "```" in wikitext or "<nowiki>" in wikitext
    assert not any(mark in text for mark in RESERVED[2:])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="甲乙丙，。（）頭髮看ab1 \n", max_size=60))
def test_plain_prose_stays(text: str) -> None:
    lines = [line.strip(" \u3000") for line in text.replace("（）", "").split("\n")]
    once = plain_text(text, Page("頁"))
    assert once == plain_text(once, Page("頁"))
    if "（" not in text:
        assert once == "\n".join(line for line in lines if line)
