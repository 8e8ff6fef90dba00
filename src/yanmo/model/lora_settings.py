"""What a low-rank adapter is made of, as settings. No torch: `yanmo sft --help` is instant."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(kw_only=True)
class LoraSettings:
    """What is adapted and how; the names are PEFT's."""

    rank: int = 0
    """Rank of the adapters; 0 trains the whole model instead. 16 is usual."""
    alpha: float = 32.0
    """Adapters are scaled by alpha / rank, so that another rank needs no other learning rate."""
    dropout: float = 0.0
    """Share of an adapter's inputs set to zero in training."""
    targets: list[str] = field(default_factory=lambda: list(PROJECTIONS))
    """Which linear layers get adapters, by the last part of their name; by default all of attention and MLP."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank): large ranks learn as well as small ones."""
    modules_to_save: list[str] = field(default_factory=list)
    """Modules trained whole beside the adapters, by how their names end: embed_tokens, lm_head, norm (every norm)."""

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(f"--lora.rank: {self.rank} must be 1 or more, or 0 for none")
        if self.alpha <= 0:
            raise ValueError(f"--lora.alpha: {self.alpha} must be above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--lora.dropout: {self.dropout} must be at least 0 and below 1")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)
