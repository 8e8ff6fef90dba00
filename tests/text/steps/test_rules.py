"""The document steps of each kind together: good rows kept, bad rows dropped, cleaning twice is cleaning once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.text.web_rows import BAD, GOOD
from yanmo.text.adapters import DOCUMENTS
from yanmo.text.step import Drop, Step, run_steps, settled
from yanmo.text.steps.kinds import PROFILES, Kind, kind_of_format
from yanmo.text.steps.rules import Rules, document_steps, source_kind

STEPS = {kind: document_steps(Rules(), kind) for kind in PROFILES}
REWRITING = {kind: steps[0] for kind, steps in STEPS.items()}
CODE = '''# 求和
def total(values: list[float]) -> float:
\t"""返回总和；values 可以为空。"""
    if not values:      # 空列表
        return 0.0


    return sum(values)  # a & b < c && d != "！！！！" 手机 13800138000
'''


def test_the_web_profile_tells_good_from_bad() -> None:
    kept = [text for text in GOOD if isinstance(run_steps(text, STEPS["web"]), str)]
    dropped = [text for text in BAD if isinstance(run_steps(text, STEPS["web"]), Drop)]
    assert len(GOOD) == len(BAD) == 20
    assert len(kept) >= 18
    assert len(dropped) >= 18


@pytest.mark.parametrize("kind", ["general", "questions", "encyclopedia"])
def test_good_rows_pass_every_kind_unchanged(kind: Kind) -> None:
    assert [run_steps(text, STEPS[kind]) for text in GOOD] == GOOD


def test_what_each_kind_is_for_passes_it_unchanged() -> None:
    verse = "床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。"
    markdown = (
        "# 标题\n\n- 一\n- 二\n\n| a | b |\n|---|---|\n| １ | &nbsp; |\n\n```html\n<br>！！！！！\n```\n\n写信给 a@b.cn"
    )
    for kind, text in (("verse", verse), ("markdown", markdown), ("code", CODE.strip("\n"))):
        assert run_steps(text, STEPS[kind]) == text  # type: ignore[index]


def test_a_page_is_cleaned() -> None:
    page = (
        f"<p>{GOOD[0]}&nbsp;</p>上一篇：无<br>联系电话：１３８００１３８０００！！！！！！\u200b<br>"
        "（责任编辑：张三）<br>版权所有 某某网"
    )
    assert run_steps(page, STEPS["web"]) == f"{GOOD[0]}\n联系电话：<电话>！！！"


PIECES = st.sampled_from(
    [*GOOD[0][:40], " ", "　", "\n", "\n\n\n", "\r", "\x85", "    x = 1\n", "e", "\u0301", "\u200b", "ä¸\xad", "\ufffd"]  # noqa: RUF005
    + "， 。 ！！！！ ………… * # - &amp; lt; &lt; br > <b> Ａ１ ３． １４ 1 8 13800138000 138 00138000 @ qq.com a".split()
    + "QQ： 12345 微信号: abc_123 <电话> 版权所有 责任编辑： 上一篇： 点击 查看更多 扫码 关注 公众号".split()
    + "锟斤拷 £¬ 涓 锛 \ue5e5".split()
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from(sorted(PROFILES)))
def test_cleaning_twice_is_cleaning_once(text: str, kind: Kind) -> None:
    once = REWRITING[kind](text)
    if isinstance(once, str):
        assert REWRITING[kind](once) == once
    else:
        assert once.reason != "unsettled"
    whole = run_steps(text, STEPS[kind])
    assert isinstance(whole, Drop) or run_steps(whole, STEPS[kind]) == whole


def test_settled_ends() -> None:
    turns: list[Step] = [lambda text: text.replace("ab", "b"), lambda text: text.replace("bb", "ab")]
    assert settled(turns)("aabb") == "b"
    flip: Step = lambda text: text.swapcase()  # noqa: E731
    assert isinstance(settled([flip])("a"), Drop)


def test_the_kind_comes_from_the_format() -> None:
    assert source_kind(Rules(), "baidubaike") == "encyclopedia"
    assert source_kind(Rules(), "alpaca") == "questions"
    assert source_kind(Rules(), "text") == "general"
    assert source_kind(Rules(kind="web"), "alpaca") == "web"
    assert {kind_of_format(name) for name in DOCUMENTS} <= set(PROFILES)


def test_settings_come_before_thresholds() -> None:
    text = "短文" * 10 + "abc"
    assert run_steps(text, document_steps(Rules(min_chars=5, min_han=0.1), "web")) == text
    assert isinstance(run_steps(text, document_steps(Rules(min_han=0.99), "general")), Drop)
    phone = "请打电话 13800138000 联系我们办公室"
    assert run_steps(phone, document_steps(Rules(privacy="keep"), "general")) == phone
    assert "<电话>" in run_steps(phone, document_steps(Rules(privacy="mask"), "code"))


def test_a_blocklist(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("坏词甲\n", "utf-8")
    steps = document_steps(Rules(blocklist=path, max_blocked=0.1), "general")
    text = "这里有一个坏词甲，也有别的很多很多话，说了很久很久，还没有说完。"
    assert run_steps(text, steps) == text
    dropped = run_steps("坏词甲坏词甲坏词甲和别的", steps)
    assert isinstance(dropped, Drop) and dropped.reason == "blocked"


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"min_han": 2.0}, "--min-han 2.0"),
        ({"max_blocked": -1.0}, "--max-blocked"),
        ({"min_quality": 1.5}, "--min-quality"),
        ({"good_examples": [Path(__file__)]}, "needs both"),
        ({"min_chars": 5, "max_chars": 3}, "--max-chars 3 is below"),
    ],
)
def test_impossible_settings(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Rules(), **changed).check()  # type: ignore[arg-type]
