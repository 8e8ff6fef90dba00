"""Preferences as packed rows: the two answers to a question lie in one row, as two conversations of their own.

Only the answers themselves are targets. What is too long loses its oldest exchanges, like a conversation in SFT;
a pair that does not fit even so is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from yanmo.data.batches import Batch
from yanmo.data.rows import Flat, PackedRows, flatten
from yanmo.text.preferences import Preference
from yanmo.tokenizer.chat import Message, Rendered, oldest_exchange, render
from yanmo.tokenizer.load import Tokenizer

SIDES = 2


@dataclass
class PreferenceCounts:
    """What became of the pairs. `pairs` = `kept` + the sum of `dropped`."""

    pairs: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    shortened: int = 0
    """Kept, but without the question's oldest exchanges."""
    rows: int = 0
    tokens: int = 0
    padding_share: float = 0.0
    chosen_tokens: float = 0.0
    """Mean length of the chosen answers."""
    rejected_tokens: float = 0.0


class PreferenceBatches(PackedRows):
    """Batches of pairs: segments 2i and 2i + 1 of a row are the chosen and the rejected answer of its pair i.

    Beside what packed rows have: `count` (B,), the pairs of each row, and `reference` (B, answers), the
    log-probabilities that `set_reference` was given.
    Raises: ValueError: no pair is left to train on.
    """

    def __init__(
        self,
        pairs: Iterable[Preference],
        tokenizer: Tokenizer,
        sequence_length: int,
        batch_size: int,
        seed: int,
        context: int,
    ):
        self.counts = counts = PreferenceCounts()
        flat = flatten(fit_pairs(pairs, tokenizer, sequence_length, context, counts))
        if not counts.kept:
            why = ", ".join(f"{count} {reason}" for reason, count in counts.dropped.items())
            raise ValueError(f"no pair left to train on ({why or 'none were given'})")
        super().__init__(flat, tokenizer.pad_id, sequence_length, batch_size, seed, together=SIDES)
        self._reference = np.zeros(len(self.lengths), np.float32)
        counts.rows, counts.tokens, counts.padding_share = self.rows, len(self.ids), self.padding_share
        counts.chosen_tokens, counts.rejected_tokens = mean_answer_lengths(flat)

    def set_reference(self, log_probs: np.ndarray) -> None:
        """log_probs (examples,): of every answer, in the order of `in_order`."""
        assert log_probs.shape == self._reference.shape
        self._reference = log_probs.astype(np.float32)

    def in_order(self) -> Iterator[tuple[np.ndarray, Batch]]:
        """Every answer once: numbers of the answers (rows, answers), -1 where there is none, and their batch."""
        rows = self._pack(0)
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            yield _table(part, -1), self.as_batch(part)

    def as_batch(self, rows: Sequence[np.ndarray]) -> Batch:
        numbers = _table(rows, -1)
        reference = np.where(numbers < 0, 0.0, self._reference[numbers])
        return super().as_batch(rows) | {
            "count": torch.tensor([len(row) // SIDES for row in rows]),
            "reference": torch.from_numpy(reference.astype(np.float32)),
        }


def _table(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """Rows of different length as one array."""
    table = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def mean_answer_lengths(flat: Flat) -> tuple[float, float]:
    """Tokens of the chosen and of the rejected answers, on average."""
    sums = np.add.reduceat(flat.trained.astype(np.int64), flat.bounds[:-1])
    return float(sums[0::SIDES].mean()), float(sums[1::SIDES].mean())


def fit_pairs(
    pairs: Iterable[Preference], tokenizer: Tokenizer, sequence_length: int, context: int, counts: PreferenceCounts
) -> Iterator[Rendered]:
    """Both answers of every pair that fits: together a row, each the model's context."""
    for pair in pairs:
        counts.pairs += 1
        messages: list[Message] = list(pair.messages)
        while True:
            both = [answered(tokenizer, messages, answer) for answer in (pair.chosen, pair.rejected)]
            places = [len(ids) - 1 for ids, _ in both]
            if sum(places) <= sequence_length and max(places) <= context:
                counts.kept += 1
                counts.shortened += len(messages) < len(pair.messages)
                yield from both
                break
            oldest = oldest_exchange(messages)
            if oldest is None:
                counts.dropped["longer than a row"] = counts.dropped.get("longer than a row", 0) + 1
                break
            del messages[oldest]


def answered(tokenizer: Tokenizer, messages: Sequence[Message], answer: str) -> Rendered:
    """A question with one answer, up to the answer's end; only the answer is trained."""
    prompt, _ = render(tokenizer, messages, add_generation_prompt=True)
    ids, trained = render(tokenizer, [*messages, {"role": "assistant", "content": answer}])
    last = len(trained) - trained[::-1].index(True)
    return ids[:last], [False] * len(prompt) + trained[len(prompt) : last]
