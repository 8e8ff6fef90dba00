"""Rollouts: the log-probabilities are the policy's, the same numbers give the same answers, and a checkpoint in the
middle of a rollout's updates loses nothing."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from tests.train.test_preference import model_with
from torch import Tensor

from yanmo.core.signals import Failure
from yanmo.data.rollouts import pack_answers
from yanmo.model.decoding import for_decoding
from yanmo.model.generate import generate
from yanmo.model.labels import IGNORE
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer
from yanmo.train.grpo import with_advantages
from yanmo.train.grpo_settings import GrpoSettings
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.rollouts import (
    Answer,
    Batch,
    RolloutBatches,
    in_parts,
    per_answer,
    sample_answers,
    sampled_kl,
    token_log_probs,
)

STOPS = range(3, 40)
SETTINGS = RolloutSettings(group_size=3, max_new_tokens=10, temperature=0.7, minibatches=2, epochs=2)


class Shorter:
    """Asks three questions, likes short answers, and counts how often it was asked."""

    def __init__(self, bad: int = 0) -> None:
        self.bad, self.judged = bad, 0

    def ask(self, number: int) -> list[list[int]]:
        return [[5 + number, 6, 7], [8, 9], [10, 11, 12, 13 + number]]

    def judge(self, prompts: list[list[int]], answers: list[list[Answer]]) -> list[list[float]]:
        self.judged += 1
        rewards = [[-float(len(answer.ids)) for answer in group] for group in answers]
        for number in range(self.bad):
            rewards[number // 3][number % 3] = math.nan
        return rewards

    def figures(self) -> dict[str, float]:
        return {"judged": float(self.judged)}

    def state(self) -> dict[str, Tensor]:
        return {"judged": torch.tensor(self.judged)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.judged = int(state["judged"])


def source(
    settings: RolloutSettings = SETTINGS, environment: Shorter | None = None, model: Transformer | None = None
) -> RolloutBatches:
    def reference(policy: Transformer, batch: Batch) -> Tensor:
        return in_parts(lambda part: token_log_probs(policy, part, settings.temperature), batch, 1, torch.device("cpu"))

    batches = RolloutBatches(
        environment or Shorter(), settings, 9, 1, STOPS, partial(pack_answers, pad_id=0, sequence_length=32),
        with_advantages(GrpoSettings(), settings), reference,
    )  # fmt: skip
    batches.attach(model or model_with(1))
    return batches


def equal(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_log_probs_are_those_of_the_training_model() -> None:
    """The decoding engine and the training pass, packed rows and all, agree on every token."""
    batches = source()
    batch = batches.as_batch(model_with(1), [[5, 6]] * 9, batches.answer(model_with(1), [[5, 6]] * 9))
    wanted = batch["labels"] != IGNORE
    torch.testing.assert_close(batch["old"][wanted], batch["reference"][wanted], atol=1e-5, rtol=1e-5)
    assert batch["old"][wanted].min() < -1 and sampled_kl(batch) < 1e-8
    assert not batch["old"][~wanted].any() and batch["count"].sum() == 9


def test_answers_are_those_of_the_engine_and_end_as_they_should() -> None:
    model, prompts = for_decoding(model_with(1)), [[5, 6, 7]] * 4 + [[8, 9]] * 2
    settings = SamplingSettings(max_new_tokens=10, temperature=0.7, seed=3)
    answers = sample_answers(model, prompts, settings, STOPS, first_row=6)
    for answer, completion in zip(answers, generate(model, prompts, settings, STOPS, first_row=6), strict=True):
        assert answer.said == completion.ids and answer.ended == (completion.finish == "stop")
        assert len(answer.ids) == len(answer.log_probs) == len(answer.entropies)
    assert len({tuple(answer.ids) for answer in answers}) == 6, "rows of one prompt draw their own answers"
    assert all(0 < entropy < math.log(512) for answer in answers for entropy in answer.entropies)


def test_a_prompt_read_once_gives_what_each_read_gives() -> None:
    model, settings = for_decoding(model_with(1)), SamplingSettings(max_new_tokens=6, temperature=0.7, seed=3)
    together = sample_answers(model, [[5, 6, 7], [8, 9], [5, 6, 7]], settings, STOPS)
    for row, prompt in enumerate([[5, 6, 7], [8, 9], [5, 6, 7]]):
        (alone,) = sample_answers(model, [prompt], settings, STOPS, first_row=row)
        assert alone.ids == together[row].ids
        assert alone.log_probs == pytest.approx(together[row].log_probs, abs=1e-5)


def test_a_rollout_is_divided_whole_every_epoch() -> None:
    parts = [batch for _, batch in zip(range(4), source()(0), strict=False)]
    for epoch in (parts[:2], parts[2:]):
        seen = torch.cat([part["answer"][part["labels"] != IGNORE] for part in epoch])
        assert set(seen.tolist()) == set(range(1, 10))
    assert not equal(parts[0], parts[2]) or not equal(parts[1], parts[3])


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_going_on_from_a_checkpoint_gives_the_same_batches(stop: int) -> None:
    """Also in the middle, when the policy that gave the answers is no more."""
    whole = [batch for _, batch in zip(range(8), source()(0), strict=False)]
    first = source()
    for _ in zip(range(stop), first(0), strict=False):
        pass
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    model = model_with(1 if stop == 4 else 2)  # mid-rollout the weights have moved on
    second = source(model=model)
    second.restore(state)
    rest = [batch for _, batch in zip(range(4 - stop), second(stop), strict=False)]
    assert all(equal(ours, theirs) for ours, theirs in zip(rest, whole[stop:4], strict=True))
    second.attach(model_with(1))
    (next_one,) = [batch for _, batch in zip(range(1), second(4), strict=False)]
    assert equal(next_one, whole[4]) and second.environment.state()["judged"] == 2


def test_the_policy_of_the_moment_answers() -> None:
    model = model_with(1)
    batches = source(RolloutSettings(group_size=3, max_new_tokens=10), model=model)
    iterator = batches(0)
    next(iterator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    moved = next(iterator)
    wanted = moved["labels"] != IGNORE
    with torch.no_grad():
        now = token_log_probs(model, moved)
    torch.testing.assert_close(moved["old"][wanted], now[wanted], atol=1e-4, rtol=1e-4)


def test_rewards_that_are_no_numbers_are_counted_and_told() -> None:
    said: list[str] = []
    batches = source(environment=Shorter(bad=2))
    batches.say = said.append
    batch = next(batches(0))
    assert batches.bad_rewards == 2 and len(said) == 1 and "2 of 9" in said[0]
    assert not batch["weights"][(batch["answer"] == 1) | (batch["answer"] == 2)].any()
    with pytest.raises(Failure, match="not one reward"):
        next(source(environment=Shorter(bad=9))(0))


def test_answers_near_the_limit_cost_reward() -> None:
    batches = source(RolloutSettings(group_size=3, max_new_tokens=10, overlong_buffer=4))
    lengths = [6, 7, 8, 10]
    groups = [[Answer(ids=[1] * length) for length in lengths]]
    assert batches._overlong(groups).tolist() == [[0.0, -0.25, -0.5, -1.0]]


def test_sums_by_answer() -> None:
    batch = next(source()(0))
    sums, lengths = per_answer(torch.ones_like(batch["old"]), batch)
    assert torch.equal(sums, lengths)
    counts = torch.bincount(batch["answer"][batch["labels"] != IGNORE].long())
    assert sorted(lengths[lengths > 0].tolist()) == sorted(counts[counts > 0].tolist())


@pytest.mark.parametrize(
    "wrong", [{"group_size": 0}, {"temperature": 0.0}, {"max_new_tokens": 8, "overlong_buffer": 8}, {"epochs": 0}]
)
def test_impossible_values(wrong: dict) -> None:
    with pytest.raises(ValueError, match="--rollout"):
        RolloutSettings(**wrong)


def test_groups_must_be_whole() -> None:
    with pytest.raises(ValueError, match="no whole number of groups"):
        RolloutBatches(Shorter(), SETTINGS, 10, 1, STOPS, None, None, None)  # type: ignore[arg-type]
