"""Wikitext to text in one pass: links, templates and conversion rules, each resolved when it closes.

First, at the speed of C, the links that hold no markup (nine of ten) and the files and categories among them. The rest
is split once at its brackets; a pass over these tokens pairs them, and a second one resolves every pair from the
inside out, with a stack instead of recursion. A template that nobody reads (an infobox, a citation) is jumped
over without looking inside. So the time is linear in the text whatever it holds: every token is visited twice.

A closing token takes the nearest opening one of its kind; what that leaves unpaired in between, and what never
closes, is dropped as a token and its text stays. Nothing after it is lost.
"""

from __future__ import annotations

import re

from yanmo.text.wiki.conversion import resolve
from yanmo.text.wiki.languages import INTERLANGUAGE
from yanmo.text.wiki.page import HOLE, Page, quoted
from yanmo.text.wiki.templates import is_shown, template

NAMESPACES = "file|image|media|category|文件|檔案|档案|图像|圖像|媒体|媒體|分类|分類"
PLAIN_LINK = re.compile(r"\[\[(?:[^\[\]{}|:\n]++\|)?([^\[\]{}|:\n]++)\]\]")
"""The text of a link without markup in it. A colon may part a namespace."""
UNSEEN_LINK = re.compile(rf"\[\[\s*+(?:{NAMESPACES})\s*+:[^\[\]{{}}]*+\]\]", re.IGNORECASE)
UNSEEN = re.compile(rf"\s*(?:{NAMESPACES})\s*:", re.IGNORECASE)
EXTERNAL = re.compile(
    r"\[(?:(?:https?|ftp|irc|news|mailto|magnet):(?://)?|//)[^\s\[\]]++[ \t]*+([^\[\]\n]*+)\]", re.IGNORECASE
)
PARAMETER = re.compile(r"(?<!-)\{\{\{[^{}|]*+(?:\|([^{}]*+))?\}\}\}")
"""Outside of a template a parameter is never given, so it shows what stands for it then."""
QUOTES = re.compile("'{2,}")
TOKEN = re.compile(
    r"(\{\{|\}\}|\[\[|\]\](?!\](?!\]))"  # ]]] closes an outer link after an address's ]
    r"|-\{(?!\{(?!\{))|\}-)"  # -{{ is a dash before a template, -{{{ a rule that begins with one
)
CLOSES = {"}}": "{{", "]]": "[[", "}-": "-{"}
MAX_DEPTH = 40
"""Deeper templates are dropped, as MediaWiki does; it also bounds how often a text is copied outwards."""


def scan(text: str, page: Page) -> str:
    """`text` as readers see it, but for its lines. What is text may be `quoted`, a dropped template HOLE."""
    if "[" in text:
        # Splitting at a pattern with one group and joining puts the group in the pattern's place, all in C.
        text = UNSEEN_LINK.sub("", "".join(PLAIN_LINK.split(text)))
    if "{{{" in text:
        text = "".join([part or "" for part in PARAMETER.split(text)])
    if "{{" in text or "[[" in text or "-{" in text or "}}" in text or "]]" in text:
        text = _resolved(TOKEN.split(text), page)
    if "''" in text:
        text = QUOTES.sub("", text)
    if "[" in text:
        text = "".join(EXTERNAL.split(text))
    return text


def _resolved(parts: list[str], page: Page) -> str:
    """`parts`: text, token, text, ..., text."""
    closing = _pairs(parts)
    frames: list[tuple[list[str], int]] = []
    """For each pair that is open: what was before it, and where it closes."""
    out = [parts[0]]
    index, last = 1, len(parts) - 1
    while index < last:
        token, text = parts[index], parts[index + 1]
        end = closing.get(index)
        if end is not None:
            if len(frames) >= MAX_DEPTH or _unseen(token, text, index + 2 == end):
                if token == "{{":
                    out.append(HOLE)
                out.append(parts[end + 1])
                index = end + 2
                continue
            frames.append((out, end))
            out = [text]
        elif frames and frames[-1][1] == index:
            content = "".join(out)
            out = frames.pop()[0]
            if token == "}}":
                result = template(content, page)
            elif token == "]]":
                result = _link(content)
            else:
                result = resolve(content, page)
            out.append(quoted(result))
            out.append(text)
        else:  # unpaired
            out.append(text)
        index += 2
    return "".join(out)


def _pairs(parts: list[str]) -> dict[int, int]:
    """Index of an opening token -> index of its closing one. Every token is pushed and popped once."""
    pairs: dict[int, int] = {}
    stack: list[int] = []
    waiting = {"{{": 0, "[[": 0, "-{": 0}
    for index in range(1, len(parts), 2):
        token = parts[index]
        wanted = CLOSES.get(token)
        if wanted is None:
            stack.append(index)
            waiting[token] += 1
        elif waiting[wanted]:
            while True:
                opened = stack.pop()
                waiting[parts[opened]] -= 1
                if parts[opened] == wanted:
                    break
            pairs[opened] = index
    return pairs


def _unseen(token: str, text: str, whole: bool) -> bool:
    """Whether what begins with `token` and `text` shows nothing, as far as that can be told: its name may be nested."""
    if token == "[[":
        return UNSEEN.match(text) is not None
    if token == "{{":
        bar = text.find("|")
        if bar >= 0:
            return not is_shown(text[:bar])
        return whole and not is_shown(text)
    return False


def _link(content: str) -> str:
    """[[target|text]], as its text."""
    target, bar, text = content.partition("|")
    target = target.strip()
    if UNSEEN.match(target):
        return ""
    if target.startswith(":"):
        target = target[1:]
    elif ":" in target and target.partition(":")[0].strip().lower() in INTERLANGUAGE:
        return ""  # the same article in another language
    return text if bar and text.strip() else target
