"""GRPO's losses against TRL's on the same recorded answers, values and gradients, and against their definitions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from datasets import Dataset
from tests.train.test_preference import model_with
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from yanmo.data.rollouts import pack_answers
from yanmo.model.checkpoint import save_model
from yanmo.model.decoding import for_decoding
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer
from yanmo.train.grpo import advantages, grpo_loss, policy_losses, with_advantages
from yanmo.train.grpo_settings import VARIANTS, GrpoSettings
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.rollouts import Answer, Batch, Rollout, RolloutBatches, sample_answers, token_log_probs

GROUP, LIMIT, STOP = 4, 12, 3
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12], [20, 21]]
REWARDS = torch.tensor([[1.0, 0, 0, 0.5], [0, 1, 1, 0], [1, 1, 0.25, 1]], dtype=torch.float64)
PACK = partial(pack_answers, pad_id=0, sequence_length=48)
TEMPERATURE = 0.8


def recorded(temperature: float = TEMPERATURE) -> list[Answer]:
    """What another policy than the one that learns has said; token 3 ends an answer, and some do not end."""
    asked = [prompt for prompt in PROMPTS for _ in range(GROUP)]
    settings = SamplingSettings(max_new_tokens=LIMIT, temperature=temperature, seed=1)
    return sample_answers(for_decoding(model_with(1)), asked, settings, range(3, 40))


def source(settings: GrpoSettings, rollout: RolloutSettings) -> RolloutBatches:
    def reference(policy: Transformer, batch: Batch) -> Tensor:
        with torch.no_grad():
            return token_log_probs(model_with(3), batch, rollout.temperature)

    prepare = with_advantages(settings, rollout)
    return RolloutBatches(None, rollout, 12, 0, [STOP], PACK, prepare, reference)  # type: ignore[arg-type]


def judged(settings: GrpoSettings, rollout: RolloutSettings, rewards: Tensor = REWARDS) -> Batch:
    """The recorded answers as a batch of the loss."""
    flat = recorded(rollout.temperature)
    asked = [prompt for prompt in PROMPTS for _ in range(GROUP)]
    made = Rollout(0, PROMPTS, [flat[start : start + GROUP] for start in range(0, 12, GROUP)], rewards)
    origin = source(settings, rollout)
    return origin.prepare(made, origin.as_batch(model_with(1), asked, flat))


def ours(settings: GrpoSettings, rollout: RolloutSettings, model: Transformer) -> tuple[Tensor, list[Tensor]]:
    batch = judged(settings, rollout)
    loss = grpo_loss(settings, rollout.temperature)(model, batch)[0] / batch["count"].sum()
    return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters())))


def as_trl(rollout: RolloutSettings, form: Any) -> dict[str, Tensor]:
    """The same answers as TRL's trainer has them: prompts padded on the left, completions on the right."""
    flat = recorded(rollout.temperature)
    asked = [prompt for prompt in PROMPTS for _ in range(GROUP)]
    longest, width = max(map(len, asked)), max(len(answer.ids) for answer in flat)

    def left(rows: list[list[int]]) -> Tensor:
        return torch.tensor([[0] * (longest - len(row)) + row for row in rows])

    def right(rows: list[list[Any]], fill: float = 0) -> Tensor:
        return torch.tensor([row + [fill] * (width - len(row)) for row in rows])

    completion_ids = right([answer.ids for answer in flat])
    mask = right([[1] * len(answer.ids) for answer in flat])
    if rollout.truncated == "mask":
        mask = mask * torch.tensor([answer.ended for answer in flat]).long()[:, None]
    prompt_ids, prompt_mask = left(asked), left([[1] * len(prompt) for prompt in asked])
    whole = torch.cat([prompt_ids, completion_ids], 1)
    with torch.no_grad():
        hidden = [
            model_with(3)(torch.tensor([prompt + answer.ids])) for prompt, answer in zip(asked, flat, strict=True)
        ]
        head = model_with(3).lm_head.weight
        each = [
            ((one[0] @ head.T) / rollout.temperature).log_softmax(-1)[len(prompt) - 1 : -1]
            for one, prompt in zip(hidden, asked, strict=True)
        ]
        reference = right([one[torch.arange(len(a.ids)), a.ids].tolist() for one, a in zip(each, flat, strict=True)])
    assert whole.shape[1] == longest + width
    return {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": mask,
        "advantages": advantages(REWARDS, form.scale).flatten().float(),
        "old_per_token_logps": right([answer.log_probs for answer in flat]),
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }


def trainer_of(directory: Path, tokenizer_dir: Path, policy: Transformer, **settings: Any) -> Any:
    save_model(directory / "policy", policy, tokenizer_dir)
    config = trl.GRPOConfig(
        output_dir=str(directory / "out"), report_to="none", use_cpu=True, bf16=False, max_completion_length=LIMIT,
        per_device_train_batch_size=12, num_generations=GROUP, temperature=TEMPERATURE, logging_steps=1,
        **settings,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(directory / "policy"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),  # type: ignore[arg-type]
        args=config,
        processing_class=AutoTokenizer.from_pretrained(directory / "policy"),
        train_dataset=Dataset.from_dict({"prompt": ["a"] * 12}),
    )
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        ({"variant": "grpo"}, {"loss_type": "grpo"}),
        ({"variant": "grpo", "kl": 0.3}, {"loss_type": "grpo", "beta": 0.3}),
        ({"variant": "dapo"}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ({"variant": "dapo", "kl": 0.1}, {"loss_type": "bnpo", "epsilon_high": 0.28, "beta": 0.1}),
        ({"variant": "dr_grpo"}, {"loss_type": "dr_grpo"}),
        (
            {"variant": "gspo"},
            {
                "loss_type": "grpo",
                "importance_sampling_level": "sequence",
                "epsilon": 3e-4,
                "epsilon_high": 4e-4,
            },
        ),
        ({"variant": "cispo"}, {"loss_type": "cispo", "epsilon_high": 5.0}),
    ],
    ids=["grpo", "grpo with kl", "dapo", "dapo is bnpo on one batch", "dr_grpo", "gspo", "cispo"],
)
@pytest.mark.parametrize("truncated", ["count", "mask"])
def test_equals_trl(
    tokenizer_dir: Path, tmp_path: Path, settings: dict[str, Any], theirs: dict[str, Any], truncated: Any
) -> None:
    chosen = GrpoSettings(**settings)
    rollout = RolloutSettings(group_size=GROUP, max_new_tokens=LIMIT, temperature=TEMPERATURE, truncated=truncated)
    policy = model_with(2)
    trainer = trainer_of(tmp_path, tokenizer_dir, policy, **theirs)
    model = trainer.model.train()
    expected = trainer._compute_loss(model, as_trl(rollout, chosen.form))
    loss, gradients = ours(chosen, rollout, policy)
    assert float(loss) == pytest.approx(float(expected.detach()), abs=1e-5)
    expected.backward()
    reference = dict(model.named_parameters())
    assert max(float(gradient.abs().max()) for gradient in gradients) > 1e-3
    for (name, _), gradient in zip(policy.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, reference[name].grad, atol=1e-5, rtol=1e-4, msg=name)


def test_some_recorded_answers_are_cut_off_and_ratios_are_clipped() -> None:
    """Else the test above would compare less than it says."""
    answers = recorded()
    assert 0 < sum(not answer.ended for answer in answers) < len(answers)
    settings, rollout = GrpoSettings(), RolloutSettings(group_size=GROUP, max_new_tokens=LIMIT, temperature=TEMPERATURE)
    batch = judged(settings, rollout)
    _, figures = grpo_loss(settings, TEMPERATURE)(model_with(2), batch)
    assert 0.05 < float(figures["clipped"] / batch["count"].sum()) < 0.95


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 0.0], [0.5, 0.5], [float("nan"), 1.0]], dtype=torch.float64)
    assert advantages(rewards, "none").tolist() == [[0.5, -0.5], [0, 0], [0, 0]]
    deviation = 0.5**0.5
    assert advantages(rewards, "group")[0].tolist() == pytest.approx(
        [0.5 / (deviation + 1e-4), -0.5 / (deviation + 1e-4)]
    )
    everything = float(torch.tensor([1.0, 0, 0.5, 0.5, 1.0], dtype=torch.float64).std())
    assert advantages(rewards, "batch")[0, 0] == pytest.approx(0.5 / (everything + 1e-4))


def test_clipping_by_hand() -> None:
    ratio, better = torch.tensor([1.5, 1.5, 0.5, 0.5]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    each, cut = policy_losses(VARIANTS["dapo"], ratio, torch.zeros(4), better)
    assert each.tolist() == pytest.approx([-1.28, 1.5, -0.5, 0.8]) and cut.tolist() == [True, False, False, True]
    log_probs = torch.tensor([-2.0])
    each, cut = policy_losses(VARIANTS["cispo"], torch.tensor([9.0]), log_probs, torch.tensor([1.0]))
    assert each.tolist() == [10.0] and cut.tolist() == [True]


def test_an_answer_without_a_reward_teaches_nothing() -> None:
    settings, rollout = GrpoSettings(), RolloutSettings(group_size=GROUP, max_new_tokens=LIMIT)
    rewards = REWARDS.clone()
    rewards[0, 0] = float("nan")
    batch = judged(settings, rollout, rewards)
    first = batch["answer"] == 1
    assert first.any() and not batch["weights"][first].any() and not batch["advantages"][first].any()
    assert batch["count"].sum() == (batch["answer"] > 1).sum()


def test_micro_batches_do_not_change_the_gradient() -> None:
    settings, rollout = GrpoSettings(variant="gspo", kl=0.1), RolloutSettings(group_size=GROUP, max_new_tokens=LIMIT)
    model, loss, batch = model_with(2), grpo_loss(settings, 1.0), judged(settings, rollout)
    assert len(batch["labels"]) > 1
    whole = torch.autograd.grad(loss(model, batch)[0], list(model.parameters()))
    rows = [{name: tensor[row : row + 1] for name, tensor in batch.items()} for row in range(len(batch["labels"]))]
    parts = [torch.autograd.grad(loss(model, row)[0], list(model.parameters())) for row in rows]
    for together, each in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(together, torch.stack(each).sum(0), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"clip_low": 0.0}, {"kl": -1.0}, {"kl_cap": 0.0}])
def test_impossible_values(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="--grpo"):
        GrpoSettings(**wrong)  # type: ignore[arg-type]


class Even:
    """Likes answers whose first token is even."""

    def ask(self, number: int) -> list[list[int]]:
        return [[5 + number, 6], [8, 9, 10 + number]] * 4

    def judge(self, prompts: list[list[int]], answers: list[list[Answer]]) -> list[list[float]]:
        return [[float(answer.ids[0] % 2 == 0) for answer in group] for group in answers]

    def figures(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None: ...


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_learns_what_is_rewarded(variant: Any) -> None:
    settings, rollout = GrpoSettings(variant=variant), RolloutSettings(group_size=8, max_new_tokens=2, minibatches=2)
    model, loss = model_with(1), grpo_loss(settings, 1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batches = RolloutBatches(Even(), rollout, 64, 1, [STOP], PACK, with_advantages(settings, rollout), None)
    batches.attach(model)
    rewards = []
    for _, batch in zip(range(30), batches(0), strict=False):
        rewards.append(batches.watch()[1]["reward"])
        (loss(model, batch)[0] / batch["count"].sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert sum(rewards[:4]) / 4 < 0.6 and sum(rewards[-6:]) / 6 > 0.7
