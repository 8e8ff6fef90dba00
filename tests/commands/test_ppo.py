"""PPO as a user runs it: it learns, it resumes bit for bit in the middle of a rollout, and it says what is wrong."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import orjson
import pytest
import torch
import transformers

from tests.conftest import small_texts
from yanmo.cli import run
from yanmo.core.files import sha256
from yanmo.evaluate import questions
from yanmo.evaluate.exam import Exam
from yanmo.evaluate.questions import Questions
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.config import ModelConfig
from yanmo.model.reward import RewardModel, load_reward_model
from yanmo.model.streaming import text_of
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import render
from yanmo.tokenizer.load import load_tokenizer
from yanmo.tokenizer.save import save_tokenizer
from yanmo.tokenizer.train import train as train_tokenizer

TRAIN = (
    "--train.sequence-length 64 --train.batch-size 16 --train.dtype fp32 --train.device cpu --no-train.compile "
    "--train.lr 0.003 --train.log-every 1 --train.eval-every 0 --rollout.max-new-tokens 8 --questions 8 "
    "--no-tax.measure"
).split()
TEXTS = [*small_texts(), *["你好，今天天气很好。", "好的，谢谢你。", "大家好！"] * 60]


class Contains:
    """K1's toy: 1 for an answer that contains a text, else 0."""

    def __init__(self, directory: Path, wanted: str, count: int) -> None:
        self.tokenizer, self.wanted, self.count = load_tokenizer(directory), wanted, count
        asked = [[{"role": "user", "content": f"第{number}个问题"}] for number in range(32)]
        self.prompts = [render(self.tokenizer, each, add_generation_prompt=True)[0] for each in asked]

    def ask(self, number: int) -> list[list[int]]:
        return random.Random(number).choices(self.prompts, k=self.count)

    def score(self, ids: list[int]) -> float:
        return float(self.wanted in text_of(ids, self.tokenizer.token_bytes))

    def judge(self, prompts, answers):
        return [[self.score(answer.said) for answer in group] for group in answers]

    def figures(self):
        return {}

    def state(self):
        return {}

    def restore(self, state):
        pass


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer, directory = (tmp_path_factory.mktemp(name) for name in ("tokenizer", "base"))
    save_tokenizer(train_tokenizer(TEXTS, 512), tokenizer)
    torch.manual_seed(0)
    vocabulary = load_tokenizer(tokenizer).vocab_size
    config = ModelConfig(
        vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64
    )
    save_model(directory, Transformer(config), tokenizer)
    return directory


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    """Instead of a task, whoever says 好 is right."""

    def open_toy(settings, *rest):
        contains = Contains(base, "好", settings.groups)
        exam = Exam(contains.prompts[:8], lambda said: [contains.score(each.ids) for each in said], ["toy"] * 8)
        return Questions(contains, exam, [f"{number}" for number in range(8)], 32)

    monkeypatch.setattr(questions, "open_questions", open_toy)


def command(base: Path, out: Path, *more: str) -> list[str]:
    return ["ppo", "--init", str(base), "--task", "sorting:1", "--out", str(out), *TRAIN, *more]


def report(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


def metrics(directory: Path) -> list[dict]:
    return [orjson.loads(line) for line in (directory / "metrics.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("at", "more"),
    [
        (3, ["--ppo.normalise-scores", "--ppo.kl-weight", "0.2", "--ppo.kl-target", "0.01"]),
        (4, ["--rollout.minibatches", "1", "--rollout.epochs", "3", "--lora.rank", "4"]),
    ],
    ids=["minibatches", "adapters"],
)
def test_it_goes_on_in_the_middle_of_a_rollout_bit_for_bit(
    base: Path, tmp_path: Path, toy: None, at: int, more: list[str]
) -> None:
    """A rollout serves four updates, with adapters three: step 3 and step 4 are inside one."""
    once, twice = (tmp_path / name for name in ("once", "twice"))
    again = command(base, twice, "--train.steps", "6", "--train.save-every", str(at), *more)
    assert run(command(base, once, "--train.steps", "6", *more)) == 0
    assert run(again) == 0
    shutil.rmtree(twice / "state" / "step-00000006")  # as if it had been killed before that was finished
    assert run([*again, "--resume"]) == 0
    weights = "adapter_model.safetensors" if "--lora.rank" in more else "model.safetensors"
    for name in (weights, "critic/model.safetensors", "state/step-00000006/optimizer.safetensors"):
        assert sha256(once / name) == sha256(twice / name), name
    assert report(once)["beta"] == report(twice)["beta"]
    last = [metrics(directory)[-2] for directory in (once, twice)]
    assert last[0]["gradient_norm"] == last[1]["gradient_norm"]


def test_what_is_written_loads_elsewhere(base: Path, tmp_path: Path, toy: None) -> None:
    out = tmp_path / "out"
    assert run(command(base, out, "--train.steps", "4")) == 0
    critic = transformers.AutoModelForSequenceClassification.from_pretrained(out / "critic").eval()
    ours, policy = load_reward_model(out / "critic"), load_model(out)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert float(critic(ids).logits) == pytest.approx(float(ours.rewards(ours(ids))[0, -1]), abs=1e-5)
    assert ours.score.weight.abs().sum() > 0, "the critic has learned"
    assert policy.config == load_model(base).config
    row = metrics(out)[0]
    for name in ("kl_answer", "beta", "explained_variance", "entropy", "clipped", "ratio", "kl_from_old", "value_loss"):
        assert name in row, name
    assert row["ratio"] == pytest.approx(1, abs=1e-4)
    figures = report(out)
    assert set(figures["time_shares"]) == {"rollout", "scoring", "training"}
    assert figures["before"]["kl"] == pytest.approx(0, abs=1e-4) and figures["after"]["kl_answer"] != 0


def test_a_run_above_the_cap_stops_and_is_saved(
    base: Path, tmp_path: Path, toy: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    far = ["--ppo.kl-cap", "0.3", "--ppo.kl-target", "0.2", "--ppo.kl-weight", "0", "--train.lr", "0.05"]
    assert run(command(base, out, "--train.steps", "40", *far)) == 0
    assert "stopped early: KL to the reference is" in capsys.readouterr().out
    figures = report(out)
    assert figures["steps"] < 40 and "--ppo.kl-cap 0.3" in figures["stopped"]
    load_model(out)


@pytest.fixture(scope="module")
def judge(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("judge")
    torch.manual_seed(1)
    model = RewardModel(load_model(base).config)
    torch.nn.init.normal_(model.score.weight)
    save_model(directory, model, base)
    return directory


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [{"prompt": f"第{number}个问题"} for number in range(30)] + [{"prompt": "好" * 200}, {"nothing": 1}]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def judged(base: Path, out: Path, prompts: Path, judge: Path, *more: str) -> list[str]:
    given = ["--prompts", str(prompts), "--reward-model", str(judge)]
    return ["ppo", "--init", str(base), "--out", str(out), *given, *TRAIN, *more]


def test_a_reward_model_judges_and_is_where_the_critic_begins(
    base: Path, tmp_path: Path, prompts: Path, judge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, talk = tmp_path / "out", tmp_path / "talk.jsonl"
    turns = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好，今天天气很好。"}]
    talk.write_bytes(orjson.dumps({"messages": turns}))
    tax = ["--tax.measure", "true", "--tax.max-new-tokens", "4", "--data", str(talk)]
    assert run(judged(base, out, prompts, judge, "--train.steps", "1", "--train.lr", "1e-9", *tax)) == 0
    said = capsys.readouterr().out
    assert report(out)["tax"]["after"]["bits_per_character"] > 0 and "all of it within the limits" in said
    assert "30 prompts" in said and "1 too long" in said and "1 without a question" in said
    ours, theirs = (load_reward_model(directory).state_dict() for directory in (out / "critic", judge))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=0)


def test_a_reward_model_with_another_tokenizer_is_refused(
    base: Path, tmp_path: Path, prompts: Path, tokenizer_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    config = ModelConfig(vocab_size=512, hidden_size=64, num_hidden_layers=1, num_attention_heads=2)
    save_model(other, RewardModel(config), tokenizer_dir)
    assert run(judged(base, tmp_path / "out", prompts, other)) == 2
    error = capsys.readouterr().err
    assert "another tokenizer" in error and error.count("\n") == 1


def test_rewards_that_are_no_numbers_are_counted_and_left_out(
    base: Path, tmp_path: Path, prompts: Path, judge: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    from yanmo.evaluate import judge as judges

    scores = judges.scores

    def now_and_then(model, texts):
        found = scores(model, texts).clone()
        found[::5] = float("nan")
        return found

    monkeypatch.setattr(judges, "scores", now_and_then)
    out = tmp_path / "out"
    assert run(judged(base, out, prompts, judge, "--train.steps", "8")) == 0
    assert "rewards are not finite; left out" in capsys.readouterr().out
    assert report(out)["bad_rewards"] == 8  # 4 of 16, twice
    assert all(row["loss"] == row["loss"] for row in metrics(out) if "loss" in row)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--rollout.max-new-tokens", "64"], "--rollout.max-new-tokens"),
        (["--rollout.group-size", "3"], "--rollout.group-size"),
        (["--task", "nothing"], "nothing"),
        (["--reward-model", "."], "only prompts do"),
    ],
)
def test_mistakes_take_one_line(
    base: Path, tmp_path: Path, more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(base, tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


@pytest.mark.slow
def test_the_toy_of_k1(base: Path, tmp_path: Path, toy: None) -> None:
    """Reward for 好: up by at least 0.5 within 5 minutes (it takes one), with KL under its cap."""
    more = "--train.steps 160 --train.batch-size 64 --train.eval-every 40".split()
    assert run(command(base, tmp_path / "out", *more)) == 0
    rewards = [row["reward"] for row in metrics(tmp_path / "out") if "reward" in row]
    kl = [row["kl_answer"] for row in metrics(tmp_path / "out") if "kl_answer" in row]
    assert sum(rewards[-8:]) / 8 - sum(rewards[:4]) / 4 >= 0.5
    assert max(kl) < 30
