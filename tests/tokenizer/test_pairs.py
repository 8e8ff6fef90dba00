"""Cuts for training: only where no merge could join, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.tokenizer import pairs
from yanmo.tokenizer.pairs import SEPARATOR, cut_rare_pairs

HAN = "的一是不了在人有我他"


@given(st.lists(st.text(st.sampled_from(HAN + "，a "), max_size=40), min_size=1, max_size=20), st.integers(1, 60))
@settings(max_examples=8, deadline=None)
def test_cuts_stand_between_rare_han_pairs_alone(texts: list[str], kept: int) -> None:
    counts = Counter(left + right for text in texts for left, right in pairwise(text) if {left, right} <= set(HAN))
    together = SEPARATOR.join(cut_rare_pairs(texts, kept, fewest=2))
    assert together.replace(SEPARATOR, "") == "".join(texts)
    pieces = together.split(SEPARATOR)
    joined = {a + b for piece in pieces for a, b in pairwise(piece) if {a, b} <= set(HAN)}
    most = [pair for pair, _ in counts.most_common(kept)]
    assert {pair for pair in most if counts[pair] >= 2} <= joined
    assert all(counts[pair] >= 2 for pair in joined)


def test_texts_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "TOGETHER", 4)
    parts = list(cut_rare_pairs(["我们", "我们", "我们"], 10, 2))
    assert parts == [f"我们{SEPARATOR}我们", "我们"]
