"""A bz2 file made of many streams, read from any of them to any other, in bounded memory.

Wikimedia's multistream dumps put every 100 pages into a stream of their own, pbzip2 every 900 kB. Where a stream begins
can be seen in the compressed bytes, so each process can decompress a part of the file: decompression costs as
much as all the rest of the work. A damaged stream costs itself; reading goes on at the next one.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

BEGIN = re.compile(rb"BZh[1-9]1AY&SY")
"""A stream's first bytes: its header and the mark of its first block (the digits of pi). By chance they stand
anywhere else once in 10^23 bytes."""
BEGIN_BYTES = 10
READ = 1 << 16
AT_ONCE = 1 << 20
"""What is decompressed at a time: 45 bytes of bz2 can hold 45 MB."""


class Piece(NamedTuple):
    data: bytes
    position: int
    """Bytes of the file read so far."""
    beyond: bool = False
    """Whether the range that was asked for ends before it."""
    fault: str | None = None
    """What is wrong with the file here; what follows does not continue what came before."""


def stream_ends(path: Path, step: int) -> Iterator[int]:
    """Where to cut the file so that each part begins with a stream and is `step` bytes long, or a little more."""
    with open(path, "rb") as raw:
        end = _find_stream(raw, step)
        while end is not None:
            yield end
            end = _find_stream(raw, end + step)


def decompressed(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
    """The contents from the stream at `start` on to that at `stop`, and beyond: its last page may end there.

    `start` and `stop`: 0, the file's length, or as `stream_ends` gives them.
    """
    with open(path, "rb") as raw:
        begin = _find_stream(raw, start)
        if begin is None and raw.tell() > 0:
            yield Piece(b"", raw.tell(), fault="not a bz2 file, or broken off in its first bytes")
        while begin is not None:
            beyond = stop is not None and begin >= stop
            try:
                end = begin
                for text, end in _stream(raw, begin):
                    yield Piece(text, end, beyond)
            except (OSError, EOFError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # the disk's trouble, not the data's
                    raise
                yield Piece(b"", raw.tell(), beyond, f"broken .bz2 stream: {error}")
                end = begin + 1
            begin = _find_stream(raw, end)


def _stream(raw: BinaryIO, begin: int) -> Iterator[tuple[bytes, int]]:
    """One stream's contents, each piece with where in the file what follows it begins.

    Raises: OSError, EOFError: the stream is damaged or breaks off.
    """
    raw.seek(begin)
    body = bz2.BZ2Decompressor()
    while not body.eof:
        data = raw.read(READ) if body.needs_input else b""
        if body.needs_input and not data:
            raise EOFError("it breaks off")
        text = body.decompress(data, AT_ONCE)
        yield text, raw.tell() - len(body.unused_data)


def _find_stream(raw: BinaryIO, start: int) -> int | None:
    """Where the next stream begins, at `start` or behind it."""
    raw.seek(start)
    rest = b""
    while chunk := raw.read(READ):
        data = rest + chunk
        if found := BEGIN.search(data):
            return raw.tell() - len(data) + found.start()
        rest = data[-BEGIN_BYTES + 1 :]
    return None
