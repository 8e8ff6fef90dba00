"""A page of a dump as a document: its title, then its text, a paragraph, heading or list item a line."""

from __future__ import annotations

import html
import re

from yanmo.text.formats import RowKeys
from yanmo.text.step import Drop
from yanmo.text.wiki.conversion import with_words
from yanmo.text.wiki.dump import ARTICLES
from yanmo.text.wiki.holes import without_holes
from yanmo.text.wiki.lines import without_line_markup
from yanmo.text.wiki.page import RESERVED, Page, unquoted
from yanmo.text.wiki.scanner import scan
from yanmo.text.wiki.sections import sections
from yanmo.text.wiki.tags import without_tags

ENTITY = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
SWITCH = re.compile("__(?:[A-Z]{3,24}|[无無][^_\n]{1,8}|[目强強索显顯新消][^_\n]{1,8})__")
"""Behaviour switches: __NOTOC__, __目录__."""
REDIRECT = re.compile(r"\s*#\s*(?:redirect|重定向|重新導向)\s*:?\s*\[\[", re.IGNORECASE)
"""For dumps of other making; Wikimedia's say so with a tag."""
NOT_ARTICLES = ("redirect", "namespace", "disambiguation", "empty_page")
"""Why a page that is in order makes no document."""


def article(row: RowKeys) -> str | Drop:
    """A row of `dump.page_rows` as a document, or why it makes none. Of redirects the title is all that is kept."""
    if row["namespace"] != ARTICLES:
        return Drop("namespace", f"namespace {row['namespace']}")
    if row["redirect"] or REDIRECT.match(row["wikitext"]):
        return Drop("redirect")
    page = Page(row["title"])
    text = plain_text(row["wikitext"], page)
    if page.disambiguation:
        return Drop("disambiguation")
    if not text:
        return Drop("empty_page", "no text is left of the page")
    title = unquoted(page.shown_title) if page.shown_title else with_words(page.title, page.words)
    return f"{title}\n{text}"


def plain_text(wikitext: str, page: Page) -> str:
    """The text that readers see; what the page's rules leave is noted in `page`.

    What must not be converted to simplified characters stands between KEEP and KEPT (text.simplify).
    """
    if any(character in wikitext for character in RESERVED):
        wikitext = wikitext.translate(dict.fromkeys(map(ord, RESERVED)))
    if "__" in wikitext:
        page.disambiguation |= "__DISAMBIG__" in wikitext
        wikitext = SWITCH.sub("", wikitext)
    lines: list[str] = []
    for section in sections(without_tags(wikitext, page)):
        heading = unquoted(without_holes(scan(section.heading, page))).strip()
        if heading:
            lines.append(heading)
        lines += without_line_markup(unquoted(without_holes(scan(section.body, page))))
    text = "\n".join(lines)
    if page.words:
        text = with_words(text, page.words)
    if "&" in text:
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text).replace("\xa0", " ")
    return page.restore(text).strip()
