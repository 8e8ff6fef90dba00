"""Public document formats: nothing of a row's text is lost, titles least of all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.test_conversations import FORMATS as CONVERSATION_ROWS
from tests.text.test_conversations import JSON
from tests.text.test_preferences import FORMATS as PAIRS
from yanmo.text.adapters import DOCUMENTS
from yanmo.text.formats import check_name, recognise
from yanmo.text.step import Drop

BAIKE = {
    "title": "砚",
    "summary": None,
    "sections": [{"title": "简介", "content": "文房四宝之一。"}, {"title": "历史", "content": "始于汉。"}],
    "tags": ["文具"],
    "url": "http://example.org",
}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("documents", {"text": "文", "source": "s", "id": "1"}, "文"),
    ("baidubaike", BAIKE, "砚\n简介\n文房四宝之一。\n历史\n始于汉。"),
    ("baidubaike", {"title": "墨", "summary": "黑", "sections": None}, "墨\n黑"),
    ("mnbvc", {"文件名": "a", "段落": [{"行号": 0, "内容": "一"}, {"行号": 2, "内容": "二"}]}, "一\n二"),
    (
        "mnbvc-parallel",
        {"段落": [{"行号": 1, "zh_text": "一", "en_text": "one"}, {"zh_text": "", "cht_text": "貳"}]},
        "一\n貳",
    ),
    (
        "mnbvc-forum",
        {"ID": 1, "主题": "票", "来源": "树洞", "回复": [{"楼ID": "1", "回复": "要"}], "元数据": {}},
        "票\n要",
    ),
    ("mnbvc-code", {"来源": "g", "仓库名": "a/b", "文件名": "x.py", "ext": "py", "text": "x = 1"}, "x = 1"),
    ("text", {"text": "文"}, "文"),
    ("text", {"text": "文", "timestamp": "2019-04-25T12:57:54Z", "url": "http://example.org"}, "文"),  # C4
    ("text", {"id": 7, "title": "题", "text": "文", "url": ""}, "题\n文"),
    ("text", {"title": "题目", "text": "题目：文"}, "题目：文"),
    (
        "wiki",
        {"pageid": 1, "title": "砚", "namespace": "0", "redirect": False, "wikitext": "'''砚'''是[[文具]]。"},
        "砚\n砚是文具。",
    ),
    ("wiki-cn", {"completion": "文", "source": "wikipedia.zh2307"}, "文"),
    ("content", {"id": "x", "content": "文"}, "文"),
    ("content", {"id": 1, "dataType": "新闻", "title": "题", "content": "文"}, "题\n文"),  # WuDao
    *((name, row, "\n".join([said for _, said in pairs[0][:-2]] + [pairs[0][-2][1]])) for name, row, pairs in PAIRS),
    *((name, row, "\n".join(contents)) for name, (row, contents) in CONVERSATION_ROWS.items()),
]


@pytest.mark.parametrize("name, row, text", CASES)
def test_formats(name: str, row: dict[str, Any], text: str) -> None:
    assert recognise([row] * 3, "file", DOCUMENTS) == name
    assert DOCUMENTS[name].read(row) == text


def test_every_format_has_an_example() -> None:
    assert {name for name, _, _ in CASES} == set(DOCUMENTS)


@pytest.mark.parametrize(
    "name, row, reason",
    [
        ("text", {"text": 123}, "wrong_type"),
        ("text", {"content": "文"}, "missing_field"),
        ("baidubaike", {"title": "砚", "sections": ["文"]}, "wrong_type"),
        ("baidubaike", {"title": "砚", "sections": [{"title": "文"}]}, "missing_field"),
        ("mnbvc", {"段落": "文"}, "wrong_type"),
    ],
)
def test_rows_that_do_not_fit(name: str, row: dict[str, Any], reason: str) -> None:
    drop = DOCUMENTS[name].read(row)
    assert isinstance(drop, Drop) and drop.reason == reason


@given(st.sampled_from(sorted(DOCUMENTS)), st.data())
def test_no_row_is_a_crash(name: str, data: st.DataObject) -> None:
    """Whatever the values are; that keys may be missing is the reader's concern when a format is named."""
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(DOCUMENTS[name].columns, JSON)))
    assert isinstance(DOCUMENTS[name].read(row), str | Drop)


def test_the_majority_decides() -> None:
    rows = [{"text": "文"}] * 3 + [{"meta": 1}] * 2
    assert recognise(rows, "file", DOCUMENTS) == "text"
    with pytest.raises(ValueError, match=r"file: unknown format with the keys text, meta; nearest: "):
        recognise(rows[:1] + rows[3:], "file", DOCUMENTS)


def test_the_name_of_a_public_corpus_is_a_format() -> None:
    names = {corpus for known in DOCUMENTS.values() for corpus in known.corpora}
    assert {"skypile", "c4", "seq-monkey", "wudao", "wanjuan", "baidubaike-5.63m", "belle-3.5m", "huozi"} <= names
    assert not names & set(DOCUMENTS), "a corpus and a format of the same name"
    assert check_name("SkyPile", DOCUMENTS) == "text" and check_name("wudao", DOCUMENTS) == "content"
    assert check_name("auto", DOCUMENTS) == "auto" and check_name("firefly", DOCUMENTS) == "firefly"


def test_which_key_means_what() -> None:
    row = {"标题": "题", "正文": "文", "title": "x"}
    assert check_name("text=正文,title=标题", DOCUMENTS) == "text=正文,title=标题"
    assert DOCUMENTS["text=正文,title=标题"].read(row) == "题\n文"
    assert DOCUMENTS["text=正文"].columns == ("正文", "title")
    with pytest.raises(ValueError, match=r"--format title=标题: .*text=KEY\[,title=KEY\]"):
        check_name("title=标题", DOCUMENTS)
