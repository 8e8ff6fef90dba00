"""Validation figures against their definitions, worked out the long way with transformers-style logits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from yanmo.data.batches import sequential
from yanmo.data.shards import open_shards
from yanmo.model.config import ModelConfig
from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.train.plot import plot_loss
from yanmo.train.validation import first_targets, validation_loss


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig(vocab_size=512, hidden_size=32, num_hidden_layers=1, num_attention_heads=2))


def test_figures_are_what_their_names_say(shards_dir: Path, model: Transformer) -> None:
    shards = open_shards(shards_dir)
    tokenizer = shards.tokenizer()
    batches = list(sequential(shards.val, 32, 4, tokenizer.end_id))
    figures = validation_loss(model, tokenizer, batches, rows=3)
    nats, tokens = 0.0, 0
    for batch in batches:
        logits = model.lm_head(model(batch["input_ids"], batch["position_ids"], batch["segments"]))
        nats += F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum").item()
        tokens += int((batch["labels"] != IGNORE).sum())
    assert figures["tokens"] == tokens == len(shards.val) - 1
    assert figures["nats_per_token"] == pytest.approx(nats / tokens, rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    # The whole split is scored but for its first token, so bytes and characters are the split's less that token's.
    first = int(shards.val.read(0, 1)[0])
    assert figures["bytes"] == shards.meta.val.bytes - tokenizer.byte_counts()[first]
    assert figures["characters"] == shards.meta.val.characters - tokenizer.char_counts()[first]
    assert figures["bits_per_byte"] == pytest.approx(nats / math.log(2) / figures["bytes"], rel=1e-5)
    assert figures["bits_per_character"] == pytest.approx(nats / math.log(2) / figures["characters"], rel=1e-5)


def test_an_untrained_model_is_about_uniform(shards_dir: Path, model: Transformer) -> None:
    shards = open_shards(shards_dir)
    tokenizer = shards.tokenizer()
    figures = validation_loss(model, tokenizer, sequential(shards.val, 32, 4, tokenizer.end_id), rows=4)
    assert figures["nats_per_token"] == pytest.approx(math.log(512), rel=0.02)


def test_no_validation_data_gives_no_figures(shards_dir: Path, model: Transformer) -> None:
    assert validation_loss(model, open_shards(shards_dir).tokenizer(), [], rows=4) == {}


def test_a_limit_is_reached_and_not_overrun_by_more_than_a_batch(shards_dir: Path) -> None:
    shards = open_shards(shards_dir)
    batches = list(first_targets(sequential(shards.val, 16, 2, shards.meta.end_id), 50))
    targets = [int((batch["labels"] != IGNORE).sum()) for batch in batches]
    assert sum(targets) >= 50 > sum(targets[:-1])


def test_the_loss_curve_is_a_picture(tmp_path: Path) -> None:
    rows = [f'{{"step": {i}, "tokens": {i * 100}, "loss": {6 - i / 10}}}' for i in range(1, 30)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*rows, '{"step": 29, "val_nats_per_token": 3.5}']) + "\n")
    picture = plot_loss(tmp_path)
    assert picture is not None and picture.read_bytes().startswith(b"\x89PNG")
    assert plot_loss(tmp_path / "nothing") is None
