"""Public conversation formats -> `[{"role", "content"}]`, for fine-tuning.

A conversation is an optional system message, then user and assistant in turn, ending with the assistant. A
row that is not one is rejected with a reason; only an unanswered last question is cut off, since nothing is
trained on it. An instruction's `input` is part of the question and never left out (the sources' code did).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yanmo.text.exams import CHOICE, WANJUAN_EXAM
from yanmo.text.files.sources import Encoding
from yanmo.text.formats import Format, Formats, RowKeys
from yanmo.text.reading import find_format as find_format  # whoever reads conversations looks for their format
from yanmo.text.reading import read_formatted
from yanmo.text.step import Drop
from yanmo.text.steps.normalise import normalise
from yanmo.text.turns import (
    ALPACA,
    Message,
    all_strings,
    alternating,
    exchanges,
    has_dialogue,
    moss,
    moss_002,
    one_turn,
    spoken_instruction,
    turns,
)


class Conversation(NamedTuple):
    """A row's place (`file:line`) and its messages, or why there are none."""

    place: str
    messages: list[Message] | Drop


def read_conversations(paths: list[Path], format: str = "auto", encoding: Encoding = "auto") -> Iterator[Conversation]:
    """All rows of files and folders in order, rejected ones too: rows in = conversations + rejected.

    Raises: ValueError: a file is missing, its format is unknown, most rows are broken, or there is none.
    """
    for place, messages in read_formatted(paths, format, encoding, CONVERSATIONS):
        yield Conversation(place, messages if isinstance(messages, Drop) else checked(messages))


def checked(messages: list[Message]) -> list[Message] | Drop:
    """The messages with normalised contents, if they are a conversation."""
    while messages and messages[-1]["role"] == "user":
        messages = messages[:-1]
    if not messages or messages[-1]["role"] != "assistant":
        return Drop("no_answer", "no assistant turn")
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    for index, message in enumerate(turns):
        if message["role"] != ("user", "assistant")[index % 2]:
            roles = " ".join(message["role"] for message in messages[:8])
            return Drop("roles_out_of_order", roles)
    result = []
    for message in messages:
        content = normalise(message["content"])
        if isinstance(content, Drop) and content.reason != "empty":
            return content
        if isinstance(content, Drop) or not content.strip():
            return Drop(f"empty_{message['role']}", f"an empty {message['role']} turn")
        result.append({"role": message["role"], "content": content.strip()})
    return result


def _no_preference(row: RowKeys) -> bool:
    return "chosen" not in row


PAIRS = (
    *(("question", "answer"), ("question", "response"), ("question", "output")),
    *(("query", "response"), ("query", "answer")),
    *(("prompt", "answer"), ("prompt", "output"), ("instruction", "answer"), ("input", "output")),
    *(("ask", "answer"), ("user", "assistant"), ("human", "assistant"), ("q", "a"), ("问", "答")),
)
CORPORA_OF_PAIRS = {
    ("q", "a"): ("mateconv",),
    ("query", "response"): ("chatmed",),
    ("问", "答"): ("mnbvc-qa", "mnbvc-chat"),
}
"""MNBVC's several turns are a row each, without the earlier ones: each is a question and its answer."""

CONVERSATIONS: Formats[list[Message]] = Formats(
    {
        "messages": turns("messages", looks=_no_preference, corpora=("openai",)),
        "sharegpt": turns(
            "conversations", looks=_no_preference, corpora=("belle-3.5m", "belle-multiturn", "multi-turn-sharegpt")
        ),
        "conversation": Format(("conversation",), exchanges, ("system", "tools"), corpora=("sharegpt-90k", "disc-med")),
        "alternating": Format(
            ("data",), alternating, looks=lambda row: all_strings(row["data"]), corpora=("huatuogpt-sft", "ultrachat")
        ),
        "moss": Format(
            ("chat",),
            moss,
            ("meta_instruction",),
            looks=lambda row: isinstance(row["chat"], dict),
            corpora=("moss-003",),
        ),
        "moss-002": Format(("plain_text",), moss_002),
        "wanjuan-exam": WANJUAN_EXAM,
        "choice": CHOICE,
        "belle-chat": Format(
            ("instruction", "output"),
            spoken_instruction,
            ALPACA.also,
            looks=has_dialogue,
            corpora=("belle-multiturn-0.8m",),
        ),
        "alpaca": ALPACA,
        "firefly": one_turn(("input",), "target"),
        "zhihu": one_turn(("INSTRUCTION",), "RESPONSE", corpora=("zhihu-kol",)),
        "instruction-response": one_turn(("instruction",), "response", ("input",)),
        "prompt-response": one_turn(("prompt",), "response", ("input",), corpora=("chatlm", "chatlm-mini")),
        "prompt-completion": one_turn(("prompt",), "completion"),
        "webtext": one_turn(("title", "desc"), "content", mark=("qid",), corpora=("webtext2019zh",)),
        "baike-qa": one_turn(("title", "desc"), "answer", corpora=("baike_qa", "baike_qa2019")),
        "medical": one_turn(("title", "ask"), "answer", corpora=("toyhom",)),  # department, title, ask, answer
        **{
            f"{question}-{answer}": one_turn(
                (question,),
                answer,
                ("input",) if question != "input" else (),
                corpora=CORPORA_OF_PAIRS.get((question, answer), ()),
            )
            for question, answer in PAIRS
        },
    },
    needs=("question", "answer"),
    may=(),
    make=lambda question, answer: one_turn((question,), answer),
)
"""The most specific format first. Every one may carry `system`; those of one turn also `history`."""
