"""Files that are either whole or absent: atomic writes, compressed streams, JSON lines, fingerprints.

Every file of an output directory is written under a temporary name, flushed to the disk and renamed,
so a reader (or a rerun after `kill -9`) never meets half a file.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import orjson
import xxhash
import zstandard

CHUNK = 1 << 20
ZSTD_INPUT = 2048
"""Compressed bytes a step: a zstd block of 4 bytes may hold 128 kB, so a bomb gets 64 MB of memory, no more."""


def fsync_directory(path: Path) -> None:
    """Make the names inside `path` durable; a rename alone may be lost with the power."""
    if os.name == "nt":  # Windows cannot open a directory, and its renames are journalled
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour of `path` for writing; it takes the name only if the block succeeds."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def atomic_write(path: Path, data: str | bytes) -> None:
    with atomic_open(path) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    atomic_write(path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n")


def read_json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None


def open_binary(path: Path) -> BinaryIO:
    """Open `path` for streaming; .gz, .bz2, .zst and .xz are decompressed on the way."""
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        case ".bz2":
            return cast(BinaryIO, bz2.open(path, "rb"))
        case ".xz":
            return cast(BinaryIO, lzma.open(path, "rb"))
        case ".zst":
            return cast(BinaryIO, ZstdReader(open(path, "rb")))
    return open(path, "rb")


class ZstdReader(io.RawIOBase):
    """Decompresses one frame after another, as `cat a.zst b.zst` makes them.

    zstandard's own reader takes a cut stream for a complete one; this one raises EOFError.
    """

    def __init__(self, raw: BinaryIO):
        super().__init__()
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._between_frames = True
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._raw.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer only at the end; all that is left if `size` is negative."""
        parts, left = [], size if size >= 0 else sys.maxsize
        while left and (part := self.read1(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def read1(self, size: int) -> bytes:
        while not self._output:
            self._input = self._input or self._raw.read(ZSTD_INPUT)
            if not self._input:
                if self._between_frames:
                    return b""
                raise EOFError("the file ends inside a frame")
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._output = memoryview(self._frame.decompress(self._input))
            self._between_frames = self._frame.eof
            self._input = self._frame.unused_data if self._frame.eof else b""
        part, self._output = self._output[:size], self._output[size:]
        return bytes(part)


class JsonlWriter:
    """One JSON object a line; compressed with zstd when the name ends in .zst."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.rows = 0

    def write(self, row: dict[str, Any]) -> None:
        self._stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.rows += 1


@contextlib.contextmanager
def write_jsonl(path: Path, level: int = 3) -> Iterator[JsonlWriter]:
    """Write JSON lines atomically: the file appears, whole, when the block ends without an error."""
    with atomic_open(path) as raw:
        if path.suffix == ".zst":
            with zstandard.ZstdCompressor(level).stream_writer(raw, closefd=False) as stream:
                yield JsonlWriter(cast(IO[bytes], stream))
        else:
            yield JsonlWriter(raw)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON lines file that Yanmo itself wrote. Foreign files go through `yanmo.text.files.readers`."""
    number = 0
    try:
        with open_binary(path) as stream:
            for number, line in enumerate(iter_lines(stream), 1):  # noqa: B007 the errors below name it
                yield orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}:{number}: not valid JSON ({error})") from None
    except (EOFError, zstandard.ZstdError) as error:
        raise ValueError(f"{path}: damaged after line {number} ({error}); make it again") from None


def iter_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines without their newline, split over large chunks: several times as fast as a stream's own."""
    begun: list[bytes] = []  # of the line at work; joined once, for a line may be as long as the file
    while chunk := stream.read(CHUNK):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun)
            yield from others[:-1]
            begun = [others[-1]]
    if rest := b"".join(begun):
        yield rest


def sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """xxh3-128 of a file's bytes; of a directory: of its files' names and fingerprints, in sorted order.

    What a run says about itself (run.toml, report.json, metrics.jsonl, hidden and log files) is left out:
    it holds times, and two runs that made the same thing must have the same fingerprint.
    """
    digest = xxhash.xxh3_128()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and not _is_about_the_run(p)):
            digest.update(f"{file.relative_to(path).as_posix()}\0{fingerprint(file)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _is_about_the_run(path: Path) -> bool:
    return path.name.startswith(".") or path.name in (
        "run.toml",
        "report.json",
        "metrics.jsonl",
        "loss.png",
        "statistics.png",
    )
