"""Examples packed whole into rows: nothing crosses a row, nothing is cut, padding stays small.

An example of n tokens takes n - 1 places (the last token is only a label). Rows are filled best-fit decreasing
(Johnson 1974): the longest first, each into the row it fills best. Which examples share a row is drawn anew every
epoch and depends on (seed, epoch) alone. Neighbours that belong together, such as the two answers of a
preference, can be kept in one row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from yanmo.data.batches import Batch, to_tensors
from yanmo.data.shuffle import Permutation
from yanmo.model.labels import IGNORE
from yanmo.tokenizer.chat import Rendered


class Flat(NamedTuple):
    """Examples end to end."""

    ids: np.ndarray
    trained: np.ndarray
    bounds: np.ndarray
    """(examples + 1,): where each begins, and the end."""


class PackedRows:
    """`batches(start)` yields batch number start, start + 1, ... for ever; each a function of (seed, number).

    Every `together` neighbouring examples lie in one row, in their order, so that with two the segments 0, 2, ...
    of a row are the first of each pair.
    """

    def __init__(
        self,
        examples: Flat,
        pad_id: int,
        sequence_length: int,
        batch_size: int,
        seed: int,
        together: int = 1,
    ):
        self.pad_id, self.sequence_length, self.batch_size, self.seed = pad_id, sequence_length, batch_size, seed
        self.together = together
        self.ids, self.trained, self.bounds = examples
        self.lengths = np.diff(self.bounds) - 1
        """Places of each example."""
        assert len(self.lengths) and len(self.lengths) % together == 0
        self._groups = self.lengths.reshape(-1, together).sum(1)
        assert self._groups.max() <= sequence_length
        self._epoch = 0
        self._rows = self._pack(0)
        self.rows = len(self._rows)  # depends on the lengths alone: the same every epoch

    @property
    def batches_per_epoch(self) -> int:
        """How many batches see every row at least once."""
        return -(-self.rows // self.batch_size)

    @property
    def padding_share(self) -> float:
        """Places of the rows that hold nothing."""
        return 1 - int(self.lengths.sum()) / (self.rows * self.sequence_length)

    def __call__(self, start: int) -> Iterator[Batch]:
        number = start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """`input_ids`, `labels`, `position_ids` (B, T) int64 and `segments` (B, T) int32 of one batch."""
        return self.at(range(number * self.batch_size, (number + 1) * self.batch_size))

    def at(self, places: Iterable[int]) -> Batch:
        """The rows at these places of the endless sequence of epochs."""
        return self.as_batch(self.members(places))

    def members(self, places: Iterable[int]) -> list[np.ndarray]:
        """Numbers of the examples in those rows."""
        return [self._row(*divmod(place, self.rows)) for place in places]

    def sequential(self) -> Iterator[Batch]:
        """Every row once; the last batch may be short."""
        for rows in self.members_in_order():
            yield self.as_batch(rows)

    def members_in_order(self) -> Iterator[list[np.ndarray]]:
        """Numbers of the examples of each row, a batch of rows at a time, every example once."""
        rows = self._pack(0)
        for start in range(0, len(rows), self.batch_size):
            yield rows[start : start + self.batch_size]

    def _row(self, epoch: int, place: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._pack(epoch)
        return self._rows[int(Permutation(self.rows, self.seed, epoch, 1)(np.array([place]))[0])]

    def _pack(self, epoch: int) -> list[np.ndarray]:
        """Numbers of the examples of each row."""
        order = Permutation(len(self._groups), self.seed, epoch)(np.arange(len(self._groups)))
        inside = np.arange(self.together)
        packed = pack(self._groups, order, self.sequence_length)
        return [(row[:, None] * self.together + inside).ravel() for row in packed]

    def as_batch(self, rows: Sequence[np.ndarray]) -> Batch:
        """The batch whose rows hold the examples of these numbers."""
        shape = (len(rows), self.sequence_length)
        inputs = np.full(shape, self.pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORE, dtype=np.int64)
        segments = np.zeros(shape, dtype=np.int64)
        for row, members in enumerate(rows):
            place = 0
            for number, member in enumerate(members.tolist()):
                start, stop = self.bounds[member], self.bounds[member + 1]
                ids, trained = self.ids[start:stop].astype(np.int64), self.trained[start + 1 : stop]
                here = slice(place, place + len(ids) - 1)
                inputs[row, here] = ids[:-1]
                labels[row, here] = np.where(trained, ids[1:], IGNORE)
                segments[row, here] = number
                place += len(ids) - 1
            # The padding is a document of its own: it sees itself, nothing sees it, and it has no labels.
            segments[row, place:] = len(members)
        return to_tensors(inputs, labels, segments)


def flatten(examples: Iterable[Rendered]) -> Flat:
    """Examples end to end, in 5 bytes a token."""
    ids, trained, bounds = array("I"), bytearray(), [0]
    for example, flags in examples:
        ids.extend(example)
        trained.extend(flags)
        bounds.append(len(ids))
    return Flat(np.array(ids, dtype=np.uint32), np.array(trained, dtype=bool), np.array(bounds, dtype=np.int64))


def pack(lengths: np.ndarray, order: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows of numbers whose lengths add up to at most `size`: best-fit decreasing.

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
