"""Preference losses against TRL's on the same pairs, values and gradients, and against their own definitions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trl
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from yanmo.data.preferences import PreferenceBatches
from yanmo.model.checkpoint import save_model
from yanmo.model.config import ModelConfig
from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.text.preferences import Preference
from yanmo.tokenizer.load import load_tokenizer
from yanmo.train.kto import KtoBatches
from yanmo.train.preference import Answers, answer_log_probs, pair_losses, preference_figures, preference_loss
from yanmo.train.preference_settings import PreferenceSettings

PAIRS = [
    Preference([{"role": "user", "content": question}], chosen, rejected)
    for question, chosen, rejected in [
        ("你好", "你好！有什么可以帮你？", "不好。"),
        ("一年有几个季节？", "四个：春夏秋冬。", "我不知道一年有几个季节，也许是五个。"),
        ("天是什么颜色的？", "蓝色。", "绿"),
    ]
]


def model_with(seed: int) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(ModelConfig(vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture
def packed(tokenizer_dir: Path) -> PreferenceBatches:
    batches = PreferenceBatches(PAIRS, load_tokenizer(tokenizer_dir), 160, 4, seed=0, context=128)
    give_reference(batches, model_with(1))
    return batches


@torch.no_grad()
def give_reference(answers: Any, reference: Transformer) -> None:
    found = torch.zeros(len(answers.lengths))
    for numbers, batch in answers.in_order():
        sums, _ = answer_log_probs(reference, batch, numbers.shape[1])
        found[numbers[numbers >= 0]] = sums[torch.from_numpy(numbers >= 0)]
    answers.set_reference(found.numpy())


def ours(packed: Any, model: Transformer, settings: PreferenceSettings) -> tuple[Tensor, list[Tensor]]:
    (batch,) = packed.sequential()
    total, _ = preference_loss(settings)(model, batch)
    loss = total / batch["count"].sum()
    return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters())))


def trainer_of(directory: Path, packed: PreferenceBatches, **settings: Any) -> Any:
    """TRL's trainer for the model and reference saved in `directory`."""
    rows = {"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}
    return trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(directory / "policy"),
        ref_model=AutoModelForCausalLM.from_pretrained(directory / "reference"),
        args=trl.DPOConfig(output_dir=str(directory / "out"), report_to="none", use_cpu=True, bf16=False, **settings),
        processing_class=AutoTokenizer.from_pretrained(directory / "policy"),
        train_dataset=Dataset.from_dict(rows),
    )


def as_trl(packed: PreferenceBatches) -> dict[str, Tensor]:
    """The same pairs as TRL's collator gives them: chosen answers, then rejected ones, padded on the right."""
    order = [*range(0, len(packed.lengths), 2), *range(1, len(packed.lengths), 2)]
    longest = int(packed.lengths.max()) + 1
    ids = torch.zeros(len(order), longest, dtype=torch.int64)
    attention, completion = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, example in enumerate(order):
        start, stop = packed.bounds[example], packed.bounds[example + 1]
        ids[row, : stop - start] = torch.from_numpy(packed.ids[start:stop].astype("int64"))
        attention[row, : stop - start] = 1
        completion[row, : stop - start] = torch.from_numpy(packed.trained[start:stop].astype("int64"))
    return {"input_ids": ids, "attention_mask": attention, "completion_mask": completion}


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        ({}, {"loss_type": ["sigmoid"]}),
        ({"loss": "ipo", "beta": 0.3}, {"loss_type": ["ipo"], "beta": 0.3}),
        ({"loss": "hinge"}, {"loss_type": ["hinge"]}),
        ({"length_normalised": True, "beta": 2.0}, {"loss_type": ["sigmoid_norm"], "beta": 2.0}),
    ],
    ids=["sigmoid", "ipo", "hinge", "length-normalised"],
)
def test_equals_trl(
    tokenizer_dir: Path, packed: PreferenceBatches, tmp_path: Path, settings: dict, theirs: dict
) -> None:
    policy = model_with(2)
    save_model(tmp_path / "policy", policy, tokenizer_dir)
    save_model(tmp_path / "reference", model_with(1), tokenizer_dir)
    trainer = trainer_of(tmp_path, packed, **theirs)
    model = trainer.model.train()
    expected = trainer.compute_loss(model, as_trl(packed))
    loss, gradients = ours(packed, policy, PreferenceSettings(**settings))
    equal(loss, expected, gradients, policy, model)


def as_kto(packed: PreferenceBatches) -> dict[str, Tensor]:
    """The same pairs for TRL's KTO: each answer for itself, and each question with the answers to the one before it."""
    both = as_trl(packed)
    mismatched = as_trl(packed.mismatched())  # type: ignore[arg-type]
    chosen = len(packed.lengths) // 2
    label = torch.arange(len(packed.lengths)) < chosen
    return both | {f"KL_{name}": tensor for name, tensor in mismatched.items()} | {"label": label}


def test_kto_equals_trl(tokenizer_dir: Path, packed: PreferenceBatches, tmp_path: Path) -> None:
    policy = model_with(8)  # one that finds the answers to other questions likelier than the reference does
    save_model(tmp_path / "policy", policy, tokenizer_dir)
    save_model(tmp_path / "reference", model_with(1), tokenizer_dir)
    trainer = trl.KTOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tmp_path / "policy"),
        ref_model=AutoModelForCausalLM.from_pretrained(tmp_path / "reference"),
        args=trl.KTOConfig(output_dir=str(tmp_path / "out"), report_to="none", use_cpu=True, bf16=False, beta=0.05),
        processing_class=AutoTokenizer.from_pretrained(tmp_path / "policy"),
        train_dataset=Dataset.from_dict({"prompt": ["a"] * 2, "completion": ["b", "c"], "label": [True, False]}),
    )
    expected = trainer.compute_loss(trainer.model.train(), as_kto(packed))
    mismatched = packed.mismatched()
    batches = KtoBatches(packed, mismatched, rows=1)
    give_reference(mismatched, model_with(1))
    batches.attach(policy)
    loss, gradients = ours(batches, policy, PreferenceSettings(loss="kto", beta=0.05))
    assert batches.newest > 0.1, "a baseline of 0 would hide mistakes"
    assert batches.newest == pytest.approx(trainer._metrics["train"]["kl"][-1], abs=1e-4)
    equal(loss, expected, gradients, policy, trainer.model)


def test_simpo_equals_trl(tokenizer_dir: Path, packed: PreferenceBatches, tmp_path: Path) -> None:
    policy = model_with(2)
    trainer = experimental(CPOTrainer, CPOConfig, policy, tokenizer_dir, tmp_path, loss_type="simpo", beta=2.0,
                           simpo_gamma=1.5, cpo_alpha=0.0)  # fmt: skip
    expected, _ = trainer.get_batch_loss_metrics(trainer.model, by_side(packed))
    loss, gradients = ours(packed, policy, PreferenceSettings(loss="simpo", beta=2.0, simpo_margin=1.5))
    equal(loss, expected, gradients, policy, trainer.model)


def test_orpo_equals_trl(tokenizer_dir: Path, packed: PreferenceBatches, tmp_path: Path) -> None:
    """TRL's own loss counts the question's tokens too, where the paper's (and ours) is the answer's: its parts are
    put together as the paper does."""
    policy = model_with(2)
    trainer = experimental(ORPOTrainer, ORPOConfig, policy, tokenizer_dir, tmp_path, beta=0.3)
    chosen, rejected, *_ = trainer.concatenated_forward(trainer.model, by_side(packed))
    expected = (-chosen - trainer.odds_ratio_loss(chosen, rejected)[0]).mean()
    loss, gradients = ours(packed, policy, PreferenceSettings(loss="orpo", beta=0.3))
    equal(loss, expected, gradients, policy, trainer.model)


def experimental(
    trainer: Any, config: Any, policy: Transformer, tokenizer_dir: Path, directory: Path, **settings: Any
) -> Any:
    save_model(directory / "policy", policy, tokenizer_dir)
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(directory / "policy"),
        args=config(output_dir=str(directory / "out"), report_to="none", use_cpu=True, bf16=False, **settings),
        processing_class=AutoTokenizer.from_pretrained(directory / "policy"),
        train_dataset=Dataset.from_dict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}),
    )


def by_side(packed: PreferenceBatches) -> dict[str, Tensor]:
    """The pairs as the older trainers want them."""
    both, pairs = as_trl(packed), len(packed.lengths) // 2
    labels = both["input_ids"].where(both["completion_mask"].bool(), -100)
    return {
        f"{side}_{name}": tensor[start : start + pairs]
        for side, start in (("chosen", 0), ("rejected", pairs))
        for name, tensor in (
            ("input_ids", both["input_ids"]),
            ("attention_mask", both["attention_mask"]),
            ("labels", labels),
        )
    }


def equal(loss: Tensor, expected: Tensor, gradients: list[Tensor], ours: Transformer, theirs: Any) -> None:
    assert float(loss) == pytest.approx(float(expected.detach()), abs=1e-5)
    expected.backward()
    reference = dict(theirs.named_parameters())
    for (name, _), gradient in zip(ours.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, reference[name].grad, atol=1e-5, rtol=1e-4, msg=name)


def test_the_baseline_is_at_least_0_and_of_other_questions(packed: PreferenceBatches) -> None:
    mismatched = packed.mismatched()
    batches = KtoBatches(packed, mismatched, rows=2)
    for number in range(len(packed.lengths)):
        ids, trained = mismatched.example(number)
        question, answer = packed.example(number), packed.example(number - 2)
        assert ids[~trained].tolist() == question[0][~question[1]].tolist()
        assert ids[trained].tolist() == answer[0][answer[1]].tolist()
    mismatched.set_reference(np.full(len(packed.lengths), 1e4))
    batches.attach(model_with(2))
    assert all((batch["baseline"] == 0).all() for batch in batches.sequential())


def test_dpo_starts_at_ln_2(packed: PreferenceBatches) -> None:
    loss, _ = ours(packed, model_with(1), PreferenceSettings())
    assert float(loss) == pytest.approx(math.log(2), abs=1e-4)
    figures = preference_figures(model_with(1), PreferenceSettings(), packed.sequential(), rows=1)
    assert figures["pairs"] == 3 and figures["margin"] == pytest.approx(0, abs=1e-4)


def answers(log_probs: list[float], reference: list[float], lengths: list[float]) -> Answers:
    return Answers(*(torch.tensor(values, dtype=torch.float64) for values in (log_probs, reference, lengths)))


def test_losses_by_their_definitions() -> None:
    chosen, rejected = answers([-6.0], [-8.0], [3.0]), answers([-10.0], [-9.0], [2.0])

    def loss(**settings: Any) -> float:
        return float(pair_losses(PreferenceSettings(**settings), chosen, rejected))

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    margin = 0.1 * (2.0 - -1.0)
    assert loss() == pytest.approx(-math.log(sigmoid(margin)))
    smoothed = -0.9 * math.log(sigmoid(margin)) - 0.1 * math.log(sigmoid(-margin))
    assert loss(label_smoothing=0.1) == pytest.approx(smoothed)
    assert loss(loss="ipo") == pytest.approx((2 / 3 + 1 / 2 - 5) ** 2)
    assert loss(loss="hinge", beta=0.2) == pytest.approx(1 - 0.6)
    p, q = math.exp(-2.0), math.exp(-5.0)
    odds = math.log(p / (1 - p)) - math.log(q / (1 - q))
    assert loss(loss="orpo", beta=0.5) == pytest.approx(2.0 - 0.5 * math.log(sigmoid(odds)))
    assert loss(loss="simpo", beta=2.0, simpo_margin=1.5) == pytest.approx(-math.log(sigmoid(2 * (-2 + 5) - 1.5)))


def test_the_sft_term_is_the_chosen_answers_own_loss(packed: PreferenceBatches) -> None:
    model = model_with(2)
    plain, _ = ours(packed, model, PreferenceSettings())
    with_term, _ = ours(packed, model, PreferenceSettings(sft_weight=0.5))
    (batch,) = packed.sequential()
    sums, lengths = answer_log_probs(model, batch, batch["reference"].shape[1])
    there = lengths[:, 0::2] > 0
    own = -(sums[:, 0::2][there] / lengths[:, 0::2][there]).mean().detach()
    assert float(with_term - plain) == pytest.approx(0.5 * float(own), rel=1e-5)


def test_micro_batches_do_not_change_the_gradient(packed: PreferenceBatches) -> None:
    model, loss = model_with(2), preference_loss(PreferenceSettings())
    (batch,) = packed.sequential()
    assert len(batch["labels"]) > 1
    whole = torch.autograd.grad(loss(model, batch)[0], list(model.parameters()))
    rows = [{name: tensor[row : row + 1] for name, tensor in batch.items()} for row in range(len(batch["labels"]))]
    parts = [torch.autograd.grad(loss(model, row)[0], list(model.parameters())) for row in rows]
    for together, each in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(together, torch.stack(each).sum(0), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"beta": 0.0}, {"label_smoothing": 0.5}, {"sft_weight": -1.0}])
def test_impossible_values(wrong: dict) -> None:
    with pytest.raises(ValueError, match="--preference"):
        PreferenceSettings(**wrong)


def test_only_answers_are_targets(packed: PreferenceBatches) -> None:
    for _, batch in packed.in_order():
        wanted = batch["labels"][batch["labels"] != IGNORE]
        assert len(wanted) == packed.trained.sum()
