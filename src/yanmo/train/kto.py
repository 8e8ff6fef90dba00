"""KTO's baseline: how far the policy of this moment has gone from the reference, as the mean log-ratio of answers that
belong to other questions, and at least 0 (Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306, section 4.1).

One for the whole batch, computed before its step, so micro-batches do not change the loss. The mismatched answers are
those of the pairs of the batch moved on by one pair in the data, so the reference has seen them all beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from yanmo.model.transformer import Transformer
from yanmo.train.preference import Batch, answer_log_probs

Rows = Sequence[np.ndarray]
"""Numbers of the answers of each row."""


class Pairs(Protocol):
    """Batches of pairs, with what is in them."""

    batch_size: int

    def members(self, places: Iterable[int]) -> Rows: ...

    def members_in_order(self) -> Iterator[Rows]: ...

    def as_batch(self, rows: Rows) -> Batch: ...


class Mismatched(Protocol):
    """Every question with the answers to another."""

    def holding(self, members: np.ndarray) -> Batch: ...


class KtoBatches:
    """The batches of pairs, each with `baseline` (B,), the same for all its rows."""

    def __init__(self, pairs: Pairs, mismatched: Mismatched, rows: int) -> None:
        """rows: how many go through the model at once."""
        self.pairs, self.mismatched, self.rows = pairs, mismatched, rows
        self.model: Transformer | None = None
        self.newest = 0.0

    def attach(self, model: Transformer) -> None:
        self.model = model

    def __call__(self, start: int) -> Iterator[Batch]:
        number = start
        while True:
            places = range(number * self.pairs.batch_size, (number + 1) * self.pairs.batch_size)
            yield self.with_baseline(self.pairs.members(places))
            number += 1

    def sequential(self) -> Iterator[Batch]:
        return map(self.with_baseline, self.pairs.members_in_order())

    def with_baseline(self, rows: Rows) -> Batch:
        assert self.model is not None, "batches of KTO need the policy: attach it first"
        self.newest = baseline(self.model, self.mismatched.holding(np.concatenate(rows)), self.rows)
        return self.pairs.as_batch(rows) | {"baseline": torch.full((len(rows),), self.newest)}

    def watch(self) -> tuple[dict[str, float], dict[str, float]]:
        return {}, {"baseline": self.newest}

    def state(self) -> dict[str, Tensor]:
        """Nothing is remembered between two steps."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None: ...


@torch.no_grad()
def baseline(model: Transformer, batch: Batch, rows: int) -> float:
    """The mean log-ratio of the answers of a batch to the reference, or 0 if that is negative."""
    ratios = []
    device = model.lm_head.weight.device
    with torch.compiler.set_stance("force_eager"):
        for start in range(0, len(batch["labels"]), rows):
            part = {name: tensor[start : start + rows].to(device) for name, tensor in batch.items()}
            log_probs, lengths = answer_log_probs(model, part, part["reference"].shape[1])
            ratios.append((log_probs - part["reference"])[lengths > 0])
    return max(0.0, float(torch.cat(ratios).mean()))
