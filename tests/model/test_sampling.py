"""Every sampling rule against a naive reference written from its definition, on random logits."""

import math
import random

import pytest
import torch

from yanmo.model.sampling import (
    NgramBlock,
    Sampler,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
)
from yanmo.model.sampling_settings import SamplingSettings

LOGITS = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)) * 3


def kept(logits: torch.Tensor) -> list[set[int]]:
    return [set(torch.nonzero(row > -math.inf).flatten().tolist()) for row in logits]


def ranked(row: torch.Tensor) -> list[int]:
    return sorted(range(len(row)), key=lambda token: -row[token].item())


@pytest.mark.parametrize("k", [1, 5, 40, 100])
def test_top_k(k: int) -> None:
    assert kept(keep_top_k(LOGITS, k)) == [set(ranked(row)[:k]) for row in LOGITS]


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.9, 0.999])
def test_top_p(p: float) -> None:
    def nucleus(row: torch.Tensor) -> set[int]:
        chosen, total, probabilities = set(), 0.0, row.softmax(-1)
        for token in ranked(row):
            chosen.add(token)
            total += probabilities[token].item()
            if total >= p:
                break
        return chosen

    assert kept(keep_top_p(LOGITS, p)) == [nucleus(row) for row in LOGITS]


@pytest.mark.parametrize("p", [0.01, 0.2, 1.0])
def test_min_p(p: float) -> None:
    def likely(row: torch.Tensor) -> set[int]:
        probabilities = row.double().softmax(-1)
        least = p * probabilities.max() * (1 - 1e-6)
        return {token for token in range(len(row)) if probabilities[token] >= least}

    assert kept(keep_min_p(LOGITS, p)) == [likely(row) for row in LOGITS]


def test_filters_leave_surviving_logits_alone() -> None:
    for filtered in (keep_top_k(LOGITS, 5), keep_top_p(LOGITS, 0.7), keep_min_p(LOGITS, 0.1)):
        survived = filtered > -math.inf
        assert torch.equal(filtered[survived], LOGITS[survived])


def test_repetition_penalty_has_the_right_sign() -> None:
    logits = torch.tensor([[2.0, -2.0, 0.0, 2.0, -2.0]])
    seen = torch.tensor([[True, True, True, False, False]])
    assert penalise_repetition(logits, seen, 2.0).tolist() == [[1.0, -4.0, 0.0, 2.0, -2.0]]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ngram_block(size: int) -> None:
    ids = random.Random(0).choices(range(4), k=60)
    block = NgramBlock(size, ids[:10])
    for position in range(10, len(ids)):
        said, tail = ids[:position], ids[position - size + 1 : position]
        grams = [said[i : i + size] for i in range(len(said) - size + 1)]
        assert set(block.blocked()) == {gram[-1] for gram in grams if gram[:-1] == tail}
        block.append(ids[position])


def test_draw_follows_the_probabilities() -> None:
    row = torch.tensor([[1.0, -math.inf, 0.0, 2.0]])
    generator = random.Random(0)
    counts = torch.zeros(4)
    for token in draw(row.expand(20_000, -1), [generator.random() for _ in range(20_000)]):
        counts[token] += 1
    torch.testing.assert_close(counts / 20_000, row.softmax(-1)[0], atol=0.012, rtol=0)
    assert counts[1] == 0
    assert draw(row, [0.0]) == [0] and draw(row, [1 - 2**-53]) == [3]
    assert draw(torch.tensor([[-math.inf, 1.0]]), [0.0]) == [1]


def test_sampler_applies_rules_in_order_and_follows_rows() -> None:
    rules = {"top_k": 10, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.5}
    settings = SamplingSettings(temperature=0.5, seed=3, **rules)
    prompts = [[row, row + 1] for row in range(6)]
    together = Sampler(settings, prompts, 40)
    alone = [Sampler(settings, [prompt], 40, first_row=row) for row, prompt in enumerate(prompts)]
    rows = list(range(6))
    for step in range(12):
        logits = LOGITS[[(row + step) % 6 for row in rows]]
        tokens = together(logits)
        for place, row in enumerate(rows):
            said = logits[place].clone()
            assert alone[row](said[None]) == [tokens[place]]
        if step == 5:  # two rows leave, the order changes
            rows = [4, 1, 0, 3]
            together.select(rows)


def test_greedy_breaks_repeats() -> None:
    logits = torch.zeros(1, 8)
    logits[0, 3], logits[0, 4] = 2.0, 1.0
    sampler = Sampler(SamplingSettings(temperature=0, no_repeat_ngram=1), [[0]], 8)
    assert [sampler(logits)[0] for _ in range(2)] == [3, 4]
    sampler = Sampler(SamplingSettings(temperature=0, repetition_penalty=3.0), [[0]], 8)
    assert [sampler(logits)[0] for _ in range(2)] == [3, 4]
    assert logits.tolist()[0][3] == 2.0


@pytest.mark.parametrize(("changes", "words"), [
    ({"temperature": -1.0}, ("temperature", "-1.0")),
    ({"temperature": math.nan}, ("temperature", "nan")),
    ({"top_p": 1.5}, ("top-p", "1.5")),
    ({"top_p": 0.0}, ("top-p",)),
    ({"max_new_tokens": 0}, ("max-new-tokens", "0")),
    ({"num_beams": 3}, ("num-beams", "temperature")),
])  # fmt: skip
def test_impossible_settings(changes: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        SamplingSettings(**changes).validate()
    assert all(word in str(caught.value) for word in words)
