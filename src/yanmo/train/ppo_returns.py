"""From scores of answers to advantages of tokens: what PPO knows of a rollout before it learns from it.

Each token costs its share of the divergence from the reference, the last one also brings the score (Ziegler et al.
2019, https://arxiv.org/abs/1909.08593, section 2). Advantages are generalised (Schulman et al. 2015,
https://arxiv.org/abs/1506.02438). Tables are (N, A): N answers, A tokens of the longest, each answer from the left;
`mask` is True where an answer has a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.train.ppo_settings import PpoSettings

EPSILON = 1e-8
"""Added to variances."""
ERROR_LIMIT = 0.2
"""Of the KL controller's proportional error, either way (Ziegler et al. 2019, section 2.2)."""


def token_rewards(log_ratios: Tensor, scores: Tensor, mask: Tensor, beta: float, estimator: str = "k1") -> Tensor:
    """(N, A): -beta KL of every token, and the score (N,) at each answer's last one.

    log_ratios (N, A): log-probabilities under the policy less those under the reference. Every answer has a token.
    """
    divergence = log_ratios if estimator == "k1" else torch.expm1(-log_ratios) + log_ratios
    rewards = torch.where(mask, -beta * divergence, 0.0)
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores.to(rewards.dtype)[:, None])


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of every token (N, A): sums of (gamma lambda)^l times the l-th next temporal difference
    r + gamma V' - V, and these plus the value. After an answer's last token nothing has any value."""
    values = torch.where(mask, values, 0.0)
    rewards = torch.where(mask, rewards, 0.0)
    following = torch.cat((values[:, 1:], values.new_zeros(len(values), 1)), dim=1)
    differences = rewards + gamma * following - values
    advantages = torch.zeros_like(values)
    running = values.new_zeros(len(values))
    for place in reversed(range(values.shape[1])):
        running = differences[:, place] + gamma * gae_lambda * running
        advantages[:, place] = running
    return advantages, advantages + values


def whiten(values: Tensor, mask: Tensor, shift: bool = True) -> Tensor:
    """values (N, A) over the standard deviation of those in the mask, less their mean if `shift`; 0 outside."""
    inside = values[mask]
    if not len(inside):
        return torch.zeros_like(values)
    mean, deviation = inside.mean(), (inside.var(correction=0) + EPSILON).sqrt()
    white = (values - mean) / deviation
    return torch.where(mask, white if shift else white + mean / deviation, 0.0)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns): 1 where the critic knew, 0 where it knew no more than a constant."""
    spread = returns.double().var(correction=0)
    return float(1 - (returns.double() - values.double()).var(correction=0) / spread) if spread > 0 else math.nan


@dataclass
class KlControl:
    """beta, steered so that KL comes to its target (Ziegler et al. 2019, section 2.2)."""

    beta: float
    target: float | None
    gain: float

    def update(self, kl: float) -> None:
        """kl: of the newest rollout, in nats an answer."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -ERROR_LIMIT), ERROR_LIMIT)
            self.beta *= 1 + self.gain * error


@dataclass
class RunningScores:
    """Mean and standard deviation of all scores so far (Welford's method, joined batch by batch: Chan et al. 1979)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def update(self, scores: Tensor) -> None:
        number = len(scores)
        if not number:
            return
        mean = float(scores.double().mean())
        squares = float((scores.double() - mean).square().sum())
        total, distance = self.count + number, mean - self.mean
        self.squares += squares + distance**2 * self.count * number / total
        self.mean += distance * number / total
        self.count = total

    def normalised(self, scores: Tensor) -> Tensor:
        deviation = math.sqrt(self.squares / self.count) if self.count else 0.0
        return (scores - self.mean) / deviation if deviation > 0 else scores - self.mean


def shaped(settings: PpoSettings, scores: Tensor, ended: Tensor, running: RunningScores) -> Tensor:
    """Scores (N,) as PPO takes them: an answer without its end pays, then normalised, then clipped. NaN stays NaN.

    ended (N,): whether each answer ended by itself.
    """
    scores = scores - settings.missing_end_penalty * (~ended)
    if settings.normalise_scores:
        running.update(scores[scores.isfinite()])
        scores = running.normalised(scores)
    if settings.score_clip:
        scores = scores.clamp(-settings.score_clip, settings.score_clip)
    return scores
