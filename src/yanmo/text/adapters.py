"""Public document formats: which keys of a row make the text.

A title that the text does not begin with goes in front of it: half the corpora keep it apart, and an
encyclopedia's page without its name teaches little.
"""

from __future__ import annotations

from typing import Any

from yanmo.text.conversations import CONVERSATIONS, Message
from yanmo.text.formats import Format, Formats, RowKeys, field, joined, objects
from yanmo.text.preferences import PREFERENCES, Preference
from yanmo.text.step import Drop
from yanmo.text.wiki.article import article


def body(key: str, *more: str, title: str = "title", **about: Any) -> Format[str]:
    """The text under `key`, its title in front; `more` keys tell the format from others."""

    def read(row: RowKeys) -> str | Drop:
        text, name = field(row, key), row.get(title)
        if isinstance(text, Drop) or not isinstance(name, str) or text.lstrip().startswith(name.strip()):
            return text
        return joined((name, text))

    return Format((key, *more), read, (title,), **about)


def baidubaike(row: RowKeys) -> str | Drop:
    """BaiduBaike 5.63M: title, summary (null in two thirds of the rows) and all sections."""
    sections = objects(row, "sections")
    if isinstance(sections, Drop):
        return sections
    parts = [field(row, "title")]
    if "summary" in row:
        parts.append(field(row, "summary"))
    for section in sections:
        parts += [field(section, "title"), field(section, "content")]
    return joined(parts)


def listed(key: str, *text_keys: str, before: tuple[str, ...] = (), **about: Any) -> Format[str]:
    """Objects under `key`, each with its text under the first of `text_keys` that holds any; MNBVC has three such."""

    def read(row: RowKeys) -> str | Drop:
        items = objects(row, key)
        if isinstance(items, Drop):
            return items
        return joined((*(field(row, first) for first in before), *(_first_text(item, text_keys) for item in items)))

    def looks(row: RowKeys) -> bool:
        items = row[key]
        return isinstance(items, list) and all(
            isinstance(item, dict) and any(name in item for name in text_keys) for item in items
        )

    return Format((*before, key), read, looks=looks, **about)


def _first_text(item: dict[str, Any], keys: tuple[str, ...]) -> str | Drop:
    present = [key for key in keys if key in item]
    texts = [field(item, key) for key in present or keys[:1]]
    return next((text for text in texts if isinstance(text, Drop) or text.strip()), "")


def wiki_page(row: RowKeys) -> str | Drop:
    """A page of a wiki dump; rows of other files may be given the name of the format and hold anything."""
    for part in (field(row, key) for key in ("title", "namespace", "wikitext")):
        if isinstance(part, Drop):
            return part
    return article({"redirect": None, **row, "title": row["title"] or "", "wikitext": row["wikitext"] or ""})


def spoken(conversation: Format[list[Message]]) -> Format[str]:
    """A conversation as a document: what was said, each turn on its own line.

    Without the system message: it is said to the machine, and in MOSS the same page of English in every row.
    """

    def read(row: RowKeys) -> str | Drop:
        messages = conversation.read(row)
        if isinstance(messages, Drop):
            return messages
        return joined(message["content"] for message in messages if message["role"] != "system")

    return Format(conversation.keys, read, conversation.also, conversation.looks, conversation.corpora)


def preferred(preference: Format[list[Preference]]) -> Format[str]:
    """A comparison as a document: the question and the best answer."""

    def read(row: RowKeys) -> str | Drop:
        pairs = preference.read(row)
        if isinstance(pairs, Drop):
            return pairs
        said = [message["content"] for message in pairs[0].messages if message["role"] != "system"]
        return joined((*said, pairs[0].chosen))

    return Format(preference.keys, read, preference.also, preference.looks, preference.corpora)


DOCUMENTS: Formats[str] = Formats(
    {
        "documents": Format(("text", "source", "id"), lambda row: field(row, "text")),  # Yanmo's own
        "baidubaike": Format(("title", "sections"), baidubaike, ("summary",), corpora=("baidubaike-5.63m", "563w")),
        "mnbvc": listed("段落", "内容"),
        "mnbvc-parallel": listed(
            "段落", "zh_text", "cht_text"
        ),  # the Chinese side; the others are other languages' documents
        "mnbvc-forum": listed("回复", "回复", before=("主题",)),
        "mnbvc-code": body("text", "仓库名"),
        "text": body(
            "text", corpora=("skypile", "c4", "c4-zh", "seq-monkey", "shibing624-medical-pretrain", "wanjuan-webtext")
        ),
        "wiki": Format(("pageid", "title", "namespace", "redirect", "wikitext"), wiki_page, corpora=("zhwiki",)),
        "wiki-cn": body("completion", "source", corpora=("wikipedia-cn", "wikipedia-cn-20230720-filtered")),
        **{name: preferred(preference) for name, preference in PREFERENCES.items()},
        **{name: spoken(conversation) for name, conversation in CONVERSATIONS.items()},
        "content": body("content", corpora=("wudao", "wanjuan", "news2016zh")),
    },
    needs=("text",),
    may=("title",),
    make=lambda text, title="title": body(text, title=title),
)
"""The most specific format first. Conversations are documents too: questions and answers are good prose."""
