"""Rows of CSV files, by the header's names. A field may hold newlines; a row that cannot be right costs one line."""

from __future__ import annotations

import contextlib
import csv
from collections import deque
from collections.abc import Iterator

from yanmo.text.files.rows import EXCERPT, Broken, Row
from yanmo.text.files.sources import Source
from yanmo.text.step import Drop


def csv_rows(lines: Iterator[tuple[int, str] | Broken], source: Source) -> Iterator[Row | Broken]:
    """Rows of a table with a header; a field may hold newlines.

    A row that cannot be right costs its first line alone, and reading goes on with the next: so a quotation mark
    that is never closed does not swallow the rows behind it.

    Raises: ValueError: two columns have the same name.
    """
    csv.field_size_limit(source.max_row_bytes)
    lines = _Again(lines)
    header: list[str] = []
    delimiter = ","
    for line in lines:
        if isinstance(line, Broken):
            yield line
            continue
        number, text = line
        if not text.strip():
            continue
        if not header:
            delimiter = max(",\t;", key=text.count)
        fields, problem = _record(text, lines, delimiter)
        if problem is None and not header:
            header = [name.strip() for name in fields]
            if doubled := next((name for name in header if header.count(name) > 1), None):
                raise ValueError(f"{source.place(number)}: two columns are called {doubled!r}; rename one")
        elif problem is None and len(fields) == len(header):
            yield Row(number, dict(zip(header, fields, strict=True)))
        else:
            problem = problem or f"{len(fields)} fields, the header has {len(header)}"
            yield Broken(number, Drop("invalid_csv", problem), text[:EXCERPT])


class _Again:
    """An iterator to which items can be given back."""

    def __init__(self, items: Iterator[tuple[int, str] | Broken]):
        self._items = items
        self._given_back: deque[tuple[int, str] | Broken] = deque()

    def __iter__(self) -> _Again:
        return self

    def __next__(self) -> tuple[int, str] | Broken:
        return self._given_back.popleft() if self._given_back else next(self._items)

    def give_back(self, items: list[tuple[int, str] | Broken]) -> None:
        self._given_back.extendleft(reversed(items))


def _record(first: str, following: _Again, delimiter: str) -> tuple[list[str], str | None]:
    """The fields of the record that begins with the line `first`, and what is wrong with it or None.

    It takes further lines where a quoted field holds newlines, and gives them back if nothing comes of it.
    """
    taken: list[tuple[int, str] | Broken] = []

    def feed() -> Iterator[str]:
        yield first + "\n"
        for line in following:
            taken.append(line)
            if isinstance(line, Broken):
                return
            yield line[1] + "\n"

    try:
        return next(csv.reader(feed(), delimiter=delimiter, strict=True)), None
    except csv.Error as error:
        problem = f"{error}"
    following.give_back(taken)
    if first.count('"') % 2 == 0:  # quotation marks within the line that nobody doubled
        with contextlib.suppress(csv.Error):
            return next(csv.reader([first], delimiter=delimiter)), None
    return [], problem
