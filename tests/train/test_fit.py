"""The loop: it learns, its gradient does not depend on how a batch is cut, and it resumes bit for bit."""

from __future__ import annotations

import copy
import itertools
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from yanmo.core.run import Run
from yanmo.core.signals import Failure, Terminated
from yanmo.data.batches import ArrayTokens, PackedBatches
from yanmo.model.config import ModelConfig
from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.train.fit import Hooks, fit, train_step
from yanmo.train.losses import next_token_loss
from yanmo.train.optimizers import build_optimizers
from yanmo.train.schedule import make_schedule
from yanmo.train.settings import TrainSettings
from yanmo.train.state import Progress

SHAPE = ModelConfig(
    vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32
)
SETTINGS = TrainSettings(
    steps=12, sequence_length=16, batch_size=4, lr=0.01, dtype="fp32", device="cpu", log_every=1, save_every=0
)


def tiny_model(seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(SHAPE)


def tiny_batches(settings: TrainSettings = SETTINGS) -> PackedBatches:
    """A stream with structure to learn: each token is the last one plus 1 or 2, documents of about 20 tokens."""
    generator = np.random.default_rng(7)
    ids = np.cumsum(generator.integers(1, 3, 2000)) % 63 + 1
    ids[generator.random(2000) < 0.05] = 0
    return PackedBatches(ArrayTokens(ids), settings.sequence_length, settings.batch_size, settings.seed, end_id=0)


def nan_loss(model: Transformer, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    return next_token_loss(model, batch)[0] * float("nan"), {}


def run_fit(
    tmp_path: Path,
    settings: TrainSettings = SETTINGS,
    model: Transformer | None = None,
    save: Callable[[Progress], None] = lambda progress: None,
    loss: Any = next_token_loss,
    progress: Progress | None = None,
) -> tuple[Transformer, Progress, Run]:
    model = model or tiny_model()
    progress = progress or Progress()
    run = Run(tmp_path, "pretrain")
    optimizers = build_optimizers(model, settings)
    schedule = make_schedule(settings, settings.steps or 1)
    hooks = Hooks(validate=lambda last: {}, save=save)
    try:
        fit(model, loss, tiny_batches(settings), optimizers, schedule, settings, progress, hooks, run)
    finally:
        run.close()
    return model, progress, run


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_loss_falls_far_below_a_uniform_guess(tmp_path: Path, optimizer: Any) -> None:
    _, progress, run = run_fit(tmp_path, replace(SETTINGS, optimizer=optimizer, steps=60))
    assert progress.step == 60
    assert run.report["train_loss"] < math.log(64) - 1.5


@pytest.mark.parametrize("micro", [1, 2, 3])
def test_gradient_accumulation_is_exact(micro: int) -> None:
    """Rows with unequal numbers of targets: a mean of means would differ."""
    batch = tiny_batches().batch(0)
    batch["labels"][0, 3:] = IGNORE
    batch["labels"][2] = IGNORE
    whole, cut = tiny_model(), tiny_model()
    for model, size in ((whole, 4), (cut, micro)):
        settings = replace(SETTINGS, micro_batch_size=size, optimizer="adamw")
        captured: list[Tensor] = []
        optimizers = build_optimizers(model, settings)
        optimizers[0].register_step_pre_hook(
            lambda o, *_: captured.extend(p.grad.clone() for g in o.param_groups for p in g["params"])  # noqa: B023
        )
        train_step(model, next_token_loss, batch, optimizers, settings, Progress())
        model.captured = captured  # type: ignore[assignment]
    for one, many in zip(whole.captured, cut.captured, strict=True):  # type: ignore[arg-type]
        torch.testing.assert_close(one, many, atol=1e-6, rtol=1e-5)


def test_a_batch_may_say_what_its_rows_count_for(tmp_path: Path) -> None:
    """A mean over pairs, not over tokens: the loss's figures are divided by the same."""

    def loss(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        total, _ = next_token_loss(model, batch)
        return total, {"rows": batch["count"].sum() * 3.0}

    batch = tiny_batches().batch(0) | {"count": torch.tensor([1, 2, 0, 2])}
    settings = replace(SETTINGS, micro_batch_size=3)
    model = tiny_model()
    total = float(next_token_loss(model, batch)[0].detach())
    step = train_step(model, loss, batch, build_optimizers(model, settings), settings, Progress())
    assert step.loss == pytest.approx(total / 5, rel=1e-5)
    assert step.figures == {"rows": pytest.approx(3.0)}
    assert step.targets == int((batch["labels"] != IGNORE).sum())


def test_clipping_bounds_the_update_norm() -> None:
    model, settings = tiny_model(), replace(SETTINGS, optimizer="adamw", clip=0.01)
    optimizers = build_optimizers(model, settings)
    norms: list[float] = []
    optimizers[0].register_step_pre_hook(
        lambda o, *_: norms.append(
            float(torch.stack([p.grad.norm() for g in o.param_groups for p in g["params"]]).norm())
        )
    )
    before = train_step(model, next_token_loss, tiny_batches().batch(0), optimizers, settings, Progress()).gradient_norm
    assert before > 0.01
    assert norms[0] == pytest.approx(0.01, rel=1e-4)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    progress = Progress()
    train_step(model, nan_loss, tiny_batches().batch(0), build_optimizers(model, SETTINGS), SETTINGS, progress)
    assert progress.skipped == 1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_loss_that_stays_nan_ends_the_run_with_advice(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"5 times in a row.*--train\.lr"):
        run_fit(tmp_path, loss=nan_loss)


def test_fp16_scaling_halves_on_overflow_and_recovers() -> None:
    model, settings = tiny_model(), replace(SETTINGS, dtype="fp16")
    progress = Progress(loss_scale=2.0**40)
    optimizers = build_optimizers(model, settings)
    model.compute_dtype = torch.float16
    for number in range(40):
        train_step(model, next_token_loss, tiny_batches().batch(number), optimizers, settings, progress)
    assert 0 < progress.skipped < 40
    assert progress.loss_scale == 2.0 ** (40 - progress.skipped)


def test_fp16_gradients_equal_fp32_up_to_rounding() -> None:
    steps = []
    for dtype, scale in (("fp32", 1.0), ("fp16", 2.0**12)):
        model, settings = tiny_model(), replace(SETTINGS, dtype=dtype)
        model.compute_dtype = {"fp32": torch.float32, "fp16": torch.float16}[dtype]
        batch = tiny_batches().batch(0)
        progress = Progress(loss_scale=scale)
        steps.append(train_step(model, next_token_loss, batch, build_optimizers(model, settings), settings, progress))
    assert steps[1].loss == pytest.approx(steps[0].loss, rel=1e-3)
    assert steps[1].gradient_norm == pytest.approx(steps[0].gradient_norm, rel=1e-2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_first(tmp_path: Path, number: signal.Signals) -> None:
    saved: list[int] = []

    def loss(model: Any, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        if len(saved) == 0 and counter.append(1) is None and len(counter) == 5:
            os.kill(os.getpid(), number)
        return next_token_loss(model, batch)

    counter: list[int] = []
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Terminated):
        run_fit(tmp_path, loss=loss, save=lambda progress: saved.append(progress.step))
    assert saved == [5]


def test_a_checkpoint_that_fails_in_the_middle_is_a_warning_and_at_the_end_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(progress: Progress) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Failure, match="step 12: the checkpoint could not be written"):
        run_fit(tmp_path, replace(SETTINGS, save_every=5), save=save)
    assert capsys.readouterr().out.count("checkpoint not written") == 2


def test_where_the_batches_end_training_does(tmp_path: Path) -> None:
    validated, saved = [], []
    progress, model = Progress(), tiny_model()
    hooks = Hooks(validate=lambda last: validated.append(last) or {}, save=lambda now: saved.append(now.step))
    run = Run(tmp_path, "ppo")
    fit(
        model,
        next_token_loss,
        lambda start: itertools.islice(tiny_batches()(start), 5 - start),
        build_optimizers(model, SETTINGS),
        make_schedule(SETTINGS, 12),
        SETTINGS,
        progress,
        hooks,
        run,
    )
    run.close()
    assert progress.step == 5 and validated == [True] and saved == [5]
