"""Traditional to simplified: words as readers write them, and what must stay as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from yanmo.text.step import run_steps
from yanmo.text.steps.rules import Rules, document_steps
from yanmo.text.steps.simplify import KEEP, KEPT, Conversion, simplifier, traditional


@pytest.mark.parametrize(
    ("conversion", "text", "expected"),
    [
        ("tw2s", "他看著頭髮，瞭解軟體", "他看着头发，了解软体"),
        ("t2s", "他看著頭髮", "他看著头发"),
        ("hk2s", "裏面的麪包", "里面的面包"),
        ("tw2sp", "軟體程式", "软件程序"),
        ("none", "頭髮", "頭髮"),
        ("tw2s", "乾隆年間氣候乾燥，皇后後來", "乾隆年间气候干燥，皇后后来"),
        (
            "tw2s",
            "由曹雪芹所著，並著有《詩》，原著與譯著，土著；顯著",
            "由曹雪芹所著，并著有《诗》，原著与译著，土著；显著",
        ),
        ("tw2s", "討論著，爭論著，翻譯著", "讨论着，争论着，翻译着"),
        ("tw2s", "看着他，曹雪芹著。", "看着他，曹雪芹著。"),  # who writes 着 means 著
        ("tw2s", "什么都有", "什么都有"),
        ("tw2s", "原文：\nこれは漢字です\n譯文：漢字", "原文：\nこれは漢字です\n译文：汉字"),
        (
            "tw2s",
            "名叫尾田栄一郎的漫畫家畫了「ワンピース」這部作品",
            "名叫尾田栄一郎的漫画家画了「ワンピース」这部作品",
        ),
        ("tw2s", "用`軟體`。\n```\n頭髮\n```\n$$\\text{頭}$$頭", "用`軟體`。\n```\n頭髮\n```\n$$\\text{頭}$$头"),
        ("tw2s", f"{KEEP}頭髮{KEPT}頭髮{KEEP}乾{KEPT}", "頭髮头发乾"),
        ("none", f"{KEEP}頭髮{KEPT}", "頭髮"),
        ("tw2s", "只有一個```沒有結束", "只有一个```没有结束"),
        ("tw2s", "𠀀𫝈", "𠀀𫝈"),
        ("tw2s", "", ""),
    ],
)
def test_conversion(conversion: Conversion, text: str, expected: str) -> None:
    assert simplifier(conversion)(text) == expected


def test_simplified_text_is_not_touched() -> None:
    needed = traditional("tw2s")
    assert (
        needed is not None
        and needed.search("这是简体中文，什么都没有改变，乾坤与哪吒除外".replace("乾坤与哪吒除外", "")) is None
    )
    for text in ("我们在学校看着书，著名的著作。", "ABC, def 123。", "红楼梦为曹雪芹所著，他看着"):
        assert simplifier("tw2s")(text) == text


def test_only_dumps_are_converted_unless_asked() -> None:
    text = "這是一篇繁體中文的文章，內容足夠長。"
    assert run_steps(text, document_steps(Rules(), "wiki")) == "这是一篇繁体中文的文章，内容足够长。"
    for kind in ("general", "encyclopedia", "web"):
        assert run_steps(text * 3, document_steps(Rules(), kind)) == text * 3  # type: ignore[arg-type]
    assert run_steps(text, document_steps(Rules(simplify="t2s"), "general")) == "这是一篇繁体中文的文章，内容足够长。"
    assert run_steps(text, document_steps(Rules(simplify="none"), "wiki")) == text


def test_the_other_package_of_that_name_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "opencc").mkdir()
    (tmp_path / "opencc" / "__init__.py").write_text("from opencc.opencc import OpenCC\n")
    (tmp_path / "opencc" / "opencc.py").write_text(
        "class OpenCC:\n    def __init__(self, name):\n        pass\n    def convert(self, _):\n        return '汉语'\n"
    )
    program = (
        "from yanmo.text.steps.simplify import simplifier\n"
        "try:\n    simplifier('t2s')\nexcept ValueError as e:\n    print(e)"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert "opencc-python-reimplemented" in done.stdout and done.stdout.count("\n") == 1
