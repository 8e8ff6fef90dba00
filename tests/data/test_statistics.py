"""Sums and lengths over rows of figures, and the picture of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yanmo.data.buckets import ROW
from yanmo.data.plot import plot_statistics
from yanmo.data.statistics import SMALL_SOURCES, SourceStatistics, Statistics, _bin, _start


def rows(lengths: list[int], labels: list[int] | None = None) -> np.ndarray:
    found = np.zeros(len(lengths), dtype=ROW)
    found["tokens"], found["bytes"], found["characters"] = lengths, [6 * n for n in lengths], [2 * n for n in lengths]
    found["label"] = labels or 0
    return found


def test_bins_are_exact_when_short_and_to_a_64th_when_long() -> None:
    lengths = np.arange(1, 100_000)
    starts = _start(_bin(lengths))
    assert (starts[:127] == lengths[:127]).all()
    assert (starts <= lengths).all()
    assert ((lengths - starts) / lengths).max() < 1 / 64
    assert (np.diff(_bin(lengths)) >= 0).all()


def test_quantiles_and_histogram_whatever_the_batches() -> None:
    lengths = np.random.default_rng(0).integers(1, 120, 1000).tolist()
    statistics = Statistics(1)
    for start in range(0, 1000, 300):
        statistics.see(rows(lengths[start : start + 300]))
    ordered = sorted(lengths)
    assert statistics.quantiles() == {
        "shortest": ordered[0],
        **{f"{percent}%": ordered[percent * 10 - 1] for percent in (5, 25, 50, 75, 95)},
        "longest": ordered[-1],
    }
    assert statistics.histogram() == {
        1 << power: sum(1 << power <= n < 2 << power for n in lengths) for power in range(7)
    }


def test_sources_are_summed_and_the_small_ones_together() -> None:
    statistics = Statistics(4)
    statistics.see(rows([100, 200, 1, 1, 50], [0, 0, 1, 2, 3]))
    statistics.use(rows([100, 100, 200], [0, 0, 0]))
    names = [("web", "a"), ("web", "b"), ("web", "c"), ("wiki", "a")]
    found = {(s.input, s.source): s for s in statistics.sources(names)}
    assert list(found) == [("web", "a"), ("web", SMALL_SOURCES), ("wiki", "a")]
    assert (found["web", "a"].tokens, found["web", "a"].documents, found["web", "a"].train_tokens) == (300, 2, 400)
    assert found["web", SMALL_SOURCES].documents == 2
    assert found["web", "a"].characters_per_token == pytest.approx(600 / 298)


def test_picture_with_and_without_a_chinese_font(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    sources = [SourceStatistics(source="唐诗三百首", tokens=300, train_tokens=200), SourceStatistics(source="web")]
    plot_statistics(tmp_path / "a.png", "2 documents", {1: 0, 2: 5, 4: 1}, sources)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    plot_statistics(tmp_path / "empty.png", "nothing", {}, [])
