"""A reward model as what reinforcement learning asks (a file's prompts) and judges by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from yanmo.evaluate.tasks.environment import Said
from yanmo.model.reward import RewardModel

AT_ONCE = 64
Answer = TypeVar("Answer", bound=Said)


class Judge:
    """Prompts in an order that is a function of (seed, number), every one once an epoch, and a reward model.

    whiten: rewards of a rollout get mean 0 and deviation 1, for losses that do not compare within groups.
    """

    def __init__(
        self, prompts: list[list[int]], model: RewardModel, questions: int, seed: int, stop_id: int, whiten: bool
    ) -> None:
        self.prompts, self.model, self.questions, self.seed = prompts, model.eval(), questions, seed
        self.stop_id, self.whiten = stop_id, whiten
        self.raw = 0.0
        """Mean reward of the newest rollout as the model gave it."""

    def ask(self, number: int) -> list[list[int]]:
        places = range(number * self.questions, (number + 1) * self.questions)
        chosen = (divmod(place, len(self.prompts)) for place in places)
        return [self.prompts[self._order(epoch)[place]] for epoch, place in chosen]

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.prompts))

    def judge(self, prompts: list[list[int]], answers: Sequence[Sequence[Said]]) -> list[list[float]]:
        texts = [
            prompt + said(answer, self.stop_id)
            for prompt, group in zip(prompts, answers, strict=True)
            for answer in group
        ]
        rewards = scores(self.model, texts)
        self.raw = float(rewards.nanmean())
        if self.whiten:
            there = rewards.isfinite()
            rewards = (rewards - rewards[there].mean()) / (rewards[there].std() + 1e-8)
        return rewards.view(len(prompts), -1).tolist()

    def figures(self) -> dict[str, float]:
        return {"score": self.raw}

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """It learns nothing."""


def said(answer: Said, stop_id: int) -> list[int]:
    """An answer as the reward model was shown answers: with the end of the turn, if it ended."""
    return [*answer.said, stop_id] if answer.ended else list(answer.said)


@torch.inference_mode()
def scores(model: RewardModel, texts: Sequence[list[int]]) -> Tensor:
    """(n,) float64: the reward of every conversation, read off its last token."""
    device = model.score.weight.device
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    found = torch.zeros(len(texts), dtype=torch.float64)
    for start in range(0, len(order), AT_ONCE):
        numbers = order[start : start + AT_ONCE]
        last = torch.tensor([len(texts[number]) - 1 for number in numbers])
        ids = torch.zeros(len(numbers), int(last.max()) + 1, dtype=torch.int64)
        for row, number in enumerate(numbers):
            ids[row, : len(texts[number])] = torch.tensor(texts[number])
        hidden = model(ids.to(device))[torch.arange(len(numbers)), last]
        found[numbers] = model.rewards(hidden).double().cpu()
    return found
