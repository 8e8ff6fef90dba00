"""What is learned from preferences, by `dpo` and by `reward`, as settings. No torch: `--help` is instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yanmo.core.settings import CommandSettings
from yanmo.model.lora_settings import LoraSettings
from yanmo.train.settings import TrainSettings

REFERENCE_FREE = ("orpo", "simpo")


@dataclass(kw_only=True)
class PreferenceSettings:
    loss: Literal["sigmoid", "ipo", "hinge", "orpo", "simpo", "kto"] = "sigmoid"
    """sigmoid: DPO. ipo: regress the margin to 1 / (2 beta), robust where pairs never disagree. hinge: SLiC. orpo and
    simpo need no reference model. kto: each answer of a pair for itself, against what answers to other questions have
    gained (answers that are rated one by one, without a pair, are not read)."""
    beta: float = 0.1
    """How dear it is to leave the reference; orpo: weight of its odds ratio; simpo: scale (2 is usual there)."""
    label_smoothing: float = 0.0
    """sigmoid: share of the pairs taken to be the wrong way round (conservative DPO)."""
    length_normalised: bool = False
    """sigmoid, hinge: log-probabilities per token, so that a longer answer has no advantage."""
    sft_weight: float = 0.0
    """Weight of the chosen answers' own loss, in nats a token, beside the preference's: keeps their probability from
    falling with that of the rejected ones."""
    simpo_margin: float = 1.0
    """simpo: by how much the chosen answer should lead (gamma)."""
    collapse: float = 1.0
    """Stop when the held-out chosen answers have become so many nats a token less likely than under the reference."""

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f"--preference.beta: {self.beta} must be above 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"--preference.label-smoothing: {self.label_smoothing} must be at least 0 and below 0.5")
        if self.sft_weight < 0:
            raise ValueError(f"--preference.sft-weight: {self.sft_weight} must be at least 0")
        if self.collapse <= 0:
            raise ValueError(f"--preference.collapse: {self.collapse} must be above 0")

    @property
    def needs_reference(self) -> bool:
        return self.loss not in REFERENCE_FREE


@dataclass(kw_only=True)
class RewardSettings:
    margin: float = 0.0
    """By how much the chosen answer should lead before a pair costs nothing more."""
    center: float = 0.01
    """Weight of the squared sum of a pair's scores: only differences matter to the loss, and this keeps them around 0
    (Eisenstein et al. 2023, arXiv:2312.09244)."""

    def __post_init__(self) -> None:
        for name in ("margin", "center"):
            if getattr(self, name) < 0:
                raise ValueError(f"--reward.{name}: {getattr(self, name)} must be at least 0")


@dataclass(kw_only=True)
class FromPreferences(CommandSettings):
    """What `dpo` and `reward` read."""

    init: Path
    """The model directory to start from (of dpo also the reference), or an adapter's, whose training goes on."""
    data: list[Path]
    """Preferences: files or folders in any of the public formats (prompt/chosen/rejected, ranked answers, ...)."""
    format: str = "auto"
    """Name of the preferences' format; auto looks."""
    val_fraction: float = 0.05
    """Share of the questions held out to validate on."""
    lora: LoraSettings = field(default_factory=LoraSettings)


def preference_training(lr: float, weight_decay: float) -> TrainSettings:
    """One pass in small steps: preferences are few, and soon learned."""
    return TrainSettings(
        epochs=1.0,
        sequence_length=1024,
        batch_size=8,
        optimizer="adamw",
        lr=lr,
        weight_decay=weight_decay,
        schedule="linear",
        warmup=0.1,
        eval_every=50,
    )
