"""Cleaning a block of rows: parse, adapt, run the document steps, hash; pure functions, for any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.fold import folded_hash
from yanmo.text.readers import Block, Broken, Row, block_rows, dump
from yanmo.text.rules import Rules, document_steps
from yanmo.text.sources import Source
from yanmo.text.step import Drop, Step, run_steps


class Document(NamedTuple):
    text: str
    source: str
    id: str
    number: int
    """Its row in the file."""
    characters: int
    """Characters before cleaning."""


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
    """A block's rows after cleaning, in order: documents with their hashes, and what was removed."""

    source: int
    """Number of the source among all."""
    position: int
    """Bytes of it read so far."""
    rows: int = 0
    documents: list[Document] = field(default_factory=list)
    hashes: bytes = b""
    removed: list[Removed] = field(default_factory=list)


def clean_block(index: int, block: Block, source: Source, format: str, rules: Rules) -> Cleaned:
    """Parse, adapt and clean a block's rows; `index` is the source's number, to find it again."""
    result = Cleaned(index, block.position)
    steps = document_steps(rules)
    hashes = []
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
            hashes.append(folded_hash(document.text))
    result.hashes = b"".join(hashes)
    return result


def clean_row(row: Row, source: Source, format: str, steps: tuple[Step, ...]) -> Document | Removed:
    raw = row.value if isinstance(row.value, str) else DOCUMENTS[format].read(row.value)
    if isinstance(raw, Drop):
        return Removed(raw, dump(row.value), row.number, 0, broken=True)
    text = run_steps(raw, steps)
    if isinstance(text, Drop):
        # A lone surrogate cannot be written; as an escape it can, and be read.
        shown = raw.encode("utf-8", "backslashreplace").decode()
        return Removed(text, shown, row.number, len(raw), broken=False)
    name, identity = source.name, f"{source.name}:{row.number}"
    if format == "documents" and isinstance(row.value, dict):  # cleaned before: it keeps its name
        name, identity = str(row.value.get("source", name)), str(row.value.get("id", identity))
    return Document(text, name, identity, row.number, len(raw))
