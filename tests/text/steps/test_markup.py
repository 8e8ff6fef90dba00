from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.steps.markup import plain


@pytest.mark.parametrize(
    "text, expected",
    [
        ("甲&nbsp;乙&amp;丙&quot;丁&#39;戊&#x4e2d;", "甲 乙&丙\"丁'戊中"),
        ("&lt;b&gt;粗&lt;/b&gt;", "粗"),
        ("&amp;lt;br/&amp;gt;", "\n"),
        ("第一段<br/>第二段<P class='x'>第三段</P>", "第一段\n第二段\n第三段\n"),
        ("<span style=\"color:red\">红</span><a href='http://a.cn/?x=1&y=2'>链</a>", "红链"),
        ("前<script type='x'>var a = 1;</script>后<!-- 注 -->", "前后"),
    ],
)
def test_left_over_html_goes(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    "text", ["a < b 且 c > d", "List<String> 和 vector<T>", "<电话> <邮箱>", "&foo; AT&T R&D &", "<书名>", "x<y,z>"]
)
def test_what_is_no_html_stays(text: str) -> None:
    assert plain(text) == text


@given(st.lists(st.sampled_from("&amp; &lt; &gt; &#38; <b> < > br/ a & amp; lt; ; # 38 div 中".split())).map("".join))
def test_twice_is_once(text: str) -> None:
    once = plain(text)
    assert plain(once) == once


def test_many_openers_take_linear_time() -> None:
    assert plain("<a " * 300_000) == "<a " * 300_000
    assert plain("&amp;" * 300_000) == "&" * 300_000
