"""A file's rows, each with its number: JSON lines and arrays, CSV, text, Parquet, wiki dumps, plain or compressed.

A broken row is an item of its own, `Broken`, with number, reason and what could be read of it; nothing is
skipped silently and nothing stops the stream. Reading goes in blocks of about 1 MB: a block of lines is just
bytes, so that another process can do the parsing (`block_rows`), and memory is bounded whatever the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from yanmo.text.files.arrays import json_items
from yanmo.text.files.lines import decoded_lines, line_blocks, parse_object, parse_text, texts
from yanmo.text.files.parquet import parquet_blocks
from yanmo.text.files.rows import Block, Broken, Row, gather
from yanmo.text.files.sources import Source
from yanmo.text.files.streams import Stream
from yanmo.text.files.tables import csv_rows
from yanmo.text.wiki.dump import page_blocks, page_rows


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
        yield from parquet_blocks(source, columns, start, stop)
        return
    if source.layout == "wiki":
        yield from page_blocks(source, start, stop)
        return
    with Stream(source.path, start, stop) as stream:

        def position(_: int) -> int:
            return stream.position

        match source.layout:
            case "jsonl":
                yield from line_blocks(stream, source)
            case "txt" if source.txt_documents == "line":
                yield from line_blocks(stream, source)
            case "txt":
                yield from gather(texts(decoded_lines(stream, source), source), position)
            case "csv":
                yield from gather(csv_rows(decoded_lines(stream, source), source), position)
            case "array" | "objects":
                yield from gather(json_items(stream, source), position)


def block_rows(block: Block, source: Source) -> Iterator[Row | Broken]:
    """The rows of a block; the costly half, which any process may do."""
    if isinstance(block.data, list):
        yield from block.data
        return
    if source.layout == "wiki":
        yield from page_rows(block.data, block.first, source)
        return
    parse = parse_object if source.layout == "jsonl" else parse_text
    for number, line in enumerate(block.data.split(b"\n"), block.first):
        if line.strip():
            yield parse(number, line, source)
