"""Conversations for SFT: each lies whole in a packed row (`yanmo.data.rows`), and nothing is cut in silence.

What is too long loses its oldest exchanges whole, system turns kept. If one exchange alone is too long, the
conversation is dropped and counted, or, on request, its answer is cut, and then there is no end token after
the cut: a model must not learn to stop in the middle of a sentence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from yanmo.data.rows import PackedRows, flatten
from yanmo.tokenizer.chat import Message, Rendered, oldest_exchange, render, render_all
from yanmo.tokenizer.load import Tokenizer


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


class ConversationBatches(PackedRows):
    """Conversations in packed rows; `counts` says what was kept and why the rest was not.

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
        self.tokenizer, self.counts = tokenizer, ConversationCounts()
        flat = flatten(fit_all(conversations, tokenizer, sequence_length, cut_answers, self.counts))
        if not self.counts.kept:
            why = ", ".join(f"{count} {reason}" for reason, count in self.counts.dropped.items())
            raise ValueError(f"no conversation left to train on ({why or 'none were given'})")
        super().__init__(flat, tokenizer.pad_id, sequence_length, batch_size, seed)
        self.counts.rows = self.rows
        self.counts.tokens = len(self.ids)
        self.counts.trained_tokens = int(self.trained.sum())
        self.counts.padding_share = self.padding_share

    def show(self, count: int) -> list[list[tuple[str, bool]]]:
        """The first conversations as (piece of text, whether it is trained on); pieces are whole characters."""
        return [
            pieces(self.tokenizer, self.ids[start:stop].tolist(), self.trained[start:stop].tolist())
            for start, stop in zip(self.bounds[:count], self.bounds[1 : count + 1], strict=False)
        ]


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
    ids, trained = _up_to_last_trained(rendered)
    if not ids:
        counts.drop("no answer to train on")
        return None
    if len(ids) - 1 <= sequence_length:
        counts.kept += 1
        return ids, trained
    if shorter := _ever_shorter(messages):

        def fits(left: Sequence[Message]) -> bool:
            return len(_up_to_last_trained(render(tokenizer, left))[0]) - 1 <= sequence_length

        longest = min(bisect_left(shorter, True, key=fits), len(shorter) - 1)
        ids, trained = _up_to_last_trained(render(tokenizer, shorter[longest]))
    if ids and len(ids) - 1 <= sequence_length:
        counts.kept += 1
        counts.shortened += 1
        return ids, trained
    if cut_answers and any(trained[: sequence_length + 1]):
        counts.kept += 1
        counts.cut += 1
        return ids[: sequence_length + 1], trained[: sequence_length + 1]
    counts.drop("longer than a row")
    return None


def _ever_shorter(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """The conversation without its oldest exchange, without its two oldest, and so on down to the last one."""
    result: list[Sequence[Message]] = []
    left = list(messages)
    while (oldest := oldest_exchange(left)) is not None:
        left = left[: oldest.start] + left[oldest.stop :]
        result.append(left)
    return result


def _up_to_last_trained(rendered: Rendered) -> Rendered:
    """What follows the last trained token teaches nothing; without any there is nothing at all."""
    ids, trained = rendered
    length = len(trained) - trained[::-1].index(True) if any(trained) else 0
    return ids[:length], trained[:length]


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
