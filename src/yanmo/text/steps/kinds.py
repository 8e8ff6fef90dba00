"""Kinds of source and what is asked of a document of each: the one table of all thresholds of `clean`.

Rules that suit web pages reject 31 % of poems and 99 % of Markdown newsletters, so every number belongs to a
kind. `general`, what an unknown source gets, asks for next to nothing; `web` is strict, because much of the
web is not worth reading. Shares are of the visible characters. docs/log.md has what each number costs on real
samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from yanmo.text.conversations import CONVERSATIONS
from yanmo.text.preferences import PREFERENCES
from yanmo.text.steps.simplify import Conversion

Kind = Literal["web", "encyclopedia", "wiki", "questions", "verse", "markdown", "code", "general"]
"""`wiki` is a MediaWiki dump: an encyclopedia whose markup is gone already and whose authors write both scripts."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is done to and asked of documents of one kind; None where nothing is asked."""

    min_chars: int
    """Shorter ones are removed (too_short)."""
    min_han: float
    """Least share of Han characters (few_han)."""
    max_digits: float | None = None
    """Largest share of digits (digits): tables of prices, lottery numbers, parameter lists."""
    max_symbols: float | None = None
    """Largest share of symbols (symbols): decoration, emoji, markup, the rest of a script."""
    min_punctuation: float | None = None
    """Least share of punctuation (few_marks): navigation bars and lists of keywords have none."""
    max_punctuation: float | None = None
    """Largest share of punctuation (many_marks)."""
    max_sentence: int | None = None
    """Most visible characters a sentence end (no_sentences): prose has one in 25 to 60, lists of titles none."""
    max_damaged: float = 0.02
    """Largest share of U+FFFD and private use characters (mojibake)."""
    max_repeated_lines: float | None = None
    """Largest share of characters in lines said before (repeated_lines)."""
    max_repeated_text: float | None = None
    """Largest share of 13-grams of characters that were there before (repeated_text)."""
    max_one_phrase: float | None = None
    """Largest share of the text that one 5-gram makes up (one_phrase): stuffed keywords."""
    max_boilerplate: float | None = None
    """Lines of boilerplate are cut out; a document with more than this share of them is removed (boilerplate).
    None leaves them where they are."""
    max_promotion: float | None = None
    """Largest share of characters in phrases of advertisement (advertisement)."""
    max_spam: float | None = None
    """Largest share of characters in words of gambling, pornography and forged papers (spam)."""
    web_markup: bool = False
    """Whether left-over HTML tags and entities are taken out: never where text speaks about HTML."""
    typography: bool = True
    """Whether full-width letters and digits become ASCII and runs of ！ and ？ are cut to three."""
    simplify: Conversion = "none"
    """The OpenCC conversion of `--simplify auto`."""
    private_data: bool = True
    """Whether `--privacy auto` masks telephone numbers, identity cards, bank cards, e-mail and accounts."""


ENCYCLOPEDIA = Profile(
    min_chars=10, min_han=0.1, max_repeated_lines=0.6, max_repeated_text=0.6, web_markup=True, private_data=False
)
WIKI = replace(ENCYCLOPEDIA, web_markup=False, simplify="tw2s")
PROFILES: dict[Kind, Profile] = {
    "web": Profile(
        min_chars=50,
        min_han=0.4,
        max_digits=0.3,
        max_symbols=0.2,
        min_punctuation=0.02,
        max_punctuation=0.3,
        max_sentence=300,
        max_damaged=0.005,
        max_repeated_lines=0.3,
        max_repeated_text=0.4,
        max_one_phrase=0.15,
        max_boilerplate=0.3,
        max_promotion=0.03,
        max_spam=0.02,
        web_markup=True,
    ),
    "encyclopedia": ENCYCLOPEDIA,
    "wiki": WIKI,
    "questions": Profile(min_chars=4, min_han=0.0, max_repeated_text=0.8, web_markup=True),
    "verse": Profile(min_chars=10, min_han=0.4, max_repeated_text=0.8, web_markup=True, private_data=False),
    "markdown": Profile(min_chars=10, min_han=0.05, typography=False, private_data=False),
    "code": Profile(min_chars=10, min_han=0.0, typography=False, private_data=False),
    "general": Profile(
        min_chars=10,
        min_han=0.2,
        max_digits=0.8,
        max_symbols=0.8,
        max_repeated_lines=0.9,
        max_repeated_text=0.8,
    ),
}


def kind_of_format(format: str) -> Kind:
    """What kind of source a format (of `adapters.DOCUMENTS`) is; general unless the format alone tells."""
    if format == "wiki":
        return "wiki"
    if format in ("wiki-cn", "baidubaike"):
        return "encyclopedia"
    if format == "mnbvc-code":
        return "code"
    return "questions" if format in CONVERSATIONS or format in PREFERENCES else "general"
