"""Files that are either whole or absent: atomic writes, compressed streams, JSON lines, fingerprints.

Every file of an output directory is written under a temporary name, flushed to the disk and renamed,
so a reader (or a rerun after `kill -9`) never meets half a file.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import orjson
import xxhash
import zstandard

CHUNK = 1 << 20
COMPRESSED = (".gz", ".bz2", ".zst", ".xz")


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
            # read_across_frames: a .zst may be several frames one after the other, as `cat a.zst b.zst` makes.
            raw = open(path, "rb")  # noqa: SIM115 the reader closes it
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
            return cast(BinaryIO, reader)
    return open(path, "rb")


class JsonlWriter:
    """One JSON object a line; compressed with zstd level 3 when the name ends in .zst (text.md, section g)."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.rows = 0

    def write(self, row: dict[str, Any]) -> None:
        self._stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.rows += 1


@contextlib.contextmanager
def write_jsonl(path: Path) -> Iterator[JsonlWriter]:
    """Write JSON lines atomically: the file appears, whole, when the block ends without an error."""
    with atomic_open(path) as raw:
        if path.suffix == ".zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as stream:
                yield JsonlWriter(cast(IO[bytes], stream))
        else:
            yield JsonlWriter(raw)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON lines file that Yanmo itself wrote. Foreign files go through `yanmo.text.readers`."""
    with open_binary(path) as stream:
        for number, line in enumerate(iter_lines(stream), 1):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: not valid JSON ({error})") from None


def iter_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines without their newline. zstd's reader has no readline, hence our own split over large chunks."""
    rest = b""
    while chunk := stream.read(CHUNK):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        yield from lines
    if rest:
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
    return path.name.startswith(".") or path.name in ("run.toml", "report.json", "metrics.jsonl", "loss.png")
