"""How inputs are cut into spans and pieces: what one process cleans at a time, and what a kill costs.

A span is a range of lines of a plain file, some row groups of a Parquet file, some pages of a wiki dump, several small
files, or one large file that can only be read from its start (compressed, CSV, a JSON array). Reading a span gives
pieces of bounded size, nearly always one; the file that cannot be entered in the middle gives many. Both cuts follow
from the inputs and one size alone, never from the number of processes, so the output cannot depend on it either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.files.readers import read_blocks
from yanmo.text.files.rows import Block
from yanmo.text.files.sources import COMPRESSIONS, Source
from yanmo.text.files.streams import CHUNK
from yanmo.text.wiki.dump import page_ends

COMPRESSED = 4
"""Compressed text is taken to be this many times as long: zstd, gzip and bzip2 reach 2 to 4 on Chinese."""


class Range(NamedTuple):
    """Part of a source: bytes of a plain file from a line's end to another, bytes of a wiki dump (`dump.page_ends`),
    or row groups; None is the end."""

    source: int
    start: int = 0
    stop: int | None = None


class Span(NamedTuple):
    ranges: list[Range]
    size: int
    """Bytes of the files, for progress."""
    streamed: bool
    """Whether it is one large file that can only be read from its start."""


class Piece(NamedTuple):
    """The rows of one shard."""

    span: int
    number: int
    blocks: list[tuple[int, Block]]
    """Each with its source."""
    size: int
    """Bytes of the files read for it."""
    last: bool
    """Whether the span ends with it."""

    @property
    def name(self) -> str:
        return piece_name(self.span, self.number)


def piece_name(span: int, number: int) -> str:
    """Sorts in the order of the inputs."""
    return f"{span:06}-{number:05}"


def plan_spans(sources: Sequence[Source], size: int) -> list[Span]:
    """All sources in spans of about `size` bytes of text, in order."""
    spans: list[Span] = []
    small: list[Range] = []
    weight = length = 0

    def close() -> None:
        nonlocal weight, length
        if small:
            spans.append(Span(small.copy(), length, streamed=False))
            small.clear()
        weight = length = 0

    for index, source in enumerate(sources):
        bytes_of_file = source.path.stat().st_size
        own = bytes_of_file * (COMPRESSED if source.path.suffix in COMPRESSIONS else 1)
        if weight + own > size:
            close()
        if own > size:
            spans += _cut(index, source, bytes_of_file, size)
        else:
            small.append(Range(index))
            weight, length = weight + own, length + bytes_of_file
    close()
    return spans


def _cut(index: int, source: Source, length: int, size: int) -> Iterator[Span]:
    """A large file in spans."""
    ends: list[int] | None
    if source.layout == "wiki":
        ratio = COMPRESSED if source.path.suffix in COMPRESSIONS else 1
        ends = [*page_ends(source, (size - size // 8) // ratio), length]
        ends = ends if len(ends) > 1 else None
    elif source.path.suffix in COMPRESSIONS:
        ends = None
    elif source.layout == "parquet":
        ends = _row_group_ends(source.path, size)
    elif source.layout == "jsonl" or (source.layout == "txt" and source.txt_documents == "line"):
        # A little short of `size`, so that the rest of the last line does not make a second piece.
        ends = [*_line_ends(source.path, length, size - size // 8), length]
    else:
        ends = None
    if ends is None:
        yield Span([Range(index)], length, streamed=True)
        return
    start = 0
    for stop in ends:
        share = length // len(ends) if source.layout == "parquet" else stop - start
        yield Span([Range(index, start, stop)], share, streamed=False)
        start = stop


def _line_ends(path: Path, length: int, step: int) -> Iterator[int]:
    """Ends of lines, each the first one at least `step` bytes after the one before; the file's end is not given."""
    with open(path, "rb") as stream:
        end = 0
        while (end := end + step) < length:
            stream.seek(end)
            while chunk := stream.read(CHUNK):
                newline = chunk.find(b"\n")
                if newline >= 0:
                    end += newline + 1
                    break
                end += len(chunk)
            if end >= length:
                return
            yield end


def _row_group_ends(path: Path, size: int) -> list[int] | None:
    """Row groups after which to cut; None if the file cannot be opened: reading it will tell why."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    ends, gathered = [], 0
    for group, bytes_of_group in enumerate(sizes, 1):
        gathered += bytes_of_group
        if gathered >= size - size // 8 or group == len(sizes):
            ends.append(group)
            gathered = 0
    return ends or None


def read_pieces(
    number: int, span: Span, sources: Sequence[Source], formats: Sequence[str], size: int
) -> Iterator[Piece]:
    """Read a span, cut whenever `size` bytes have come; at least one piece, even if there are no rows."""
    blocks: list[tuple[int, Block]] = []
    gathered = count = told = 0
    for source, block in _read(span, sources, formats):
        if gathered >= size:
            position = blocks[-1][1].position if span.streamed else 0
            yield Piece(number, count, blocks, position - told, last=False)
            blocks, gathered, count, told = [], 0, count + 1, position
        blocks.append((source, block))
        gathered += block.size
    yield Piece(number, count, blocks, span.size - told, last=True)


def _read(span: Span, sources: Sequence[Source], formats: Sequence[str]) -> Iterator[tuple[int, Block]]:
    for index, start, stop in span.ranges:
        for block in read_blocks(sources[index], DOCUMENTS[formats[index]].columns, start, stop):
            yield index, block
