"""What a row says, as messages: a list of turns, a dialogue in one string, a question and its answer.

Roles are the three that the chat template knows. A tool's part is kept, in the place that it has in the exchange:
what the model calls is its own turn, what comes back is said to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, TypeGuard

import orjson

from yanmo.text.files.rows import dump
from yanmo.text.formats import Format, RowKeys, field, joined, objects
from yanmo.text.step import Drop

Message = dict[str, str]
TOOL_RESULTS = ("tool", "observation", "function", "tool_response", "function_response", "ipython")
ROLES = {
    **dict.fromkeys(("system", "developer", "系统"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "用户", "人类", *TOOL_RESULTS), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai", "moss", "助手"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
}
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value", "text")
SPEAKER = re.compile(r"^[ \t]*(?:(Human|User|人类|用户)|(Assistant|助手|AI助手))[ \t]*[:：]", re.MULTILINE)
MARKER = re.compile(r"<\|[\w ]{1,20}\|>:|<eo[a-z]>")
"""The sources' control words, such as `<|Human|>:` and `<eoh>`; only at a turn's ends are they that."""
MOSS_002 = re.compile(r"\[(Human|MOSS)\]:")


def said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


# Lists of turns


def messages_of(items: Sequence[dict[str, Any]]) -> list[Message] | Drop:
    """Turns as objects, whatever they call speaker and content; results of several tools at once are one turn."""
    messages: list[Message] = []
    before = ""
    for item in items:
        speaker, content = _speaker(item), _content(item)
        if isinstance(speaker, Drop):
            return speaker
        if isinstance(content, Drop):
            return content
        if speaker in TOOL_RESULTS and before in TOOL_RESULTS:
            messages[-1]["content"] += "\n" + content
        else:
            messages.append(said(ROLES[speaker], content))
        before = speaker
    return messages


def _speaker(item: dict[str, Any]) -> str | Drop:
    key = next((key for key in ROLE_KEYS if key in item), ROLE_KEYS[0])
    speaker = field(item, key)
    if isinstance(speaker, Drop):
        return speaker
    return speaker.lower() if speaker.lower() in ROLES else Drop("unknown_role", repr(speaker[:50]))


def _content(item: dict[str, Any]) -> str | Drop:
    """A turn's text: a string, a list of text parts, or the tool calls that stand instead or beside."""
    key = next((key for key in CONTENT_KEYS if key in item), None)
    calls = item.get("tool_calls") or []
    if key is None and not calls:
        return Drop("missing_field", f"a turn without content: {' '.join(item)}")
    value = item[key] if key else None
    if isinstance(value, list):
        parts = [part for part in value if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if len(parts) < len(value):
            return Drop("not_text", "a turn holds something other than text")
        value = "\n".join(part["text"] for part in parts)
    if value is not None and not isinstance(value, str):
        return Drop("wrong_type", f"{key!r} is {type(value).__name__}, not text")
    return joined((value or "", *(_json(call) for call in (calls if isinstance(calls, list) else [calls]))))


def _json(value: Any) -> str:
    if isinstance(value, dict) and "function" in value:
        value = value["function"]
    return dump(value)


def turns(key: str, **about: Any) -> Format[list[Message]]:
    """A list of turns under `key`; a `system` message and a description of `tools` may stand beside it."""

    def read(row: RowKeys) -> list[Message] | Drop:
        items, system = objects(row, key), system_message(row)
        if isinstance(items, Drop):
            return items
        if isinstance(system, Drop):
            return system
        messages = messages_of(items)
        if isinstance(messages, Drop):
            return messages
        if system and messages and messages[0]["role"] == "system":
            return [said("system", f"{system[0]['content']}\n{messages[0]['content']}"), *messages[1:]]
        return system + messages

    return Format((key,), read, ("system", "tools"), **about)


def exchanges(row: RowKeys) -> list[Message] | Drop:
    """A list under `conversation`: turns, or objects that each hold a question and its answer."""
    items = objects(row, "conversation")
    if isinstance(items, Drop):
        return items
    messages: list[Message] = []
    for item in items:
        asked, answered = ("human", "assistant") if "human" in item else ("input", "output")
        if asked not in item:
            return turns("conversation").read(row)
        system = system_message(item)
        question, answer = field(item, asked), field(item, answered)
        for part in (system, question, answer):
            if isinstance(part, Drop):
                return part
        assert isinstance(system, list) and isinstance(question, str) and isinstance(answer, str)
        messages += [*system, said("user", question), said("assistant", answer)]
    return messages


def alternating(row: RowKeys) -> list[Message] | Drop:
    """Strings under `data`, user and assistant in turn, which may begin with 问： and 答： (HuatuoGPT, UltraChat)."""
    texts = row.get("data")
    if not all_strings(texts):
        return Drop("wrong_type", "'data' is not a list of texts")
    return _in_turn([re.sub("^[问答][：:]", "", text) for text in texts])


def all_strings(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _in_turn(texts: Sequence[str]) -> list[Message]:
    return [said(("user", "assistant")[number % 2], text) for number, text in enumerate(texts)]


# MOSS


def moss(row: RowKeys) -> list[Message] | Drop:
    """MOSS-003: `chat` holds turn_1, turn_2, ...; a command and its results are an exchange of their own."""
    chat = row.get("chat")
    if not isinstance(chat, dict):
        return Drop("wrong_type", "'chat' is not an object of turns")
    numbered = [(name.rpartition("_")[2], turn) for name, turn in chat.items() if isinstance(turn, dict)]
    if not all(number.isdecimal() for number, _ in numbered):
        return Drop("wrong_type", "'chat' has other keys than turn_1, turn_2, ...")
    meta = field(row, "meta_instruction") if "meta_instruction" in row else ""
    if isinstance(meta, Drop):
        return meta
    messages = [said("system", meta)] if meta.strip() else []
    for _, turn in sorted(numbered, key=lambda item: int(item[0])):
        for key in ("Human", "MOSS"):
            if isinstance(part := field(turn, key), Drop):
                return part
        human, thoughts, commands, results, answer = (
            _unmarked(turn.get(key)) for key in ("Human", "Inner Thoughts", "Commands", "Tool Responses", "MOSS")
        )
        messages.append(said("user", human))
        if commands and results:
            messages += [said("assistant", "\n".join(filter(None, (thoughts, commands)))), said("user", results)]
        messages.append(said("assistant", answer))
    return messages


def _unmarked(value: Any) -> str:
    """A part of a MOSS turn without the control words at its ends; "None" there means that there is none."""
    text = value.strip() if isinstance(value, str) else ""
    if opening := MARKER.match(text):
        text = text[opening.end() :]
    text = re.sub(r"<eo[a-z]>$", "", text).strip()
    return "" if text == "None" else text


def moss_002(row: RowKeys) -> list[Message] | Drop:
    """MOSS-002: `[Human]: ...<eoh> [MOSS]: ...<eoa>` in one string."""
    text = field(row, "plain_text")
    if isinstance(text, Drop):
        return text
    _, *parts = MOSS_002.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [said("user" if who == "Human" else "assistant", _unmarked(what)) for who, what in pairs]


# One string


def dialogue(text: str) -> list[Message]:
    """A dialogue in one string, lines beginning with Human: and Assistant: or 人类： and 助手：; [] if it is none."""
    marks = list(SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip() or not marks[0][1] or not any(mark[2] for mark in marks):
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = [
        said("user" if mark[1] else "assistant", text[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]
    return parts if parts[-1]["content"] else parts[:-1]


def has_dialogue(row: RowKeys) -> bool:
    """Whether an instruction row holds a dialogue in one string: as the question, or instead of one."""
    asked, answered = row["instruction"], row["output"]
    if isinstance(asked, str) and asked.strip():
        return bool(dialogue(asked))
    return isinstance(answered, str) and bool(dialogue(answered))


def spoken_instruction(row: RowKeys) -> list[Message] | Drop:
    """BELLE's multi-turn chat: the earlier turns are the instruction, the last answer is the output."""
    asked, answered = field(row, "instruction"), field(row, "output")
    if isinstance(asked, Drop):
        return asked
    if isinstance(answered, Drop):
        return answered
    if talk := dialogue(asked):
        return [*talk, said("assistant", answered)] if answered.strip() else talk
    if not asked.strip() and (talk := dialogue(answered)):
        return talk
    return ALPACA.read(row)


# A question and an answer


def one_turn(
    question: tuple[str, ...], answer: str, optional: tuple[str, ...] = (), mark: tuple[str, ...] = (), **about: Any
) -> Format[list[Message]]:
    """A question, in one or several fields, and its answer; earlier turns may stand in `history`.

    The fields `optional` belong to the question where a row has them; `mark` only tells the format from others.
    """

    def read(row: RowKeys) -> list[Message] | Drop:
        asked, answered = asked_in(row, question, optional), field(row, answer)
        if isinstance(asked, Drop):
            return asked
        if isinstance(answered, Drop):
            return answered
        return [*asked, said("assistant", answered)]

    def looks(row: RowKeys) -> bool:
        return not isinstance(row[answer], list)  # several answers are a ranking

    return Format((*mark, *question, answer), read, (*optional, "history", "system", "tools"), looks, **about)


def asked_in(row: RowKeys, question: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[Message] | Drop:
    """All that comes before the answer: system message, history, and the question with every part that it has."""
    system, past = system_message(row), history(row)
    asked = _question([field(row, key) for key in (*question, *(key for key in optional if key in row))])
    for part in (system, past, asked):
        if isinstance(part, Drop):
            return part
    assert isinstance(system, list) and isinstance(past, list) and isinstance(asked, str)
    return [*system, *past, said("user", asked)]


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


def system_message(row: RowKeys) -> list[Message] | Drop:
    """The `system` text and the description of `tools`, if there are any."""
    system = field(row, "system") if row.get("system") else ""
    tools = row.get("tools") or ""
    content = joined((system, tools if isinstance(tools, str) else _json(tools)))
    if isinstance(content, Drop):
        return content
    return [said("system", content)] if content else []


def history(row: RowKeys) -> list[Message] | Drop:
    """Earlier turns: `[[question, answer], ...]`, a flat list of them, or a list of turns.

    CSV files hold the list as text, in JSON or as Python writes it. It is parsed, never evaluated.
    """
    past = row.get("history") or []
    if isinstance(past, str):
        past = _literal(past)
    if isinstance(past, list) and past and all(isinstance(item, dict) for item in past):
        return messages_of(past)
    if all_strings(past) and len(past) % 2 == 0:
        return _in_turn(past)
    if not isinstance(past, list) or not all(all_strings(pair) and len(pair) == 2 for pair in past):
        return Drop("wrong_type", "'history' is not a list of [question, answer]")
    return _in_turn([text for pair in past for text in pair])


def _literal(text: str) -> Any:
    """A list written as JSON or as a Python literal; None if it is neither."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


ALPACA = one_turn(
    ("instruction",),
    "output",
    ("input",),
    corpora=(
        *("alpaca-zh", "belle", "belle-0.5m", "belle-1m", "belle-2m", "belle-generated-chat", "belle-school-math"),
        *("shibing624-medical-finetune", "oaast-sft"),
    ),
)
