from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.text.step import Drop
from yanmo.text.steps.blocklist import SPAM, Blocklist, blocked
from yanmo.text.steps.phrases import Phrases, read_phrases


@settings(deadline=None)  # the first one builds the fold table
@given(st.lists(st.text("春夏秋冬", min_size=2, max_size=4), max_size=6), st.text("春夏秋冬，", max_size=40))
def test_finds_what_a_plain_search_finds(phrases: list[str], text: str) -> None:
    found, total = Phrases({"list": phrases}).find(text)
    expected, place = [], 0
    while place < len(text):
        here = max((phrase for phrase in phrases if text.startswith(phrase, place)), key=len, default="")
        expected += [here] if here else []
        place += len(here) or 1
    assert found.get("list", []) == expected
    assert total == len(text)


def test_disguises_are_seen_through() -> None:
    found, _ = Phrases({"a": ["加v信"], "b": ["百家乐"]}).find("请加 Ｖ 信，玩百 家 樂")
    assert found == {"a": ["加v信"], "b": ["百家乐"]}


def test_density_decides() -> None:
    article = (
        "警方提醒，网上的百家乐和时时彩都是骗局，参与赌博违法。"
        + "近年来，这类案件逐年减少，市民的防范意识也在提高。" * 20
    )
    step = blocked([Blocklist("spam", SPAM, 0.02, fewest=2)])
    assert step(article) == article
    result = step("澳门新葡京真人百家乐，注册送彩金，提现秒到，时时彩六合彩北京赛车都有")
    assert isinstance(result, Drop) and result.reason == "spam" and "百家乐" in result.detail
    strict = blocked([Blocklist("blocked", ["骗局"], 0)])
    assert isinstance(strict(article), Drop)


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# 我的词表\n\n 甲乙 \n丙丁\n", "utf-8-sig")
    assert read_phrases(path) == ["甲乙", "丙丁"]
    path.write_text("甲乙\n丙\n", "utf-8")
    with pytest.raises(ValueError, match=r"words.txt:2: '丙'.*two characters"):
        read_phrases(path)
    path.write_text("# 空\n", "utf-8")
    with pytest.raises(ValueError, match="no words"):
        read_phrases(path)
    path.write_bytes("甲乙".encode("gb18030"))
    with pytest.raises(ValueError, match="UTF-8"):
        read_phrases(path)
