"""Examination questions: stem, choices, answer and explanation, as one text and as question and answer."""

from __future__ import annotations

from collections.abc import Mapping

from yanmo.text.formats import Format, RowKeys, field, joined
from yanmo.text.step import Drop
from yanmo.text.turns import Message, said


def exam(
    stem: str, choices: Mapping[str, str], answers: tuple[str, ...], detail: str, corpora: tuple[str, ...] = ()
) -> Format[list[Message]]:
    """A question under `stem`; `choices`: letter -> its key; `answers` and `detail`: keys, empty ones left out."""

    def read(row: RowKeys) -> list[Message] | Drop:
        question = joined((field(row, stem), *(_labelled(row, key, f"{name}. ") for name, key in choices.items())))
        given = dict.fromkeys(_labelled(row, key, "答案：") for key in answers)
        answer = joined((*given, _labelled(row, detail, "解析：")))
        if isinstance(question, Drop):
            return question
        if isinstance(answer, Drop):
            return answer
        return [said("user", question), said("assistant", answer)]

    least = list(choices.values())[:2]
    rest = (*list(choices.values())[2:], *answers[1:], detail)
    return Format((stem, *least, answers[0]), read, rest, corpora=corpora)


def _labelled(row: RowKeys, key: str, label: str) -> str | Drop:
    text = field(row, key) if key in row else ""
    return text if isinstance(text, Drop) or not text.strip() else label + text


WANJUAN_EXAM = exam(
    "q_main",
    {letter.upper(): f"option_{letter}" for letter in "abcde"},
    ("std_ans", "answer"),
    "answer_detail",
)
CHOICE = exam(
    "question", {letter: letter for letter in "ABCDEF"}, ("answer",), "explanation", ("cmmlu", "c-eval", "ceval")
)
"""Public tests have this form: good to be measured by, and so not to be trained on (`clean --decontaminate`)."""
