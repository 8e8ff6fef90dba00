"""What every training stage does around `fit`: device, optimizers, resuming, checkpoints, validation, and at the
end a loss curve and a table of samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from yanmo.core import device as hardware
from yanmo.core.run import Run
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.lora import add_adapters
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.tensors import load_tensors
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.load import Tokenizer
from yanmo.train.fit import FP16_SCALE, Batches, Hooks, Loss, fit, rows_at_once
from yanmo.train.freezing import freeze
from yanmo.train.optimizers import build_optimizers
from yanmo.train.plot import plot_loss
from yanmo.train.schedule import Schedule, finishing, make_schedule
from yanmo.train.settings import TrainSettings
from yanmo.train.state import (
    LIVE,
    Progress,
    checkpoint_path,
    checkpoints,
    damage,
    latest_checkpoint,
    load_state,
    publish,
    save_checkpoint,
)

FINAL_EVAL_FACTOR = 8
"""How many times --train.eval-tokens the last validation may score."""
FINISH_SHARE = 5
"""Without --train.steps, `--finish` anneals for this fraction of the trunk's steps (a fifth)."""
COMPILE_TOKENS = 2_000_000
"""Targets from which a run is long enough for compiling (10 to 40 seconds) to pay, on a CPU."""


class Live(Protocol):
    """Batches that are sampled from the model while it learns: they need its weights, and what they remember between
    two steps lies in every checkpoint."""

    def attach(self, model: Transformer) -> None:
        """From now on the batches come from this model."""

    def watch(self) -> tuple[dict[str, float], dict[str, float]]:
        """Figures of the newest batch: for the bar, and more for the log."""

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, state: dict[str, Tensor]) -> None: ...


@dataclass
class Stage:
    """The parts of one training command that `train` puts together."""

    settings: TrainSettings
    build: Callable[[], Transformer]
    """The model to start from when there is nothing to resume."""
    tokenizer: Tokenizer
    loss: Loss
    batches: Batches
    batches_per_epoch: int
    validate: Callable[[Any, int, int], dict[str, float]]
    """(model, targets, rows) -> figures over about that many held-out targets, `rows` at a time, the most telling
    first; none where nothing is held out."""
    samples: Callable[[Transformer], list[dict[str, str]]]
    """Prompts and what the finished model says to them."""
    score: Callable[[dict[str, float]], float] | None = None
    """Held-out figures -> how good the model is. With it the run ends with its best checkpoint, not its last."""
    enough: Callable[[dict[str, float]], str | None] = lambda figures: None
    """Held-out figures -> why to stop early, or None."""
    load: Callable[[Path], Transformer] = load_model
    """Opens a checkpoint of this stage."""
    save: Callable[[Path, Transformer, Path], None] = save_model
    """Writes the model's files of a checkpoint: (directory, model, tokenizer's directory)."""
    optimizers: Callable[[Transformer, TrainSettings], list[torch.optim.Optimizer]] = build_optimizers
    finish: Path | None = None
    """A trunk's directory or checkpoint to anneal from, instead of `build`."""
    live: Live | None = None
    """`batches`, where they are sampled from the model itself."""


def train(stage: Stage, run: Run, resume: bool) -> Transformer:
    """Run the stage to its end in `run.path` and return the trained model."""
    settings = resolve(stage.settings)
    torch.manual_seed(settings.seed)
    begin = starting_point(stage, run, resume)
    model = stage.load(begin) if begin else stage.build()
    model.to(settings.device)
    model.compute_dtype = hardware.DTYPES[settings.dtype]
    freeze(model, settings.freeze)
    optimizers = stage.optimizers(model, settings)
    progress = Progress(loss_scale=FP16_SCALE if settings.dtype == "fp16" else 1.0)
    if begin:
        progress = load_state(begin, model, optimizers)
        if stage.live:
            stage.live.restore(load_tensors(begin / LIVE)[0])
        run.say(f"going on from {begin} (step {progress.step})")
    schedule = plan_schedule(stage, progress)
    if run.finished_before and progress.step >= schedule.total_steps:
        run.say(f"{run.path} is finished ({progress.step} steps); more --train.steps would go on from here")
        return go_back(stage, run, progress, model)
    announce(stage, run, model, schedule)
    if stage.live:
        stage.live.attach(model)
    if wants_compile(settings, stage, schedule):
        run.say(
            "compiling one block, which serves them all; the first step waits for it (--no-train.compile does without)"
        )
        hardware.compile_blocks(model.model.layers)

    def validate(last: bool) -> dict[str, float]:
        wanted = settings.eval_tokens * (FINAL_EVAL_FACTOR if last else 1)
        model.eval()
        figures = stage.validate(model, wanted, rows_at_once(settings))
        model.train()
        if stage.score and figures:
            score = stage.score(figures)
            if progress.best_score is None or score > progress.best_score:
                progress.best_step, progress.best_score = progress.step, score
        return figures

    def save(progress: Progress) -> None:
        live = stage.live.state() if stage.live else None
        save_checkpoint(run.path, progress, model, optimizers, stage.tokenizer.path, settings.keep, live, stage.save)

    hooks = Hooks(validate, save, stage.enough)
    if stage.live:
        hooks.watch = stage.live.watch
    fit(model, stage.loss, stage.batches, optimizers, schedule, settings, progress, hooks, run)
    model = go_back(stage, run, progress, model)
    conclude(stage, run, model)
    return model


def go_back(stage: Stage, run: Run, progress: Progress, last: Transformer) -> Transformer:
    """The best checkpoint, where that is not the last one: as the model, and as what the output directory shows."""
    if progress.best_step in (None, progress.step):
        return last
    best = checkpoint_path(run.path, progress.best_step or 0)
    run.say(f"validation was best at step {progress.best_step}; {run.path} holds that model, not the last")
    run.report["best_step"] = progress.best_step
    publish(best, run.path)
    model = stage.load(best).to(last.model.norm.weight.device)
    model.compute_dtype = last.compute_dtype
    return model


def start_model(init: Path, lora: LoraSettings) -> Transformer:
    """The model in `init`, with new adapters if `lora` has a rank.

    Raises: ValueError: adapters are asked for on top of an adapter.
    """
    model = load_model(init)
    if lora.rank and model.lora is not None:
        raise ValueError(
            f"--lora.rank: {init} is an adapter already; leave --lora.rank out to train it further, "
            "or make a model of it first: yanmo merge --adapter"
        )
    if lora.rank:
        add_adapters(model, lora, init)
    return model


def resolve(settings: TrainSettings) -> TrainSettings:
    """Settings with every `auto` decided. Raises: ValueError: a GPU is asked for and there is none."""
    device = hardware.choose_device(settings.device)
    dtype = hardware.choose_dtype(settings.dtype, device)
    names = {value: name for name, value in hardware.DTYPES.items()}
    decided: dict[str, Any] = {"device": device.type, "dtype": names[dtype]}
    return replace(settings, **decided)


def starting_point(stage: Stage, run: Run, resume: bool) -> Path | None:
    """The checkpoint to load: this run's newest whole one, else the trunk to finish, else none."""
    if resume and (mine := latest_checkpoint(run.path, run.say)):
        return mine
    if stage.finish is None:
        return None
    trunk = stage.finish
    found = trunk if (trunk / "progress.json").is_file() else latest_checkpoint(trunk, run.say)
    if found is None:
        raise ValueError(f"--init {trunk}: no whole checkpoint there to finish from (its state/ is needed)")
    if fault := damage(found):
        raise ValueError(f"--init {found}: {fault}")
    return found


def plan_schedule(stage: Stage, progress: Progress) -> Schedule:
    """The learning rate's course. A finishing run falls from where its trunk stood, whatever the trunk's course."""
    settings = stage.settings
    if stage.finish is None:
        return make_schedule(settings, settings.steps or math.ceil(settings.epochs * stage.batches_per_epoch))
    if progress.finish_start is None:
        progress.finish_start, progress.finish_peak = progress.step, progress.multiplier
    start = progress.finish_start
    steps = settings.steps or max(1, start // FINISH_SHARE)
    return finishing(start, progress.finish_peak, start + steps, settings.min_lr_ratio)


def wants_compile(settings: TrainSettings, stage: Stage, schedule: Schedule) -> bool:
    """Compile when told to, or when a compiler is at hand and the run is long enough."""
    if settings.compile is not None:
        return settings.compile
    targets = schedule.total_steps * settings.batch_size * settings.sequence_length
    return hardware.can_compile(torch.device(settings.device)) and targets >= COMPILE_TOKENS


def announce(stage: Stage, run: Run, model: Transformer, schedule: Schedule) -> None:
    settings, config = resolve(stage.settings), model.config
    tokens = schedule.total_steps * settings.batch_size * settings.sequence_length
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    part = "" if trained == config.parameter_count() else f", {trained / 1e6:.2f} M trained"
    run.say(
        f"{config.model_type}, {config.parameter_count() / 1e6:.2f} M parameters{part} "
        f"({config.hidden_size} x {config.num_hidden_layers}, vocabulary {config.vocab_size:,}); "
        f"{schedule.total_steps:,} steps of {settings.batch_size} x {settings.sequence_length} = "
        f"{tokens / 1e6:.2f} M tokens; {settings.optimizer}, {settings.dtype} on {settings.device}"
    )
    run.report |= {
        "parameters": config.parameter_count(),
        "trained_parameters": trained,
        "device": settings.device,
        "dtype": settings.dtype,
    }


def conclude(stage: Stage, run: Run, model: Transformer) -> None:
    """The picture and the samples that every training run ends with."""
    picture = plot_loss(run.path)
    with torch.compiler.set_stance("force_eager"):  # a few tokens are not worth compiling for
        samples = stage.samples(model)
    run.report["samples"] = samples
    if samples:
        run.table("samples", ["prompt", "continuation"], [[s["prompt"], s["completion"]] for s in samples])
    shares = {name: value for name, value in run.report.get("validation", {}).items() if isinstance(value, float)}
    if shares:
        words = (f"{name.replace('_per_', '/').replace('_', ' ')} {value:.4f}" for name, value in shares.items())
        run.say(f"validation: {', '.join(words)}")
    run.say(f"model: {run.path}   checkpoints: {len(checkpoints(run.path))}   loss curve: {picture}")
