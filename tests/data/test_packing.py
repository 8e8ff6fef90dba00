"""Documents to ids: nothing lost, end tokens as ids, the same bytes from any number of workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import small_texts

from yanmo.data.documents import Document, document_hash
from yanmo.data.packing import BLOCK, blocks, divide, encode_block, encode_blocks
from yanmo.tokenizer.load import Tokenizer


def documents(count: int = 300) -> list[Document]:
    return [Document(text, "") for text in small_texts(count)]


def test_an_end_token_after_each_document(tokenizer: Tokenizer) -> None:
    texts = ["张明在北京。", "他写<|endoftext|>。", "a"]
    encoded = encode_block(tokenizer, [(text, "train") for text in texts])["train"]
    expected = [number for text in texts for number in (*tokenizer.encode(text), tokenizer.end_id)]
    assert encoded.ids.tolist() == expected
    assert (encoded.ids == tokenizer.end_id).sum() == 3
    assert encoded.lengths.tolist() == [len(tokenizer.encode(text)) + 1 for text in texts]
    assert (encoded.bytes, encoded.characters) == (sum(len(t.encode()) for t in texts), sum(map(len, texts)))


def test_blocks_split_by_document(tokenizer: Tokenizer) -> None:
    threshold = 1 << 60  # a sixteenth
    (block,) = blocks(documents(), threshold)
    for text, split in block:
        assert split == ("val" if document_hash(text) < threshold else "train")
    encoded = encode_block(tokenizer, block)
    assert encoded["train"].lengths.size + encoded["val"].lengths.size == 300
    assert encoded["val"].lengths.size > 0


def test_an_empty_split(tokenizer: Tokenizer) -> None:
    encoded = encode_block(tokenizer, [("张明", "train")])["val"]
    assert (encoded.ids.size, encoded.lengths.size, encoded.bytes, encoded.characters) == (0, 0, 0, 0)


def test_long_documents_are_divided_without_changing_their_ids(tokenizer: Tokenizer) -> None:
    text = "\n\n  ".join(small_texts(300)) + "\n" + "\n".join(small_texts(20_000, seed=3))
    parts = divide(text)
    assert len(parts) > 2
    assert "".join(parts) == text
    assert max(map(len, parts)) <= BLOCK
    whole = tokenizer.encode(text)
    assert encode_block(tokenizer, [(text, "train")])["train"].ids.tolist() == [*whole, tokenizer.end_id]


def test_a_line_longer_than_a_block_is_cut(tokenizer: Tokenizer) -> None:
    text = "张" * (2 * BLOCK + 10)
    assert [len(part) for part in divide(text)] == [BLOCK, BLOCK, 10]
    ids = encode_block(tokenizer, [(text, "train")])["train"].ids
    assert tokenizer.decode(ids[:-1].tolist()) == text


@pytest.mark.parametrize("workers", [2])
def test_workers_do_not_change_the_result(tokenizer: Tokenizer, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.data.packing.BLOCK", 1000)
    alone = list(encode_blocks(tokenizer, blocks(documents(), 1 << 60), 1))
    together = list(encode_blocks(tokenizer, blocks(documents(), 1 << 60), workers))
    assert len(alone) == len(together) > 5
    for one, other in zip(alone, together, strict=True):
        for split in one:
            assert np.array_equal(one[split].ids, other[split].ids)
            assert one[split][2:] == other[split][2:]


def test_memory_does_not_follow_the_corpus(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """At most two blocks a worker are read ahead of what has been taken."""
    read = 0

    def stream():
        nonlocal read
        for text in small_texts(60):
            read += 1
            yield [(text, "train")]

    running = encode_blocks(tokenizer, stream(), 2)
    next(running)
    assert read <= 6
    running.close()
