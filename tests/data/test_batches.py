"""Pretraining batches: every target once an epoch, documents kept apart, any batch from its number alone."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from yanmo.data.batches import ArrayTokens, PackedBatches, sequential
from yanmo.model.labels import IGNORE

END = 0


def stream(count: int) -> np.ndarray:
    """Token k is k + 1, so that a token says where it stood; an end token after every 7."""
    ids = np.arange(count) + 1
    ids[6::7] = END
    return ids


def batches(count: int = 100, sequence_length: int = 8, batch_size: int = 3, seed: int = 1) -> PackedBatches:
    return PackedBatches(ArrayTokens(stream(count)), sequence_length, batch_size, seed, END)


@pytest.mark.parametrize("count", [2, 9, 10, 97, 98, 100])
def test_every_token_but_the_first_is_a_target_once(count: int) -> None:
    packed = batches(count, batch_size=1)
    for epoch in range(2):
        labels = [packed.batch(epoch * packed.rows + row)["labels"] for row in range(packed.rows)]
        targets = torch.cat(labels).flatten()
        assert sorted(targets[targets != IGNORE].tolist()) == sorted(stream(count)[1:].tolist())


def test_labels_are_the_next_tokens() -> None:
    ids = stream(100)
    for batch in itertools.islice(batches()(0), 10):
        for inputs, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            known = labels != IGNORE
            assert (inputs[1:][known[:-1]] == labels[:-1][known[:-1]]).all()
            row = int(np.flatnonzero(ids == int(inputs[inputs != END][0]))[0])
            first = row - int((inputs != END).nonzero()[0])
            assert inputs[known].tolist() == ids[first : first + int(known.sum())].tolist()


def test_an_epoch_spans_batches_without_loss() -> None:
    packed = batches()  # 13 rows in batches of 3
    assert (packed.rows, packed.batches_per_epoch) == (13, 5)
    firsts = [int(row[0]) for number in range(13) for row in packed.batch(number)["input_ids"]]
    for epoch in range(3):
        assert len(set(firsts[epoch * 13 : epoch * 13 + 13])) == 13
    assert firsts[:13] != firsts[13:26]


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    running = batches()(0)
    for number in range(12):
        batch = next(running)
        resumed = next(batches()(number))
        assert all(torch.equal(batch[name], resumed[name]) for name in batch)
    assert not torch.equal(batches(seed=2).batch(0)["input_ids"], batches().batch(0)["input_ids"])


def test_documents_are_kept_apart() -> None:
    packed = PackedBatches(ArrayTokens(np.array([5, 6, END, 7, END, END, 8, 9, 3])), 8, 1, 0, END)
    batch = packed.batch(0)
    assert batch["input_ids"].tolist() == [[5, 6, END, 7, END, END, 8, 9]]
    assert batch["segments"].tolist() == [[0, 0, 1, 1, 2, 3, 3, 3]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 0, 0, 1, 2]]
    assert batch["labels"].tolist() == [[6, END, 7, END, END, 8, 9, 3]]
    kinds = {name: tensor.dtype for name, tensor in batch.items()}
    assert kinds == dict.fromkeys(("input_ids", "labels", "position_ids"), torch.int64) | {"segments": torch.int32}


def test_sequential_scores_every_token_once_in_order() -> None:
    parts = list(sequential(ArrayTokens(stream(100)), 8, 3, END))
    assert [len(part["labels"]) for part in parts] == [3, 3, 3, 3, 1]
    targets = torch.cat([part["labels"] for part in parts]).flatten()
    assert targets[targets != IGNORE].tolist() == stream(100)[1:].tolist()


def test_rows_are_drawn_evenly() -> None:
    packed = batches(count=8 * 50 + 1, batch_size=5)
    first_batches = Counter(
        int(row[0]) for seed in range(400) for row in batches(8 * 50 + 1, 8, 5, seed).batch(0)["input_ids"]
    )
    assert packed.rows == 50
    assert len(first_batches) >= 43  # 50 rows, 7 of them beginning with an end token
    assert max(count for token, count in first_batches.items() if token != END) < 80  # 40 expected


def test_too_few_tokens() -> None:
    with pytest.raises(ValueError, match="has 1 tokens; training needs at least 2"):
        PackedBatches(ArrayTokens(np.array([3])), 8, 1, 0, END)
