"""A model that answers + preferences -> a reward model: one number for an answer, higher for what people like better.

yanmo reward --init runs/sft --data preferences.jsonl
yanmo reward --init runs/sft --data preferences.jsonl --lora.rank 16
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from yanmo.train.preference_settings import FromPreferences, RewardSettings, preference_training
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.model.reward import RewardModel


def reward_defaults() -> TrainSettings:
    """A new head has to be learned from few pairs: at 1e-4 a model of 3 M parameters is not there after 60 steps."""
    return preference_training(lr=5e-4, weight_decay=0.01)


@dataclass(kw_only=True)
class Settings(FromPreferences):
    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep", "train.eval-every")

    init: Path
    """The language model directory to start from; an adapter has to be merged first."""
    reward: RewardSettings = field(default_factory=RewardSettings)
    train: TrainSettings = field(default_factory=reward_defaults)
    out: Path = Path("runs/reward")


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run
    from yanmo.data.preferences import PreferenceBatches, read_split, say_counts
    from yanmo.model.adapter import is_adapter
    from yanmo.model.checkpoint import load_config
    from yanmo.model.reward import load_reward_model
    from yanmo.text.preferences import Preference
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.reward import reward_figures, reward_loss
    from yanmo.train.stage import Stage, train

    if is_adapter(settings.init):
        raise ValueError(f"--init {settings.init}: an adapter; make a model of it first: yanmo merge --adapter")
    hyper, tokenizer = settings.train, load_tokenizer(settings.init)
    context = min(load_config(settings.init).max_position_embeddings, hyper.sequence_length)

    def batches(pairs: list[Preference]) -> PreferenceBatches:
        return PreferenceBatches(
            pairs, tokenizer, hyper.sequence_length, hyper.batch_size, hyper.seed, context, scored=True
        )

    with open_run(settings) as run:
        training, held_out, rejected = read_split(settings.data, settings.format, settings.val_fraction)
        packed = batches(training)
        validation = batches(held_out) if held_out else None
        say_counts(run, packed, validation, rejected)

        def validate(model: RewardModel, targets: int, rows: int) -> dict[str, Any]:
            if validation is None:
                return {}
            return reward_figures(model, validation.in_order(), validation.answer_lengths, rows)

        stage = Stage(
            settings=hyper,
            build=lambda: start(settings),
            load=load_reward_model,
            tokenizer=tokenizer,
            loss=reward_loss(settings.reward),
            batches=packed,
            batches_per_epoch=packed.batches_per_epoch,
            validate=validate,
            samples=lambda model: [],
            score=lambda figures: -figures["nats_per_pair"],
        )
        train(stage, run, settings.resume)
        show(run)


def start(settings: Settings) -> RewardModel:
    """The language model's body with a score on top, or that with adapters and a score trained whole."""
    from yanmo.model.lora import add_adapters
    from yanmo.model.reward import reward_model_from

    model = reward_model_from(settings.init)
    if settings.lora.rank:
        whole = [*settings.lora.modules_to_save, "score"]
        add_adapters(model, replace(settings.lora, modules_to_save=whole), settings.init)
    return model


def show(run: Run) -> None:
    """The held-out figures as a table, with what they mean."""
    figures = run.report.get("validation")
    if not figures:
        return
    run.table(
        "held-out pairs",
        ["figure", "value", "meaning"],
        [
            ["accuracy", f"{figures['accuracy']:.1%}", "the chosen answer has the higher score"],
            ["  chosen is longer", f"{figures['accuracy_chosen_longer']:.1%}", "of those pairs"],
            ["  chosen is shorter", f"{figures['accuracy_chosen_shorter']:.1%}", "far below the last: longer is liked"],
            ["score and length", f"{figures['score_length_correlation']:+.2f}", "correlation; near +1: only length"],
            [
                "longer is chosen",
                f"{figures['longer_is_chosen']:.1%}",
                "in the data: what length alone would get right",
            ],
            ["calibration error", f"{figures['calibration_error']:.3f}", "0: as sure as it is right"],
            ["pairs", f"{figures['pairs']:,}", ""],
        ],
    )
