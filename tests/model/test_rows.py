"""Another vocabulary for a model: kept rows as they were, new ones from what they stand for."""

from __future__ import annotations

import pytest
import torch

from tests.model.conftest import TINY, random_ids, tiny
from yanmo.model.rows import with_rows


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_kept_ids_have_the_same_logits(family: str, tied: bool) -> None:
    model = tiny(family, tie_word_embeddings=tied)
    kept = torch.arange(0, TINY.vocab_size, 2).flip(0)
    other = with_rows(model, [[old] for old in kept.tolist()] + [[3, 5], []])
    assert other.config.vocab_size == len(kept) + 2
    assert (other.lm_head.weight is other.model.embed_tokens.weight) is tied
    new = random_ids(2, 12) % len(kept)
    ours, theirs = other.lm_head(other(new)), model.lm_head(model(kept[new]))
    torch.testing.assert_close(ours[..., : len(kept)], theirs[..., kept], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_rows_are_means(dtype: torch.dtype) -> None:
    model = tiny("llama", tie_word_embeddings=False).to(dtype)
    other = with_rows(model, [[7], [3, 5, 5], []])
    for old, new in ((model.model.embed_tokens, other.model.embed_tokens), (model.lm_head, other.lm_head)):
        assert new.weight.dtype == dtype
        assert torch.equal(new.weight[0], old.weight[7])
        assert torch.equal(new.weight[1], old.weight[[3, 5, 5]].float().mean(0).to(dtype))
        assert torch.equal(new.weight[2], old.weight.float().mean(0).to(dtype))


def test_the_old_model_stays() -> None:
    model = tiny("llama")
    before = model.model.embed_tokens.weight.clone()
    other = with_rows(model, [[1], []])
    with torch.no_grad():
        other.model.embed_tokens.weight.zero_()
    assert torch.equal(model.model.embed_tokens.weight, before)
    assert model.config.vocab_size == TINY.vocab_size
