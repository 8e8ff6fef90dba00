"""HTML that a careless extraction left in the text: entities become characters, tags go.

Only tags that HTML really has, so that `<T>`, `a < b` and <电话> stay; those that part lines become a newline.
For web text alone: where a text speaks about HTML, the tags are what it says.
"""

from __future__ import annotations

import html
import re

ENTITY = re.compile("&(?:#[0-9]{2,7}|#[xX][0-9a-fA-F]{2,6}|[A-Za-z][A-Za-z0-9]{1,30});")
LINE_TAGS = "br|p|div|li|ul|ol|dl|dt|dd|tr|td|th|table|tbody|thead|h[1-6]|hr|section|article|blockquote|center"
OTHER_TAGS = (
    "a|abbr|b|big|em|font|i|img|input|ins|label|small|span|strike|strong|sub|sup|u|s|video|audio|iframe|embed|object"
    "|o:p|st1:[a-z]{1,20}"
)
TAG = re.compile(f"</?(?:({LINE_TAGS})|{OTHER_TAGS})(?:[ \\t\\n][^<>]{{0,1000}})?/?>", re.IGNORECASE)
SCRIPT = re.compile(
    "<(script|style)(?:[ \\t\\n][^<>]{0,1000})?>[^<]{0,20000}</\\1>|<!--[^<>]{0,2000}-->", re.IGNORECASE
)
ROUNDS = 4
"""Markup within escaped markup goes this deep in real pages (&amp;lt;br&amp;gt;); what is deeper is left alone."""


def plain(text: str) -> str:
    """The text without left-over HTML."""
    result = text
    for _ in range(ROUNDS):
        before = result
        if "&" in result:
            result = ENTITY.sub(_character, result)
        if "<" in result:
            result = TAG.sub(lambda tag: "\n" if tag[1] else "", SCRIPT.sub("", result))
        if result == before:
            return result
    return text


def _character(entity: re.Match[str]) -> str:
    """The character an entity stands for; the entity itself where there is none."""
    character = html.unescape(entity[0])
    return character.replace("\xa0", " ")
