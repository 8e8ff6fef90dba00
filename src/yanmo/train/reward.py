"""The reward model's loss, and what its scores are worth on held-out pairs.

Bradley-Terry (1952): the probability that one answer is liked better is the sigmoid of the difference of their
scores, so the loss of a pair is -log sigmoid(chosen - rejected - margin) (Ouyang et al. 2022,
https://arxiv.org/abs/2203.02155, section 3.4; the margin is Llama 2's, https://arxiv.org/abs/2307.09288).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.model.labels import IGNORE
from yanmo.model.reward import RewardModel
from yanmo.train.preference_settings import RewardSettings

Batch = dict[str, Tensor]
BINS = 10
"""Of the calibration: probabilities from 0.5 to 1."""


def pair_scores(model: RewardModel, batch: Batch) -> Tensor:
    """(pairs, 2): scores of the chosen and the rejected answers of packed rows, in their order.

    A label that is not IGNORE marks the end of an answer, where it is scored.
    """
    hidden = model(batch["input_ids"], batch["position_ids"], batch["segments"])
    return model.rewards(hidden[batch["labels"] != IGNORE]).view(-1, 2)


def reward_loss(settings: RewardSettings) -> Callable[[RewardModel, Batch], tuple[Tensor, dict[str, Tensor]]]:
    """The loss of a batch of pairs, a sum over the pairs; `count` (B,) of the batch holds the pairs of each row."""

    def loss(model: RewardModel, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, rejected = pair_scores(model, batch).unbind(1)
        each = -F.logsigmoid(chosen - rejected - settings.margin) + settings.center * (chosen + rejected).square()
        figures = {"accuracy": (chosen > rejected).sum(), "margin": (chosen - rejected).detach().sum()}
        return each.sum(), figures

    return loss


@torch.no_grad()
def reward_figures(
    model: RewardModel, batches: Iterable[tuple[np.ndarray, Batch]], lengths: np.ndarray, rows: int
) -> dict[str, Any]:
    """Accuracy, calibration and length bias over held-out pairs.

    batches: numbers of the answers of each row, with their batch; lengths (answers,): of every answer, in tokens.
    """
    device = model.score.weight.device
    scores, sizes = [], []
    for numbers, batch in batches:
        for start in range(0, len(numbers), rows):
            part = {name: tensor[start : start + rows].to(device) for name, tensor in batch.items()}
            scores.append(pair_scores(model, part).cpu().double().numpy())
            members = numbers[start : start + rows]
            sizes.append(lengths[members[members >= 0]].reshape(-1, 2))
    return worth(np.concatenate(scores), np.concatenate(sizes)) if scores else {}


def worth(scores: np.ndarray, lengths: np.ndarray) -> dict[str, Any]:
    """What scores (pairs, 2) of chosen and rejected answers of these lengths (pairs, 2) are worth.

    A model that has only learned that longer is better shows in two figures: how scores correlate with length, and
    accuracy where the chosen answer is the shorter one.
    """
    margins = scores[:, 0] - scores[:, 1]
    right, longer = margins > 0, lengths[:, 0] > lengths[:, 1]
    shorter = lengths[:, 0] < lengths[:, 1]
    return {
        "accuracy": float(right.mean()),
        "nats_per_pair": float(np.logaddexp(0, -margins).mean()),
        "margin": float(margins.mean()),
        "calibration_error": calibration_error(margins),
        "accuracy_chosen_longer": float(right[longer].mean()) if longer.any() else float("nan"),
        "accuracy_chosen_shorter": float(right[shorter].mean()) if shorter.any() else float("nan"),
        "score_length_correlation": correlation(scores.ravel(), lengths.ravel()),
        "longer_is_chosen": float(longer.sum() / max(1, longer.sum() + shorter.sum())),
        "pairs": len(scores),
    }


def calibration_error(margins: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599): how far the probability of the
    better scored answer, sigmoid(|margin|), is from how often it is the chosen one, over bins of that probability."""
    sure = 1 / (1 + np.exp(-np.abs(margins)))
    bins = np.minimum(((sure - 0.5) * 2 * BINS).astype(int), BINS - 1)
    error = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            error += inside.mean() * abs(sure[inside].mean() - (margins[inside] > 0).mean())
    return float(error)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where one does not vary."""
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
