"""Which writing systems a piece of text is in, by Unicode's general category and character names.

The standard library has no script property, but a letter's name begins with its script (`CYRILLIC SMALL LETTER A`),
which is all that is needed here.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable

BY_NAME = {
    "CJK": "han",
    "IDEOGRAPHIC": "han",
    "LATIN": "latin",
    "FEMININE": "latin",
    "MASCULINE": "latin",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "KATAKANA-HIRAGANA": "kana",
    "BOPOMOFO": "bopomofo",
    "HANGUL": "hangul",
    "CYRILLIC": "cyrillic",
    "GREEK": "greek",
    "MICRO": "greek",
    "ARABIC": "arabic",
    "HEBREW": "hebrew",
    "ARMENIAN": "armenian",
    "GEORGIAN": "georgian",
    "ETHIOPIC": "ethiopic",
    "DEVANAGARI": "devanagari",
    "BENGALI": "bengali",
    "GURMUKHI": "gurmukhi",
    "GUJARATI": "gujarati",
    "TAMIL": "tamil",
    "TELUGU": "telugu",
    "KANNADA": "kannada",
    "MALAYALAM": "malayalam",
    "SINHALA": "sinhala",
    "THAI": "thai",
    "LAO": "lao",
    "TIBETAN": "tibetan",
    "MYANMAR": "myanmar",
    "KHMER": "khmer",
    "MONGOLIAN": "mongolian",
    "YI": "yi",
}
"""The first word of a letter's name, and its script. A letter of another script is `other`."""

SCRIPTS = (*dict.fromkeys(BY_NAME.values()), "other", "digit", "punctuation", "symbol", "space")


@functools.cache
def script(character: str) -> str:
    """One of `SCRIPTS`. Control characters and what Unicode has not assigned count as space."""
    words = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split(" ")
    first = words[0]
    match unicodedata.category(character)[0]:
        case "Z" | "C":
            return "space"
        case "P":
            return "punctuation"
        case "N":
            return "han" if first in ("CJK", "IDEOGRAPHIC") else "digit"
        case "S":
            return "symbol"
        case "M":  # accents that any script uses
            return BY_NAME.get(first, "symbol")
    return BY_NAME.get(first, "other")


def scripts_of(text: str) -> frozenset[str]:
    return frozenset(map(script, text))


def check_scripts(setting: str, names: Iterable[str]) -> frozenset[str]:
    """The names as a set. Raises ValueError, naming the setting, for one that is no script here."""
    for name in names:
        if name not in SCRIPTS:
            raise ValueError(f"--{setting} {name}: no such script; there are {', '.join(SCRIPTS)}")
    return frozenset(names)
