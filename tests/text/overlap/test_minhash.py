from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.overlap.fold import fold_all, letters_of
from yanmo.text.overlap.minhash import NONE, PERMUTATIONS, SHORTEST, Banding, band_hashes, banding, shingle_sets

HAN = np.arange(0x4E00, 0x9000)


def text(rng: np.random.Generator, length: int) -> str:
    return "".join(map(chr, rng.choice(HAN, length)))


def five_grams(text: str) -> set[str]:
    letters = "".join(map(chr, letters_of([text])[0].points))
    return {letters[i : i + 5] for i in range(len(letters) - 4)}


def test_banding_at_the_default_threshold() -> None:
    assert banding(0.8) == Banding(13, 6)
    found = banding(0.8).found
    assert found(0.8) > 0.98 and found(0.9) > 0.9999
    assert found(0.5) < 0.2 and found(0.3) < 0.01 and found(0.1) < 2e-5


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
def test_banding_finds_what_reaches_the_threshold(threshold: float) -> None:
    chosen = banding(threshold)
    assert chosen.found(threshold) >= 0.98
    assert chosen.bands * chosen.rows <= PERMUTATIONS


@pytest.mark.parametrize("threshold", [0.4, 0.99, -1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.5 to 0\.95"):
        banding(threshold)


@pytest.mark.parametrize("jaccard", [0.6, 0.8, 0.9])
def test_pairs_are_found_as_often_as_the_curve_says(jaccard: float) -> None:
    """1,000 pairs: documents that share their first letters and go on differently."""
    rng = np.random.default_rng(0)
    unlike = 300
    common = round(2 * unlike * jaccard / (1 - jaccard))
    pairs = 1000
    texts = []
    for _ in range(pairs):
        start = text(rng, common + 4)
        texts += [start + text(rng, unlike), start + text(rng, unlike)]
    bands = np.concatenate(
        [band_hashes(letters_of(texts[i : i + 100])[0], Banding(13, 6)) for i in range(0, len(texts), 100)], axis=1
    )
    found = (bands[:, ::2] == bands[:, 1::2]).any(axis=0).mean()
    expected = Banding(13, 6).found(jaccard)
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / pairs) + 1e-3


def test_documents_do_not_see_their_neighbours() -> None:
    rng = np.random.default_rng(1)
    texts = [text(rng, int(n)) for n in rng.integers(0, 60, 200)]
    together = band_hashes(letters_of(texts)[0], Banding(4, 3))
    for index, document in enumerate(texts):
        alone = band_hashes(letters_of([document])[0], Banding(4, 3))
        assert alone[:, 0].tolist() == together[:, index].tolist()
        assert (alone != NONE).all() == (len(document) >= SHORTEST)


def test_punctuation_script_and_width_do_not_count() -> None:
    texts = ["學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？ＡＢ", "学而时习之不亦说乎！有朋自远方来——不亦乐乎。ab"]
    bands = band_hashes(fold_all(texts).letters(), banding(0.8))
    assert bands[:, 0].tolist() == bands[:, 1].tolist() and (bands != NONE).all()


@given(st.lists(st.text("天地玄黃ab，。 ", max_size=40), max_size=5))
def test_sets_are_the_five_grams(texts: list[str]) -> None:
    sets = shingle_sets(letters_of(texts)[0])
    parts = np.split(sets.values, sets.ends[:-1]) if texts else []
    for document, values in zip(texts, parts, strict=True):
        assert len(values) == len(five_grams(document))
        assert (np.diff(values.astype(np.int64)) > 0).all()


def test_the_keys_of_a_version_stay_its_keys() -> None:
    """Files of keys may be read by another machine: neither numpy nor the platform may change the hashes."""
    bands = band_hashes(letters_of(["天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往"])[0], banding(0.8))
    assert [hex(value) for value in bands[:2, 0].tolist()] == ["0xb6541e7c2bb69855", "0x473fbfe6c4a49e35"]
