from __future__ import annotations

import pytest

from yanmo.text.step import Drop
from yanmo.text.steps.mojibake import WINDOWS_1252, repair

TEXTS = [
    "中国的首都是北京，今天天气很好。你好吗？",
    "《红楼梦》是我国的古典小说，作者曹雪芹。",
    "人们说：“知识就是力量。”",
]


def as_windows(data: bytes) -> str:
    """Bytes as a browser reads them that takes them for Windows-1252."""
    characters = {byte: character for character, byte in WINDOWS_1252.items()}
    return "".join(characters.get(byte, chr(byte)) for byte in data)


@pytest.mark.parametrize("text", TEXTS)
def test_western_mistakes_are_undone(text: str) -> None:
    assert repair(as_windows(text.encode())) == text
    assert repair(f"<p>{as_windows(text.encode())}</p> English, café") == f"<p>{text}</p> English, café"
    assert repair(as_windows(text.encode("gb2312"))) == text


def test_utf8_read_as_gbk_is_undone() -> None:
    text = "中国的首都是北京，这里有长城和故宫"
    text += "好" * (len(text.encode()) % 2)
    wrong = text.encode().decode("gb18030")
    assert wrong.startswith("涓\ue15e浗鐨")
    assert repair(wrong) == text
    assert repair(f"前言 {wrong} abc") == f"前言 {text} abc"


@pytest.mark.parametrize(
    "text",
    [
        "锟斤拷锟斤拷锟斤拷正常的几个字锟斤拷",
        "未初始化的内存：烫烫烫烫烫烫烫烫烫烫",
        "文字���丢失���的����地方",
        "今天天气很好，我们去公园玩。你呢？我也去。".encode().decode("gbk", "replace"),
        "ï¿½ï¿½ï¿½ï¿½ 标题",
    ],
)
def test_what_is_gone_is_dropped(text: str) -> None:
    result = repair(text)
    assert isinstance(result, Drop) and result.reason == "mojibake"


@pytest.mark.parametrize(
    "text",
    [
        "在 Windows 的控制台里，乱码“锟斤拷锟斤拷”来自替换字符，“烫烫烫烫烫烫”来自未初始化的内存。",
        "金涓生，锛是锑的旧译；涓涓细流，汇成江海。",
        "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ ÐÑÒÓÔÕÖØÙÚÛÜÝÞß àáâãäåæçèéêëìíîï",
        "naïve café, Ångström, 5×3±2°, «été» – “déjà”…",
        "Français : être, où, ça, cœur, «été»",
        "普通的一句话，有一个坏字符�而已，后面还有很多正常的文字，所以不必因此就丢掉整篇文章。" * 2,
    ],
)
def test_real_text_stays(text: str) -> None:
    assert repair(text) == text


def test_known_private_characters_are_what_they_stand_for() -> None:
    assert repair("\ue5e5\ue5e5第一段\n\uf0b7 列表") == "　　第一段\n• 列表"


def test_a_single_character_between_digits_is_repaired_with_the_rest() -> None:
    text = "问：请问，3加1等于多少？\n答：3加1等于4。"
    assert repair(text.encode().decode("latin-1")) == text
    assert repair("加".encode().decode("latin-1") + "1") == "加".encode().decode("latin-1") + "1"
