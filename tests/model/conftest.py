"""Tiny models of the three families, ours and transformers'."""

import dataclasses

import pytest
import torch

from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer

TINY = ModelConfig(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    qk_norm=False,
)
FAMILIES = {"llama": {}, "qwen2": {"qkv_bias": True}, "qwen3": {"qk_norm": True}}


def tiny(family: str = "qwen3", **changes) -> Transformer:
    """A model whose every parameter is random and large enough that a mistake shows in the logits."""
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, **(FAMILIES[family] | changes)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.3)
    return model.eval()


@pytest.fixture
def model() -> Transformer:
    return tiny(num_key_value_heads=2)


def random_ids(rows: int, tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, TINY.vocab_size, (rows, tokens), generator=torch.Generator().manual_seed(seed))
