"""Public preference formats -> a question, the answer that was liked better, and the other.

A list of answers ranked from best to worst (oaast) gives every pair of them, k (k - 1) / 2 for k answers. Both
answers must say something, and not the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from yanmo.text.conversations import checked
from yanmo.text.files.sources import Encoding
from yanmo.text.formats import Format, Formats, RowKeys
from yanmo.text.reading import read_formatted
from yanmo.text.step import Drop
from yanmo.text.steps.normalise import normalise
from yanmo.text.turns import Message, all_strings, asked_in, dialogue, messages_of, said, turns


class Preference(NamedTuple):
    """`messages` end with the user's; `chosen` and `rejected` are two answers to them."""

    messages: list[Message]
    chosen: str
    rejected: str


class Comparison(NamedTuple):
    """A pair's place (`file:line`, the same for all pairs of a row) and the pair, or why there is none."""

    place: str
    pair: Preference | Drop


def read_preferences(paths: list[Path], format: str = "auto", encoding: Encoding = "auto") -> Iterator[Comparison]:
    """All pairs of files and folders in order, rejected ones too; a row that cannot be read counts as one.

    Raises: ValueError: a file is missing, its format is unknown, most rows are broken, or there is none.
    """
    for place, pairs in read_formatted(paths, format, encoding, PREFERENCES):
        if isinstance(pairs, Drop):
            yield Comparison(place, pairs)
        else:
            yield from (Comparison(place, checked_pair(pair)) for pair in pairs)


def checked_pair(pair: Preference) -> Preference | Drop:
    """The pair with normalised texts, if it is a conversation with two different answers."""
    conversation = checked([*pair.messages, said("assistant", pair.chosen)])
    if isinstance(conversation, Drop):
        return conversation
    *messages, chosen = conversation
    rejected = normalise(pair.rejected)
    if isinstance(rejected, Drop) and rejected.reason != "empty":
        return rejected
    if isinstance(rejected, Drop) or not rejected.strip():
        return Drop("empty_rejected", "the rejected answer is empty")
    if rejected.strip() == chosen["content"]:
        return Drop("equal_answers", "chosen and rejected are the same")
    return Preference(messages, chosen["content"], rejected.strip())


# Formats


def compared(question: str, chosen: str, rejected: str, **about: Any) -> Format[list[Preference]]:
    """A question (with `input`, `history` and `system` where they are), and two answers."""

    def read(row: RowKeys) -> list[Preference] | Drop:
        if isinstance(row.get(question), list):
            return _pair(turns(question).read(row), row.get(chosen), row.get(rejected))
        return _pair(asked_in(row, (question,), ("input",)), row.get(chosen), row.get(rejected))

    return Format((question, chosen, rejected), read, ("input", "history", "system", "tools"), **about)


def compared_turns(key: str, **about: Any) -> Format[list[Preference]]:
    """Turns under `key` up to the question, and two answers, each a text or a turn."""

    def read(row: RowKeys) -> list[Preference] | Drop:
        return _pair(turns(key).read(row), row.get("chosen"), row.get("rejected"))

    return Format((key, "chosen", "rejected"), read, ("system", "tools"), **about)


def two_dialogues(row: RowKeys) -> list[Preference] | Drop:
    """hh-rlhf: two whole conversations that differ in their last answer."""
    return _pair([], row.get("chosen"), row.get("rejected"))


def ranked(question: str, **about: Any) -> Format[list[Preference]]:
    """A question and its answers under `output`, best first."""

    def read(row: RowKeys) -> list[Preference] | Drop:
        messages, answers = asked_in(row, (question,), ("input",)), row.get("output")
        if isinstance(messages, Drop):
            return messages
        if not isinstance(answers, list) or not all_strings(answers):
            return Drop("wrong_type", "'output' is not a list of answers")
        if len(answers) < 2:
            return Drop("one_answer", "nothing to compare it with")
        return [Preference(messages, better, worse) for better, worse in combinations(answers, 2)]

    return Format(
        (question, "output"), read, ("input", "history", "system"), lambda row: all_strings(row["output"]), **about
    )


def _pair(messages: list[Message] | Drop, chosen: Any, rejected: Any) -> list[Preference] | Drop:
    """The pair; where the answers are whole conversations, their beginnings must be one and are the question."""
    if isinstance(messages, Drop):
        return messages
    best, worst = _said(chosen), _said(rejected)
    if isinstance(best, Drop):
        return best
    if isinstance(worst, Drop):
        return worst
    if best[:-1] != worst[:-1]:
        return Drop("different_questions", "chosen and rejected answer different questions")
    return [Preference(best[:-1] or messages, best[-1]["content"], worst[-1]["content"])]


def _said(answer: Any) -> list[Message] | Drop:
    """An answer as messages, of which the last is the answer: a text, a dialogue in one, a turn, or turns."""
    if answer is None or isinstance(answer, str):
        return dialogue(answer or "") or [said("assistant", answer or "")]
    items = [answer] if isinstance(answer, dict) else answer
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return Drop("wrong_type", f"an answer is {type(answer).__name__}, neither text nor a turn")
    return messages_of(items)


def _whole_conversations(row: RowKeys) -> bool:
    both = (_said(row["chosen"]), _said(row["rejected"]))
    return all(not isinstance(messages, Drop) and len(messages) > 1 for messages in both)


PREFERENCES: Formats[list[Preference]] = Formats(
    {
        "preferences": compared_turns("messages"),  # Yanmo's own
        "sharegpt-dpo": compared_turns("conversations", corpora=("dpo-en-zh-20k",)),
        "context-dpo": compared_turns("context", corpora=("hh-rlhf-cn",)),
        "medical-reward": compared(
            "question", "response_chosen", "response_rejected", corpora=("shibing624-medical-reward",)
        ),
        "prompt-chosen-rejected": compared("prompt", "chosen", "rejected", corpora=("beyond", "zhihu-rlhf-3k")),
        "prompt-chosen-reject": compared("prompt", "chosen", "reject", corpora=("huozi",)),
        **{
            f"{question}-chosen-{rejected}": compared(question, "chosen", rejected)
            for question in ("question", "query", "instruction", "input")
            for rejected in ("rejected", "reject")
        },
        "ranked": ranked("instruction", corpora=("oaast-rm",)),
        "ranked-prompt": ranked("prompt"),
        "hh-rlhf": Format(("chosen", "rejected"), two_dialogues, looks=_whole_conversations),
    },
    needs=("question", "chosen", "rejected"),
    may=(),
    make=compared,
)
"""The most specific format first."""
