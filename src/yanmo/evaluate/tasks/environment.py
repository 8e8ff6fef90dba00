"""Tasks as what reinforcement learning asks and judges (`yanmo.train.rollouts.Environment`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from yanmo.evaluate.tasks.curriculum import Asked, Course, Curriculum
from yanmo.model.streaming import text_of
from yanmo.tokenizer.chat import render
from yanmo.tokenizer.load import Tokenizer


class Said(Protocol):
    """An answer as the rollouts have it."""

    @property
    def said(self) -> list[int]: ...

    @property
    def ended(self) -> bool: ...


class TaskEnvironment:
    """A curriculum of tasks, asked through the chat template."""

    def __init__(self, courses: Sequence[Course], tokenizer: Tokenizer, questions: int, group_size: int, seed: int):
        self.curriculum = Curriculum(courses, group_size, seed)
        self.tokenizer, self.questions = tokenizer, questions
        self.asked: list[Asked] = []

    def ask(self, number: int) -> list[list[int]]:
        self.asked = self.curriculum.draw(number, self.questions)
        return [prompt_ids(self.tokenizer, asked) for asked in self.asked]

    def judge(self, prompts: list[list[int]], answers: Sequence[Sequence[Said]]) -> list[list[float]]:
        rewards = [
            [reward(self.tokenizer, asked, answer) for answer in group]
            for asked, group in zip(self.asked, answers, strict=True)
        ]
        self.curriculum.hear(self.asked, rewards)
        passed = [reward == 1 for group in rewards for reward in group]
        self.passed = sum(passed) / len(passed)
        return rewards

    def figures(self) -> dict[str, float]:
        return {"pass": self.passed, **self.curriculum.figures()}

    def state(self) -> dict[str, Tensor]:
        return {
            f"{task} {level}": torch.tensor(rate, dtype=torch.float64)
            for (task, level), rate in self.curriculum.rates.items()
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        for name, rate in state.items():
            task, level = name.split()
            self.curriculum.rates[task, int(level)] = float(rate)


def prompt_ids(tokenizer: Tokenizer, asked: Asked) -> list[int]:
    return render(tokenizer, [{"role": "user", "content": asked.problem.question}], add_generation_prompt=True)[0]


def reward(tokenizer: Tokenizer, asked: Asked, answer: Said) -> float:
    """An answer that was cut off is no answer."""
    return asked.problem.check(text_of(answer.said, tokenizer.token_bytes)) if answer.ended else 0.0
