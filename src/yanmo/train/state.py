"""Checkpoints: directories that are whole or absent, and from which a run goes on bit for bit.

`OUT/state/step-00000500/` is a complete model directory (config, weights, tokenizer) plus what training needs to
go on: optimizer tensors, the random state, what live batches remember and a few numbers; no pickle anywhere. It
is written under another name, every file and the directory flushed to the disk, and renamed; a manifest with
sizes and SHA-256 tells a whole one from a damaged one. Only then are older ones removed and the weights shown at
the top of OUT (a hard link, so it costs no space): `yanmo chat --model OUT` works while the training runs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from yanmo.core.files import fsync_directory, read_json, sha256, write_json
from yanmo.model.checkpoint import save_model
from yanmo.model.tensors import load_tensors, save_tensors
from yanmo.model.transformer import Transformer
from yanmo.train.optimizers import load_optimizer_tensors, optimizer_tensors

MANIFEST = "MANIFEST.json"
LIVE = "batches.safetensors"
"""What batches that are sampled from the model remember between two steps."""
STATE = ("optimizer.safetensors", "random.safetensors", LIVE, "progress.json")
"""Files of a checkpoint that only training needs."""
SCHEMA = 1


@dataclass
class Progress:
    """Where a run stands: the numbers from which, with the tensors, everything that follows is determined."""

    step: int = 0
    """Optimizer steps done; also the number of the next batch."""
    tokens: int = 0
    """Targets learned from."""
    skipped: int = 0
    """Steps whose gradient was not finite, and which changed nothing."""
    loss_scale: float = 1.0
    """What fp16 losses are multiplied by; 1 in bf16 and fp32."""
    good_steps: int = 0
    """Finite steps since the loss scale last changed."""
    multiplier: float = 1.0
    """The schedule's value at the last step done."""
    finish_start: int | None = None
    """The trunk's step from which this run anneals, if it does."""
    finish_peak: float = 1.0
    """The trunk's multiplier at that step."""
    best_step: int | None = None
    """Where validation was best, if the stage keeps the best instead of the last."""
    best_score: float | None = None


def checkpoint_path(out: Path, step: int) -> Path:
    return out / "state" / f"step-{step:08}"


def save_checkpoint(
    out: Path,
    progress: Progress,
    model: Transformer,
    optimizers: list[torch.optim.Optimizer],
    tokenizer: Path,
    keep: int,
    live: dict[str, Tensor] | None = None,
    write: Callable[[Path, Transformer, Path], None] = save_model,
) -> Path:
    """Write a checkpoint, then remove all but the best and the newest `keep`. live: what batches remember, if anything.

    Raises: OSError: nothing older is touched.
    """
    final = checkpoint_path(out, progress.step)
    if not final.exists() or damage(final):
        shutil.rmtree(final, ignore_errors=True)
        temporary = final.with_name(f".{final.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary, model, tokenizer)
        save_tensors(temporary / "optimizer.safetensors", optimizer_tensors(optimizers, model))
        save_tensors(temporary / "random.safetensors", random_state())
        if live is not None:
            save_tensors(temporary / LIVE, live)
        write_json(temporary / "progress.json", asdict(progress))
        _write_manifest(temporary)
        os.rename(temporary, final)
        fsync_directory(final.parent)
    for old in checkpoints(out)[keep:]:
        if progress.best_step is None or old != checkpoint_path(out, progress.best_step):
            shutil.rmtree(old)
    for leftover in (out / "state").glob(".step-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    publish(final, out)
    return final


def _write_manifest(directory: Path) -> None:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    entries = {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }
    write_json(directory / MANIFEST, {"schema": SCHEMA, "files": entries})
    fsync_directory(directory)


def publish(checkpoint: Path, out: Path) -> None:
    """Show the checkpoint's model files at the top of `out`, one atomic rename each."""
    for name in read_json(checkpoint / MANIFEST)["files"]:
        if name in STATE:
            continue
        shown = out / name
        shown.parent.mkdir(exist_ok=True)
        temporary = shown.with_name(f".{shown.name}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            os.link(checkpoint / name, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(checkpoint / name, temporary)
        os.replace(temporary, shown)
    fsync_directory(out)


def checkpoints(out: Path) -> list[Path]:
    """Finished checkpoint directories, newest first."""
    return sorted((out / "state").glob("step-*"), reverse=True)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words, or None when every byte is as it was written."""
    try:
        manifest = read_json(checkpoint / MANIFEST)
    except (OSError, ValueError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    if manifest.get("schema") != SCHEMA:
        return f"written by another version of yanmo (schema {manifest.get('schema')}, this one reads {SCHEMA})"
    for name, expected in manifest["files"].items():
        path = checkpoint / name
        size = path.stat().st_size if path.is_file() else 0
        if size != expected["bytes"]:
            return f"{name} has {size} bytes instead of {expected['bytes']}"
        if sha256(path) != expected["sha256"]:
            return f"{name} does not have the bytes that were written (SHA-256 differs)"
    return None


def latest_checkpoint(out: Path, say: Callable[[str], None]) -> Path | None:
    """The newest whole checkpoint; damaged ones are named and passed over."""
    for checkpoint in checkpoints(out):
        fault = damage(checkpoint)
        if fault is None:
            return checkpoint
        say(f"warning: {checkpoint} is damaged: {fault}; trying an older one")
    return None


def load_state(checkpoint: Path, model: Transformer, optimizers: list[torch.optim.Optimizer]) -> Progress:
    """Put back what `save_checkpoint` found beside the weights, which `load_model` has already read.

    Raises: ValueError: the state is broken or another model's.
    """
    load_optimizer_tensors(optimizers, model, load_tensors(checkpoint / "optimizer.safetensors")[0])
    set_random_state(load_tensors(checkpoint / "random.safetensors")[0])
    return Progress(**read_json(checkpoint / "progress.json"))


def random_state() -> dict[str, Tensor]:
    """Torch's generators. The data order needs none: it is a function of the seed and the step."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_state(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
