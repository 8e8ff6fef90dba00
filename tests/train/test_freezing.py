"""Freezing: what is named keeps its bits, costs no optimizer state, and a wrong name says which there are."""

from __future__ import annotations

import pytest
import torch
from tests.model.conftest import random_ids, tiny

from yanmo.model.lora import add_adapters
from yanmo.model.lora_settings import LoraSettings
from yanmo.train.fit import train_step
from yanmo.train.freezing import expand, freeze
from yanmo.train.losses import next_token_loss
from yanmo.train.optimizers import build_optimizers, optimizer_tensors
from yanmo.train.settings import TrainSettings
from yanmo.train.state import Progress

NAMES = [
    ["embed_tokens"],
    ["layers.0"],
    ["layers.0-1", "norm"],
    ["layers.1.mlp", "model.layers.0.self_attn.q_proj", "lm_head"],
]


@pytest.mark.parametrize("names", NAMES, ids=str)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_frozen_tensors_keep_their_bits_and_the_others_move(names: list[str], optimizer: str) -> None:
    torch.manual_seed(0)
    model = tiny("qwen3", tie_word_embeddings=False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    freeze(model, names)
    settings = TrainSettings(optimizer=optimizer, lr=0.01, sequence_length=12, batch_size=2, device="cpu", dtype="fp32")
    optimizers = build_optimizers(model, settings)
    ids = random_ids(2, 13)
    batch = {
        "input_ids": ids[:, :-1],
        "labels": ids[:, 1:],
        "position_ids": torch.arange(12).expand(2, -1),
        "segments": torch.zeros(2, 12, dtype=torch.int32),
    }
    for _ in range(10):
        train_step(model, next_token_loss, batch, optimizers, settings, Progress())
    parts = [name.removeprefix("model.") for given in names for name in expand(given)]
    frozen = {name for name in before if name.removeprefix("model.").startswith(tuple(f"{part}." for part in parts))}
    assert frozen and frozen != set(before)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name in frozen), name
    assert not {name.rpartition("/")[0] for name in optimizer_tensors(optimizers, model)} & frozen


def test_a_tied_head_is_frozen_with_its_embedding() -> None:
    model = tiny("qwen3", tie_word_embeddings=True)
    freeze(model, ["embed_tokens"])
    assert not model.lm_head.weight.requires_grad


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["embeddings"], r"no 'embeddings' is trained here; there are embed_tokens layers.0-1 norm lm_head"),
        (["layers.0-2"], r"no 'layers.2' is trained here"),
        (["layers.1.attention"], r"of a layer .*\.self_attn .*\.mlp"),
        (["layers", "embed_tokens", "norm", "lm_head"], "nothing is left to train"),
    ],
)
def test_mistakes_name_the_way_out(names: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        freeze(tiny("qwen3", tie_word_embeddings=False), names)


def test_adapters_freeze_the_model_already(tmp_path) -> None:
    model = tiny("qwen3")
    add_adapters(model, LoraSettings(rank=2), tmp_path)
    freeze(model, [])
    with pytest.raises(ValueError, match="with adapters the model is frozen"):
        freeze(model, ["layers.0"])
