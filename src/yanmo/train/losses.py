"""Losses: functions (model, batch) -> a sum, to be divided once by the global count, and figures summed alike."""

from __future__ import annotations

from torch import Tensor

from yanmo.model.transformer import Transformer
from yanmo.train.head import linear_cross_entropy


def next_token_loss(model: Transformer, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of nats over the targets of a batch of packed rows: the loss of pretraining and of fine-tuning.

    batch: input_ids, labels, position_ids, segments, all (B, T); labels[t] is the target at t or IGNORE.
    """
    hidden = model(batch["input_ids"], batch["position_ids"], batch["segments"])
    return linear_cross_entropy(hidden, model.lm_head.weight, batch["labels"]), {}
