"""PPO: every number of a recorded rollout is that of an independent computation in float64, written from the papers
with loops over answers and tokens; and the gradient is that of the loss."""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from yanmo.core.signals import Failure
from yanmo.data.rollouts import pack_answers
from yanmo.model.config import ModelConfig
from yanmo.model.labels import IGNORE
from yanmo.model.lora import add_adapters
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.reward import RewardModel
from yanmo.model.transformer import Transformer
from yanmo.train.actor_critic import ActorCritic
from yanmo.train.ppo import ppo_loss
from yanmo.train.ppo_returns import KlControl, RunningScores, explained_variance, whiten
from yanmo.train.ppo_rollouts import PpoBatches
from yanmo.train.ppo_settings import PpoSettings
from yanmo.train.reference import start_log_probs
from yanmo.train.rollout_settings import RolloutSettings

SHAPE = ModelConfig(
    vocab_size=31, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32
)
END, ANSWERS, ROW, ROWS = 1, 24, 24, 2
PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14], [15]]


class Scripted:
    """Asks four prompts in turns, gives rewards drawn once."""

    def __init__(self, rewards: Tensor) -> None:
        self.rewards = rewards

    def ask(self, number: int) -> list[list[int]]:
        return [PROMPTS[place % len(PROMPTS)] for place in range(ANSWERS)]

    def judge(self, prompts, answers):
        return self.rewards[:, None].tolist()

    def figures(self):
        return {}

    def state(self):
        return {}

    def restore(self, state):
        pass


def policy(seed: int) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(SHAPE)
    with torch.no_grad():
        model.lm_head.weight.mul_(4)  # not uniform
    return model


def actor_critic() -> ActorCritic:
    torch.manual_seed(2)
    critic = RewardModel(SHAPE)
    torch.nn.init.normal_(critic.score.weight, std=0.5)
    return ActorCritic(policy(0), critic)


def rewards(*odd: tuple[int, float]) -> Tensor:
    drawn = torch.randn(ANSWERS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for place, value in odd:
        drawn[place] = value
    return drawn


def source(ppo: PpoSettings, given: Tensor, rollout: RolloutSettings | None = None, lora: LoraSettings | None = None):
    rollout = rollout or RolloutSettings(group_size=1, max_new_tokens=14, temperature=0.9)
    return PpoBatches(
        ppo,
        Scripted(given),
        rollout,
        ANSWERS,
        7,
        {END},
        partial(pack_answers, pad_id=0, sequence_length=ROW),
        start_log_probs(policy(1), lora or LoraSettings(), rollout.temperature, ROWS),
        ROWS,
    )


def recorded(ppo: PpoSettings, given: Tensor, rollout: RolloutSettings | None = None):
    """The model, a rollout of it, and the batch with all of its answers."""
    batches, model = source(ppo, given, rollout), actor_critic()
    batches.attach(model)
    seen = {}

    def spy(rollout, batch):
        seen["rollout"] = rollout
        return batches.with_advantages(rollout, batch)

    batches.prepare = spy
    (batch,) = batches.sample(0)
    return batches, model, seen["rollout"], batch


def naive_log_probs(model: Transformer, prompt: list[int], answer: list[int], temperature: float) -> np.ndarray:
    with torch.no_grad():
        logits = model.lm_head(model(torch.tensor([prompt + answer])))[0].double() / temperature
    before = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return before[torch.arange(len(answer)), answer].numpy()


def naive_values(model: ActorCritic, prompt: list[int], answer: list[int]) -> np.ndarray:
    with torch.no_grad():
        values = model.critic.score(model.critic(torch.tensor([prompt + answer])))[0, :, 0]
    return values[len(prompt) - 1 : -1].double().numpy()


def naive_advantages(r: np.ndarray, v: np.ndarray, gamma: float, lam: float) -> np.ndarray:
    """Schulman et al. 2015, eq. 16 as it stands: a double sum."""
    n = len(r)
    delta = [r[t] + gamma * (v[t + 1] if t + 1 < n else 0.0) - v[t] for t in range(n)]
    return np.array([sum((gamma * lam) ** k * delta[t + k] for k in range(n - t)) for t in range(n)])


def at(batch: dict[str, Tensor], name: str, answer: int) -> np.ndarray:
    return batch[name][batch["answer"] == answer + 1].double().numpy()


CASES = {
    "plain": PpoSettings(whiten_advantages=False, kl_weight=0.3),
    "whitened": PpoSettings(whiten_rewards=True, kl_weight=0.3, gamma=0.97, gae_lambda=0.8),
    "k3, clipped": PpoSettings(kl_estimator="k3", score_clip=0.5, kl_weight=0.3, missing_end_penalty=0.0),
    "normalised": PpoSettings(normalise_scores=True, kl_weight=0.3),
}


@pytest.mark.parametrize("truncated", ["count", "mask"])
@pytest.mark.parametrize("ppo", CASES.values(), ids=CASES)
def test_a_recorded_rollout_is_what_the_papers_say(ppo: PpoSettings, truncated) -> None:
    given = rewards((4, math.nan), (9, math.inf))
    shape = RolloutSettings(group_size=1, max_new_tokens=14, temperature=0.9, truncated=truncated)
    _, model, rollout, batch = recorded(ppo, given, shape)
    said = rollout.flat
    assert any(a.ended for a in said) and any(not a.ended for a in said) and len({len(a.ids) for a in said}) > 3

    scores = given.numpy() - ppo.missing_end_penalty * np.array([not a.ended for a in said])
    there = np.isfinite(scores)
    if ppo.normalise_scores:
        scores = (scores - scores[there].mean()) / scores[there].std()
    scores = np.clip(scores, -ppo.score_clip, ppo.score_clip)
    learned = there & (np.array([a.ended for a in said]) | (truncated == "count"))

    r, v = {}, {}
    for i, answer in enumerate(said):
        prompt = rollout.prompts[i]
        mine = naive_log_probs(model, prompt, answer.ids, 0.9)
        np.testing.assert_allclose(at(batch, "old", i), mine, atol=1e-5)
        theirs = naive_log_probs(policy(1), prompt, answer.ids, 0.9)
        np.testing.assert_allclose(at(batch, "reference", i), theirs, atol=1e-5)
        labels = batch["labels"][batch["answer"] == i + 1]
        assert labels.tolist() == (answer.ids if learned[i] else [IGNORE] * len(answer.ids))
        if not learned[i]:
            assert not at(batch, "advantages", i).any() and not at(batch, "returns", i).any()
            continue
        v[i] = naive_values(model, prompt, answer.ids)
        np.testing.assert_allclose(at(batch, "values", i), v[i], atol=1e-5)
        log_ratio = mine - theirs
        r[i] = -ppo.kl_weight * (log_ratio if ppo.kl_estimator == "k1" else np.exp(-log_ratio) - 1 + log_ratio)
        r[i][-1] += scores[i]
    if ppo.whiten_rewards:
        spread = np.concatenate(list(r.values())).std()
        r = {i: each / spread for i, each in r.items()}
    a = {i: naive_advantages(r[i], v[i], ppo.gamma, ppo.gae_lambda) for i in r}
    for i in r:
        np.testing.assert_allclose(at(batch, "returns", i), a[i] + v[i], atol=1e-4, rtol=1e-4)
    if ppo.whiten_advantages:
        every = np.concatenate(list(a.values()))
        a = {i: (each - every.mean()) / every.std() for i, each in a.items()}
    for i in r:
        np.testing.assert_allclose(at(batch, "advantages", i), a[i], atol=1e-4, rtol=1e-4)
    nothing = (batch["answer"] == 0) | (batch["labels"] == IGNORE)
    for name in ("advantages", "returns", "values"):
        assert not batch[name][nothing].any()


@pytest.mark.parametrize("entropy_weight", [0.0, 0.02])
def test_both_losses_are_those_of_the_paper(entropy_weight: float) -> None:
    """Schulman et al. 2017, eq. 7 and 9, on a policy that has moved since, by loops over tokens in float64."""
    ppo = PpoSettings(entropy_weight=entropy_weight, value_weight=0.3, clip=0.1, value_clip=0.1)
    _, model, rollout, batch = recorded(ppo, rewards((4, math.nan)))
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    surrogate, value_loss, entropy, clipped, tokens = 0.0, 0.0, 0.0, 0, 0
    for i, answer in enumerate(rollout.flat):
        if i == 4:
            continue
        prompt = rollout.prompts[i]
        now, v = naive_log_probs(model, prompt, answer.ids, 0.9), naive_values(model, prompt, answer.ids)
        old, advantage, before, target = (at(batch, name, i) for name in ("old", "advantages", "values", "returns"))
        for t in range(len(answer.ids)):
            ratio = math.exp(now[t] - old[t])
            surrogate += min(ratio * advantage[t], min(max(ratio, 0.9), 1.1) * advantage[t])
            near = before[t] + min(max(v[t] - before[t], -0.1), 0.1)
            value_loss += 0.5 * max((v[t] - target[t]) ** 2, (near - target[t]) ** 2)
            clipped += abs(ratio - 1) > 0.1
            tokens += 1
        with torch.no_grad():
            hidden = model(torch.tensor([prompt + answer.ids]))[0, len(prompt) - 1 : -1]
            every = (model.lm_head(hidden).double() / 0.9).log_softmax(-1)
        entropy += float(-(every.exp() * every).sum())
    total, figures = ppo_loss(ppo, 0.9)(model, batch)
    assert 0 < clipped < tokens and int((batch["labels"] != IGNORE).sum()) == tokens
    expected = -surrogate + 0.3 * value_loss - entropy_weight * entropy
    assert float(total.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(figures["policy_loss"].detach()) == pytest.approx(-surrogate, rel=1e-4)
    assert float(figures["value_loss"].detach()) == pytest.approx(value_loss, rel=1e-4)
    assert int(figures["clipped"]) == clipped


def test_the_gradient_is_that_of_the_loss_by_finite_differences() -> None:
    ppo = PpoSettings(entropy_weight=0.05, clip=0.3, value_clip=0.3)
    _, model, _, batch = recorded(ppo, rewards())
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    loss = ppo_loss(ppo, 0.9)
    for part in (model.policy(), model.critic):
        weights = list(part.parameters())
        gradients = torch.autograd.grad(loss(model, batch)[0], weights)
        norm = float(torch.cat([g.flatten() for g in gradients]).norm())
        step, ends = 1e-3, []
        for sign in (1, -1):
            moved = copy.deepcopy(model)
            moved_part = moved.policy() if part is not model.critic else moved.critic
            with torch.no_grad():
                for parameter, gradient in zip(moved_part.parameters(), gradients, strict=True):
                    parameter.add_(gradient, alpha=sign * step / norm)
                ends.append(float(loss(moved, batch)[0]))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(norm, rel=0.01)


def test_before_anything_was_learned_every_ratio_is_one() -> None:
    _, model, _, batch = recorded(PpoSettings(), rewards())
    _, figures = ppo_loss(PpoSettings(), 0.9)(model, batch)
    count = int((batch["labels"] != IGNORE).sum())
    assert float(figures["ratio"]) / count == pytest.approx(1, abs=1e-5)
    assert float(figures["kl_from_old"]) / count == pytest.approx(0, abs=1e-6)
    assert int(figures["clipped"]) == 0


def test_with_adapters_the_reference_is_the_policy_without_them() -> None:
    lora = LoraSettings(rank=4)
    batches, model = source(PpoSettings(), rewards(), lora=lora), policy(0)
    add_adapters(model, lora, base=None)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    both = ActorCritic(model, RewardModel(SHAPE))
    batches.attach(both)
    (batch,) = batches.sample(0)
    wanted = batch["labels"] != IGNORE
    with torch.no_grad():
        start = start_log_probs(policy(0), LoraSettings(), 0.9, ROWS)
    torch.testing.assert_close(batch["reference"], start(both, batch) * wanted)
    assert (batch["old"] - batch["reference"])[wanted].abs().max() > 1e-3


def test_the_cap_ends_the_batches_and_says_why() -> None:
    batches, model = source(PpoSettings(kl_cap=0.5, kl_target=0.3), rewards()), actor_critic()
    batches.attach(model)
    assert list(batches(0)) == []
    assert batches.stopped and "--ppo.kl-cap 0.5" in batches.stopped


def test_rewards_that_are_no_numbers_end_the_run_when_there_are_no_others() -> None:
    batches, model = source(PpoSettings(), torch.full((ANSWERS,), math.nan)), actor_critic()
    batches.attach(model)
    with pytest.raises(Failure, match="not one reward is a finite number"):
        next(batches(0))


def test_beta_follows_the_divergence() -> None:
    """Ziegler et al. 2019, section 2.2."""
    control = KlControl(0.2, target=6.0, gain=0.1)
    control.update(6.0)
    assert control.beta == 0.2
    control.update(6.6)
    assert control.beta == pytest.approx(0.2 * 1.01)
    control.update(600.0)
    assert control.beta == pytest.approx(0.2 * 1.01 * 1.02)
    control.update(0.0)
    assert control.beta == pytest.approx(0.2 * 1.01 * 1.02 * 0.98)
    fixed = KlControl(0.2, target=None, gain=0.1)
    fixed.update(600.0)
    assert fixed.beta == 0.2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-100, 100), max_size=9), min_size=1, max_size=5))
def test_running_scores_are_those_of_all_scores_at_once(parts: list[list[float]]) -> None:
    running = RunningScores()
    for part in parts:
        running.update(torch.tensor(part, dtype=torch.float64))
    every = np.array([score for part in parts for score in part])
    if len(every):
        assert running.mean == pytest.approx(every.mean(), abs=1e-9)
        assert running.squares / running.count == pytest.approx(every.var(), abs=1e-8)
        if every.std() > 1e-3:
            white = running.normalised(torch.from_numpy(every))
            np.testing.assert_allclose(white, (every - every.mean()) / every.std(), atol=1e-6)


def test_whitening_looks_at_the_mask_alone() -> None:
    values = torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 99.0]])
    mask = values < 99
    white = whiten(values, mask)
    assert white[mask].mean() == pytest.approx(0, abs=1e-6)
    assert white[mask].std(correction=0) == pytest.approx(1, abs=1e-6)
    assert not white[~mask].any()
    torch.testing.assert_close(whiten(values, mask, shift=False)[mask], values[mask] / values[mask].std(correction=0))


def test_explained_variance() -> None:
    returns = torch.tensor([1.0, 2.0, 4.0])
    assert explained_variance(returns, returns) == 1
    assert explained_variance(torch.full((3,), 7.0), returns) == pytest.approx(0)
    assert math.isnan(explained_variance(returns, torch.ones(3)))


@pytest.mark.parametrize("bad", [{"clip": 0.0}, {"gae_lambda": 1.1}, {"kl_target": 50.0}, {"score_clip": -1.0}])
def test_impossible_settings_are_named(bad: dict[str, float]) -> None:
    (name,) = bad
    with pytest.raises(ValueError, match=f"--ppo.{name.replace('_', '-')}"):
        PpoSettings(**bad)  # type: ignore[arg-type]
