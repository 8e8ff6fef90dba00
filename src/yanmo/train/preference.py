"""Preference losses: from the log-probabilities of two answers to one question to a number per pair.

DPO (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290), conservative DPO and IPO (Azar et al. 2023,
https://arxiv.org/abs/2310.12036), SLiC's hinge (https://arxiv.org/abs/2305.10425), ORPO
(https://arxiv.org/abs/2403.07691), SimPO (https://arxiv.org/abs/2405.14734) and KTO
(https://arxiv.org/abs/2402.01306). The reference's log-probabilities ride in the batch, so no second model is in memory
while training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.train.head import label_log_probs
from yanmo.train.preference_settings import PreferenceSettings

Batch = dict[str, Tensor]


def answer_log_probs(model: Transformer, batch: Batch, answers: int) -> tuple[Tensor, Tensor]:
    """Log-probability of each answer of a packed batch and how many tokens it has, both (B, answers).

    Answer i of a row is its segment i; a row with fewer has zeros.
    """
    hidden = model(batch["input_ids"], batch["position_ids"], batch["segments"])
    each = label_log_probs(hidden, model.lm_head.weight, batch["labels"])
    wanted = batch["labels"] != IGNORE
    segments = batch["segments"].long().clamp(max=answers - 1)  # the padding's segment has no labels
    sums = each.new_zeros(len(each), answers).scatter_add(1, segments, each)
    return sums, torch.zeros_like(sums).scatter_add(1, segments, wanted.to(sums.dtype))


def preference_loss(settings: PreferenceSettings) -> Callable[[Transformer, Batch], tuple[Tensor, dict[str, Tensor]]]:
    """The loss of a batch of pairs: segments 2i and 2i + 1 of a row are the chosen and rejected answers.

    batch: as `next_token_loss`, with `reference` (B, answers), the reference's log-probabilities of the answers,
    `count` (B,), the pairs of each row, and for KTO `baseline` (B,). Figures are means over the pairs.
    """

    def loss(model: Transformer, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        reference = batch["reference"]
        log_probs, lengths = answer_log_probs(model, batch, reference.shape[1])
        there = lengths[:, 0::2] > 0
        chosen, rejected = (
            Answers(log_probs[:, side::2][there], reference[:, side::2][there], lengths[:, side::2][there])
            for side in (0, 1)
        )
        baseline = batch["baseline"][:, None].expand_as(there)[there] if settings.loss == "kto" else None
        each = pair_losses(settings, chosen, rejected, baseline)
        if settings.sft_weight:
            each = each - settings.sft_weight * chosen.log_probs / chosen.lengths
        return each.sum(), figures(settings, chosen, rejected)

    return loss


class Answers:
    """One side of n pairs: log-probabilities (n,) under the policy and the reference, and lengths in tokens."""

    def __init__(self, log_probs: Tensor, reference: Tensor, lengths: Tensor) -> None:
        self.log_probs, self.reference, self.lengths = log_probs, reference.to(log_probs.dtype), lengths

    @property
    def log_ratios(self) -> Tensor:
        return self.log_probs - self.reference

    @property
    def mean_log_probs(self) -> Tensor:
        return self.log_probs / self.lengths


def pair_losses(
    settings: PreferenceSettings, chosen: Answers, rejected: Answers, baseline: Tensor | None = None
) -> Tensor:
    """(n,): the loss of each pair; baseline (n,): what KTO compares both answers' log-ratios with."""
    beta = settings.beta
    match settings.loss:
        case "orpo":
            odds = log_odds(chosen.mean_log_probs) - log_odds(rejected.mean_log_probs)
            return -chosen.mean_log_probs - beta * F.logsigmoid(odds)
        case "simpo":
            return -F.logsigmoid(beta * (chosen.mean_log_probs - rejected.mean_log_probs) - settings.simpo_margin)
        case "ipo":
            margin = chosen.log_ratios / chosen.lengths - rejected.log_ratios / rejected.lengths
            return (margin - 1 / (2 * beta)).square()
        case "kto":
            assert baseline is not None
            better, worse = chosen.log_ratios - baseline, rejected.log_ratios - baseline
            return (torch.sigmoid(-beta * better) + torch.sigmoid(beta * worse)) / 2
    margin = beta * (log_ratios(settings, chosen) - log_ratios(settings, rejected))
    if settings.loss == "hinge":
        return F.relu(1 - margin)
    smoothing = settings.label_smoothing
    return -(1 - smoothing) * F.logsigmoid(margin) - smoothing * F.logsigmoid(-margin)


def log_ratios(settings: PreferenceSettings, answers: Answers) -> Tensor:
    return answers.log_ratios / answers.lengths if settings.length_normalised else answers.log_ratios


def log_odds(log_probs: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(log_probs), exact where p is close to 1."""
    return log_probs - torch.log(-torch.expm1(log_probs))


@torch.no_grad()
def figures(settings: PreferenceSettings, chosen: Answers, rejected: Answers) -> dict[str, Tensor]:
    """Sums over the pairs. Rewards are DPO's implicit ones, beta times the log-ratio to the reference; without a
    reference, beta times the mean log-probability."""
    if settings.needs_reference:
        better, worse = (settings.beta * log_ratios(settings, side) for side in (chosen, rejected))
    else:
        better, worse = (settings.beta * side.mean_log_probs for side in (chosen, rejected))
    lost = {"chosen_nats_lost": -(chosen.log_ratios / chosen.lengths).sum()} if settings.needs_reference else {}
    return {
        "accuracy": (better > worse).sum(),
        "margin": (better - worse).sum(),
        "chosen_reward": better.sum(),
        "rejected_reward": worse.sum(),
        "chosen_nats_per_token": -chosen.mean_log_probs.sum(),
        "rejected_nats_per_token": -rejected.mean_log_probs.sum(),
        **lost,
    }


@torch.no_grad()
def preference_figures(
    model: Transformer, settings: PreferenceSettings, batches: Iterable[Batch], rows: int
) -> dict[str, float]:
    """Loss and figures over held-out pairs, `rows` rows at a time; {} without any."""
    loss, sums, pairs = preference_loss(settings), dict[str, float](), 0
    device = model.lm_head.weight.device
    for batch in batches:
        pairs += int(batch["count"].sum())
        for start in range(0, len(batch["labels"]), rows):
            part = {name: tensor[start : start + rows].to(device) for name, tensor in batch.items()}
            total, more = loss(model, part)
            for name, value in {**more, "loss": total}.items():
                sums[name] = sums.get(name, 0.0) + float(value)
    return {name: value / pairs for name, value in sums.items()} | ({"pairs": pairs} if pairs else {})
