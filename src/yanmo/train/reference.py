"""The reference's log-probabilities, computed once: what a preference loss compares the policy with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from yanmo.core.run import Run
from yanmo.model.transformer import Transformer
from yanmo.train.preference import Batch, answer_log_probs


@torch.no_grad()
def reference_log_probs(
    model: Transformer, batches: Iterable[tuple[np.ndarray, Batch]], answers: int, run: Run
) -> np.ndarray:
    """(answers,) float32: the log-probability of every answer under `model`.

    batches: numbers of the answers (rows, answers of a row), -1 where there is none, with their batch.
    """
    device = model.lm_head.weight.device
    result = np.zeros(answers, np.float32)
    with run.progress("reference", answers, "answers") as bar:
        for numbers, batch in batches:
            placed = {name: tensor.to(device) for name, tensor in batch.items()}
            log_probs, _ = answer_log_probs(model, placed, numbers.shape[1])
            there = numbers >= 0
            result[numbers[there]] = log_probs.float().cpu().numpy()[there]
            bar.advance(int(there.sum()))
    return result
