"""Answers that a model gave, packed into rows like any other examples, with numbers that ride along by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from yanmo.data.batches import Batch
from yanmo.data.rows import PackedRows, flatten
from yanmo.model.labels import IGNORE
from yanmo.tokenizer.chat import Rendered


class PackedAnswers(PackedRows):
    """All answers of one rollout.

    columns: lists of one number for every trained token of every example; in the batch they stand, float32, where
    the token is the label, and 0 stands elsewhere.
    """

    def __init__(
        self,
        examples: Sequence[Rendered],
        columns: Mapping[str, Sequence[Sequence[float]]],
        pad_id: int,
        sequence_length: int,
    ):
        super().__init__(flatten(examples), pad_id, sequence_length, batch_size=1, seed=0)
        self.columns = columns

    def all(self) -> Batch:
        """Every example once."""
        return self.as_batch(self._pack(0))

    def as_batch(self, rows: Sequence[np.ndarray]) -> Batch:
        batch = super().as_batch(rows) | {"count": torch.tensor([len(row) for row in rows])}
        labelled = batch["labels"].numpy() != IGNORE
        for name, values in self.columns.items():
            column = np.zeros(labelled.shape, np.float32)
            for number, row in enumerate(rows):
                column[number, labelled[number]] = np.concatenate([values[member] for member in row.tolist()])
            batch[name] = torch.from_numpy(column)
        return batch


def pack_answers(
    examples: Sequence[Rendered], columns: Mapping[str, Sequence[Sequence[float]]], pad_id: int, sequence_length: int
) -> Batch:
    """The batch of all examples; none may be longer than a row.

    Beside what packed rows have: `count` (B,), the examples of each row, and the columns, (B, T) float32.
    """
    return PackedAnswers(examples, columns, pad_id, sequence_length).all()
