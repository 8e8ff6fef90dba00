"""Foreign files as streams of bytes, decompressed in bounded memory; damage is noted instead of raised.

A download that broke off must not cost what came before the break. So `Stream.read` gives all that can be
decompressed, then acts like the end of the file and says in `Stream.fault` what went wrong. (`core.files` is
for files that Yanmo wrote; there, damage is an error.)
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import zstandard

from yanmo.core.files import ZstdReader

CHUNK = 1 << 20
UNREADABLE = "\ufdd0"
"""Stands for a byte that is no character (a Unicode noncharacter, so no text holds it)."""
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class Reads(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Stream:
    """A file being read. `position` counts bytes of the file itself, for progress; `fault` tells of damage.

    `start` and `stop` confine it to those bytes, if the file is not compressed.
    """

    def __init__(self, path: Path, start: int = 0, stop: int | None = None):
        self.fault: str | None = None
        self._raw = open(path, "rb")  # noqa: SIM115 closed in __exit__
        self._raw.seek(start)
        self._stop = stop
        self._body = _decompressed(self._raw, path.suffix)
        self._kind = path.suffix
        self._head = b""

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()

    @property
    def position(self) -> int:
        return self._raw.tell()

    def peek(self, size: int) -> bytes:
        """The first bytes that `read` will give; only before the first `read`."""
        self._head = self.read(size)
        return self._head

    def read(self, size: int = CHUNK) -> bytes:
        """Up to about `size` bytes; b"" at the end of the file or of what can be read of it."""
        if self._head:
            head, self._head = self._head, b""
            return head
        if self._stop is not None:
            size = min(size, self._stop - self._raw.tell())
        parts: list[bytes] = []
        length = 0
        while length < size and self.fault is None:
            try:
                # read1, not read: when the stream breaks, read would lose what it had already gathered.
                part = self._body.read1(size - length)
            except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
                self.fault = f"broken {self._kind} stream: {error}"
                break
            except OSError as error:
                if error.errno is not None:  # the disk's trouble, not the data's
                    raise
                self.fault = f"broken {self._kind} stream: {error}"
                break
            if not part:
                break
            parts.append(part)
            length += len(part)
        return b"".join(parts)


def _decompressed(raw: BinaryIO, suffix: str) -> Reads:
    match suffix:
        case ".gz":
            return gzip.GzipFile(fileobj=raw)
        case ".bz2":
            return bz2.BZ2File(raw)
        case ".xz":
            return lzma.LZMAFile(raw)
        case ".zst":
            return ZstdReader(raw)
    return raw  # type: ignore[return-value]  # BinaryIO lacks read1, what open() returns has it


class Utf8Stream:
    """A Stream as valid UTF-8, for parsers that give up at the first invalid byte: those become UNREADABLE.

    The parser's user calls `next_value` for every value that it is given. More than `limit` bytes without one are
    one huge value, which the parser would hold in memory; it ends the stream with a fault.
    """

    def __init__(self, stream: Stream, encoding: str, limit: int):
        self.marked = self.too_long = False
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._limit = limit
        self._since = 0

    def next_value(self) -> None:
        self._since = 0

    def read(self, size: int = CHUNK) -> bytes:
        if not size:  # ijson asks for nothing to learn whether it gets bytes
            return b""
        while True:
            data = self._stream.read(size)
            self._since += len(data)
            if self._since > self._limit + CHUNK:
                self.too_long = True
                self._stream.fault = f"longer than {self._limit:,} bytes"
                return b""
            text = self._decoder.decode(data, final=not data)
            if text or not data:
                return self._encode(text)

    def _encode(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.marked = True
            return ESCAPED_BYTE.sub(UNREADABLE, text).encode()
