"""Answers judged by rule: greedy answers to questions whose right words are known.

    {"messages": [...], "accepted": ["豆包"], "rivals": ["点点", ...], "kind": "宠物名", "level": "新说法"}

An answer is right if it contains an accepted string and none of the rival ones, which are the same kind's other
values: naming everything is not knowing. Beside the share that is right stands how answers end: by themselves or
cut off by the limit, and whether they run in circles, the most common complaint about small models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from yanmo.core.files import iter_lines, open_binary
from yanmo.model.decoding import for_decoding
from yanmo.model.generate import generate
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.streaming import text_of
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import template_of
from yanmo.tokenizer.load import Tokenizer

Z95 = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""

LOOP = re.compile(r"(.{2,40}?)\1{3,}|(.)\2{9,}", re.DOTALL)
"""Something of 2 to 40 characters four times in a row, or one character ten times."""


@dataclass(frozen=True)
class Question:
    messages: list[dict[str, str]]
    accepted: list[str]
    rivals: list[str] = field(default_factory=list)
    kind: str = ""
    level: str = ""


@dataclass(frozen=True)
class Answer:
    question: Question
    text: str
    finish: str
    """stop: ended by itself; length: cut off."""

    @property
    def right(self) -> bool:
        return is_right(self.text, self.question.accepted, self.question.rivals)

    @property
    def loops(self) -> bool:
        return LOOP.search(self.text) is not None

    def row(self) -> dict[str, Any]:
        question = self.question
        return {
            "messages": question.messages, "answer": self.text, "right": self.right, "accepted": question.accepted,
            "kind": question.kind, "level": question.level, "finish": self.finish, "loops": self.loops,
        }  # fmt: skip


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSON lines file; `prompt` may stand for `messages`.

    Raises: ValueError: a line is not a question; file and line are named.
    """
    questions = []
    with open_binary(path) as stream:
        for number, line in enumerate(iter_lines(stream), 1):
            if line.strip():
                questions.append(_question(line, f"{path}:{number}"))
    if not questions:
        raise ValueError(f"{path}: no questions in it")
    return questions


def _question(line: bytes, place: str) -> Question:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{place}: not valid JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"{place}: not a JSON object")
    messages = row.get("messages") or ([{"role": "user", "content": row["prompt"]}] if row.get("prompt") else None)
    accepted, rivals = row.get("accepted"), row.get("rivals", [])
    well_formed = isinstance(messages, list) and all(
        isinstance(message, dict) and {str} == {type(message.get("role")), type(message.get("content"))}
        for message in messages
    )
    if not messages or not well_formed:
        raise ValueError(f'{place}: needs "messages" (a list of {{"role", "content"}}) or "prompt"')
    if not _strings(accepted) or not accepted:
        raise ValueError(f'{place}: needs "accepted", a list of the strings that make an answer right')
    if not _strings(rivals):
        raise ValueError(f'{place}: "rivals" must be a list of strings')
    return Question(messages, accepted, rivals, str(row.get("kind", "")), str(row.get("level", "")))


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def is_right(answer: str, accepted: Iterable[str], rivals: Iterable[str]) -> bool:
    """An accepted string is in the answer and no rival is; a number is not found inside a longer one."""
    return any(map(_occurs_in(answer), accepted)) and not any(map(_occurs_in(answer), rivals))


def _occurs_in(answer: str) -> Callable[[str], bool]:
    def occurs(wanted: str) -> bool:
        before = r"(?<![0-9])" if wanted[0].isdigit() else ""
        after = r"(?![0-9])" if wanted[-1].isdigit() else ""
        return re.search(before + re.escape(wanted) + after, answer) is not None

    return occurs


def answer_all(
    model: Transformer,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    max_new_tokens: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda answers: None,
) -> list[Answer]:
    """Greedy answers in the order of the questions; prompts of similar length go together.

    Raises: ValueError: a question leaves no room for an answer in the model's context.
    """
    template = template_of(tokenizer)
    prompts = [template.render(question.messages, add_generation_prompt=True)[0] for question in questions]
    context = model.config.max_position_embeddings
    for number, prompt in enumerate(prompts, 1):
        if len(prompt) >= context:
            raise ValueError(f"question {number}: {len(prompt)} tokens, the model's context is {context}; shorten it")
    settings = SamplingSettings(max_new_tokens=max_new_tokens, temperature=0.0)
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    answers: dict[int, Answer] = {}
    twin = for_decoding(model)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        completions = generate(twin, [prompts[number] for number in batch], settings, template.stop_ids)
        for number, completion in zip(batch, completions, strict=True):
            text = text_of(completion.ids, tokenizer.token_bytes).strip()  # some layouts begin with a space
            answers[number] = Answer(questions[number], text, completion.finish)
        advance(len(batch))
    return [answers[number] for number in range(len(questions))]


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): unlike the textbook one it is sensible at 0 and at 1."""
    if total == 0:
        return 0.0, 1.0
    share, spread = right / total, Z95**2 / total
    middle = share + spread / 2
    width = Z95 * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, (middle - width) / (1 + spread)), min(1.0, (middle + width) / (1 + spread))


def score(answers: Sequence[Answer]) -> dict[str, Any]:
    """right, questions, share and its 95 % interval."""
    right = sum(answer.right for answer in answers)
    return {
        "right": right, "questions": len(answers), "share": right / max(len(answers), 1),
        "interval": list(wilson(right, len(answers))),
    }  # fmt: skip


def scores(answers: Sequence[Answer]) -> dict[str, Any]:
    """The whole report: overall, by level, by kind, and how answers end."""
    total = max(len(answers), 1)
    return {
        **score(answers),
        "by_level": _grouped(answers, [answer.question.level for answer in answers]),
        "by_kind": _grouped(answers, [answer.question.kind for answer in answers]),
        "loop_rate": sum(answer.loops for answer in answers) / total,
        "cut_off_rate": sum(answer.finish == "length" for answer in answers) / total,
        "mean_characters": sum(len(answer.text) for answer in answers) / total,
        "distinct_answers": len(Counter(answer.text for answer in answers)) / total,
    }


def _grouped(answers: Sequence[Answer], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        name: score([answer for answer, own in zip(answers, names, strict=True) if own == name])
        for name in dict.fromkeys(names)
        if name
    }
