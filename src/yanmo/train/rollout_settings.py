"""How answers are sampled and used in reinforcement learning, by `grpo` and by `ppo`, as settings. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class RolloutSettings:
    """--train.batch-size answers are sampled at a time, --rollout.group-size of them to each question."""

    group_size: int = 8
    """Answers to a question, which are compared with each other."""
    max_new_tokens: int = 64
    """Longest answer in tokens."""
    temperature: float = 1.0
    """Divides the logits, in sampling and in the loss alike."""
    minibatches: int = 1
    """Updates that the answers of one sampling are divided among."""
    epochs: int = 1
    """How often each answer is used before new ones are sampled."""
    truncated: Literal["count", "mask"] = "count"
    """Answers that did not end by themselves: count them like any other, or learn nothing from them (DAPO's overlong
    filtering)."""
    overlong_buffer: int = 0
    """The last so many tokens before the limit cost reward, up to 1 (DAPO's soft overlong punishment); 0 is off."""

    def __post_init__(self) -> None:
        for name in ("group_size", "max_new_tokens", "minibatches", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"--rollout.{name.replace('_', '-')}: {getattr(self, name)} must be at least 1")
        if self.temperature <= 0:
            raise ValueError(f"--rollout.temperature: {self.temperature} must be above 0: there is no learning without")
        if not 0 <= self.overlong_buffer < self.max_new_tokens:
            raise ValueError(
                f"--rollout.overlong-buffer: {self.overlong_buffer} must be below --rollout.max-new-tokens "
                f"({self.max_new_tokens})"
            )

    @property
    def updates(self) -> int:
        """Optimizer steps between one sampling and the next."""
        return self.minibatches * self.epochs
