"""Conversations as packed rows for SFT: nothing crosses a row, nothing is cut in silence, padding stays small.

A conversation takes one place less than it has tokens (the last is only a label) and lies whole in one row.
Rows are filled best-fit decreasing (Johnson 1974): the longest conversation first, each into the row it fills
best. Which conversations share a row is drawn anew every epoch and depends on (seed, epoch)
alone.

What is too long loses its oldest exchanges whole, system turns kept. If one exchange alone is too long, the
conversation is dropped and counted, or, on request, its answer is cut, and then there is no end token after
the cut: a model must not learn to stop in the middle of a sentence.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from yanmo.data.batches import IGNORE, Batch, to_tensors
from yanmo.data.shuffle import Permutation
from yanmo.tokenizer.chat import Message, Rendered, oldest_exchange, render_all
from yanmo.tokenizer.load import Tokenizer

T = TypeVar("T")


@dataclass
class ConversationCounts:
    """What became of the conversations. `conversations` = `kept` + the sum of `dropped`."""

    conversations: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    shortened: int = 0
    """Kept, but without their oldest exchanges."""
    cut: int = 0
    """Kept, but with the end of the answer cut off."""
    rows: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    padding_share: float = 0.0
    """Places of the rows that hold nothing."""

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


class ConversationBatches:
    """`batches(start)` yields batch number start, start + 1, ... for ever; each a function of (seed, number).

    Holds 5 bytes a token in memory. `counts` says what was kept and why the rest was not.
    Raises: ValueError: no conversation is left to train on.
    """

    def __init__(
        self,
        conversations: Iterable[Sequence[Message]],
        tokenizer: Tokenizer,
        sequence_length: int,
        batch_size: int,
        seed: int,
        cut_answers: bool = False,
    ):
        self.tokenizer, self.sequence_length, self.batch_size = tokenizer, sequence_length, batch_size
        self.seed = seed
        self.counts = ConversationCounts()
        fitted = fit_all(conversations, tokenizer, sequence_length, cut_answers, self.counts)
        self._ids, self._trained, self._bounds = _flat(fitted)
        if not self.counts.kept:
            why = ", ".join(f"{count} {reason}" for reason, count in self.counts.dropped.items())
            raise ValueError(f"no conversation left to train on ({why or 'none were given'})")
        self._lengths = np.diff(self._bounds) - 1
        self._epoch = 0
        self._rows = self._pack(0)
        self.rows = len(self._rows)  # depends on the lengths alone: the same every epoch
        self.counts.rows = self.rows
        self.counts.tokens = len(self._ids)
        self.counts.trained_tokens = int(self._trained.sum())
        self.counts.padding_share = 1 - int(self._lengths.sum()) / (self.rows * sequence_length)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches see every row at least once."""
        return -(-self.rows // self.batch_size)

    def __call__(self, start: int) -> Iterator[Batch]:
        number = start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """`input_ids`, `labels`, `position_ids` (B, T) int64 and `segments` (B, T) int32 of one batch."""
        places = range(number * self.batch_size, (number + 1) * self.batch_size)
        return self._as_batch([self._row(*divmod(place, self.rows)) for place in places])

    def sequential(self) -> Iterator[Batch]:
        """Every row once, for validation; the last batch may be short."""
        rows = self._pack(0)
        for start in range(0, len(rows), self.batch_size):
            yield self._as_batch(rows[start : start + self.batch_size])

    def show(self, count: int) -> list[list[tuple[str, bool]]]:
        """The first conversations as (piece of text, whether it is trained on); pieces are whole characters."""
        return [
            pieces(self.tokenizer, self._ids[start:stop].tolist(), self._trained[start:stop].tolist())
            for start, stop in zip(self._bounds[:count], self._bounds[1 : count + 1], strict=False)
        ]

    def _row(self, epoch: int, place: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._pack(epoch)
        return self._rows[int(Permutation(self.rows, self.seed, epoch, 1)(np.array([place]))[0])]

    def _pack(self, epoch: int) -> list[np.ndarray]:
        order = Permutation(len(self._lengths), self.seed, epoch)(np.arange(len(self._lengths)))
        return pack(self._lengths, order, self.sequence_length)

    def _as_batch(self, rows: Sequence[np.ndarray]) -> Batch:
        shape = (len(rows), self.sequence_length)
        inputs = np.full(shape, self.tokenizer.pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORE, dtype=np.int64)
        segments = np.zeros(shape, dtype=np.int64)
        for row, members in enumerate(rows):
            place = 0
            for number, member in enumerate(members.tolist()):
                start, stop = self._bounds[member], self._bounds[member + 1]
                ids, trained = self._ids[start:stop].astype(np.int64), self._trained[start + 1 : stop]
                here = slice(place, place + len(ids) - 1)
                inputs[row, here] = ids[:-1]
                labels[row, here] = np.where(trained, ids[1:], IGNORE)
                segments[row, here] = number
                place += len(ids) - 1
            # The padding is a document of its own: it sees itself, nothing sees it, and it has no labels.
            segments[row, place:] = len(members)
        return to_tensors(inputs, labels, segments)


def fit_all(
    conversations: Iterable[Sequence[Message]],
    tokenizer: Tokenizer,
    sequence_length: int,
    cut_answers: bool,
    counts: ConversationCounts,
) -> Iterator[Rendered]:
    """The conversations as ids that fit a row and have something to train on; the others are counted."""
    kept: list[Sequence[Message]] = []

    def remembered() -> Iterator[Sequence[Message]]:
        for messages in conversations:
            kept.append(messages)
            yield messages

    for rendered in render_all(tokenizer, remembered()):
        messages = kept.pop(0)
        counts.conversations += 1
        fitted = _fit(tokenizer, messages, rendered, sequence_length, cut_answers, counts)
        if fitted is not None:
            counts.kept += 1
            yield fitted


def _fit(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    rendered: Rendered,
    sequence_length: int,
    cut_answers: bool,
    counts: ConversationCounts,
) -> Rendered | None:
    """One conversation up to its last trained token, shortened if it must be, or None."""
    left, turns = list(messages), _turns(tokenizer, rendered)
    ids, trained = _up_to_last_trained(rendered)
    if not ids:
        counts.drop("no answer to train on")
        return None
    while len(ids) - 1 > sequence_length and (oldest := oldest_exchange(left)) is not None:
        del left[oldest], turns[oldest]
        ids, trained = _up_to_last_trained((_joined(ids for ids, _ in turns), _joined(flags for _, flags in turns)))
    if ids and len(ids) - 1 <= sequence_length:
        counts.shortened += len(left) < len(messages)
        return ids, trained
    if cut_answers and any(trained[: sequence_length + 1]):
        counts.cut += 1
        return ids[: sequence_length + 1], trained[: sequence_length + 1]
    counts.drop("longer than a row")
    return None


def _turns(tokenizer: Tokenizer, rendered: Rendered) -> list[Rendered]:
    """A rendered conversation by message. Only the template makes a turn-start id, so it marks each beginning."""
    ids, trained = rendered
    bounds = [place for place, number in enumerate(ids) if number == tokenizer.turn_start_id] + [len(ids)]
    return [(ids[start:stop], trained[start:stop]) for start, stop in itertools.pairwise(bounds)]


def _joined(parts: Iterable[list[T]]) -> list[T]:
    return list(itertools.chain.from_iterable(parts))


def _up_to_last_trained(rendered: Rendered) -> Rendered:
    """What follows the last trained token teaches nothing; without any there is nothing at all."""
    ids, trained = rendered
    length = len(trained) - trained[::-1].index(True) if any(trained) else 0
    return ids[:length], trained[:length]


def _flat(fitted: Iterable[Rendered]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All ids end to end, all trained flags, and the bounds of the conversations."""
    ids, trained, bounds = array("I"), bytearray(), [0]
    for conversation, flags in fitted:
        ids.extend(conversation)
        trained.extend(flags)
        bounds.append(len(ids))
    return np.array(ids, dtype=np.uint32), np.array(trained, dtype=bool), np.array(bounds, dtype=np.int64)


def pack(lengths: np.ndarray, order: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows of conversation numbers whose lengths add up to at most `size`: best-fit decreasing.

    `order` decides between equal lengths, so another order gives other company and the same number of rows.
    Rows with the same room left wait in one list; which rooms have any is kept in the bits of one integer. So
    finding the best row takes a shift and a mask however many there are.
    """
    decreasing = order[np.argsort(-lengths[order], kind="stable")]
    rows: list[list[int]] = []
    waiting: list[list[int]] = [[] for _ in range(size + 1)]
    rooms = 0
    for member, length in zip(decreasing.tolist(), lengths[decreasing].tolist(), strict=True):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = waiting[room].pop()
            if not waiting[room]:
                rooms ^= 1 << room
        else:
            room, row = size, len(rows)
            rows.append([])
        rows[row].append(member)
        waiting[room - length].append(row)
        rooms |= 1 << (room - length)
    return [np.array(row) for row in rows]


def pieces(tokenizer: Tokenizer, ids: Sequence[int], trained: Sequence[bool]) -> list[tuple[str, bool]]:
    """The text of each token and whether it is trained on; tokens that share a character come as one piece."""
    result: list[tuple[str, bool]] = []
    held: list[int] = []
    for place, (number, flag) in enumerate(zip(ids, trained, strict=True)):
        held.append(number)
        text = tokenizer.decode(held)
        last = place + 1 == len(ids) or trained[place + 1] != flag
        if last or not text.endswith("\ufffd"):
            result.append((text, flag))
            held = []
    return result
