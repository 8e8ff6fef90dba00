"""Traditional characters to simplified with OpenCC, as a document step.

`tw2s` is right for text from Taiwan and Hong Kong: 看著 becomes 看着 (t2s leaves it) and words stay (tw2sp also
turns 軟體 into 软件, but 隻言片語 into 只言词组). Four kinds of text stay as they are: lines in Japanese, whose
characters only look like ours; code and formulas; and what stands between KEEP and KEPT, which the wiki reader puts
around text whose form the page itself has fixed (`-{...}-`). The marks are noncharacters, which Unicode reserves for
such use inside a program; they are removed here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

from yanmo.text.step import Drop, Step

if TYPE_CHECKING:
    from opencc import OpenCC

Conversion = Literal["none", "t2s", "tw2s", "tw2sp", "hk2s"]

KEEP, KEPT = "\ufdd1", "\ufdd2"
UNCONVERTED = re.compile(
    f"({KEEP}[^{KEEP}{KEPT}]*{KEPT}"
    "|```.*?```"  # fenced code
    "|`[^`\n]+`"  # code in a line
    r"|\$\$.*?\$\$)",  # a formula; one between single $ signs has Han characters only by mistake
    re.DOTALL,
)
KANA = re.compile("[ぁ-ゖァ-ヺ]")
JAPANESE = 1 / 3
"""A line with more kana than this, among all its characters, is Japanese. A Chinese one names a work or a person."""
LITERARY = "\ufdd3"
"""Stands for 著 while OpenCC works: tw2s makes a particle of it in 所著 and 原著, even in simplified text."""
WRITTEN = re.compile(
    "(?<=[原编編合专專遗遺卓土所共拙巨撰名昭显顯])著(?![手眼])|(?<!翻[译譯])(?<=[译譯])著"
    "|(?<![议議讨討谈談争爭评評辩辯理][论論])(?<=[论論])著"
    "|(?<=[，。；、（曾並并另还還也亦皆均])著(?=有)|著(?=有[《〈「『“])"
)
"""著 as in writing, or in being plain to see; elsewhere in traditional text it is the particle."""
TELLS_NOTHING = "么著"
"""Conversion changes them, but 么 is simplified (alone it becomes 幺), and 著 is counted."""
HAN = ((0x3400, 0x9FFF), (0xF900, 0xFAFF))
BEYOND = "\U00020000-\U0002fa1f"


def simplifier(conversion: Conversion) -> Step:
    """A step that converts as the OpenCC configuration of that name does; "none" gives the text back.

    Raises: ValueError: another package has taken OpenCC's place.
    """
    if conversion == "none":
        return unmarked
    convert = opencc(conversion).convert
    needed = traditional(conversion)

    def plain(text: str) -> str:
        if KANA.search(text) is None:
            return convert(text)
        return "\n".join([line if is_japanese(line) else convert(line) for line in text.split("\n")])

    def unprotected(text: str) -> str:
        if KEEP in text or "`" in text or "$$" in text:
            parts = UNCONVERTED.split(text)
            parts[::2] = [plain(part) if part else part for part in parts[::2]]
            return "".join(parts)
        return plain(text)

    def step(text: str) -> str | Drop:
        particles = "著" in text and text.count("着") < text.count("著")
        if particles or needed is None or needed.search(text) is not None:
            if "著" in text and conversion != "t2s":
                # Who writes 着 for the particle (in simplified text, in Hong Kong) means 著 by 著.
                text = WRITTEN.sub(LITERARY, text) if particles else text.replace("著", LITERARY)
                text = unprotected(text).replace(LITERARY, "著")
            else:
                text = unprotected(text)
        return unmarked(text)

    return step


def unmarked(text: str) -> str:
    return text.replace(KEEP, "").replace(KEPT, "") if KEEP in text or KEPT in text else text


def is_japanese(line: str) -> bool:
    return len(KANA.findall(line)) > JAPANESE * len(line)


@cache
def opencc(conversion: Conversion) -> OpenCC:
    """Raises: ValueError: another package has taken OpenCC's place."""
    try:
        from opencc import OpenCC

        converter = OpenCC(conversion)
        works = converter.convert("漢語") == "汉语"
    except (ImportError, OSError):  # the other package looks for its own configuration files
        works = False
    # opencc-python-reimplemented installs a module of the same name, 50 times slower; its class lives elsewhere.
    if not works or OpenCC.__module__.startswith("opencc.opencc"):
        raise ValueError(
            "--simplify: the package `opencc` is broken or overwritten by `opencc-python-reimplemented`; mend it with: "
            "pip uninstall -y opencc opencc-python-reimplemented && pip install opencc"
        )
    return converter


@cache
def traditional(conversion: Conversion) -> re.Pattern[str] | None:
    """Characters that traditional text has; None where conversion also changes words of others."""
    if conversion == "tw2sp":
        return None
    han = [chr(point) for first, last in HAN for point in range(first, last + 1)]
    single = opencc(conversion).convert("\n".join(han)).split("\n")
    changed = [old for old, new in zip(han, single, strict=True) if old != new and old not in TELLS_NOTHING]
    # One range for the other planes: `re` looks up a set in one step only below them.
    return re.compile(f"[{''.join(changed)}{BEYOND}]")
