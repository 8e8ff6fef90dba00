"""The one training loop. Every stage differs only in the model, the batches and the loss it hands in.

    for each step:   batch -> micro-batches -> loss sums -> one division by the count of targets -> update

The gradient of a step is that of the mean over all targets of the global batch, whatever the micro-batches (and,
later, processes) it was computed in: sums are divided once, by a count known before the first backward pass.
The loop holds no state beyond `Progress`, the weights and the optimizers, so it resumes bit for bit.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yanmo.core import device as hardware
from yanmo.core.run import Bar, Run, duration
from yanmo.core.signals import Failure, Stop, deferred
from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.train.optimizers import set_learning_rate
from yanmo.train.schedule import Schedule
from yanmo.train.settings import TrainSettings
from yanmo.train.state import Progress

Batch = dict[str, Tensor]
Batches = Callable[[int], Iterator[Batch]]
"""start -> the batches number start, start + 1, ...: a pure function of (seed, number).
Where they end, training does."""
Figures = dict[str, Tensor]
Loss = Callable[[Any, Batch], tuple[Tensor, Figures]]
"""(model, batch) -> the loss summed over what the batch counts, a scalar, and figures to log, summed over the same.

What is counted are the targets (labels that are not IGNORE), or what the batch says of each of its rows in "count"."""

MICRO_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Tokens that go through the model at once unless --train.micro-batch-size says otherwise. A CPU is as fast with few,
which stay in its cache, and needs a third less memory (docs/log.md); a GPU wants to be filled."""
PATIENCE = 5
"""Steps in a row without a finite gradient after which a run gives up."""
FP16_SCALE, FP16_GROWTH = 2.0**16, 2000
"""Initial fp16 loss scale, and the finite steps after which it doubles (PyTorch's GradScaler's defaults)."""


@dataclass
class Hooks:
    """What a stage does now and then."""

    validate: Callable[[bool], dict[str, float]]
    """(whether this is the last time) -> figures to log, the most telling first. May find the step the best so far."""
    save: Callable[[Progress], None]
    """Writes a checkpoint."""
    enough: Callable[[dict[str, float]], str | None] = lambda figures: None
    """Figures -> why to stop here, or None."""
    watch: Callable[[], tuple[dict[str, float], dict[str, float]]] = lambda: ({}, {})
    """What there is to say about the newest batch itself: figures for the bar, and more of them for the log."""


def fit(
    model: Transformer,
    loss: Loss,
    batches: Batches,
    optimizers: list[torch.optim.Optimizer],
    schedule: Schedule,
    settings: TrainSettings,
    progress: Progress,
    hooks: Hooks,
    run: Run,
) -> None:
    """Train from `progress.step` to the schedule's end.

    Raises: Failure: the loss stays NaN or infinite, or the last checkpoint cannot be written.
    KeyboardInterrupt, Terminated: after a checkpoint, when the user asked to stop.
    """
    meter = Meter(model, settings, progress)
    total = schedule.total_steps
    unlucky = 0
    with deferred() as stop, run.progress("train", total, "steps", done=progress.step) as bar:
        for batch in itertools.islice(batches(progress.step), max(0, total - progress.step)):
            progress.multiplier = schedule(progress.step)
            set_learning_rate(optimizers, progress.multiplier)
            step = train_step(model, loss, batch, optimizers, settings, progress)
            progress.step += 1
            progress.tokens += step.targets
            unlucky = 0 if math.isfinite(step.gradient_norm) else unlucky + 1
            if unlucky == PATIENCE:
                raise Failure(_nan_advice(progress, step.loss))
            meter.step(run, bar, step, *hooks.watch())
            last, reason = progress.step == total, None
            if last or _due(settings.eval_every, progress.step):
                figures = hooks.validate(last)
                meter.validated(run, bar, figures)
                reason = hooks.enough(figures)
            best = progress.best_step == progress.step
            if last or stop or reason or best or _due(settings.save_every, progress.step):
                _save(hooks, progress, run, must=last or bool(stop) or bool(reason))
            if reason:
                run.say(f"stopped at step {progress.step}: {reason}")
                run.report["stopped"] = reason
                break
            if stop and not last:
                _leave(stop, run, progress)
        else:
            if progress.step < total:  # the batches came to an end before the schedule did
                meter.validated(run, bar, hooks.validate(True))
                _save(hooks, progress, run, must=True)
    run.report |= meter.summary()


@dataclass(frozen=True)
class Step:
    """What came of one update."""

    loss: float
    """Mean over what the batch counts."""
    figures: dict[str, float]
    """Means of the loss's figures."""
    gradient_norm: float
    """Before clipping."""
    tokens: int
    """Places that went through the model, targets or not."""
    targets: int
    """Places with a label."""


def train_step(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    optimizers: list[torch.optim.Optimizer],
    settings: TrainSettings,
    progress: Progress,
) -> Step:
    """One update of the weights, skipped when the gradient is not finite."""
    weights = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    targets = int((batch["labels"] != IGNORE).sum())
    count = max(1, int(batch["count"].sum()) if "count" in batch else targets)
    sums: defaultdict[str, float] = defaultdict(float)
    for rows in micro_batches(batch, settings, weights[0].device):
        total, figures = loss(model, rows)
        (total * (progress.loss_scale / count)).backward()
        sums["loss"] += float(total.detach())
        for name, figure in figures.items():
            sums[name] += float(figure.detach())
    norm = gradient_norm(weights) / progress.loss_scale
    if math.isfinite(norm):
        clipped = settings.clip / norm if settings.clip and norm > settings.clip else 1.0
        factor = clipped / progress.loss_scale
        if factor != 1.0:
            torch._foreach_mul_([p.grad for p in weights if p.grad is not None], factor)
        for optimizer in optimizers:
            optimizer.step()
    _adapt_loss_scale(progress, settings, math.isfinite(norm))
    for weight in weights:
        weight.grad = None
    means = {name: value / count for name, value in sums.items()}
    return Step(means.pop("loss"), means, norm, batch["labels"].numel(), targets)


def micro_batches(batch: Batch, settings: TrainSettings, device: torch.device) -> Iterator[Batch]:
    """Slices of the batch along its rows, on the device."""
    size = rows_at_once(settings)
    for start in range(0, len(batch["labels"]), size):
        yield {name: tensor[start : start + size].to(device, non_blocking=True) for name, tensor in batch.items()}


def rows_at_once(settings: TrainSettings) -> int:
    return settings.micro_batch_size or max(1, MICRO_TOKENS[settings.device] // settings.sequence_length)


def gradient_norm(weights: list[Tensor]) -> float:
    """Global L2 norm of the gradients; not finite when any of them is not."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norms = torch._foreach_norm(gradients)
    return float(torch.stack([norm.float() for norm in norms]).norm())


def _adapt_loss_scale(progress: Progress, settings: TrainSettings, finite: bool) -> None:
    """fp16 has few small numbers: keep the loss scaled as high as the gradients stay finite (Micikevicius
    et al. 2018, arXiv:1710.03740). In bf16 and fp32 the scale is 1 and stays 1."""
    if not finite:
        progress.skipped += 1
        progress.good_steps = 0
        if progress.loss_scale > 1:
            progress.loss_scale /= 2
        return
    progress.good_steps += 1
    if settings.dtype == "fp16" and progress.good_steps >= FP16_GROWTH:
        progress.loss_scale *= 2
        progress.good_steps = 0


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _save(hooks: Hooks, progress: Progress, run: Run, must: bool) -> None:
    """A checkpoint that fails (a full disk, say) costs nothing but itself, unless it is the last."""
    try:
        hooks.save(progress)
    except OSError as error:
        if must:
            raise Failure(f"step {progress.step}: the checkpoint could not be written: {error}") from error
        run.say(f"warning: step {progress.step}: checkpoint not written: {error}; the older ones are untouched")


def _leave(stop: Stop, run: Run, progress: Progress) -> None:
    run.say(f"stopped at step {progress.step}, saved; the same command with --resume goes on from here")
    stop.leave()


def _nan_advice(progress: Progress, loss: float) -> str:
    return (
        f"step {progress.step}: the gradient was not finite {PATIENCE} times in a row (loss {loss:.4g}); the last "
        "checkpoint is untouched; lower --train.lr, or use --train.dtype fp32 to see whether precision is the cause"
    )


class Meter:
    """What a run says about itself while it trains: loss, speed, share of the hardware's limit."""

    def __init__(self, model: Transformer, settings: TrainSettings, progress: Progress):
        self._progress = progress
        self._settings = settings
        self._config = model.config
        self._frozen = model.lora is not None
        self._device = next(model.parameters()).device
        self._peak = max(hardware.peak_flops(self._device).values())
        self._seconds = 0.0
        self._tokens = 0
        self._flops = 0
        self._clock = time.perf_counter()
        self._first_step_seconds: float | None = None
        self._smooth: float | None = None
        self._last: dict[str, float] = {}

    def step(
        self,
        run: Run,
        bar: Bar,
        step: Step,
        shown: dict[str, float] | None = None,
        more: dict[str, float] | None = None,
    ) -> None:
        """Speed is about work done: all tokens count, targets or not. shown and more: what the batches say."""
        shown, more = shown or {}, more or {}
        now = time.perf_counter()
        elapsed, self._clock = now - self._clock, now
        if self._first_step_seconds is None:
            self._first_step_seconds = elapsed  # compiling, filling caches: not the run's speed
        else:
            self._seconds += elapsed
            self._tokens += step.tokens
            self._flops += self._config.flops(step.tokens, step.targets, self._settings.sequence_length, self._frozen)
        if math.isfinite(step.loss):
            self._smooth = step.loss if self._smooth is None else 0.9 * self._smooth + 0.1 * step.loss
        loss = {"loss": self._smooth if self._smooth is not None else step.loss}
        bar.advance(1, **loss, **shown, **self._last, **self.speed())
        if self._progress.step % self._settings.log_every == 0 or self._progress.step == 1:
            run.log(
                self._progress.step,
                tokens=self._progress.tokens,
                loss=step.loss,
                **{**step.figures, **shown, **more},
                gradient_norm=step.gradient_norm,
                lr=self._settings.lr * self._progress.multiplier,
                **self.speed(),
            )

    def validated(self, run: Run, bar: Bar, figures: dict[str, float]) -> None:
        """Log validation figures; the time they took does not count as training time."""
        self._clock = time.perf_counter()
        if not figures:
            return
        run.log(self._progress.step, **{f"val_{name}": value for name, value in figures.items()})
        self._last = {"val": next(iter(figures.values()))}
        run.report["validation"] = figures

    def speed(self) -> dict[str, float]:
        if not self._seconds:
            return {}
        rate, flops = self._tokens / self._seconds, self._flops / self._seconds
        return {"tok/s": round(rate), "MFU": round(flops / self._peak, 3)}

    def summary(self) -> dict[str, Any]:
        figures, memory = self.speed(), hardware.peak_memory(self._device)
        return {
            "steps": self._progress.step,
            "tokens": self._progress.tokens,
            "skipped_steps": self._progress.skipped,
            "train_loss": self._smooth,
            "tokens_per_second": figures.get("tok/s"),
            "mfu": figures.get("MFU"),
            "measured_gemm_peak_flops": self._peak,
            "first_step_seconds": self._first_step_seconds,
            "training_time": duration(self._seconds),
            "peak_memory_mb": memory and round(memory / 1e6),
        }
