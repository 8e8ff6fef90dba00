"""GRPO as a user runs it, on a tiny model: a reward it can learn in seconds, resuming, adapters, reward models, and
what a user may get wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import orjson
import pytest
import torch

from tests.conftest import VOCABULARY
from yanmo.cli import run
from yanmo.core.files import sha256
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.config import ModelConfig
from yanmo.model.reward import RewardModel
from yanmo.model.transformer import Transformer

SMALL = (
    "--train.sequence-length 192 --train.dtype fp32 --train.device cpu --no-train.compile --train.lr 0.003 "
    "--train.log-every 1 --train.eval-every 0 --train.batch-size 16 --rollout.group-size 4 --rollout.max-new-tokens 8 "
    "--questions 12 --no-tax.measure"
).split()


def config(**more: int) -> ModelConfig:
    shape = dict(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=2)
    return ModelConfig(**(shape | {"max_position_embeddings": 192} | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    directory = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    save_model(directory, Transformer(config()), tokenizer_dir)
    return directory


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    """A reward model that never learned anything: it likes some answers better than others, and that will do."""
    directory = tmp_path_factory.mktemp("judge")
    torch.manual_seed(1)
    model = RewardModel(config())
    torch.nn.init.normal_(model.score.weight)
    save_model(directory, model, tokenizer_dir)
    return directory


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows: list[dict] = [{"prompt": f"第{number}个问题"} for number in range(20)]
    rows += [{"messages": [{"role": "user", "content": "你好"}]}, {"prompt": "长" * 400}, {"prompt": ""}, {"x": 1}]
    rows += [{"messages": [{"role": "robot", "content": "你好"}]}, {"messages": [{"role": "user", "content": 3}]}]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def command(init: Path, out: Path, *more: str, task: str = "counting:1") -> list[str]:
    return ["grpo", "--init", str(init), "--task", task, "--out", str(out), *SMALL, *more]


def asked(base: Path, prompts: Path, judge: Path, out: Path, *more: str) -> list[str]:
    files = ["--prompts", str(prompts), "--reward-model", str(judge)]
    return ["grpo", "--init", str(base), *files, "--out", str(out), *SMALL, *more]


def report(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


def metrics(directory: Path) -> list[dict]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_tasks_lists_and_writes_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks"]) == 0 and "sorting:1" in capsys.readouterr().out
    out = tmp_path / "examples"
    again = ["tasks", "--task", "sorting:1-2", "idioms", "--count", "6", "--out", str(out)]
    assert run(again) == 0
    rows = [json.loads(line) for line in (out / "conversations.jsonl").read_text().splitlines()]
    assert len(rows) == 12 and [row["level"] for row in rows[:4]] == [1, 2, 1, 2]
    assert [turn["role"] for turn in rows[0]["messages"]] == ["user", "assistant"]
    assert run(["tasks", "--task", "sortieren", "--out", str(tmp_path / "x")]) == 2


def test_a_task_from_beginning_to_end(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "grpo"
    assert run(command(base, out, "--train.steps", "2")) == 0
    row = metrics(out)[0]
    wanted = {"kl", "entropy", "length", "pass", "pass/counting/1", "rollout", "scoring", "training", "cut_off"}
    assert wanted <= row.keys() and row["kl"] == pytest.approx(0, abs=1e-6)
    result = report(out)
    assert sum(result["time_shares"].values()) == pytest.approx(1)
    assert result["after"]["right"]["all"]["questions"] == result["before"]["right"]["all"]["questions"] > 5
    text = capsys.readouterr().out
    assert "held-out questions" in text and "KL from the reference" in text and "time: rollout" in text
    assert "yanmo tasks" in text, "a model that is never right is told what to do"
    load_model(out)


@pytest.mark.parametrize("lora", [[], ["--lora.rank", "4"]], ids=["full", "lora"])
def test_a_run_that_was_killed_goes_on_bit_for_bit(
    base: Path, judge: Path, prompts: Path, tmp_path: Path, lora: list[str]
) -> None:
    """The checkpoint at step 3 lies in the middle of a rollout, which serves four updates."""
    four_each = ["--rollout.minibatches", "2", "--rollout.epochs", "2", "--grpo.kl", "0.1"]
    more = [*four_each, *lora, "--train.steps", "7", "--train.save-every", "3", "--train.keep", "9"]
    assert run(asked(base, prompts, judge, tmp_path / "once", *more)) == 0
    killed = tmp_path / "twice"
    shutil.copytree(tmp_path / "once", killed)
    for later in ("step-00000006", "step-00000007"):
        shutil.rmtree(killed / "state" / later)
    (killed / "report.json").unlink()
    assert run([*asked(base, prompts, judge, killed, *more), "--resume"]) == 0
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    assert sha256(killed / name) == sha256(tmp_path / "once" / name)
    whole = {row["step"]: row for row in metrics(tmp_path / "once") if "reward" in row}
    assert whole[1]["reward"] != whole[5]["reward"] and whole[5]["gradient_norm"] > 0
    for row in metrics(killed)[-4:]:
        if "reward" in row and row["step"] > 4:
            assert row["reward"] == whole[row["step"]]["reward"]


def test_the_kl_cap_ends_the_run_and_the_best_below_it_stays(
    base: Path, judge: Path, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grpo"
    more = ["--train.lr", "0.01", "--train.eval-every", "2", "--train.steps", "30", "--grpo.kl-cap", "0.05"]
    assert run(asked(base, prompts, judge, out, *more)) == 0
    result = report(out)
    assert "--grpo.kl-cap" in result["stopped"] and result["steps"] < 30
    assert result["best_step"] < result["steps"] or result["after"]["kl"] > 0.05


def test_a_reward_model_judges_a_files_prompts(
    base: Path, judge: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grpo"
    assert run(asked(base, prompts, judge, out, "--train.steps", "6", "--whiten", "--questions", "4")) == 0
    assert report(out)["prompts"] == {"kept": 21, "left_out": {"too long": 1, "without a question": 4}}
    assert "win rate over before" in capsys.readouterr().out
    rows = [row for row in metrics(out) if "score" in row]
    assert rows[0]["reward"] == pytest.approx(0, abs=1e-6), "whitened"
    assert rows[0]["score"] != pytest.approx(0, abs=1e-6)


def test_held_out_text_is_measured(base: Path, judge: Path, prompts: Path, tmp_path: Path) -> None:
    conversations, documents = tmp_path / "chats.jsonl", tmp_path / "texts.jsonl"
    conversations.write_bytes(orjson.dumps({"prompt": "你好", "response": "张明在北京买了苹果。"}) + b"\n")
    documents.write_bytes(orjson.dumps({"text": "张明在北京买了苹果。", "source": "s", "id": "1"}) + b"\n")
    found = []
    for data in (conversations, documents):
        out = tmp_path / data.stem
        more = ["--train.steps", "2", "--data", str(data), "--tax.measure", "true", "--tax.max-new-tokens", "4"]
        assert run(asked(base, prompts, judge, out, *more)) == 0
        tax = report(out)["tax"]
        found.append(tax["before"]["bits_per_character"])
        assert tax["after"]["bits_per_character"] != found[-1] > 0
    assert found[0] != found[1]


def test_mistakes_are_answered_in_one_line(
    base: Path, judge: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def says(arguments: list[str], *words: str) -> None:
        assert run(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1 and all(word in error for word in words), error

    out = tmp_path / "grpo"
    says(command(base, out, "--rollout.group-size", "1"), "--rollout.group-size", "at least 2")
    says(command(base, out, "--train.batch-size", "10"), "--train.batch-size", "groups")
    says(command(base, out, "--rollout.max-new-tokens", "191"), "tokens", "--train.sequence-length")
    says(command(base, out, "--rollout.max-new-tokens", "192"), "no room")
    says(command(base, tmp_path / "level", task="counting:7"), "--task", "levels 1 to 5")
    says(["grpo", "--init", str(base), "--out", str(out)], "--task", "yanmo tasks")
    says(["grpo", "--init", str(base), "--prompts", str(prompts), "--out", str(out)], "--reward-model")
    says(asked(base, prompts, base, tmp_path / "judge"), "where a reward model")
    long = tmp_path / "long.jsonl"
    long.write_bytes(orjson.dumps({"prompt": "长" * 400}) + b"\n")
    says(asked(base, long, judge, tmp_path / "long"), "no prompt left", "1 too long")


def test_a_reward_model_with_another_tokenizer(
    base: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.conftest import small_texts
    from yanmo.tokenizer.save import save_tokenizer
    from yanmo.tokenizer.train import train

    other = tmp_path / "tokenizer"
    save_tokenizer(train(small_texts(seed=9), 520), other)
    save_model(tmp_path / "judge", RewardModel(config(vocab_size=520)), other)
    assert run(asked(base, prompts, tmp_path / "judge", tmp_path / "out")) == 2
    assert "another tokenizer" in capsys.readouterr().err


def test_rewards_of_nan(
    base: Path, prompts: Path, tmp_path: Path, tokenizer_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = RewardModel(config())
    torch.nn.init.constant_(broken.score.weight, float("nan"))
    save_model(tmp_path / "judge", broken, tokenizer_dir)
    assert run(asked(base, prompts, tmp_path / "judge", tmp_path / "out", "--train.steps", "2")) == 1
    assert "not one reward is a finite number" in capsys.readouterr().err
