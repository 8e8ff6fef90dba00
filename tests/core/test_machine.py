"""The machine's report: every line there, versions compared as numbers, a broken torch reported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from yanmo.core import machine
from yanmo.core.machine import machine_facts, requirement, within


def test_every_line_is_there(tmp_path: Path) -> None:
    names = [fact.name for fact in machine_facts(tmp_path)]
    assert names == [
        *("Python", "torch", "GPU", "precision", "cores", "memory", "disk", "compiler", "fonts", "terminal"),
    ]


def test_a_torch_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROBE", "raise ImportError('libcudart.so.12: cannot open')")
    (fact,) = machine._torch()
    assert fact.good is False and "libcudart.so.12" in fact.found


@pytest.mark.parametrize(
    "version, good",
    [("2.11.0", True), ("2.13.1+cpu", True), ("2.9.1", False), ("2.14.0", False), ("3.0", False), ("2.12", True)],
)
def test_versions_are_numbers(version: str, good: bool) -> None:
    assert within(version, "<2.14,>=2.11") is good


def test_the_declared_range_is_found() -> None:
    import torch

    assert within(torch.__version__, requirement("torch"))
    assert requirement("torch") and requirement("numpy") and not requirement("nothing-of-the-kind")


@pytest.mark.skipif(sys.platform != "linux", reason="reads sysconf and /proc")
def test_memory_is_plausible() -> None:
    total, free = machine.memory()
    assert 1e8 < free <= total
