"""Public document formats: which keys of a row make the text.

A title that the text does not begin with goes in front of it: half the corpora keep it apart, and an
encyclopedia's page without its name teaches little.
"""

from __future__ import annotations

from yanmo.text.conversations import CONVERSATIONS, Message
from yanmo.text.formats import Format, RowKeys, field, joined, objects
from yanmo.text.step import Drop


def body(key: str, *more: str) -> Format[str]:
    """The text under `key`, its `title` in front; `more` keys tell the format from others."""

    def read(row: RowKeys) -> str | Drop:
        text, title = field(row, key), row.get("title")
        if isinstance(text, Drop) or not isinstance(title, str) or text.lstrip().startswith(title.strip()):
            return text
        return joined((title, text))

    return Format((key, *more), read, ("title",))


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


def mnbvc(row: RowKeys) -> str | Drop:
    """MNBVC: a file's paragraphs, each an object with its text under 内容."""
    paragraphs = objects(row, "段落")
    if isinstance(paragraphs, Drop):
        return paragraphs
    return joined(field(paragraph, "内容") for paragraph in paragraphs)


def spoken(conversation: Format[list[Message]]) -> Format[str]:
    """A conversation as a document: what was said, each turn on its own line."""

    def read(row: RowKeys) -> str | Drop:
        messages = conversation.read(row)
        return messages if isinstance(messages, Drop) else joined(message["content"] for message in messages)

    return Format(conversation.keys, read, conversation.also)


DOCUMENTS: dict[str, Format[str]] = {
    "documents": Format(("text", "source", "id"), lambda row: field(row, "text")),  # Yanmo's own
    "baidubaike": Format(("title", "sections"), baidubaike, ("summary",)),
    "mnbvc": Format(("段落",), mnbvc),
    "text": body("text"),  # SkyPile, C4, seq-monkey, medical pretraining
    "wiki-cn": body("completion", "source"),
    **{name: spoken(conversation) for name, conversation in CONVERSATIONS.items()},
    "content": body("content"),  # WuDao, WanJuan, news2016zh
}
"""The most specific format first. Conversations are documents too: questions and answers are good prose."""
