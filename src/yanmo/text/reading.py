"""Files in a public format, read row by row: which format it is, and every row with its place.

What documents, conversations and preferences have in common: files are found, their format is recognised by the
first rows, and each row is read or rejected with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from yanmo.text.files.damage import Damage
from yanmo.text.files.readers import block_rows, read_blocks, read_rows
from yanmo.text.files.rows import Broken, Row
from yanmo.text.files.sources import Encoding, Source, find_files, look
from yanmo.text.formats import Format, Formats, RowKeys, check_name, recognise
from yanmo.text.step import Drop

T = TypeVar("T")
LOOKED_AT, LOOKED_FOR = 20, 1000
"""Rows that decide a file's format, and among how many they are looked for if most are broken."""


def find_format(source: Source, formats: Formats[Any]) -> str:
    """The format of a file by its first rows; any one if no row can be read (they are all broken then)."""
    rows = first_rows(source)
    return recognise(rows, str(source.path), formats) if rows else next(iter(formats))


def first_rows(source: Source) -> list[RowKeys]:
    """The rows by which a file is recognised; a line of text counts as an object with "text"."""
    readable = (row.value for row in islice(read_rows(source), LOOKED_FOR) if isinstance(row, Row))
    rows = islice(readable, LOOKED_AT)
    return [row if isinstance(row, dict) else {"text": row} for row in rows]


def read_formatted(
    paths: list[Path], format: str, encoding: Encoding, formats: Formats[T]
) -> Iterator[tuple[str, T | Drop]]:
    """All rows of files and folders in order, as (place, what the format made of it or why it could not).

    Raises: ValueError: a file is missing, its format is unknown, most rows are broken, or there is none.
    """
    named = check_name(format, formats)
    files: list[Damage] = []
    for path, name in find_files(paths):
        source = look(path, name, encoding)
        damage = Damage(source)
        files.append(damage)
        known: Format[T] = formats[named if named != "auto" else find_format(source, formats)]
        for block in read_blocks(source, known.columns):
            for row in block_rows(block, source):
                damage.add(1, [(row.number, row.drop)] if isinstance(row, Broken) else [])
                yield source.place(row.number), _read(row, known)
    Damage.check_all(files)
    if not any(file.rows for file in files):
        raise ValueError(f"{' '.join(map(str, paths))}: no rows; the files are empty")


def _read(row: Row | Broken, known: Format[Any]) -> Any:
    if isinstance(row, Broken):
        return row.drop
    if isinstance(row.value, str):
        return Drop("not_an_object", "a line of text")
    return known.read(row.value)
