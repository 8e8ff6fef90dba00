"""Learning rates against the formulas, at the steps where they could go wrong."""

from __future__ import annotations

import math

import pytest

from yanmo.train.schedule import finishing, make_schedule
from yanmo.train.settings import TrainSettings


def test_cosine_starts_at_the_warm_up_and_ends_at_the_floor() -> None:
    schedule = make_schedule(TrainSettings(schedule="cosine", warmup=10, min_lr_ratio=0.1), 110)
    assert schedule(0) == pytest.approx(1 / 11)
    assert schedule(9) == pytest.approx(10 / 11)
    middle = 0.1 + 0.9 * (1 + math.cos(math.pi * 51 / 101)) / 2
    assert schedule(60) == pytest.approx(middle)
    assert schedule(109) == pytest.approx(0.1, abs=1e-3)


def test_wsd_is_flat_and_then_falls_linearly() -> None:
    schedule = make_schedule(TrainSettings(schedule="wsd", warmup=5, decay=0.2), 100)
    assert [schedule(step) for step in (5, 50, 79)] == [1.0, 1.0, 1.0]
    assert schedule(80) == pytest.approx(1 - 1 / 21)
    assert schedule(99) == pytest.approx(1 / 21)


def test_constant_never_falls() -> None:
    schedule = make_schedule(TrainSettings(schedule="constant", warmup=0), 10)
    assert {schedule(step) for step in range(10)} == {1.0}


def test_shares_and_steps_are_both_understood() -> None:
    assert make_schedule(TrainSettings(warmup=0.1), 50).warmup_steps == 5
    assert make_schedule(TrainSettings(warmup=7), 50).warmup_steps == 7


def test_finishing_falls_from_where_the_trunk_stood() -> None:
    schedule = finishing(1000, 0.8, 1100, 0.0)
    assert schedule(1000) == pytest.approx(0.8, rel=0.02)
    assert schedule(1099) == pytest.approx(0.8 / 101)
    values = [schedule(step) for step in range(1000, 1100)]
    assert values == sorted(values, reverse=True)
