"""Documents to ids: nothing lost, end tokens as ids, the same bytes from any number of workers and either engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import small_texts

from yanmo.data.documents import document_hash
from yanmo.data.labels import OTHERS, Labels
from yanmo.data.packing import (
    IdBlock,
    Packer,
    TextBlock,
    after,
    blocks,
    divide,
    divisible,
    pack_blocks,
    some_texts,
)
from yanmo.tokenizer.encode import FastEncoder, HuggingFaceEncoder
from yanmo.tokenizer.load import Tokenizer


@pytest.fixture
def packer(tokenizer: Tokenizer) -> Packer:
    return Packer(tokenizer, HuggingFaceEncoder(tokenizer))


def text_block(*texts: str) -> TextBlock:
    return TextBlock(list(texts), np.arange(len(texts), dtype="<u2"), 0)


def write(path: Path, texts: list[str], **more: str) -> Path:
    path.write_text("".join(json.dumps({"text": text, **more}, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    return path


@pytest.mark.parametrize("engine", [HuggingFaceEncoder, FastEncoder])
def test_an_end_token_after_each_document(tokenizer: Tokenizer, engine: type) -> None:
    texts = ["张明在北京。", "他写<|endoftext|>。", "a", "坏\ud800"]
    encoded = Packer(tokenizer, engine(tokenizer))(text_block(*texts))
    expected = [number for text in texts for number in (*tokenizer.encode(text), tokenizer.end_id)]
    assert encoded.ids.tolist() == expected
    assert encoded.ids.dtype == np.uint16
    assert (encoded.ids == tokenizer.end_id).sum() == 4
    rows = encoded.rows
    assert rows["tokens"].tolist() == [len(tokenizer.encode(text)) + 1 for text in texts]
    assert rows["bytes"].tolist() == [18, 3 + 3 + 13 + 3, 1, 6]
    assert rows["characters"].tolist() == [len(text) for text in texts]
    assert rows["label"].tolist() == [0, 1, 2, 3]
    assert rows["hash"].tolist() == [document_hash(text.replace("\ud800", "\ufffd")) for text in texts]


def test_documents_that_come_as_ids_are_counted_as_their_texts(tokenizer: Tokenizer, packer: Packer) -> None:
    """A text and its ids have one hash, or it could be in training and validation at once."""
    texts = ["张明在北京。", "喜欢 pencils。", "龘"]
    encoded = packer(text_block(*texts))
    foreign = np.where(encoded.ids == tokenizer.end_id, 7, encoded.ids)  # another end token
    adopted = packer(IdBlock(foreign, encoded.rows["tokens"].astype(int), 5, 0))
    assert adopted.ids.tolist() == encoded.ids.tolist()
    assert adopted.rows["label"].tolist() == [5, 5, 5]
    for name in ("hash", "tokens", "bytes", "characters"):
        assert adopted.rows[name].tolist() == encoded.rows[name].tolist()


def test_long_documents_are_divided_without_changing_their_ids(
    tokenizer: Tokenizer, packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanmo.data.packing.BLOCK", 5000)
    text = "\n\n  ".join(small_texts(30)) + "\n" + "\n".join(small_texts(1000, seed=3))
    parts = divide(text)
    assert len(parts) > 2
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 5000
    assert divisible(tokenizer)
    whole = tokenizer.encode(text)
    assert packer(text_block("张", text)).ids.tolist()[-len(whole) - 1 :] == [*whole, tokenizer.end_id]


def test_a_line_longer_than_a_block_is_cut(
    tokenizer: Tokenizer, packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanmo.data.packing.BLOCK", 5000)
    text = "张" * 10_010
    assert [len(part) for part in divide(text)] == [5000, 5000, 10]
    assert tokenizer.decode(packer(text_block(text)).ids[:-1].tolist()) == text


def test_a_tokenizer_that_puts_something_before_a_text_is_not_given_parts(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers

    from yanmo.tokenizer.load import load_tokenizer

    backend = Backend(models.BPE(vocab={"</s>": 0, "▁": 1, "甲": 2, "乙": 3, "\n": 4}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.save(str(tmp_path / "tokenizer.json"))
    assert not divisible(load_tokenizer(tmp_path))


@pytest.mark.parametrize("engine", [HuggingFaceEncoder, FastEncoder])
def test_workers_do_not_change_the_result(
    tokenizer: Tokenizer, engine: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanmo.data.packing.BLOCK", 1000)
    inputs = [write(tmp_path / "a.jsonl", small_texts())]
    packer = Packer(tokenizer, engine(tokenizer))
    alone = list(pack_blocks(packer, blocks(inputs, Labels(), 512, 0), 1))
    together = list(pack_blocks(packer, blocks(inputs, Labels(), 512, 0), 2))
    assert len(alone) == len(together) > 5
    for one, other in zip(alone, together, strict=True):
        assert one.ids.tobytes() == other.ids.tobytes()
        assert one.rows.tobytes() == other.rows.tobytes()
    assert sum(block.finished for block in alone) == inputs[0].stat().st_size


def test_memory_does_not_follow_the_corpus(packer: Packer) -> None:
    """At most two blocks a worker are read ahead of what has been taken."""
    read = 0

    def stream():
        nonlocal read
        for text in small_texts(60):
            read += 1
            yield text_block(text)

    running = pack_blocks(packer, stream(), 2)
    next(running)
    assert read <= 6
    running.close()


def test_labels_say_input_and_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wiki = write(tmp_path / "part-0.jsonl", ["张", "李"], source="wiki")
    rest = write(tmp_path / "web.jsonl", ["王"])
    labels = Labels()
    found = [label for block in blocks([wiki, rest], labels, 512, 0) for label in block.labels]
    assert [labels.names[label] for label in found] == [(0, "wiki"), (0, "wiki"), (1, "web")]
    assert labels.inputs().tolist() == [0, 1]
    monkeypatch.setattr("yanmo.data.labels.MOST", 3)
    names = [labels.names[labels.number(1, source)] for source in ("a", "b", "c", "a")]
    assert names == [(1, "a"), (1, OTHERS), (1, OTHERS), (1, "a")]


def test_going_on_after_some_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.data.packing.BLOCK", 500)
    inputs = [write(tmp_path / "a.jsonl", small_texts(100)), write(tmp_path / "b.jsonl", small_texts(100, seed=1))]
    every = list(blocks(inputs, Labels(), 512, 0))
    for number in (0, 3, len(every)):
        done = sum(len(block.texts) for block in every[:number])
        left = list(after(blocks(inputs, Labels(), 512, 0), done))
        assert [block.texts for block in left] == [block.texts for block in every[number:]]


def test_a_first_look_is_small_and_from_everywhere(tmp_path: Path) -> None:
    for number in range(150):
        write(tmp_path / f"{number:03}.jsonl", [f"{number:03}" * 5000] * 9)
    texts = some_texts([tmp_path])
    assert [len(text) for text in texts] == [2000] * 150
    assert {text[:3] for text in texts} == {f"{number:03}" for number in range(0, 150, 3)}
