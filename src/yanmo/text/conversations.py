"""Public conversation formats -> `[{"role", "content"}]`, for fine-tuning.

A conversation is an optional system message, then user and assistant in turn, ending with the assistant. A
row that is not one is rejected with a reason; only an unanswered last question is cut off, since nothing is
trained on it. An instruction's `input` is part of the question and never left out (the sources' code did).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from yanmo.text.formats import Format, RowKeys, check_name, field, objects, recognise
from yanmo.text.normalise import normalise
from yanmo.text.readers import Broken, Damage, Row, block_rows, read_blocks, read_rows
from yanmo.text.sources import Encoding, Source, find_files, look
from yanmo.text.step import Drop

Message = dict[str, str]
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
LOOKED_AT = 20
"""Rows that decide a file's format."""


class Conversation(NamedTuple):
    """A row's place (`file:line`) and its messages, or why there are none."""

    place: str
    messages: list[Message] | Drop


def read_conversations(paths: list[Path], format: str = "auto", encoding: Encoding = "auto") -> Iterator[Conversation]:
    """All rows of files and folders in order, rejected ones too: rows in = conversations + rejected.

    Raises: ValueError: a file is missing, its format is unknown, most rows are broken, or there is none.
    """
    check_name(format, CONVERSATIONS)
    files: list[Damage] = []
    for path, name in find_files(paths):
        source = look(path, name, encoding)
        damage = Damage(source)
        files.append(damage)
        known = CONVERSATIONS[format if format != "auto" else find_format(source, CONVERSATIONS)]
        for block in read_blocks(source, known.columns):
            for row in block_rows(block, source):
                damage.add(1, [(row.number, row.drop)] if isinstance(row, Broken) else [])
                yield Conversation(source.place(row.number), _messages(row, known))
    Damage.check_all(files)
    if not any(file.rows for file in files):
        raise ValueError(f"{' '.join(map(str, paths))}: no rows; the files are empty")


def find_format(source: Source, formats: Mapping[str, Format[Any]]) -> str:
    """The format of a file by its first rows; any one if no row can be read (they are all broken then)."""
    rows = islice((row.value for row in read_rows(source) if isinstance(row, Row)), LOOKED_AT)
    objects = [row if isinstance(row, dict) else {"text": row} for row in rows]
    return recognise(objects, str(source.path), formats) if objects else next(iter(formats))


def _messages(row: Row | Broken, known: Format[list[Message]]) -> list[Message] | Drop:
    if isinstance(row, Broken):
        return row.drop
    if isinstance(row.value, str):
        return Drop("not_an_object", "a line of text")
    messages = known.read(row.value)
    return messages if isinstance(messages, Drop) else checked(messages)


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


# Formats


def turns(key: str, role_key: str, content_key: str) -> Format[list[Message]]:
    """A list of turns under `key`, each an object with its role and its content."""

    def read(row: RowKeys) -> list[Message] | Drop:
        items = objects(row, key)
        if isinstance(items, Drop):
            return items
        messages = _system(row)
        if isinstance(messages, Drop):
            return messages
        for item in items:
            role, content = field(item, role_key), field(item, content_key)
            if isinstance(role, Drop):
                return role
            if isinstance(content, Drop):
                return content
            if role.lower() not in ROLES:
                return Drop("unknown_role", repr(role))
            messages.append({"role": ROLES[role.lower()], "content": content})
        return messages

    return Format((key,), read, ("system",))


def one_turn(
    question: tuple[str, ...], answer: str, optional: tuple[str, ...] = (), mark: tuple[str, ...] = ()
) -> Format[list[Message]]:
    """A question, in one or several fields, and its answer; earlier turns may stand in `history`.

    The fields `optional` belong to the question where a row has them; `mark` only tells the format from others.
    """

    def read(row: RowKeys) -> list[Message] | Drop:
        messages = _system(row)
        if isinstance(messages, Drop):
            return messages
        past = _history(row)
        asked = _question([field(row, key) for key in (*question, *(key for key in optional if key in row))])
        answered = field(row, answer)
        for part in (past, asked, answered):
            if isinstance(part, Drop):
                return part
        assert isinstance(past, list) and isinstance(asked, str) and isinstance(answered, str)
        return [
            *messages,
            *past,
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]

    return Format((*mark, *question, answer), read, (*optional, "history", "system"))


def _question(parts: list[str | Drop]) -> str | Drop:
    """The parts of a question, a line each; a title that the longer text repeats is not said twice."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Drop):
            return part
        if texts and part.strip().startswith(texts[-1].strip()):
            texts[-1] = part
        elif part.strip():
            texts.append(part)
    return "\n".join(texts)


def _system(row: RowKeys) -> list[Message] | Drop:
    if not row.get("system"):
        return []
    content = field(row, "system")
    return content if isinstance(content, Drop) else [{"role": "system", "content": content}]


def _history(row: RowKeys) -> list[Message] | Drop:
    """Earlier turns as `[[question, answer], ...]`."""
    messages: list[Message] = []
    history = row.get("history") or []
    for pair in history if isinstance(history, Iterable) else [history]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            return Drop("wrong_type", "'history' is not a list of [question, answer]")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return messages


CONVERSATIONS: dict[str, Format[list[Message]]] = {
    "messages": turns("messages", "role", "content"),
    "sharegpt": turns("conversations", "from", "value"),  # BELLE 3.5M and multi-turn too
    "alpaca": one_turn(("instruction",), "output", ("input",)),  # BELLE, alpaca-zh, medical finetune, oaast
    "firefly": one_turn(("input",), "target"),
    "zhihu": one_turn(("INSTRUCTION",), "RESPONSE"),
    "instruction-response": one_turn(("instruction",), "response", ("input",)),
    "prompt-response": one_turn(("prompt",), "response"),
    "prompt-completion": one_turn(("prompt",), "completion"),
    "question-answer": one_turn(("question",), "answer"),
    "q-a": one_turn(("q",), "a"),
    "webtext": one_turn(("title", "desc"), "content", mark=("qid",)),
    "baike-qa": one_turn(("title", "desc"), "answer"),
    "medical": one_turn(("title", "ask"), "answer"),  # Toyhom: department, title, ask, answer
}
"""The most specific format first. Every one may carry `system`; those of one turn also `history`."""
