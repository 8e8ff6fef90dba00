"""Checkpoints: what is damaged is noticed and passed over, what is newer is kept, and nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from yanmo.core.files import write_json
from yanmo.model.checkpoint import load_model
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.train.optimizers import build_optimizers
from yanmo.train.settings import TrainSettings
from yanmo.train.state import MANIFEST, Progress, checkpoints, damage, latest_checkpoint, load_state, save_checkpoint

CONFIG = ModelConfig(vocab_size=512, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)


@pytest.fixture
def saved(tmp_path: Path, tokenizer_dir: Path) -> Path:
    """Checkpoints of steps 1, 2 and 3, of which the last two are kept."""
    model = Transformer(CONFIG)
    optimizers = build_optimizers(model, TrainSettings())
    for step in (1, 2, 3):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        for optimizer in optimizers:
            optimizer.step()
        save_checkpoint(tmp_path, Progress(step=step, tokens=step * 10), model, optimizers, tokenizer_dir, keep=2)
    return tmp_path


def test_old_ones_go_and_the_newest_weights_stand_at_the_top(saved: Path) -> None:
    assert [path.name for path in checkpoints(saved)] == ["step-00000003", "step-00000002"]
    top, newest = saved / "model.safetensors", checkpoints(saved)[0] / "model.safetensors"
    assert top.stat().st_ino == newest.stat().st_ino, "a hard link costs no space"
    assert (saved / "tokenizer.json").is_file() and (saved / "config.json").is_file()
    assert not (saved / "optimizer.safetensors").exists()
    load_model(saved)


def test_no_file_of_a_checkpoint_is_a_pickle(saved: Path) -> None:
    for path in checkpoints(saved)[0].iterdir():
        assert path.suffix in (".safetensors", ".json", ".jinja"), path


def test_everything_comes_back(saved: Path) -> None:
    newest = checkpoints(saved)[0]
    torch.manual_seed(5)
    model = load_model(newest)
    optimizers = build_optimizers(model, TrainSettings())
    progress = load_state(newest, model, optimizers)
    assert (progress.step, progress.tokens) == (3, 30)
    assert all(optimizer.state for optimizer in optimizers)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json", "config.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damage_is_named_and_the_older_one_is_taken(saved: Path, name: str, harm: str) -> None:
    newest, older = checkpoints(saved)
    file = newest / name
    data = bytearray(file.read_bytes())
    file.unlink()
    if harm == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif harm == "cut":
        file.write_bytes(data[: len(data) // 2])
    said: list[str] = []
    assert latest_checkpoint(saved, said.append) == older
    assert name in said[0] and str(newest) in said[0]
    if harm == "cut":
        assert str(len(data)) in said[0] and str(len(data) // 2) in said[0]


def test_a_manifest_from_the_future_or_garbled_is_no_checkpoint(saved: Path) -> None:
    newest = checkpoints(saved)[0]
    manifest = json.loads((newest / MANIFEST).read_text())
    write_json(newest / MANIFEST, manifest | {"schema": 99})
    assert "another version of yanmo" in (damage(newest) or "")
    (newest / MANIFEST).write_text("{")
    assert "cannot be read" in (damage(newest) or "")


def test_a_half_written_one_is_not_seen_and_is_swept_by_the_next_save(saved: Path, tokenizer_dir: Path) -> None:
    half = saved / "state" / ".step-00000004.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert len(checkpoints(saved)) == 2
    model = Transformer(CONFIG)
    save_checkpoint(saved, Progress(step=5), model, build_optimizers(model, TrainSettings()), tokenizer_dir, keep=2)
    assert not half.exists()


def test_a_failing_save_leaves_the_older_ones(
    saved: Path, tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yanmo.train.state.os.fsync", full_disk)
    model = Transformer(CONFIG)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, Progress(step=9), model, build_optimizers(model, TrainSettings()), tokenizer_dir, 2)
    monkeypatch.undo()
    assert [path.name for path in checkpoints(saved)] == ["step-00000003", "step-00000002"]
    assert latest_checkpoint(saved, print) == checkpoints(saved)[0]
