"""What is known about a page while its text is made, and the characters that stand for something on the way.

They are Unicode noncharacters, meant for use inside a program; a page that has some loses them first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from yanmo.text.steps.simplify import KEEP, KEPT, LITERARY

STASH = "\ufdd4"
"""STASH number STASH: text that no other rule may touch, put back at the end."""
PIPE = "\ufdd5"
"""A | that is text, or comes out of a template: it parts no arguments."""
EQUALS = "\ufdd7"
"""The same for =, which parts an argument's name from its value."""
HOLE = "\ufdd6"
"""Where a template has left nothing."""
ASIDE = "\ufdd8"
"""On both sides of text that stands in brackets unless there are some around it already."""
RESERVED = (KEEP, KEPT, LITERARY, STASH, PIPE, EQUALS, HOLE, ASIDE)
STASHED = re.compile(f"{STASH}([0-9]+){STASH}")


@dataclass
class Page:
    title: str
    shown_title: str | None = None
    """The title that the page itself gives: `-{T|...}-` or noteTA's T."""
    words: dict[str, str] = field(default_factory=dict)
    """The page's own conversion rules: another region's word -> the mainland's."""
    disambiguation: bool = False
    _stash: list[str] = field(default_factory=list)

    def stash(self, text: str) -> str:
        """What to write in place of `text` until `restore`."""
        self._stash.append(text)
        return f"{STASH}{len(self._stash) - 1}{STASH}"

    def restore(self, text: str) -> str:
        """`text` with all that was stashed of it in its place."""
        return STASHED.sub(lambda match: self._stash[int(match[1])], text) if self._stash else text


def quoted(text: str) -> str:
    """`text` with | and = that part no arguments."""
    if "|" in text:
        text = text.replace("|", PIPE)
    return text.replace("=", EQUALS) if "=" in text else text


def unquoted(text: str) -> str:
    return text.replace(PIPE, "|").replace(EQUALS, "=")


def kept(text: str) -> str:
    """`text` that conversion to simplified characters must leave alone."""
    return f"{KEEP}{text}{KEPT}" if text else ""
