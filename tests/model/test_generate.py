"""Generation with the cache equals recomputing everything; a batch equals its rows alone."""

import itertools
import random

import pytest
import torch

from tests.model.conftest import TINY, random_ids, tiny
from yanmo.model.cache import KVCache
from yanmo.model.generate import close_gaps, generate, new_cache, prefill, stream
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer

GREEDY = SamplingSettings(temperature=0, max_new_tokens=12)
PROMPTS = [random_ids(1, length, seed=length)[0].tolist() for length in (3, 11, 1, 7, 20)]


def logits(model: Transformer, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.lm_head(model(torch.tensor([ids])))[0]


def naive_greedy(model: Transformer, prompt: list[int], stop_ids: set[int], new_tokens: int) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + new_tokens:
        token = int(logits(model, ids)[-1].argmax())
        if token in stop_ids:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@torch.no_grad()
def test_cached_equals_uncached(family: str) -> None:
    model = tiny(family, num_key_value_heads=2)
    ids = random_ids(2, 24)
    cache = KVCache(model.config, 2, 24)
    pieces = []
    for start, stop in ((0, 7), (7, 8), (8, 14), (14, 15), (15, 24)):
        pieces.append(model(ids[:, start:stop], cache=cache))
        cache.advance(stop - start)
    torch.testing.assert_close(torch.cat(pieces, 1), model(ids), atol=1e-5, rtol=0)


@torch.no_grad()
def test_rows_of_different_lengths(model: Transformer) -> None:
    """Right padding, garbage behind each row's end, then pieces of two tokens at different positions."""
    cache = new_cache(model, PROMPTS, 8)
    hidden = prefill(model, PROMPTS, cache)
    texts = [list(prompt) for prompt in PROMPTS]
    for row, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(model.lm_head(hidden[row]), logits(model, prompt)[-1], atol=1e-5, rtol=0)
    for step in range(3):
        ids = random_ids(len(PROMPTS), 2, seed=step)
        hidden = model(ids, cache=cache)
        cache.advance(2)
        for row, text in enumerate(texts):
            text += ids[row].tolist()
            torch.testing.assert_close(model.lm_head(hidden[row]), logits(model, text)[-2:], atol=1e-5, rtol=0)


@torch.no_grad()
def test_two_sessions_share_a_model(model: Transformer) -> None:
    caches = [KVCache(model.config, 1, 16), KVCache(model.config, 1, 16)]
    texts = [random_ids(1, 12, seed=1), random_ids(1, 12, seed=2)]
    for position in range(12):
        for cache, text in zip(caches, texts, strict=True):
            hidden = model(text[:, position : position + 1], cache=cache)
            cache.advance(1)
            torch.testing.assert_close(hidden[:, 0], model(text)[:, position], atol=1e-5, rtol=0)


def test_greedy_batch_equals_single_and_naive(model: Transformer) -> None:
    answers = [naive_greedy(model, prompt, set(), 12) for prompt in PROMPTS]
    stop_ids = {answers[0][3], answers[3][8]}  # so that rows end at different steps
    completions = generate(model, PROMPTS, GREEDY, stop_ids)
    assert len({len(completion.ids) for completion in completions}) > 1
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert completion.ids == naive_greedy(model, prompt, stop_ids, 12)
        assert completion == generate(model, [prompt], GREEDY, stop_ids)[0]
        assert completion.finish == ("length" if len(completion.ids) == 12 else "stop")


def test_sampled_batch_equals_single(model: Transformer) -> None:
    settings = SamplingSettings(temperature=0.9, top_k=30, top_p=0.95, max_new_tokens=20, seed=7)
    stop_ids = set(range(0, 96, 12))
    together = generate(model, PROMPTS, settings, stop_ids)
    alone = [generate(model, [prompt], settings, stop_ids, row)[0] for row, prompt in enumerate(PROMPTS)]
    assert together == alone
    other = SamplingSettings(temperature=0.9, top_k=30, top_p=0.95, max_new_tokens=20, seed=8)
    assert generate(model, PROMPTS, other, stop_ids) != together


def test_finished_rows_leave_the_batch(model: Transformer) -> None:
    """Rows shrink to nothing: the sum of batch sizes is the number of tokens."""
    sizes: list[int] = []
    model.model.layers[0].register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[0]))
    settings = SamplingSettings(temperature=1, max_new_tokens=30, seed=2)
    produced = sum(1 for _ in stream(model, PROMPTS, settings, set(range(0, 96, 8))))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < len(PROMPTS)
    assert sum(sizes) == produced


def test_the_context_is_the_end(model: Transformer) -> None:
    context = TINY.max_position_embeddings
    prompt = random_ids(1, context - 3)[0].tolist()
    (completion,) = generate(model, [prompt], GREEDY, set())
    assert len(completion.ids) == 3 and completion.finish == "length"
    with pytest.raises(ValueError, match=f"prompt 2 has {context} tokens.*context is {context}"):
        generate(model, [prompt, [1] * context], GREEDY, set())
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        generate(model, [[]], GREEDY, set())
    with pytest.raises(ValueError, match="id 96"):
        generate(model, [[96]], GREEDY, set())


def test_repetition_rules_reach_the_text(model: Transformer) -> None:
    settings = SamplingSettings(temperature=0, no_repeat_ngram=2, max_new_tokens=40)
    for prompt, completion in zip(PROMPTS, generate(model, PROMPTS, settings, set()), strict=True):
        pairs = list(itertools.pairwise(prompt + completion.ids))
        assert len(set(pairs[len(prompt) - 1 :])) == len(completion.ids)


def test_close_gaps_moves_little() -> None:
    assert close_gaps([0, 1, 2]) == [0, 1, 2]
    assert close_gaps([0, 2, 3, 5]) == [0, 5, 2, 3]
    for _ in range(50):
        alive = [place for place in range(9) if random.random() < 0.5]
        order = close_gaps(alive)
        assert sorted(order) == alive
        assert all(order[place] == place for place in alive if place < len(alive))


def test_bfloat16_model_and_compute_dtype(model: Transformer) -> None:
    model = model.to(torch.bfloat16).float()  # so that the masters hold no more than bfloat16 does
    model.compute_dtype = torch.bfloat16
    assert new_cache(model, PROMPTS, 4).keys[0].dtype == torch.bfloat16
    computed = generate(model, PROMPTS, GREEDY, set())
    model = model.to(torch.bfloat16)
    model.compute_dtype = None
    assert generate(model, PROMPTS, GREEDY, set()) == computed
