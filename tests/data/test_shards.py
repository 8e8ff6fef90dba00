"""Token shards: what is written is read, nothing is converted in silence, and damage is named at opening."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from yanmo.data.shards import ShardWriter, checked, open_shards, token_dtype
from yanmo.tokenizer.load import Tokenizer


@pytest.fixture
def shards(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """Three training shards of 10 tokens, one validation shard of 4."""
    with ShardWriter(tmp_path, tokenizer, shard_tokens=10) as writer:
        for start in (10, 20, 30):
            writer.splits["train"].write(np.arange(start, start + 10), np.array([3, 7]), bytes=24, characters=8)
        writer.splits["val"].write(np.arange(4), np.array([4]), bytes=9, characters=3)
    return tmp_path


def edit(shards: Path, **changes: object) -> None:
    table = json.loads((shards / "meta.json").read_text()) | changes
    (shards / "meta.json").write_text(json.dumps(table))


def test_dtype_follows_the_vocabulary() -> None:
    assert [token_dtype(size).name for size in (6400, 65_536, 65_537)] == ["uint16", "uint16", "uint32"]


def test_no_id_is_wrapped() -> None:
    with pytest.raises(ValueError, match="token id 70000 does not fit uint16"):
        checked(np.array([1, 70_000]), 100_000, np.dtype("<u2"))
    with pytest.raises(ValueError, match="token id -1 does not fit"):
        checked(np.array([-1]), 100, np.dtype("<u2"))
    with pytest.raises(ValueError, match="token id 6400 is outside the vocabulary of 6400"):
        checked(np.array([6400]), 6400, np.dtype("<u2"))
    assert checked(np.array([65_535]), 65_536, np.dtype("<u2")).tolist() == [65_535]


def test_read_across_shards(shards: Path, tokenizer: Tokenizer) -> None:
    opened = open_shards(shards)
    assert (len(opened.train), len(opened.val)) == (30, 4)
    everything = np.arange(10, 40)
    for start in range(31):
        for stop in range(start, 31):
            assert opened.train.read(start, stop).tolist() == everything[start:stop].tolist()
    assert opened.train.read(0, 1).dtype == np.int64
    assert opened.tokenizer().fingerprint == tokenizer.fingerprint
    opened.verify()


def test_meta_counts(shards: Path) -> None:
    meta = open_shards(shards).meta
    assert (meta.train.tokens, meta.train.documents, meta.train.bytes, meta.train.characters) == (30, 6, 72, 24)
    assert [shard.file for shard in meta.train.shards] == [f"train-0000{n}.bin" for n in range(3)]
    assert meta.dtype == "uint16"
    ends = np.fromfile(shards / "train-00001.idx", dtype="<u8")
    assert ends.tolist() == [3, 10]
    assert np.fromfile(shards / "train-00001.bin", dtype="<u2").tolist() == list(range(20, 30))


def test_readers_cannot_write(shards: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_shards(shards).train._arrays[0][0] = 1


def test_a_truncated_shard_names_file_and_sizes(shards: Path) -> None:
    file = shards / "train-00001.bin"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"train-00001.bin: has 17 bytes where meta.json says 20"):
        open_shards(shards)


def test_a_truncated_index(shards: Path) -> None:
    (shards / "val-00000.idx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"val-00000.idx: has 0 bytes where meta.json says 8"):
        open_shards(shards)


def test_a_missing_shard(shards: Path) -> None:
    (shards / "train-00002.bin").unlink()
    with pytest.raises(ValueError, match=r"train-00002.bin: missing"):
        open_shards(shards)


def test_a_damaged_shard(shards: Path) -> None:
    file = shards / "train-00000.bin"
    file.write_bytes(b"\xff\xff" + file.read_bytes()[2:])
    opened = open_shards(shards)
    with pytest.raises(ValueError, match=r"train-00000.bin: token id 65535 is outside the vocabulary of 512"):
        opened.train.read(0, 5)
    with pytest.raises(ValueError, match=r"train-00000.bin: damaged \(SHA-256"):
        opened.verify()


def test_a_contradicting_meta(shards: Path) -> None:
    edit(shards, dtype="uint32")
    with pytest.raises(ValueError, match=r"dtype 'uint32' does not go with 512 entries \(uint16\)"):
        open_shards(shards)
    edit(shards, dtype="uint16", end_id=512)
    with pytest.raises(ValueError, match="end_id 512 is outside"):
        open_shards(shards)
    edit(shards, end_id=0, format="yanmo-shards-9")
    with pytest.raises(ValueError, match="format 'yanmo-shards-9' is not 'yanmo-shards-1'"):
        open_shards(shards)
    edit(shards, format="yanmo-shards-1", surprise=1)
    with pytest.raises(ValueError, match=r"meta.json: incomplete or of another version"):
        open_shards(shards)


def test_shards_made_before_they_said_where_they_come_from(shards: Path) -> None:
    table = json.loads((shards / "meta.json").read_text())
    for name in ("engine", "shuffle_seed", "sources"):
        del table[name]
    (shards / "meta.json").write_text(json.dumps(table))
    meta = open_shards(shards).meta
    assert (meta.engine, meta.shuffle_seed, meta.sources, meta.train.tokens) == ("", None, [], 30)


def test_another_tokenizer(shards: Path) -> None:
    edit(shards, tokenizer="0" * 32)
    with pytest.raises(ValueError, match="not the tokenizer that made the shards"):
        open_shards(shards).tokenizer()


def test_no_shards(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not a shards directory \(no meta.json\)"):
        open_shards(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="outside the vocabulary"), ShardWriter(tmp_path, tokenizer) as writer:
        writer.splits["train"].write(np.arange(10), np.array([10]), 1, 1)
        writer.splits["train"].write(np.array([512]), np.array([1]), 1, 1)
    assert not list(tmp_path.iterdir())
