"""The twin for decoding computes what the model does."""

import pytest
import torch

from tests.model.conftest import random_ids, tiny
from yanmo.model.cache import KVCache
from yanmo.model.decoding import decoding_dtype, for_decoding
from yanmo.model.generate import generate
from yanmo.model.sampling_settings import SamplingSettings

UNLIKE = {"num_key_value_heads": 2, "tie_word_embeddings": False, "hidden_act": "relu2"}


@pytest.mark.parametrize("changes", [{}, UNLIKE])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@torch.no_grad()
def test_twin_equals_model(family: str, changes: dict) -> None:
    model = tiny(family, **changes)
    twin, ids = for_decoding(model), random_ids(2, 20)
    cache, pieces = KVCache(model.config, 2, 20), []
    for start, stop in ((0, 9), (9, 10), (10, 20)):
        pieces.append(twin.lm_head(twin(ids[:, start:stop], cache=cache)))
        cache.advance(stop - start)
    torch.testing.assert_close(torch.cat(pieces, 1), model.lm_head(model(ids)), atol=1e-4, rtol=0)


def test_twin_in_bfloat16_is_close_and_the_model_stays() -> None:
    model, ids = tiny("qwen3", num_key_value_heads=2), random_ids(2, 12)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.compute_dtype = torch.bfloat16
    twin = for_decoding(model)
    hidden = twin(ids, cache=KVCache(model.config, 2, 12, torch.bfloat16))
    assert hidden.dtype == torch.bfloat16
    with torch.no_grad():
        exact = model(ids).float()
    assert ((hidden.float() - exact).norm() / exact.norm()).item() < 0.02
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_twin_generates() -> None:
    model, prompts = tiny("qwen3"), [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
    settings = SamplingSettings(temperature=0.8, top_k=20, max_new_tokens=15, seed=1)
    assert generate(for_decoding(model), prompts, settings, {7}) == generate(model, prompts, settings, {7})


def test_few_rows_want_few_bytes() -> None:
    assert decoding_dtype(torch.device("cpu"), 1) == torch.bfloat16
    assert decoding_dtype(torch.device("cpu"), 64) in (torch.bfloat16, torch.float32)
