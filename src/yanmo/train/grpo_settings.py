"""What is learned from groups of judged answers, as settings. No torch: `--help` is instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Variant(NamedTuple):
    """What sets the published forms of GRPO apart."""

    average: Literal["answers", "tokens", "limit"]
    """The loss is the mean over answers of their tokens' means; or over all tokens; or the sum over tokens divided by
    answers times the longest length allowed."""
    clip_low: float
    clip_high: float
    scale: Literal["group", "batch", "none"]
    """By which standard deviation rewards are divided."""
    ratio: Literal["token", "sequence"] = "token"
    """Whose probability ratio is clipped: each token's, or its answer's geometric mean."""
    soft: bool = False
    """The ratio is only a weight without gradient, so that no token is lost by clipping (CISPO)."""


VARIANTS = {
    "grpo": Variant("answers", 0.2, 0.2, "group"),
    "dapo": Variant("tokens", 0.2, 0.28, "group"),
    "dr_grpo": Variant("limit", 0.2, 0.2, "none"),
    "gspo": Variant("answers", 3e-4, 4e-4, "group", ratio="sequence"),
    "cispo": Variant("tokens", 1.0, 4.0, "batch", soft=True),
}


@dataclass(kw_only=True)
class GrpoSettings:
    variant: Literal["grpo", "dapo", "dr_grpo", "gspo", "cispo"] = "dapo"
    """grpo: mean over each answer, then over answers. dapo: mean over all tokens, upper clip higher. dr_grpo: neither
    length nor spread normalised. gspo: one ratio an answer. cispo: the ratio weighs, it never cuts a token off."""
    clip_low: float | None = None
    """How far below 1 a probability ratio may fall before it stops to count; none: the variant's own."""
    clip_high: float | None = None
    """How far above 1 it may rise; none: the variant's own."""
    scale: Literal["group", "batch", "none"] | None = None
    """What a reward's distance from its group's mean is divided by: the group's standard deviation, the batch's, or
    nothing; none: the variant's own."""
    kl: float = 0.0
    """Weight of the KL divergence from the reference in the loss."""
    kl_cap: float = 0.5
    """KL divergence from the reference, in nats a token, above which the run stops; a checkpoint above it is never the
    best."""

    def __post_init__(self) -> None:
        for name in ("clip_low", "clip_high"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"--grpo.{name.replace('_', '-')}: {value} must be above 0")
        if self.kl < 0:
            raise ValueError(f"--grpo.kl: {self.kl} must be at least 0")
        if self.kl_cap <= 0:
            raise ValueError(f"--grpo.kl-cap: {self.kl_cap} must be above 0")

    @property
    def form(self) -> Variant:
        """The variant with what the settings say otherwise."""
        own = VARIANTS[self.variant]
        given = {name: getattr(self, name) for name in ("clip_low", "clip_high", "scale")}
        return own._replace(**{name: value for name, value in given.items() if value is not None})
