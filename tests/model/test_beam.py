"""Beam search with enough beams is exhaustive search; with one it is greedy."""

import itertools

import pytest
import torch

from tests.model.conftest import tiny
from yanmo.model.beam import beam_search
from yanmo.model.generate import generate
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer

STOP = {4}
PROMPT = [1, 2, 3]


def settings(beams: int, length: int) -> SamplingSettings:
    return SamplingSettings(temperature=0, num_beams=beams, max_new_tokens=length)


def best_answer(model: Transformer, length: int) -> tuple[list[int], bool]:
    """The best of all sequences that end by the stop id or are `length` tokens long."""
    vocab_size, best = model.config.vocab_size, (float("-inf"), ([0], False))
    for size in range(1, length + 1):
        for ids in itertools.product(range(vocab_size), repeat=size):
            ended = ids[-1] in STOP
            if any(token in STOP for token in ids[:-1]) or (not ended and size < length):
                continue
            with torch.no_grad():
                scores = model.lm_head(model(torch.tensor([PROMPT + list(ids)])))[0].log_softmax(-1)
            score = sum(scores[len(PROMPT) - 1 + place, token].item() for place, token in enumerate(ids)) / size
            best = max(best, (score, (list(ids[:-1]) if ended else list(ids), ended)))
    return best[1]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_wide_beam_is_exhaustive(family: str) -> None:
    model = tiny(family, vocab_size=5)
    for length in (1, 2, 3):
        # Never `num_beams` finished before the end, and room for all that is open: 4 ** 3.
        assert beam_search(model, PROMPT, settings(100, length), STOP) == best_answer(model, length)


def test_narrow_beam_finds_no_worse_than_greedy(model: Transformer) -> None:
    def score(answer: list[int]) -> float:
        with torch.no_grad():
            scores = model.lm_head(model(torch.tensor([PROMPT + answer])))[0].log_softmax(-1)
        return sum(scores[len(PROMPT) - 1 + place, token].item() for place, token in enumerate(answer))

    (greedy,) = generate(model, [PROMPT], SamplingSettings(temperature=0, max_new_tokens=8), set())
    found = {beams: generate(model, [PROMPT], settings(beams, 8), set())[0].ids for beams in (2, 5, 20)}
    assert all(len(ids) == 8 for ids in found.values())
    assert score(greedy.ids) <= score(found[20]) + 1e-6
    assert score(found[20]) > score(greedy.ids) or found[20] == greedy.ids


def test_repetition_rules_hold_in_beams(model: Transformer) -> None:
    rules = SamplingSettings(temperature=0, num_beams=4, max_new_tokens=20, no_repeat_ngram=1)
    (completion,) = generate(model, [PROMPT], rules, set())
    assert len(set(completion.ids)) == len(completion.ids) == 20 and not set(PROMPT) & set(completion.ids)
