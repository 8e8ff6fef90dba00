"""Buckets and back: every document once or as often as asked, its ids with it, its copies far apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from yanmo.data.buckets import ROW, Buckets, BucketWriter
from yanmo.data.documents import HASH_RANGE, ValidationSplit
from yanmo.data.gather import Plan, gather, make_plan
from yanmo.data.shuffle import draws

DOCUMENTS = 2000


def fill(path: Path, seed: int | None) -> Buckets:
    """Documents of 1 to 9 tokens, each its own number; the label is 0 for nine of ten and 1 for the tenth."""
    buckets = Buckets(path, np.dtype("<u2"), seed)
    numbers = np.arange(DOCUMENTS)
    rows = np.zeros(DOCUMENTS, dtype=ROW)
    rows["hash"], rows["tokens"] = draws(numbers, 7), numbers % 9 + 1
    rows["label"] = numbers % 10 == 9
    with BucketWriter(buckets) as out:
        for start in range(0, DOCUMENTS, 300):
            part = rows[start : start + 300]
            out.write(np.repeat(numbers[start : start + 300], part["tokens"]), part)
    return buckets


def numbers(plan: Plan, split: str) -> list[int]:
    """The documents of a split, in order, each of whose ids was with it."""
    found: list[int] = []
    for ids, rows in gather(plan, split):  # type: ignore[arg-type]
        lengths = rows["tokens"].astype(int)
        assert lengths.sum() == ids.size
        first = ids[np.cumsum(lengths) - lengths]
        assert (np.repeat(first, lengths) == ids).all()
        assert (first % 9 + 1 == lengths).all()
        found += first.tolist()
    return found


@pytest.mark.parametrize("seed", [None, 0, 5])
def test_every_document_is_used_once(tmp_path: Path, seed: int | None) -> None:
    plan = make_plan(fill(tmp_path / "b", seed), ValidationSplit(0.1, 8), np.array([0, 1]), [], 4)
    train, val = numbers(plan, "train"), numbers(plan, "val")
    assert sorted(train + val) == list(range(DOCUMENTS))
    assert 150 < len(val) < 250
    hashes = draws(np.arange(DOCUMENTS), 7)
    assert all(hashes[number] < 0.1 * HASH_RANGE for number in val)
    if seed is None:
        assert (train, val) == (sorted(train), sorted(val))
    else:
        assert abs(np.corrcoef(train, np.arange(len(train)))[0, 1]) < 0.1


def test_copies_are_counted_and_far_apart(tmp_path: Path) -> None:
    plan = make_plan(fill(tmp_path / "b", 0), ValidationSplit(0, 0), np.array([0, 1]), [3, 1], 4)
    assert plan.epochs[0] == 1
    assert plan.epochs[1] == pytest.approx(3, rel=0.1)  # a ninth of the text for a third of its weight
    train = numbers(plan, "train")
    often = Counter(train)
    assert {often[number] for number in range(DOCUMENTS) if number % 10 != 9} == {1}
    assert {often[number] for number in range(9, DOCUMENTS, 10)} <= {2, 3, 4}
    tokens = [sum(number % 9 + 1 for number in train if (number % 10 == 9) is of) for of in (False, True)]
    assert tokens[0] / sum(tokens) == pytest.approx(0.75, abs=0.001)
    places = [[place for place, number in enumerate(train) if number == one] for one in range(9, DOCUMENTS, 10)]
    nearest = [min(np.diff(mine)) for mine in places]
    assert np.median(nearest) > len(train) / 6
