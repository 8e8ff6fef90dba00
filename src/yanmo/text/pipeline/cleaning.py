"""Cleaning a block of rows: parse, adapt, run the document steps; pure functions, for any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.files.readers import block_rows
from yanmo.text.files.rows import Block, Broken, Row, dump
from yanmo.text.files.sources import Source
from yanmo.text.step import Check, Drop, Step, run_steps
from yanmo.text.wiki.article import NOT_ARTICLES


class Document(NamedTuple):
    text: str
    number: int
    """Its row in the file."""
    characters: int
    """Characters before cleaning."""
    name: tuple[str, str] | None
    """The source and id that it has from before: it was cleaned before, or is a page of a wiki."""


class Removed(NamedTuple):
    drop: Drop
    text: str
    """The document, or what could be read of a broken row."""
    number: int
    characters: int
    broken: bool
    """Whether the row could not be read, as opposed to not being wanted."""


@dataclass
class Cleaned:
    """A block's rows after cleaning, in order."""

    rows: int = 0
    documents: list[Document] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)


def clean_block(
    block: Block, source: Source, format: str, steps: tuple[Step, ...], check: Check | None = None
) -> Cleaned:
    """Parse, adapt and clean a block's rows."""
    result = Cleaned()
    for row in block_rows(block, source):
        result.rows += 1
        if isinstance(row, Broken):
            result.removed.append(Removed(row.drop, row.raw, row.number, 0, broken=True))
            continue
        document = clean_row(row, source, format, steps)
        if isinstance(document, Removed):
            result.removed.append(document)
        else:
            result.documents.append(document)
    if check is not None:
        take_out(result, check)
    return result


def take_out(cleaned: Cleaned, check: Check) -> None:
    """Move the documents that `check` objects to among the removed rows."""
    documents, cleaned.documents = cleaned.documents, []
    for document, drop in zip(documents, check([document.text for document in documents]), strict=True):
        if drop is None:
            cleaned.documents.append(document)
        else:
            cleaned.removed.append(Removed(drop, document.text, document.number, document.characters, broken=False))
    cleaned.removed.sort(key=lambda row: row.number)


def clean_row(row: Row, source: Source, format: str, steps: tuple[Step, ...]) -> Document | Removed:
    raw = row.value if isinstance(row.value, str) else DOCUMENTS[format].read(row.value)
    if isinstance(raw, Drop):
        return Removed(raw, dump(row.value), row.number, 0, broken=raw.reason not in NOT_ARTICLES)
    text = run_steps(raw, steps)
    if isinstance(text, Drop):
        # A lone surrogate cannot be written; as an escape it can, and be read.
        shown = raw.encode("utf-8", "backslashreplace").decode()
        return Removed(text, shown, row.number, len(raw), broken=False)
    name = None
    if format == "documents" and isinstance(row.value, dict) and {"source", "id"} <= row.value.keys():
        name = str(row.value["source"]), str(row.value["id"])
    elif format == "wiki" and isinstance(row.value, dict):  # a page keeps its id whatever dump it comes in
        name = source.name, f"{source.name}:{row.value['pageid']}"
    return Document(text, row.number, len(raw), name)
