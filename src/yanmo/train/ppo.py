"""PPO's loss: a policy that moves a little towards what went better than expected, a critic that learns to expect.

Proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347, eq. 7 and 9), with values
clipped like ratios, as its first implementation has it. Everything that is not the gradient rides in the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from yanmo.model.labels import IGNORE
from yanmo.train.actor_critic import ActorCritic
from yanmo.train.head import label_log_probs, label_log_probs_and_entropies
from yanmo.train.ppo_settings import PpoSettings

Batch = dict[str, Tensor]


def ppo_loss(
    settings: PpoSettings, temperature: float = 1.0
) -> Callable[[ActorCritic, Batch], tuple[Tensor, dict[str, Tensor]]]:
    """The loss of a minibatch, summed over its labels; figures likewise.

    batch: packed rows with, per label, `old` (log-probability when it was said), `advantages`, and the critic's
    `values` and the `returns` of that time, all (B, T) fp32.
    """

    def loss(model: ActorCritic, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        wanted = batch["labels"] != IGNORE
        hidden = model(batch["input_ids"], batch["position_ids"], batch["segments"]) / temperature
        if settings.entropy_weight:
            each, entropies = label_log_probs_and_entropies(hidden, model.lm_head.weight, batch["labels"])
        else:
            each, entropies = label_log_probs(hidden, model.lm_head.weight, batch["labels"]), torch.zeros(())
        log_ratios = each[wanted] - batch["old"][wanted]
        policy = policy_losses(log_ratios, batch["advantages"][wanted], settings.clip).sum()
        values, before = model.values(batch)[wanted], batch["values"][wanted]
        value = value_losses(values, before, batch["returns"][wanted], settings.value_clip).sum()
        total = policy + settings.value_weight * value - settings.entropy_weight * entropies.sum()
        with torch.no_grad():
            ratios = log_ratios.exp()
            figures = {
                "policy_loss": policy,
                "value_loss": value,
                "ratio": ratios.sum(),
                "clipped": ((ratios - 1).abs() > settings.clip).sum(),
                "kl_from_old": (ratios - 1 - log_ratios).sum(),
            }
            if settings.value_clip:
                figures["values_clipped"] = ((values - before).abs() > settings.value_clip).sum()
        return total, figures

    return loss


def policy_losses(log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """(n,): -min(r A, clip(r, 1 - c, 1 + c) A) with r = exp(log_ratios): the pessimistic one of the two."""
    ratios = log_ratios.exp()
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages)


def value_losses(values: Tensor, before: Tensor, returns: Tensor, clip: float) -> Tensor:
    """(n,): half the squared error, of the value or of the value clipped around `before`, whichever is larger."""
    errors = (values - returns).square()
    if clip:
        near = before + (values - before).clamp(-clip, clip)
        errors = torch.maximum(errors, (near - returns).square())
    return errors / 2
