"""Text decoded by the wrong table: repaired where the mistake can be undone for certain, else given up.

The three mistakes of Chinese corpora: UTF-8 read as GBK (中文 -> 涓枃), UTF-8 read as Windows-1252 (中文 ->
ä¸­æ–‡), GBK read as Windows-1252 (中文 -> ÖÐÎÄ). Each run of suspects is encoded back and decoded rightly; it
counts as repaired only if every byte fits and all that comes out is Chinese. What a decoder has replaced
(锟斤拷: U+FFFD written as UTF-8 and read as GBK) or never was text (烫烫烫: uninitialised memory) is gone.

Must run before normalisation, which removes the control characters that half of the bytes became.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from yanmo.text.step import Drop

WINDOWS_1252 = {chr(byte): byte for byte in range(0x80, 0x100)} | {
    character: byte for byte in range(0x80, 0xA0) if (character := bytes([byte]).decode("cp1252", "ignore"))
}
"""The character a byte becomes -> the byte; browsers read the five undefined ones as control characters."""
HIGH = re.escape("".join(WINDOWS_1252))
LATIN_MARKS = "äåæïµ£¡"
"""Some of 中, 国, 文 and ， read from UTF-8, of 的， and 。 read from GBK: no Chinese text of any length is without."""
LATIN_RUN = re.compile(f"[¡-ÿ][{HIGH}]{{7,}}")
LATIN_SHORT = re.compile(f"(?:[à-ï][{HIGH}]{{2}})+")
"""Characters of three bytes in UTF-8."""
GBK_RUN = re.compile("[^\x00-\x7f]{4,}")
GBK_MARKS = "锛銆鐨涓鈥"
"""What ，。的一 and quotation marks become when UTF-8 is read as GBK; all rare in real text."""
CHINESE = re.compile("[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef\u2014-\u2026·]+")
COMMON = re.compile("[的一是不了在人有我他这中大来上国和地到说为，。：、]")
LOST = re.compile("(?:ï¿½)+|\ufffd+")
GONE = re.compile(f"(?:锟斤拷)+|烫{{5,}}|屯{{5,}}|{LOST.pattern}")
PRIVATE_USE = {
    "\ue5e5": "\u3000",  # GBK's A3A0, which Windows shows as a full-width space
    "\uf0b7": "•",  # Symbol and Wingdings, as Word numbers the bullets of its lists
    "\uf06c": "●",
    "\uf06e": "■",
    "\uf071": "❑",
    "\uf075": "◆",
    "\uf0a7": "▪",
    "\uf0d8": "➢",
    "\uf0fc": "✓",
}
"""Characters of no meaning of their own that are common and known."""
TO_PUBLIC = str.maketrans(PRIVATE_USE)
GONE_MARKS = ("\ufffd", "锟斤拷", "烫烫烫烫烫", "屯屯屯屯屯", "ï¿½")
ABOUT_ENCODING = re.compile("乱码|编码")
MOST_GONE = 0.01
"""Share of a text that may be gone."""
MOST_MARKS = 0.02
"""Share of GBK_MARKS in what could not be repaired: real text has none or a few in names."""
CERTAIN = 4
"""Chinese characters that a run must give back; fewer could be chance."""


def repair(text: str) -> str | Drop:
    """The text as it was meant; Drop where it cannot be had back."""
    if any(character in text for character in PRIVATE_USE):
        text = text.translate(TO_PUBLIC)
    if any(mark in text for mark in GBK_MARKS):
        text = _repaired(text, GBK_RUN, _from_gbk)
        marks = sum(text.count(mark) for mark in GBK_MARKS)
        if marks > max(MOST_MARKS * len(text), 4):
            return Drop("mojibake", f"{marks} characters as of UTF-8 read as GBK, with bytes missing")
    if any(mark in text for mark in LATIN_MARKS):
        repaired = _repaired(text, LATIN_RUN, _from_latin)
        # Where some of the text is certain, so is a single character between two digits (3加1).
        text = repaired if repaired == text else LATIN_SHORT.sub(_short, repaired)
    if any(mark in text for mark in GONE_MARKS):
        pattern = LOST if ABOUT_ENCODING.search(text) else GONE
        gone = sum(len(match[0]) for match in pattern.finditer(text))
        if gone > max(MOST_GONE * len(text), 2):
            return Drop("mojibake", f"{gone} characters such as 锟斤拷 and U+FFFD")
    return text


def _repaired(text: str, suspects: re.Pattern[str], meant: Callable[[str], str | None]) -> str:
    """The text with what each suspect run was meant to be, if one of them has a word that every text has."""
    runs = {run: meant(run) for run in set(suspects.findall(text))}
    if not any(found and COMMON.search(found) for found in runs.values()):
        return text
    return suspects.sub(lambda match: runs[match[0]] or match[0], text)


def _from_gbk(run: str) -> str | None:
    # Windows' GBK reads the byte 80, which begins no character, as a euro sign.
    try:
        data = b"\x80".join(part.encode("gb18030") for part in run.split("€"))
    except UnicodeEncodeError:  # a lone surrogate
        return None
    return _chinese(data, "utf-8")


def _from_latin(run: str) -> str | None:
    data = bytes(WINDOWS_1252[character] for character in run)
    return _chinese(data, "utf-8") or _chinese(data, "gb2312")


def _short(match: re.Match[str]) -> str:
    return _chinese(bytes(WINDOWS_1252[character] for character in match[0]), "utf-8", least=1) or match[0]


def _chinese(data: bytes, encoding: str, least: int = CERTAIN) -> str | None:
    """The decoded bytes if they are Chinese throughout."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text if len(text) >= least and CHINESE.fullmatch(text) else None
