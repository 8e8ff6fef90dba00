"""GRPO and its relatives: answers to one question are compared with each other, so no value model is needed.

GRPO (Shao et al. 2024, https://arxiv.org/abs/2402.03300), DAPO (Yu et al. 2025, https://arxiv.org/abs/2503.14476),
Dr. GRPO (Liu et al. 2025, https://arxiv.org/abs/2503.20783), GSPO (Zheng et al. 2025,
https://arxiv.org/abs/2507.18071) and CISPO (MiniMax-M1 2025, https://arxiv.org/abs/2506.13585). They differ in what
the loss is a mean over, in how far and at which level the probability ratio is clipped, and in whether rewards are
divided by their spread: `VARIANTS` says which is which.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.train.grpo_settings import GrpoSettings, Variant
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.rollouts import Batch, Rollout, per_answer, token_log_probs

TINY = 1e-4
"""Added to the standard deviation of a group's rewards, as everywhere."""


def advantages(rewards: Tensor, scale: str) -> Tensor:
    """Rewards (P, G) -> how much better each answer is than its group's mean, (P, G); 0 where the reward is NaN."""
    there = rewards.isfinite()
    numbers = there.sum(1, keepdim=True)
    means = rewards.nan_to_num().sum(1, keepdim=True) / numbers.clamp(min=1)
    better = torch.where(there, rewards - means, 0.0)
    if scale == "group":
        return better / ((better.square().sum(1, keepdim=True) / (numbers - 1).clamp(min=1)).sqrt() + TINY)
    if scale == "batch":
        return better / (rewards[there].std() + TINY)
    return better


def with_advantages(settings: GrpoSettings, rollouts: RolloutSettings) -> Callable[[Rollout, Batch], Batch]:
    """What `RolloutBatches` shall add to a rollout's batch.

    advantages and weights (B, T): of every token; the loss is the sum of weights times losses over the sum of `count`
    (B,). Answers without a reward, and by setting those cut off, weigh nothing.
    """
    form = settings.form

    def prepare(rollout: Rollout, batch: Batch) -> Batch:
        flat = rollout.flat
        better = advantages(rollout.rewards, form.scale).flatten()
        learned = rollout.rewards.flatten().isfinite()
        if rollouts.truncated == "mask":
            learned &= torch.tensor([answer.ended for answer in flat])
        lengths = torch.tensor([len(answer.ids) for answer in flat], dtype=torch.float64)
        parts = {"answers": 1 / lengths, "tokens": torch.ones_like(lengths)}
        each = parts.get(form.average, torch.full_like(lengths, 1 / rollouts.max_new_tokens))
        batch = batch | {
            "advantages": by_answer(better, batch),
            "weights": by_answer(each * learned, batch),
        }
        if form.average == "tokens":
            batch["count"] = (batch["weights"] > 0).sum(1)
        return batch

    return prepare


def by_answer(values: Tensor, batch: Batch) -> Tensor:
    """A number of every answer of a rollout -> the same at each of its tokens, (B, T) float32, 0 elsewhere."""
    padded = torch.cat([values.new_zeros(1), values]).float()
    return padded[batch["answer"].long()]


def grpo_loss(
    settings: GrpoSettings, temperature: float
) -> Callable[[Transformer, Batch], tuple[Tensor, dict[str, Tensor]]]:
    """The loss of a batch of judged answers.

    batch: as `next_token_loss`, with (B, T) columns `old`, `reference`, `advantages` and `weights`. Figures are means
    over the tokens.
    """
    form = settings.form

    def loss(model: Transformer, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs = token_log_probs(model, batch, temperature)
        log_ratio = log_probs - batch["old"]
        if form.ratio == "sequence":
            sums, lengths = per_answer(log_ratio, batch)
            log_ratio = (sums / lengths.clamp(min=1)).gather(1, batch["segments"].long())
        ratio = log_ratio.exp()
        each, cut = policy_losses(form, ratio, log_probs, batch["advantages"])
        away = batch["reference"] - log_probs
        divergence = away.exp() - 1 - away
        if settings.kl:
            # The ratio is 1 on the policy's own answers and matters all the same: with it the gradient is that of the
            # KL divergence, without it that of another one (DeepSeek-V3.2, https://arxiv.org/abs/2512.02556).
            each = each + settings.kl * ratio * divergence
        wanted = batch["labels"] != IGNORE

        def mean(values: Tensor) -> Tensor:
            return values[wanted].detach().float().mean().nan_to_num() * batch["count"].sum()

        figures = {"clipped": mean(cut), "off_policy": mean((ratio - 1).abs())}
        return (each * batch["weights"]).sum(), figures | {"kl_after": mean(divergence)}

    return loss


def policy_losses(form: Variant, ratio: Tensor, log_probs: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of every token and whether its ratio was clipped, both in the shape of the arguments.

    ratio: probability now over probability when it was said, of the token or of its answer.
    """
    low, high = 1 - form.clip_low, 1 + form.clip_high
    too_high, too_low = (ratio > high) & (advantages > 0), (ratio < low) & (advantages < 0)
    if form.soft:
        return -ratio.clamp(max=high).detach() * advantages * log_probs, too_high
    return -torch.min(ratio * advantages, ratio.clamp(low, high) * advantages), too_high | too_low
