"""What reading gives: rows, broken rows, and blocks of them; and how to show bytes and values to people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from yanmo.text.files.streams import CHUNK
from yanmo.text.step import Drop

EXCERPT = 1 << 16
"""What is kept of a row that is too long to keep."""


class Row(NamedTuple):
    """A row as parsed: an object, or a str from a .txt file. `number` counts from 1: the line, or the row."""

    number: int
    value: dict[str, Any] | str
    encoding: str | None = None
    """Where a line alone is not in its file's encoding: what it is in."""


class Broken(NamedTuple):
    """A row that cannot be read, with what can be shown of it."""

    number: int
    drop: Drop
    raw: str


@dataclass(frozen=True)
class Block:
    """Neighbouring rows: whole lines still to be parsed, or rows. `position`: bytes of the file read so far."""

    first: int
    data: bytes | list[Row | Broken]
    position: int

    @property
    def size(self) -> int:
        """About how much text it holds: bytes of lines, characters of rows."""
        return len(self.data) if isinstance(self.data, bytes) else sum(map(_size, self.data))


def gather(rows: Iterable[Row | Broken], position: Callable[[int], int]) -> Iterator[Block]:
    """Rows in blocks of about CHUNK characters; `position`: row number -> bytes of the file read by then."""
    block: list[Row | Broken] = []
    size = 0
    for row in rows:
        block.append(row)
        size += _size(row)
        if size >= CHUNK:
            yield Block(block[0].number, block, position(block[-1].number))
            block, size = [], 0
    if block:
        yield Block(block[0].number, block, position(block[-1].number))


def _size(row: Row | Broken) -> int:
    if isinstance(row, Broken):
        return len(row.raw)
    values = [row.value] if isinstance(row.value, str) else row.value.values()
    return sum(len(value) if isinstance(value, str) else 64 for value in values)


def not_an_object(number: int, value: object) -> Broken:
    return Broken(number, Drop("not_an_object", f"a JSON {type(value).__name__}"), dump(value))


def readable(data: bytes) -> str:
    """Bytes for people: what is not UTF-8 as \\x escapes."""
    return data.decode("utf-8", "backslashreplace")


def dump(value: object) -> str:
    """A parsed value as JSON again, whatever it holds; half surrogate pairs stay escapes."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
