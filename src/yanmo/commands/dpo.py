"""A model that answers + preferences -> a model that answers as people liked better: DPO and its relatives.

yanmo dpo --init runs/sft --data preferences.jsonl
yanmo dpo --init runs/sft --data preferences.jsonl --lora.rank 16 --preference.loss ipo
yanmo dpo --init runs/sft --data preferences.jsonl --tax.data runs/pack --tax.reward-model runs/reward

Before and after, the model is measured (`--tax.*`), for what is liked better is easily learned at the cost of all else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from yanmo.evaluate.tax_settings import TaxSettings
from yanmo.text.preferences import Preference
from yanmo.train.preference_settings import FromPreferences, PreferenceSettings, preference_training
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.data.preferences import Answers, PreferenceBatches
    from yanmo.evaluate.tax import Tax
    from yanmo.model.transformer import Transformer

REFERENCE = "reference.safetensors"
"""In the output directory: the reference's log-probabilities, so that a run that resumes has the very same."""
BEYOND = 100.0
"""What a checkpoint's score loses for each time over that it is beyond a limit: it is only kept if all are."""


def dpo_defaults() -> TrainSettings:
    """Small steps: a preference loss is at its end long before the weights are far away."""
    return preference_training(lr=5e-5, weight_decay=0.0)


@dataclass(kw_only=True)
class Settings(FromPreferences):
    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep", "train.eval-every")

    preference: PreferenceSettings = field(default_factory=PreferenceSettings)
    train: TrainSettings = field(default_factory=dpo_defaults)
    tax: TaxSettings = field(default_factory=TaxSettings)
    samples: list[str] = field(default_factory=lambda: ["你好", "你是谁？", "请介绍一下你自己。"])
    """Questions that the finished model answers for show."""
    out: Path = Path("runs/dpo")


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run
    from yanmo.data.preferences import PreferenceBatches, read_split, say_counts
    from yanmo.evaluate.tax import Tax
    from yanmo.model.checkpoint import load_config
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.fit import rows_at_once
    from yanmo.train.kto import KtoBatches
    from yanmo.train.preference import preference_figures, preference_loss
    from yanmo.train.samples import answers
    from yanmo.train.stage import Stage, resolve, start_model, train
    from yanmo.train.validation import first_targets

    hyper, tokenizer = settings.train, load_tokenizer(settings.init)
    context = load_config(settings.init).max_position_embeddings

    def batches(pairs: list[Preference]) -> PreferenceBatches:
        return PreferenceBatches(
            pairs, tokenizer, hyper.sequence_length, hyper.batch_size, hyper.seed, min(context, hyper.sequence_length)
        )

    with open_run(settings) as run:
        training, held_out, rejected = read_split(settings.data, settings.format, settings.val_fraction)
        packed = batches(training)
        validation = batches(held_out) if held_out else None
        say_counts(run, packed, validation, rejected)
        parts: dict[str, Answers] = {"training": packed}
        if validation:
            parts["validation"] = validation
        kto, kto_validation = None, None
        if settings.preference.loss == "kto":
            rows = rows_at_once(resolve(hyper))
            parts["training_mismatched"] = packed.mismatched()
            kto = KtoBatches(packed, parts["training_mismatched"], rows)
            if validation:
                parts["validation_mismatched"] = validation.mismatched()
                kto_validation = KtoBatches(validation, parts["validation_mismatched"], rows)
        if settings.preference.needs_reference:
            set_references(settings, run, parts)

        tax = None
        if settings.tax.measure:
            conversations = [[*pair.messages, {"role": "assistant", "content": pair.chosen}] for pair in held_out]
            questions = [pair.messages for pair in held_out]
            tax = Tax(settings.tax, settings.init, tokenizer, hyper, run, conversations, questions)

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            figures = {}
            if validation is not None:
                if kto_validation:
                    kto_validation.attach(model)
                held = first_targets((kto_validation or validation).sequential(), targets)
                figures = preference_figures(model, settings.preference, held, rows)
            return figures | (tax.watch(model) if tax else {})

        stage = Stage(
            settings=hyper,
            build=lambda: start_model(settings.init, settings.lora),
            tokenizer=tokenizer,
            loss=preference_loss(settings.preference),
            batches=kto or packed,
            batches_per_epoch=packed.batches_per_epoch,
            validate=validate,
            samples=lambda model: answers(model, tokenizer, settings.samples),
            score=(lambda figures: score(figures, tax)) if validation else None,
            enough=lambda figures: collapse(figures, settings.preference, tax),
            live=kto,
        )
        model = train(stage, run, settings.resume)
        if tax:
            tax.conclude(model)


def score(figures: dict[str, float], tax: Tax | None) -> float:
    """Held-out loss; beyond a limit of the tax, how far beyond."""
    return -figures["loss"] - BEYOND * (tax.penalty(figures) if tax else 0.0)


def collapse(figures: dict[str, float], settings: PreferenceSettings, tax: Tax | None) -> str | None:
    """Why to stop: the held-out chosen answers have become unlikely themselves, or answers run in circles."""
    lost = figures.get("chosen_nats_lost", 0.0)
    if lost > settings.collapse:
        return (
            f"the held-out chosen answers are {lost:.2f} nats a token less likely than under the reference "
            f"(--preference.collapse {settings.collapse:g}); lower --train.lr, or give --preference.sft-weight"
        )
    return tax.looping(figures) if tax else None


def set_references(settings: Settings, run: Run, parts: dict[str, Answers]) -> None:
    """Give every answer its log-probability under the model that training starts from."""
    import torch

    from yanmo.core.device import DTYPES
    from yanmo.model.checkpoint import load_model
    from yanmo.model.tensors import load_tensors, save_tensors
    from yanmo.train.reference import reference_log_probs
    from yanmo.train.stage import resolve

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
