"""Adapters under preference training: what is compared with is the adapter that training starts from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import orjson
import pytest
import torch

from yanmo.cli import run
from yanmo.core.files import sha256
from yanmo.model.adapter import base_of, is_adapter
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.config import ModelConfig
from yanmo.model.lora import add_adapters
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.transformer import Transformer

TRAIN = (
    "--train.sequence-length 128 --train.batch-size 4 --train.dtype fp32 --train.device cpu --no-train.compile "
    "--train.log-every 1 --val-fraction 0 --samples 你好"
).split()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    """An adapter that changes its base a great deal."""
    directory = tmp_path_factory.mktemp("adapter")
    config = ModelConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=128
    )
    torch.manual_seed(0)
    save_model(directory / "base", Transformer(config), tokenizer_dir)
    model = load_model(directory / "base")
    add_adapters(model, LoraSettings(rank=4), directory / "base")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(0, 0.3)
    save_model(directory / "sft", model, tokenizer_dir)
    return directory / "sft"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"第{n}题", "chosen": "好" * (n % 3 + 1), "rejected": "不知道" * (n % 2 + 1)} for n in range(16)]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def training_losses(out: Path) -> list[float]:
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def test_dpo_goes_on_with_an_adapter_and_compares_with_it(adapter: Path, pairs: Path, tmp_path: Path) -> None:
    out, base = tmp_path / "dpo", base_of(adapter)
    before = sha256(base / "model.safetensors")
    command = ["dpo", "--init", str(adapter), "--data", str(pairs), "--out", str(out), *TRAIN]
    assert run([*command, "--train.steps", "6", "--train.lr", "0.001"]) == 0
    losses = training_losses(out)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4), "the reference is the adapter, not the bare base"
    assert losses[-1] < losses[0] - 0.01
    assert is_adapter(out) and base_of(out) == base and sha256(base / "model.safetensors") == before
    assert sha256(out / "adapter_model.safetensors") != sha256(adapter / "adapter_model.safetensors")


def test_a_new_adapter_starts_as_its_reference(adapter: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "dpo"
    command = ["dpo", "--init", str(base_of(adapter)), "--data", str(pairs), "--out", str(out), *TRAIN]
    assert run([*command, "--lora.rank", "4", "--train.steps", "1"]) == 0
    assert training_losses(out)[0] == pytest.approx(math.log(2), abs=1e-4)
