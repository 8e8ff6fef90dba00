"""Replay: the share holds over any stretch, nothing of either side is lost, and a batch is a function of its number."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import small_texts

from yanmo.core.files import write_jsonl
from yanmo.data.batches import ArrayTokens, PackedBatches
from yanmo.data.replay import ReplayBatches, open_text
from yanmo.data.rows import PackedRows, flatten
from yanmo.model.labels import IGNORE
from yanmo.tokenizer.load import Tokenizer

LENGTH = 8
TEXT, TALK = 1000, 1
"""Ids from TEXT on are text, those below conversations; so a row says what it is."""


def mixed(share: float, batch_size: int = 4, examples: int = 30, seed: int = 1) -> ReplayBatches:
    talk = [(list(range(TALK + 3 * n, TALK + 3 * n + 7)), [False] * 4 + [True] * 3) for n in range(examples)]
    conversations = PackedRows(flatten(talk), 0, LENGTH, batch_size, seed)
    text = PackedBatches(ArrayTokens(np.arange(TEXT, TEXT + 161)), LENGTH, batch_size, seed, end_id=0)
    return ReplayBatches(conversations, text, share)


def is_text(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return batch["input_ids"][:, 0] >= TEXT


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 0.7])
def test_the_share_holds_and_every_row_comes_in_its_turn(share: float) -> None:
    batches = mixed(share)
    rows = 0
    for number, batch in enumerate(itertools.islice(batches(0), 50), 1):
        assert len(batch["input_ids"]) == 4
        rows += int(is_text(batch).sum())
        assert abs(rows - 4 * number * share) < 1
        assert (batch["labels"][is_text(batch)] != IGNORE).all(), "all of the text is a target"
    epoch = [batches.batch(number) for number in range(batches.batches_per_epoch)]
    seen = Counter(int(first) for batch in epoch for first in batch["input_ids"][~is_text(batch)][:, 0])
    assert len(seen) == 30, "an epoch shows every conversation"
    assert batches.batches_per_epoch * 4 * (1 - share) < 30 + 4, "and not many twice"


def test_a_batch_is_a_function_of_its_number() -> None:
    running = mixed(0.3)(0)
    for number in range(20):
        once, again = next(running), next(mixed(0.3)(number))
        assert once.keys() == again.keys()
        assert all(torch.equal(once[name], again[name]) for name in once)


def test_documents_are_held_out_by_their_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = small_texts(200)
    with write_jsonl(tmp_path / "documents.jsonl") as out:
        for text in texts:
            out.write({"text": text})
    text = open_text([tmp_path / "documents.jsonl"], tokenizer)
    parts = [tokenizer.decode(part.read(0, len(part))).split("<|endoftext|>") for part in text]
    training, held_out = (Counter(part[:-1]) for part in parts)
    assert training + held_out == Counter(texts)
    assert not training.keys() & held_out.keys()
    assert 16 <= held_out.total() <= 20


def test_shards_keep_their_split_and_need_the_same_tokenizer(
    tokenizer: Tokenizer, shards_dir: Path, tmp_path: Path
) -> None:
    text = open_text([shards_dir], tokenizer)
    assert tokenizer.decode(text.held_out.read(0, len(text.held_out))).count("<|endoftext|>") == 30
    other = Tokenizer(tokenizer.path, tokenizer.backend, {})
    other.fingerprint = "another"
    with pytest.raises(ValueError, match="another tokenizer than the model's"):
        open_text([shards_dir], other)
