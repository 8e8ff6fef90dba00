"""The permutation without an array."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from yanmo.data.shuffle import Permutation


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 17, 1000, 4096, 4097])
def test_every_number_once(size: int) -> None:
    for key in range(3):
        assert sorted(Permutation(size, 7, key)(np.arange(size)).tolist()) == list(range(size))


def test_all_orders_are_about_equally_likely() -> None:
    orders = Counter(tuple(Permutation(3, seed)(np.arange(3)).tolist()) for seed in range(6000))
    assert len(orders) == 6
    assert min(orders.values()) > 850
    assert max(orders.values()) < 1150


def test_neighbours_part() -> None:
    places = Permutation(10_000, 1, 0)(np.arange(10_000))
    assert np.mean(np.abs(np.diff(places))) == pytest.approx(10_000 / 3, rel=0.05)


def test_the_key_decides_and_nothing_else_does() -> None:
    numbers = np.arange(1000)
    first = Permutation(1000, 3, 5)(numbers)
    assert (first == Permutation(1000, 3, 5)(numbers)).all()
    assert (first[500:] == Permutation(1000, 3, 5)(numbers[500:])).all()
    assert (first != Permutation(1000, 5, 3)(numbers)).mean() > 0.9
    # Golden: a change here would silently reorder every training run that resumes.
    assert Permutation(1000, 1, 2)(np.arange(6)).tolist() == [500, 185, 698, 907, 476, 470]
