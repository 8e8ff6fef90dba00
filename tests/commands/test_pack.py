"""`yanmo pack` from documents to shards: every document in one split, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.conftest import small_texts
from yanmo import cli
from yanmo.core.files import write_jsonl
from yanmo.data.shards import open_shards
from yanmo.tokenizer.load import Tokenizer

TEXTS = [*dict.fromkeys(small_texts(400))]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("documents")
    for part in range(2):
        with write_jsonl(directory / f"part-{part:05}.jsonl.zst") as out:
            for text in TEXTS[part::2]:
                out.write({"text": text, "source": "wiki", "id": text})
    return directory


def pack(documents: Path, tokenizer: Tokenizer, out: Path, *more: str) -> int:
    paths = ["--inputs", str(documents), "--tokenizer", str(tokenizer.path), "--out", str(out)]
    return cli.run(["pack", *paths, "--workers", "1", *more])


def texts_of(path: Path) -> dict[str, list[str]]:
    """The documents of each split, cut at the offsets in the index."""
    shards = open_shards(path)
    found: dict[str, list[str]] = {}
    for name, info, tokens in (
        ("train", shards.meta.train, shards.train),
        ("val", shards.meta.val, shards.val),
    ):
        assert len(info.shards) == 1
        ends = np.fromfile(path / info.shards[0].index, dtype="<u8").astype(int)
        ids = [tokens.read(start, stop).tolist() for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
        assert all(document[-1] == shards.meta.end_id for document in ids)
        found[name] = [shards.tokenizer().decode(document[:-1]) for document in ids]
    return found


def test_every_document_is_in_one_split(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "out") == 0
    found = texts_of(tmp_path / "out")
    assert sorted(found["train"] + found["val"]) == sorted(TEXTS)
    assert len(found["val"]) == 8
    meta = open_shards(tmp_path / "out").meta
    assert meta.train.bytes + meta.val.bytes == sum(len(text.encode()) for text in TEXTS)
    assert meta.train.characters + meta.val.characters == sum(map(len, TEXTS))
    report = orjson.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["train"]["tokens"] == len(open_shards(tmp_path / "out").train)


def test_two_workers_write_the_same_bytes(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "one") == 0
    assert pack(documents, tokenizer, tmp_path / "two", "--workers", "2") == 0
    for name in ("train-00000.bin", "train-00000.idx", "val-00000.bin", "val-00000.idx", "meta.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_no_validation_on_request(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "out", "--val-fraction", "0") == 0
    assert open_shards(tmp_path / "out").meta.val.documents == 0
    assert len(open_shards(tmp_path / "out").val) == 0


def test_packing_twice_does_nothing(documents: Path, tokenizer: Tokenizer, tmp_path: Path, capsys) -> None:
    assert pack(documents, tokenizer, tmp_path / "out") == 0
    before = (tmp_path / "out" / "train-00000.bin").stat().st_mtime_ns
    assert pack(documents, tokenizer, tmp_path / "out", "--resume") == 0
    assert "already packed" in capsys.readouterr().out
    assert (tmp_path / "out" / "train-00000.bin").stat().st_mtime_ns == before
    assert pack(documents, tokenizer, tmp_path / "out") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_mistakes(documents: Path, tokenizer: Tokenizer, tmp_path: Path, capsys) -> None:
    for number, (arguments, message) in enumerate(
        [
            (["--val-fraction", "1"], "--val-fraction 1.0: must be at least 0 and below 1"),
            (["--workers", "-1"], "--workers -1: must not be negative"),
            (["--tokenizer", str(documents)], "no tokenizer.json"),
        ]
    ):
        assert pack(documents, tokenizer, tmp_path / f"{number}", *arguments) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"text": "好"}\n{"text": "好\n')
    assert pack(tmp_path / "bad.jsonl", tokenizer, tmp_path / "bad") == 2
    assert "bad.jsonl:2: not valid JSON" in capsys.readouterr().err
    assert not list((tmp_path / "bad").glob("*.bin"))
    (tmp_path / "empty.jsonl").write_text("")
    assert pack(tmp_path / "empty.jsonl", tokenizer, tmp_path / "empty") == 2
    assert "no documents" in capsys.readouterr().err
