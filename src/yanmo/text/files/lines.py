"""Rows of files of lines: JSON lines, and text a document a line, a paragraph or a file.

Blocks are bytes of whole lines, so that reading is cheap and any process can do the parsing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import orjson

from yanmo.text.files.rows import EXCERPT, Block, Broken, Row, not_an_object, readable
from yanmo.text.files.sources import Source, looks_like_gb18030, other_encoding
from yanmo.text.files.streams import CHUNK, Stream
from yanmo.text.step import Drop

BOM = b"\xef\xbb\xbf"
PIECE_CHARACTERS = 32_768
"""A .txt file that is one text is cut at a line's end before this length: as long as any context that Yanmo
trains, and short enough that one book gives a training and a validation part and is not judged as a whole."""


def line_blocks(stream: Stream, source: Source) -> Iterator[Block]:
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


def decoded_lines(stream: Stream, source: Source) -> Iterator[tuple[int, str] | Broken]:
    """Decoded lines without their end; blank ones too, they may mean something."""
    for block in line_blocks(stream, source):
        if isinstance(block.data, list):
            yield from (row for row in block.data if isinstance(row, Broken))
            continue
        for number, line in enumerate(block.data.split(b"\n"), block.first):
            decoded = decode(number, line, source)
            yield decoded if isinstance(decoded, Broken) else (number, decoded[0])


def decode(number: int, line: bytes, source: Source) -> tuple[str, str | None] | Broken:
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


def parse_text(number: int, line: bytes, source: Source) -> Row | Broken:
    decoded = decode(number, line, source)
    return decoded if isinstance(decoded, Broken) else Row(number, *decoded)


def parse_object(number: int, line: bytes, source: Source) -> Row | Broken:
    if len(line) > source.max_row_bytes:
        return _too_long(number, line, source)
    if source.encoding == "utf-8":
        try:
            value = orjson.loads(line.removeprefix(BOM))
            return Row(number, value) if isinstance(value, dict) else not_an_object(number, value)
        except orjson.JSONDecodeError:
            pass  # the slow path finds out why
    decoded = decode(number, line, source)
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
    return Row(number, value, encoding) if isinstance(value, dict) else not_an_object(number, value)


def _too_long(number: int, line: bytes, source: Source) -> Broken:
    drop = Drop("row_too_long", f"longer than {source.max_row_bytes:,} bytes")
    return Broken(number, drop, readable(line[:EXCERPT]))


def texts(lines: Iterable[tuple[int, str] | Broken], source: Source) -> Iterator[Row | Broken]:
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
