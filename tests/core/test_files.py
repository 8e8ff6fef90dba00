"""Files are whole or absent, compressed streams read as plain ones, and fingerprints see content only."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from yanmo.core.files import atomic_open, atomic_write, fingerprint, open_binary, read_jsonl, write_jsonl

TEXT = "研墨\n".encode() * 1000


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_compressed_files_read_as_plain(tmp_path: Path, suffix: str, compress) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / f"a.txt{suffix}"
    file.write_bytes(compress(TEXT) + (compress(TEXT) if suffix else b""))
    with open_binary(file) as stream:
        assert stream.read(10**6) == TEXT * (2 if suffix else 1)


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_a_cut_file_is_an_error_and_not_a_short_text(tmp_path: Path, suffix: str, compress) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / f"a.txt{suffix}"
    file.write_bytes(compress(TEXT)[:-6])
    with pytest.raises((EOFError, OSError)), open_binary(file) as stream:
        while stream.read(100):
            pass


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst"])
def test_json_lines_come_back(tmp_path: Path, name: str) -> None:
    rows = [{"text": "一\n二", "n": i} for i in range(1000)]
    with write_jsonl(tmp_path / name) as writer:
        for row in rows:
            writer.write(row)
    assert writer.rows == 1000
    assert list(read_jsonl(tmp_path / name)) == rows


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2: not valid JSON"):
        list(read_jsonl(tmp_path / "a.jsonl"))


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a"
    atomic_write(file, "old")
    with pytest.raises(RuntimeError), atomic_open(file) as stream:
        stream.write(b"new")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_directorys_fingerprint_is_its_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        (directory / "sub").mkdir(parents=True)
        (directory / "sub" / "a").write_text("x")
    (one / "run.toml").write_text("when it ran")
    assert fingerprint(one) == fingerprint(two)
    (two / "sub" / "a").write_text("y")
    assert fingerprint(one) != fingerprint(two)
