"""Preferences as packed rows: the two answers to a question lie in one row, as two conversations of their own.

Only the answers themselves are targets. What is too long loses its oldest exchanges, like a conversation in SFT;
a pair that does not fit even so is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import orjson
import torch
import xxhash

from yanmo.core.run import Run
from yanmo.data.batches import Batch
from yanmo.data.rows import Flat, PackedRows, flatten, pack
from yanmo.text.preferences import Preference, read_preferences
from yanmo.text.step import Drop
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


class Answers(PackedRows):
    """Questions each with an answer, in packed rows; `reference` (B, answers) of a batch holds the log-probabilities
    that `set_reference` was given."""

    def __init__(
        self, flat: Flat, pad_id: int, sequence_length: int, batch_size: int, seed: int, together: int = 1
    ) -> None:
        super().__init__(flat, pad_id, sequence_length, batch_size, seed, together)
        self._reference = np.zeros(len(self.lengths), np.float32)

    def set_reference(self, log_probs: np.ndarray) -> None:
        """log_probs (examples,): of every answer, in the order of `in_order`."""
        assert log_probs.shape == self._reference.shape
        self._reference = log_probs.astype(np.float32)

    def in_order(self) -> Iterator[tuple[np.ndarray, Batch]]:
        """Every answer once: numbers of the answers (rows, answers), -1 where there is none, and their batch."""
        for rows in self.members_in_order():
            yield _table(rows, -1), self.as_batch(rows)

    def example(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and which of them are trained; -1 is the last one."""
        start, stop = self.bounds[:-1][number], self.bounds[1:][number]
        return self.ids[start:stop], self.trained[start:stop]

    def holding(self, members: np.ndarray) -> Batch:
        """These answers alone, in as few rows as hold them."""
        rows = pack(self.lengths[members], np.arange(len(members)), self.sequence_length)
        return self.as_batch([members[row] for row in rows])

    def as_batch(self, rows: Sequence[np.ndarray]) -> Batch:
        numbers = _table(rows, -1)
        reference = np.where(numbers < 0, 0.0, self._reference[numbers])
        return super().as_batch(rows) | {"reference": torch.from_numpy(reference.astype(np.float32))}


class PreferenceBatches(Answers):
    """Batches of pairs: segments 2i and 2i + 1 of a row are the chosen and the rejected answer of its pair i.

    Beside what packed answers have: `count` (B,), the pairs of each row. `scored`: for a reward model, which reads an
    answer to its last token and gives one number there: that place alone has a label.
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
        scored: bool = False,
    ):
        self.counts = counts = PreferenceCounts()
        lengths: list[int] = []
        flat = flatten(fit_pairs(pairs, tokenizer, sequence_length, context, scored, counts, lengths))
        if not counts.kept:
            why = ", ".join(f"{count} {reason}" for reason, count in counts.dropped.items())
            raise ValueError(f"no pair left to train on ({why or 'none were given'})")
        super().__init__(flat, tokenizer.pad_id, sequence_length, batch_size, seed, together=SIDES)
        counts.rows, counts.tokens, counts.padding_share = self.rows, len(self.ids), self.padding_share
        self.answer_lengths = np.array(lengths)
        """(answers,): tokens of each answer, its end included."""
        counts.chosen_tokens, counts.rejected_tokens = (float(self.answer_lengths[side::2].mean()) for side in (0, 1))

    def as_batch(self, rows: Sequence[np.ndarray]) -> Batch:
        return super().as_batch(rows) | {"count": torch.tensor([len(row) // SIDES for row in rows])}

    def mismatched(self) -> Answers:
        """Every question with the answers to the one before it, in the same order; an answer is cut where the row ends.

        What such an answer gains over the reference has nothing to do with its question: KTO's point of comparison.
        """
        return Answers(flatten(self._mismatched()), self.pad_id, self.sequence_length, self.batch_size, self.seed)

    def _mismatched(self) -> Iterator[Rendered]:
        for number in range(len(self.lengths)):
            (ids, flags), (others, theirs) = self.example(number), self.example(number - SIDES)
            question, answer = ids[~flags], others[theirs]
            whole = np.concatenate([question, answer])[: self.sequence_length + 1]
            yield whole.tolist(), (np.arange(len(whole)) >= len(question)).tolist()


def read_split(
    paths: list[Path], format: str, val_fraction: float
) -> tuple[list[Preference], list[Preference], Counter[str]]:
    """Pairs to train on, those held out (by a hash of the question, so that all pairs of a question stay together),
    and how many rows were rejected for which reason."""
    training: list[Preference] = []
    held_out: list[Preference] = []
    rejected: Counter[str] = Counter()
    for _, pair in read_preferences(paths, format):
        if isinstance(pair, Drop):
            rejected[pair.reason] += 1
            continue
        draw = xxhash.xxh3_64_intdigest(orjson.dumps(pair.messages)) / 2**64
        (held_out if draw < val_fraction else training).append(pair)
    return training, held_out, rejected


def say_counts(
    run: Run, training: PreferenceBatches, validation: PreferenceBatches | None, rejected: Counter[str]
) -> None:
    """What became of the preferences, on the screen and in the report."""
    counts, held_out = training.counts, validation.counts if validation else PreferenceCounts()
    run.report["preferences"] = {
        "rejected": dict(rejected),
        "training": asdict(counts),
        "validation": asdict(held_out),
    }
    reasons = rejected + Counter(counts.dropped) + Counter(held_out.dropped)
    run.say(
        f"{counts.kept:,} pairs to train on ({counts.tokens:,} tokens; chosen answers have {counts.chosen_tokens:.0f}, "
        f"rejected ones {counts.rejected_tokens:.0f} on average) in {counts.rows:,} rows, "
        f"{counts.padding_share:.1%} padding; {held_out.kept:,} held out; "
        f"{counts.shortened:,} without their oldest turns; "
        f"left out: {', '.join(f'{number:,} {reason}' for reason, number in reasons.items()) or 'none'}"
    )


def _table(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """Rows of different length as one array."""
    table = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def fit_pairs(
    pairs: Iterable[Preference],
    tokenizer: Tokenizer,
    sequence_length: int,
    context: int,
    scored: bool,
    counts: PreferenceCounts,
    lengths: list[int],
) -> Iterator[Rendered]:
    """Both answers of every pair that fits: together a row, each the model's context. `lengths` gets theirs."""
    for pair in pairs:
        counts.pairs += 1
        messages: list[Message] = list(pair.messages)
        while True:
            both = [answered(tokenizer, messages, answer) for answer in (pair.chosen, pair.rejected)]
            sizes = [sum(trained) for _, trained in both]
            if scored:
                both = [marked_at_the_end(rendered, tokenizer) for rendered in both]
            places = [len(ids) - 1 for ids, _ in both]
            if sum(places) <= sequence_length and max(places) <= context:
                counts.kept += 1
                counts.shortened += len(messages) < len(pair.messages)
                lengths += sizes
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


def marked_at_the_end(rendered: Rendered, tokenizer: Tokenizer) -> Rendered:
    """A token more, which is never read, so that the answer's last one has a label."""
    ids, _ = rendered
    return [*ids, tokenizer.pad_id], [False] * len(ids) + [True]
