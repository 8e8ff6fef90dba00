"""A file of prompts and somebody who scores answers, as what reinforcement learning asks and judges
(`yanmo.train.rollouts.Environment`); the other kind are the verifiable tasks (`evaluate.tasks`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from yanmo.evaluate.judge import said, scores
from yanmo.evaluate.tasks.environment import Said
from yanmo.model.reward import RewardModel
from yanmo.model.streaming import text_of
from yanmo.tokenizer.load import Tokenizer

Judge = Callable[[Sequence[list[int]], Sequence[Said]], list[float]]
"""Prompts, as ids, and an answer to each -> a score each."""


class PromptEnvironment:
    """Prompts in an order drawn anew every epoch from (seed, epoch), and a judge of single answers."""

    def __init__(self, prompts: Sequence[list[int]], judge: Judge, questions: int, seed: int) -> None:
        """questions: prompts of one rollout."""
        self.prompts, self.judge_all, self.questions, self.seed = list(prompts), judge, questions, seed

    def ask(self, number: int) -> list[list[int]]:
        places = range(number * self.questions, (number + 1) * self.questions)
        orders: dict[int, list[int]] = {}
        for epoch in {place // len(self.prompts) for place in places}:
            generator = torch.Generator().manual_seed(self.seed + epoch)
            orders[epoch] = torch.randperm(len(self.prompts), generator=generator).tolist()
        return [self.prompts[orders[place // len(self.prompts)][place % len(self.prompts)]] for place in places]

    def judge(self, prompts: list[list[int]], answers: Sequence[Sequence[Said]]) -> list[list[float]]:
        group = len(answers[0])
        asked = [prompt for prompt in prompts for _ in range(group)]
        scores = self.judge_all(asked, [answer for answers_of_one in answers for answer in answers_of_one])
        return [scores[start : start + group] for start in range(0, len(scores), group)]

    def figures(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """There is nothing to remember."""


def by_reward_model(model: RewardModel, stop_id: int) -> Judge:
    """The reward model's score of prompt and answer, which it was shown with `stop_id` at their ends."""
    model.eval()

    def judge(prompts: Sequence[list[int]], answers: Sequence[Said]) -> list[float]:
        pairs = zip(prompts, answers, strict=True)
        return scores(model, [prompt + said(answer, stop_id) for prompt, answer in pairs]).tolist()

    return judge


def by_text(tokenizer: Tokenizer, wanted: str) -> Judge:
    """1 for an answer that contains `wanted`, else 0: the toy that shows whether learning works at all."""

    def judge(prompts: Sequence[list[int]], answers: Sequence[Said]) -> list[float]:
        return [float(wanted in text_of(answer.said, tokenizer.token_bytes)) for answer in answers]

    return judge
