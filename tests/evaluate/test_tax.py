"""The alignment tax: the figures by their definitions, the limits, and a judge that prefers what it should."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import small_texts
from yanmo.evaluate.answers import Answer, Question
from yanmo.evaluate.tax import State, Tax, answer_figures, bootstrap, fixed_questions
from yanmo.evaluate.tax_settings import TaxSettings
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.config import ModelConfig
from yanmo.model.reward import load_reward_model, reward_model_from
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import render
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.save import save_tokenizer
from yanmo.tokenizer.train import train
from yanmo.train.settings import TrainSettings

HYPER = TrainSettings(device="cpu", dtype="fp32", sequence_length=64)


@dataclass
class Recorder:
    """What a run would have been told."""

    said: list[str] = field(default_factory=list)
    rows: dict[str, list[list[Any]]] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def say(self, text: str) -> None:
        self.said.append(text)

    def table(self, title: str, columns: list[str], rows: list[list[Any]]) -> None:
        self.rows[title] = rows


def asked(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64
    )
    directory = tmp_path_factory.mktemp("start")
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


def tax_of(start: Path, tokenizer: Tokenizer, **settings: Any) -> Tax:
    held_out = [[asked("你好"), {"role": "assistant", "content": text}] for text in small_texts(6)]
    own = [[asked("第一个问题")], [asked("好" * 200)]]
    limits = TaxSettings(max_new_tokens=8, **settings)
    return Tax(limits, start, tokenizer, HYPER, Recorder(), held_out, own)  # type: ignore[arg-type]


def changed(start: Path, amount: float) -> Transformer:
    torch.manual_seed(1)
    model = load_model(start)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * amount)
    return model


def test_a_model_that_has_not_changed_pays_nothing(start: Path, tokenizer: Tokenizer) -> None:
    tax = tax_of(start, tokenizer)
    assert len(tax.prompts) == 30 + 1, "what fills the context is not asked"
    tax.conclude(load_model(start))
    report = tax.run.report["tax"]
    assert report["after"] == report["before"] | {"kl_per_token": pytest.approx(0, abs=1e-6)}
    assert report["exceeded"] == [] and "all of it within the limits" in tax.run.said  # type: ignore[attr-defined]


def test_what_goes_beyond_a_limit_is_said(start: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = tmp_path / "general.jsonl"
    text.write_text("".join(f'{{"text": "{line}"}}\n' for line in small_texts(20, seed=3)))
    tax = tax_of(start, tokenizer, data=[text], tokens=200, loss_rise=0.0)
    assert sum(map(len, tax.documents)) == 200
    model = changed(start, 0.3)
    model.train()
    watched = tax.watch(model)
    assert model.training and tax.penalty(watched) > 0 and watched["bits_per_character"] > 0
    tax.conclude(model)
    report, said = tax.run.report["tax"], "\n".join(tax.run.said)  # type: ignore[attr-defined]
    assert "bits_per_character" in report["exceeded"] and report["after"]["kl_per_token"] > 0.05
    assert "the held-out loss rose by" in said and "--tax.loss-rise 0" in said and "think twice" in said


def test_limits_and_penalties(start: Path, tokenizer: Tokenizer) -> None:
    tax = tax_of(start, tokenizer)
    before = {"bits_per_character": 2.0, "loop_rate": 0.1, "right": 0.9}
    tax.before = State(before, [])
    assert tax.penalty(before) == 0 and tax.looping(before) is None
    assert tax.penalty(before | {"bits_per_character": 2.03, "loop_rate": 0.19, "right": 0.89}) == 0
    assert tax.penalty(before | {"bits_per_character": 2.08}) == pytest.approx(1.0)
    assert tax.penalty(before | {"loop_rate": 0.5, "right": 0.86}) == pytest.approx(3.0 + 1.0)
    assert "50% of the answers run in circles, 10% did" in str(tax.looping(before | {"loop_rate": 0.5}))
    assert list(tax.excess({"kl_per_token": 0.7})) == ["kl_per_token"]


def test_figures_of_answers() -> None:
    def answer(text: str, finish: str) -> Answer:
        return Answer(Question([asked("?")], []), text, finish)

    figures = answer_figures([answer("好好好好", "stop"), answer("好的", "stop"), answer("是不是" * 5, "length")])
    assert figures["loop_rate"] == pytest.approx(1 / 3) and figures["ended_rate"] == pytest.approx(2 / 3)
    assert figures["distinct_2"] == pytest.approx(5 / 18), "好好 好的 是不 不是 是是"
    assert figures["mean_characters"] == 7
    assert answer_figures([]) == {}


def test_bootstrap_is_the_textbooks_interval() -> None:
    wins = (np.arange(200) < 130).astype(float)
    low, high = bootstrap(wins)
    spread = 1.96 * np.sqrt(0.65 * 0.35 / 200)
    assert low == pytest.approx(0.65 - spread, abs=0.01) and high == pytest.approx(0.65 + spread, abs=0.01)
    assert bootstrap(np.ones(9)) == [1.0, 1.0]


def test_the_reward_model_judges_after_against_before(
    start: Path, tokenizer: Tokenizer, tokenizer_dir: Path, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    judge = reward_model_from(start)
    torch.nn.init.normal_(judge.score.weight)
    save_model(tmp_path / "judge", judge, tokenizer_dir)
    tax = tax_of(start, tokenizer, reward_model=tmp_path / "judge")
    after = [Answer(old.question, new, "stop") for old, new in zip(tax.before.answers, small_texts(31), strict=True)]
    after[0] = tax.before.answers[0]
    won = tax.win_rate(after)
    judge = load_reward_model(tmp_path / "judge").eval()

    def ids(answer: Answer) -> list[int]:
        ids, trained = render(tokenizer, [*answer.question.messages, {"role": "assistant", "content": answer.text}])
        return ids[: len(trained) - trained[::-1].index(True)]

    def score(answer: Answer) -> float:
        with torch.no_grad():
            return float(judge.rewards(judge(torch.tensor([ids(answer)])))[0, -1])

    both = zip(after, tax.before.answers, strict=True)
    scores = [(score(new), score(old)) for new, old in both if max(len(ids(new)), len(ids(old))) <= 64]
    wins = [1.0 if new > old else 0.5 if new == old else 0.0 for new, old in scores]
    assert {0.0, 0.5, 1.0} == set(wins) and won["questions"] == len(wins)
    assert won["share"] == pytest.approx(np.mean(wins))
    assert won["reward_after"] == pytest.approx(np.mean([new for new, _ in scores]), abs=1e-4)


def test_a_judge_of_other_tokens_is_refused(start: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_tokenizer(train(small_texts(seed=7), 512), other)
    with pytest.raises(ValueError, match=r"--tax\.reward-model .*another tokenizer"):
        tax_of(start, tokenizer, reward_model=other)


def test_questions_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "asked.txt").write_text("一？\n\n 二？ \n", encoding="utf-8")
    assert fixed_questions(tmp_path / "asked.txt") == [[asked("一？")], [asked("二？")]]
    ours = [messages[0]["content"] for messages in fixed_questions(None)]
    assert len(set(ours)) == 30


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"loss_rise": -0.1}, {"kl": -1.0}])
def test_impossible_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--tax"):
        TaxSettings(**wrong)
