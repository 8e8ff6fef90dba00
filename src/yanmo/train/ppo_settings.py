"""Proximal policy optimisation, as settings. No torch: `--help` is instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class PpoSettings:
    """Defaults are those of summarisation from human feedback (Stiennon et al. 2020, arXiv:2009.01325), for scores
    of about -1 to 1. KL is in nats an answer everywhere."""

    clip: float = 0.2
    """How far the probability of a token may move in one rollout, as a ratio, before moving on gains nothing."""
    value_clip: float = 0.2
    """How far a value may move in one rollout; 0 lets it go anywhere."""
    value_weight: float = 0.5
    """Weight of the value loss beside the policy's."""
    critic_lr_ratio: float = 1.0
    """Learning rate of the critic over --train.lr."""
    entropy_weight: float = 0.0
    """Reward for each nat of the policy's entropy: keeps it trying."""
    gamma: float = 1.0
    """What a reward one token later is worth."""
    gae_lambda: float = 0.95
    """Whom advantages trust: 1 the rewards alone (no bias, much noise), 0 the critic."""
    kl_weight: float = 0.05
    """beta: what a nat between policy and reference costs, at first."""
    kl_target: float | None = 6.0
    """KL that beta is steered towards, in nats an answer; none leaves beta as it is."""
    kl_gain: float = 0.1
    """How fast beta is steered: by this share a rollout for each part of the target that KL is off, at most a fifth."""
    kl_cap: float = 30.0
    """KL, in nats an answer, above which the run stops: the policy is no longer the model it was."""
    kl_estimator: Literal["k1", "k3"] = "k1"
    """Of KL in the reward, per token. k1: log ratio; k3: less noise and never negative, a little biased as a reward."""
    missing_end_penalty: float = 1.0
    """Subtracted from the score of an answer that did not end by itself."""
    normalise_scores: bool = False
    """Scores less their running mean, over their running standard deviation."""
    score_clip: float = 5.0
    """Scores beyond this, either way, count as this; 0 is off."""
    whiten_rewards: bool = False
    """Token rewards of a rollout over their standard deviation."""
    whiten_advantages: bool = True
    """Advantages of a rollout less their mean, over their standard deviation."""

    def __post_init__(self) -> None:
        for name in ("clip", "critic_lr_ratio", "kl_cap"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--ppo.{name.replace('_', '-')}: {getattr(self, name)} must be above 0")
        at_least_0 = ("value_clip", "value_weight", "entropy_weight", "kl_weight", "kl_gain", "missing_end_penalty")
        for name in (*at_least_0, "score_clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"--ppo.{name.replace('_', '-')}: {getattr(self, name)} must be at least 0")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--ppo.{name.replace('_', '-')}: {getattr(self, name)} must be 0 to 1")
        if self.kl_target is not None and not 0 < self.kl_target < self.kl_cap:
            raise ValueError(
                f"--ppo.kl-target: {self.kl_target} must be above 0 and below --ppo.kl-cap ({self.kl_cap}), or none"
            )
