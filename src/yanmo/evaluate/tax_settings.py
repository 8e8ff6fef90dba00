"""What a run that aligns a model measures before and after, as settings. No torch: `--help` is instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class TaxSettings:
    measure: bool = True
    """Measure the model before and after, and keep an eye on it in between: some seconds each time."""
    data: list[Path] = field(default_factory=list)
    """General text that must stay likely: documents, or a directory of token shards (its validation split). None: the
    answers of the run's own held-out data."""
    tokens: int = 20_000
    """Tokens of it to score."""
    questions: Path | None = None
    """A test by rule, as `evaluate --suite answers` takes it; none: no accuracy."""
    prompts: Path | None = None
    """Questions to ask, one a line; none: 30 everyday ones that come with Yanmo. Up to 32 held-out ones of the run's
    own data are asked besides."""
    max_new_tokens: int = 64
    """An answer is cut off after so many tokens."""
    reward_model: Path | None = None
    """Judges the answers after against those before; none: no win rate."""
    loss_rise: float = 0.02
    """By which share the held-out loss may rise."""
    loop_rise: float = 0.1
    """By how much the share of answers that run in circles may rise."""
    accuracy_drop: float = 0.02
    """By how much the share of right answers may fall."""
    kl: float = 0.5
    """How far from the start the model may go, in nats a token of its own answers."""

    def __post_init__(self) -> None:
        for name in ("tokens", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"--tax.{name.replace('_', '-')}: {getattr(self, name)} must be at least 1")
        for name in ("loss_rise", "loop_rise", "accuracy_drop", "kl"):
            if getattr(self, name) < 0:
                raise ValueError(f"--tax.{name.replace('_', '-')}: {getattr(self, name)} must be at least 0")
