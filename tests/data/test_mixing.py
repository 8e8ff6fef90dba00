"""Weights: the shares that were asked for, to half a document, and no more repeats than allowed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.data.mixing import copies, epochs


def test_the_input_with_most_text_for_its_weight_is_used_once() -> None:
    assert epochs([300, 50], [3, 1], most=4) == [1.0, 2.0]
    assert epochs([50, 300], [1, 3], most=4) == [2.0, 1.0]
    assert epochs([100, 100], [1, 1], most=4) == [1.0, 1.0]
    assert epochs([100, 100, 100], [3, 2, 1], most=4) == [3.0, 2.0, 1.0]


def test_too_many_repeats_cut_the_others_back() -> None:
    assert epochs([3000, 50], [3, 1], most=4) == [0.2, 4.0]


def test_an_input_without_text() -> None:
    with pytest.raises(ValueError, match="--weights 2: input 1 has no documents to train on"):
        epochs([0, 5], [2, 1], most=4)


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=5).flatmap(
        lambda tokens: st.tuples(
            st.just(tokens), st.lists(st.floats(0.01, 100), min_size=len(tokens), max_size=len(tokens))
        )
    )
)
def test_shares_are_those_of_the_weights(case: tuple[list[int], list[float]]) -> None:
    tokens, weights = case
    often = epochs(tokens, weights, most=4)
    used = np.array(tokens) * often
    assert used / used.sum() == pytest.approx(np.array(weights) / sum(weights), rel=1e-3, abs=1e-6)
    assert max(often) <= 4
    assert max(often) == 4 or max(often) >= 1


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=50), st.floats(0, 5))
def test_copies_reach_what_is_wanted_to_half_a_document(lengths: list[int], often: float) -> None:
    tokens = np.array(lengths)
    wanted = float(tokens.sum() * often)
    taken = copies(tokens, wanted, 0)
    assert abs(float((taken * tokens).sum()) - wanted) <= max(lengths) / 2 + 1e-3
    assert taken.max() - taken.min() <= 1
    assert (copies(tokens, wanted, 0) == taken).all()


def test_which_documents_depends_on_the_key() -> None:
    tokens = np.full(1000, 10)
    one, other = (copies(tokens, 5000, key) for key in (1, 2))
    assert one.sum() == other.sum() == 500
    assert 350 < (one != other).sum() < 650
