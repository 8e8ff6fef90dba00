"""A model that answers + preferences -> a model that answers as people liked better: DPO and its relatives.

yanmo dpo --init runs/sft --data preferences.jsonl
yanmo dpo --init runs/sft --data preferences.jsonl --lora.rank 16 --preference.loss ipo
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import orjson
import xxhash

from yanmo.core.settings import CommandSettings
from yanmo.model.lora_settings import LoraSettings
from yanmo.text.preferences import Preference, read_preferences
from yanmo.text.step import Drop
from yanmo.train.preference_settings import PreferenceSettings
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.data.preferences import PreferenceBatches
    from yanmo.model.transformer import Transformer

REFERENCE = "reference.safetensors"
"""In the output directory: the reference's log-probabilities, so that a run that resumes has the very same."""


def dpo_defaults() -> TrainSettings:
    """Small steps: a preference loss is at its end long before the weights are far away."""
    return TrainSettings(
        epochs=1.0,
        sequence_length=1024,
        batch_size=8,
        optimizer="adamw",
        lr=2e-5,
        weight_decay=0.0,
        schedule="linear",
        warmup=0.1,
        eval_every=50,
    )


@dataclass(kw_only=True)
class Settings(CommandSettings):
    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep", "train.eval-every")

    init: Path
    """The model directory to start from, which is also the reference; or an adapter's, whose training goes on."""
    data: list[Path]
    """Preferences: files or folders in any of the public formats (prompt/chosen/rejected, ranked answers, ...)."""
    format: str = "auto"
    """Name of the preferences' format; auto looks."""
    val_fraction: float = 0.05
    """Share of the questions held out to validate on."""
    preference: PreferenceSettings = field(default_factory=PreferenceSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    train: TrainSettings = field(default_factory=dpo_defaults)
    samples: list[str] = field(default_factory=lambda: ["你好", "你是谁？", "请介绍一下你自己。"])
    """Questions that the finished model answers for show."""
    out: Path = Path("runs/dpo")


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run
    from yanmo.data.preferences import PreferenceBatches
    from yanmo.model.checkpoint import load_config
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.preference import preference_figures, preference_loss
    from yanmo.train.samples import answers
    from yanmo.train.stage import Stage, start_model, train
    from yanmo.train.validation import first_targets

    hyper, tokenizer = settings.train, load_tokenizer(settings.init)
    context = load_config(settings.init).max_position_embeddings

    def batches(pairs: list[Preference]) -> PreferenceBatches:
        return PreferenceBatches(
            pairs, tokenizer, hyper.sequence_length, hyper.batch_size, hyper.seed, min(context, hyper.sequence_length)
        )

    with open_run(settings) as run:
        training, held_out, rejected = split(settings)
        packed = batches(training)
        validation = batches(held_out) if held_out else None
        run.report["preferences"] = {
            "read": len(training) + len(held_out) + sum(rejected.values()),
            "rejected": dict(rejected),
            "training": asdict(packed.counts),
            "validation": asdict(validation.counts) if validation else None,
        }
        say_counts(run, packed, len(held_out), rejected)
        if settings.preference.needs_reference:
            set_references(settings, run, packed, validation)

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            if validation is None:
                return {}
            held = first_targets(validation.sequential(), targets)
            return preference_figures(model, settings.preference, held, rows)

        stage = Stage(
            settings=hyper,
            build=lambda: start_model(settings.init, settings.lora),
            tokenizer=tokenizer,
            loss=preference_loss(settings.preference),
            batches=packed,
            batches_per_epoch=packed.batches_per_epoch,
            validate=validate,
            samples=lambda model: answers(model, tokenizer, settings.samples),
        )
        train(stage, run, settings.resume)


def split(settings: Settings) -> tuple[list[Preference], list[Preference], Counter[str]]:
    """Pairs to train on, those held out (by a hash of the question, so that all pairs of a question stay together),
    and how many rows were rejected for which reason."""
    training: list[Preference] = []
    held_out: list[Preference] = []
    rejected: Counter[str] = Counter()
    for _, pair in read_preferences(settings.data, settings.format):
        if isinstance(pair, Drop):
            rejected[pair.reason] += 1
            continue
        draw = xxhash.xxh3_64_intdigest(orjson.dumps(pair.messages)) / 2**64
        (held_out if draw < settings.val_fraction else training).append(pair)
    return training, held_out, rejected


def say_counts(run: Run, packed: PreferenceBatches, held_out: int, rejected: Counter[str]) -> None:
    counts = packed.counts
    reasons = rejected + Counter(counts.dropped)
    run.say(
        f"{counts.kept:,} pairs to train on ({counts.tokens:,} tokens; chosen answers have {counts.chosen_tokens:.0f}, "
        f"rejected ones {counts.rejected_tokens:.0f} on average) in {counts.rows:,} rows, "
        f"{counts.padding_share:.1%} padding; {held_out:,} held out; {counts.shortened:,} without their oldest turns; "
        f"left out: {', '.join(f'{number:,} {reason}' for reason, number in reasons.items()) or 'none'}"
    )


def set_references(
    settings: Settings, run: Run, packed: PreferenceBatches, validation: PreferenceBatches | None
) -> None:
    """Give every answer its log-probability under the model that training starts from."""
    import torch

    from yanmo.core.device import DTYPES
    from yanmo.model.checkpoint import load_model
    from yanmo.model.tensors import load_tensors, save_tensors
    from yanmo.train.reference import reference_log_probs
    from yanmo.train.stage import resolve

    parts = {"training": packed} | ({"validation": validation} if validation else {})
    path = run.path / REFERENCE
    if not (settings.resume and path.is_file()):
        hyper = resolve(settings.train)
        model = load_model(settings.init, device=hyper.device)
        model.compute_dtype = DTYPES[hyper.dtype]
        found = {
            name: reference_log_probs(model, part.in_order(), len(part.lengths), run) for name, part in parts.items()
        }
        save_tensors(path, {name: torch.from_numpy(values) for name, values in found.items()})
    stored = load_tensors(path)[0]
    for name, part in parts.items():
        part.set_reference(stored[name].numpy())
