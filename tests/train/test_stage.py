"""What a stage adds to the loop: the best model instead of the last, and an early end."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train.test_fit import SETTINGS, tiny_batches

from yanmo.core.files import sha256
from yanmo.core.run import Run
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.load import Tokenizer
from yanmo.train.losses import next_token_loss
from yanmo.train.stage import Stage, train
from yanmo.train.state import checkpoint_path

GOODNESS = {3: 0.2, 6: 0.9, 9: 0.5, 12: 0.1}


def run_stage(out: Path, tokenizer: Tokenizer, resume: bool = False, **more) -> tuple[Transformer, Run]:
    settings = replace(SETTINGS, eval_every=3, keep=1)
    batches = tiny_batches(settings)
    steps = iter(GOODNESS.values())
    shape = ModelConfig(vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    stage = Stage(
        settings=settings,
        build=lambda: Transformer(shape),
        tokenizer=tokenizer,
        loss=next_token_loss,
        batches=batches,
        batches_per_epoch=12,
        validate=lambda model, targets, rows: {"goodness": next(steps)},
        samples=lambda model: [],
        **more,
    )
    run = Run(out, "sft")
    run.finished_before = resume
    try:
        return train(stage, run, resume), run
    finally:
        run.close()


def test_the_best_checkpoint_is_what_remains(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model, run = run_stage(tmp_path, tokenizer, score=lambda figures: figures["goodness"])
    best = checkpoint_path(tmp_path, 6)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["step-00000006", "step-00000012"]
    assert sha256(tmp_path / "model.safetensors") == sha256(best / "model.safetensors")
    assert sha256(best / "model.safetensors") != sha256(checkpoint_path(tmp_path, 12) / "model.safetensors")
    assert run.report["best_step"] == 6
    plain, _ = run_stage(tmp_path / "last", tokenizer)
    assert not torch.equal(plain.lm_head.weight, model.lm_head.weight)
    again, _ = run_stage(tmp_path, tokenizer, resume=True, score=lambda figures: figures["goodness"])
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)


def test_an_early_end_is_saved_and_says_why(tmp_path: Path, tokenizer: Tokenizer) -> None:
    _, run = run_stage(tmp_path, tokenizer, enough=lambda figures: "worse" if figures["goodness"] > 0.8 else None)
    assert run.report["stopped"] == "worse" and run.report["steps"] == 6
    assert checkpoint_path(tmp_path, 6).is_dir() and not checkpoint_path(tmp_path, 12).exists()


@pytest.mark.parametrize("score", [None, lambda figures: -figures["goodness"]])
def test_nothing_changes_when_the_last_is_the_best(tmp_path: Path, tokenizer: Tokenizer, score) -> None:
    _, run = run_stage(tmp_path, tokenizer, score=score)
    assert "best_step" not in run.report and run.report["steps"] == 12
