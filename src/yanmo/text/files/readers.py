"""A file's rows, each with its number: JSON lines and arrays, CSV, text, Parquet, plain or compressed.

A broken row is an item of its own, `Broken`, with number, reason and what could be read of it; nothing is
skipped silently and nothing stops the stream. Reading goes in blocks of about 1 MB: a block of lines is just
bytes, so that another process can do the parsing (`block_rows`), and memory is bounded whatever the file.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from yanmo.text.files.sources import Source, looks_like_gb18030, other_encoding
from yanmo.text.files.streams import CHUNK, UNREADABLE, Stream, Utf8Stream
from yanmo.text.step import Drop

BOM = b"\xef\xbb\xbf"
EXCERPT = 1 << 16
"""What is kept of a row that is too long to keep."""
PIECE_CHARACTERS = 32_768
"""A .txt file that is one text is cut at a line's end before this length: as long as any context that Yanmo
trains, and short enough that one book gives a training and a validation part and is not judged as a whole."""
PARQUET_BATCH = 128


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


def read_rows(source: Source, columns: Collection[str] | None = None) -> Iterator[Row | Broken]:
    """All rows of a file in order. `columns`: which of a Parquet file's columns are needed; None for all."""
    for block in read_blocks(source, columns):
        yield from block_rows(block, source)


def read_blocks(
    source: Source, columns: Collection[str] | None = None, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """The file in blocks, in order; the cheap half of reading.

    `start` and `stop` confine it to those bytes of a plain file of lines (which are then numbered from 1), or to
    those row groups of a Parquet file (whose rows keep their numbers). Wiki dumps: see `wiki.dump.page_ends`.
    """
    if source.layout == "parquet":
        yield from _parquet_blocks(source, columns, start, stop)
        return
    if source.layout == "wiki":
        yield from _dump().page_blocks(source, start, stop)
        return
    with Stream(source.path, start, stop) as stream:

        def position(_: int) -> int:
            return stream.position

        match source.layout:
            case "jsonl":
                yield from _line_blocks(stream, source)
            case "txt" if source.txt_documents == "line":
                yield from _line_blocks(stream, source)
            case "txt":
                yield from _gather(_texts(_lines(stream, source), source), position)
            case "csv":
                yield from _gather(_csv_rows(_lines(stream, source), source), position)
            case "array" | "objects":
                yield from _gather(_json_items(stream, source), position)


def block_rows(block: Block, source: Source) -> Iterator[Row | Broken]:
    """The rows of a block; the costly half, which any process may do."""
    if isinstance(block.data, list):
        yield from block.data
        return
    if source.layout == "wiki":
        yield from _dump().page_rows(block.data, block.first, source)
        return
    parse = _parse_object if source.layout == "jsonl" else _parse_text
    for number, line in enumerate(block.data.split(b"\n"), block.first):
        if line.strip():
            yield parse(number, line, source)


def _dump() -> Any:
    """The reader of wiki dumps; it makes rows and blocks, so it imports this file."""
    from yanmo.text.wiki import dump

    return dump


def _gather(rows: Iterable[Row | Broken], position: Callable[[int], int]) -> Iterator[Block]:
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


# Lines


def _line_blocks(stream: Stream, source: Source) -> Iterator[Block]:
    """Blocks of whole lines. A line beyond the limit is skipped without ever being held."""
    number, rest, skipping = 1, b"", False
    while chunk := stream.read(CHUNK):
        if skipping:
            _, newline, chunk = chunk.partition(b"\n")
            if not newline:
                continue
            number, skipping = number + 1, False
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield Block(number, whole, stream.position)
            number += whole.count(b"\n") + 1
        if len(rest) > source.max_row_bytes:
            yield Block(number, [_too_long(number, rest, source)], stream.position)
            rest, skipping = b"", True
    if stream.fault:
        yield Block(number, [Broken(number, Drop("truncated", stream.fault), readable(rest))], stream.position)
    elif rest.strip():
        yield Block(number, rest, stream.position)


def _lines(stream: Stream, source: Source) -> Iterator[tuple[int, str] | Broken]:
    """Decoded lines without their end; blank ones too, they may mean something."""
    for block in _line_blocks(stream, source):
        if isinstance(block.data, list):
            yield from (row for row in block.data if isinstance(row, Broken))
            continue
        for number, line in enumerate(block.data.split(b"\n"), block.first):
            decoded = _decode(number, line, source)
            yield decoded if isinstance(decoded, Broken) else (number, decoded[0])


def _decode(number: int, line: bytes, source: Source) -> tuple[str, str | None] | Broken:
    """A line's text, and its encoding if that is not the file's."""
    if len(line) > source.max_row_bytes:
        return _too_long(number, line, source)
    line = line.removeprefix(BOM).removesuffix(b"\r")
    try:
        text = line.decode(source.encoding)
        # GB18030 takes nearly any bytes; a line of UTF-8 in it would come out as other characters.
        if source.encoding == "utf-8" or line.isascii() or (other := other_encoding(line, source.encoding)) is None:
            return text, None
        return line.decode(other), other
    except UnicodeDecodeError as error:
        if other := other_encoding(line, source.encoding):
            return line.decode(other), other
        hint = "; looks like GB18030" if source.encoding == "utf-8" and looks_like_gb18030(line) else ""
        detail = f"not {source.encoding.upper()} from byte {error.start}{hint}"
        return Broken(number, Drop("invalid_encoding", detail), readable(line))


def _parse_text(number: int, line: bytes, source: Source) -> Row | Broken:
    decoded = _decode(number, line, source)
    return decoded if isinstance(decoded, Broken) else Row(number, *decoded)


def _parse_object(number: int, line: bytes, source: Source) -> Row | Broken:
    if len(line) > source.max_row_bytes:
        return _too_long(number, line, source)
    if source.encoding == "utf-8":
        try:
            value = orjson.loads(line.removeprefix(BOM))
            return Row(number, value) if isinstance(value, dict) else _not_an_object(number, value)
        except orjson.JSONDecodeError:
            pass  # the slow path finds out why
    decoded = _decode(number, line, source)
    if isinstance(decoded, Broken):
        return decoded
    text, encoding = decoded
    try:
        # Python's parser also takes NaN and half surrogate pairs, which its own `dumps` writes.
        value = json.loads(text)
    except RecursionError:
        return Broken(number, Drop("invalid_json", "nested too deeply"), text[:EXCERPT])
    except ValueError as error:
        return Broken(number, Drop("invalid_json", str(error)), text)
    return Row(number, value, encoding) if isinstance(value, dict) else _not_an_object(number, value)


def _too_long(number: int, line: bytes, source: Source) -> Broken:
    drop = Drop("row_too_long", f"longer than {source.max_row_bytes:,} bytes")
    return Broken(number, drop, readable(line[:EXCERPT]))


def _not_an_object(number: int, value: object) -> Broken:
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


# Text files


def _texts(lines: Iterable[tuple[int, str] | Broken], source: Source) -> Iterator[Row | Broken]:
    """Documents of a .txt file: blocks between blank lines, or the whole file in pieces cut at a line's end."""
    by_blank_line = source.txt_documents == "paragraph"
    longest = source.max_row_bytes if by_blank_line else PIECE_CHARACTERS
    gathered: list[str] = []
    first, size = 1, 0
    for line in lines:
        if isinstance(line, Broken):
            yield line
            continue
        number, text = line
        blank = not text.strip()
        if gathered and ((blank and by_blank_line) or size + len(text) > longest):
            yield Row(first, "\n".join(gathered))
            gathered, size = [], 0
        if blank and not gathered:
            continue
        if not gathered:
            first = number
        gathered.append(text)
        size += len(text) + 1
    if gathered:
        yield Row(first, "\n".join(gathered))


# CSV


def _csv_rows(lines: Iterator[tuple[int, str] | Broken], source: Source) -> Iterator[Row | Broken]:
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


# JSON arrays and objects


def _json_items(stream: Stream, source: Source) -> Iterator[Row | Broken]:
    """Elements of a JSON array, or pretty-printed objects one after the other, without holding the file.

    What follows a syntax error cannot be told apart any more: the rest of the file is one Broken.
    (ijson turns half a surrogate pair into "?"; only JSON lines can report it.)
    """
    import ijson

    encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding
    text = Utf8Stream(stream, encoding, source.max_row_bytes)
    prefix = source.items if source.layout == "array" else ""
    items = ijson.items(text, prefix, multiple_values=source.layout == "objects")
    number = 0
    while True:
        number += 1
        try:
            value = next(items)
        except StopIteration:
            break
        except ijson.JSONError as error:
            why = stream.fault or " ".join(f"{error}".split())[:200]
            reason = "truncated" if stream.fault or "premature EOF" in why else "invalid_json"
            reason = "row_too_long" if text.too_long else reason
            yield Broken(number, Drop(reason, f"nothing after this can be read: {why}"), "")
            return
        text.next_value()
        if not isinstance(value, dict):
            yield _not_an_object(number, value)
        elif text.marked and UNREADABLE in dump(value):
            yield Broken(number, Drop("invalid_encoding", f"not {source.encoding.upper()}"), dump(value))
        else:
            yield Row(number, value)
    if stream.fault:
        yield Broken(number, Drop("truncated", stream.fault), "")


# Parquet


def _parquet_blocks(source: Source, columns: Collection[str] | None, start: int, stop: int | None) -> Iterator[Block]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source.path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        detail = "compressed once more; decompress it" if source.path.suffix != ".parquet" else f"{error}"
        yield Block(1, [Broken(1, Drop("invalid_parquet", detail), "")], 0)
        return
    with file:
        share = source.path.stat().st_size / max(file.metadata.num_rows, 1)
        groups = range(file.num_row_groups)[start:stop]
        yield from _gather(_parquet_rows(file, columns, groups), lambda number: int(share * number))


def _parquet_rows(file: Any, columns: Collection[str] | None, groups: range) -> Iterator[Row | Broken]:
    """Rows of a Parquet file, a row group after the other. A group that is damaged costs its own rows."""
    import pyarrow as pa

    names = [name for name in file.schema_arrow.names if columns is None or name in columns]
    number = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    for group in groups:
        last = number + file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(PARQUET_BATCH, row_groups=[group], columns=names or None):
                for row in _batch_rows(batch, number + 1):
                    yield row
                    number = row.number
        except (pa.ArrowException, OSError) as error:
            drop = Drop("invalid_parquet", f"row group {group}: {error}")
            yield from (Broken(lost, drop, "") for lost in range(number + 1, last + 1))
            number = last


def _batch_rows(batch: Any, first: int) -> Iterator[Row | Broken]:
    try:
        yield from (Row(number, value) for number, value in enumerate(batch.to_pylist(), first))
    except UnicodeDecodeError:  # a string column may hold any bytes; find the rows that do
        for index in range(batch.num_rows):
            try:
                yield Row(first + index, batch.slice(index, 1).to_pylist()[0])
            except UnicodeDecodeError as error:
                yield Broken(first + index, Drop("invalid_encoding", f"{error}"), readable(error.object))


# Damage


@dataclass
class Damage:
    """Counts a file's broken rows, and stops the work when most are broken: that is a mistake, not damage.

    Decided as soon as `ENOUGH` rows are broken and they are the majority; for all files by `check_all`.
    """

    ENOUGH = 100

    source: Source
    rows: int = 0
    broken: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, rows: int, broken: Iterable[tuple[int, Drop]]) -> None:
        """Raises: ValueError: most of the file is broken."""
        self.rows += rows
        for number, drop in broken:
            self.broken += 1
            self.reasons[drop.reason] += 1
            if len(self.first) < 5:
                self.first.append(f"{self.source.place(number)} ({drop.reason}: {drop.detail})")
        if self.broken >= self.ENOUGH and self.broken * 2 > self.rows:
            raise ValueError(self.complaint())

    def complaint(self) -> str:
        gb18030 = any("GB18030" in place for place in self.first)
        hint = "; try --encoding gb18030" if gb18030 else "; correct the file or leave it out"
        return f"{self.broken:,} of the first {self.rows:,} rows are broken: {', '.join(self.first[:3])}{hint}"

    @staticmethod
    def check_all(files: Collection[Damage]) -> None:
        """Raises: ValueError: most rows of all files together are broken."""
        if sum(file.broken for file in files) * 2 > sum(file.rows for file in files):
            raise ValueError(max(files, key=lambda file: file.broken).complaint())
