"""Raw token files of other projects: whole documents whatever the chunks, and nothing believed unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yanmo.data.tokenfiles import read_token_file

END = 2


def write(path: Path, ids: list[int], dtype: str = "<u2") -> Path:
    np.array(ids, dtype=dtype).tofile(path)
    return path


def read(path: Path, vocab_size: int = 100) -> list[list[int]]:
    documents = []
    for ids, lengths in read_token_file(path, vocab_size, END):
        assert lengths.sum() == ids.size
        documents += [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
    return documents


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_documents_are_whole_whatever_the_chunks(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.data.tokenfiles.CHUNK", chunk)
    documents = [[5, 6, END], [END], [7, END], [8, 9, 10, 11, 12, 13, 14, 15, END], [99, END]]
    ids = [number for document in documents for number in document]
    assert read(write(tmp_path / "a.bin", ids)) == documents
    assert read(write(tmp_path / "b.bin", [*ids, 3, 4])) == [*documents, [3, 4, END]]
    assert read(write(tmp_path / "c.bin", [])) == []


def test_wide_ids(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.bin", [70_000, END], "<u4"), vocab_size=80_000) == [[70_000, END]]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([5, END, 6, 100, END], r"a.bin: id 100 at position 3 is outside the vocabulary of 100 entries"),
        ([5, 6, 7], r"a.bin: no document ends \(2\) among 3 ids; say which id ends one with --end-id"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, ids: list[int], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.data.tokenfiles.CHUNK", 2)
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / "a.bin", ids))


def test_an_endless_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.data.tokenfiles.CHUNK", 10)
    monkeypatch.setattr("yanmo.data.tokenfiles.LONGEST", 50)
    with pytest.raises(ValueError, match="no document ends"):
        read(write(tmp_path / "a.bin", [END, *[5] * 1000]))


def test_half_an_id(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x05\x00\x02")
    with pytest.raises(ValueError, match=r"a.bin: 3 bytes are no whole number of uint16 ids"):
        read(tmp_path / "a.bin")
