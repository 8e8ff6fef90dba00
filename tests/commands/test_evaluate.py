"""`yanmo evaluate` as a user runs it: both suites, what they leave behind, and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import VOCABULARY, small_texts
from yanmo.cli import run
from yanmo.core.files import read_json, read_jsonl, write_json, write_jsonl
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.config import ModelConfig
from yanmo.model.lora import add_adapters
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.transformer import Transformer

SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}


@pytest.fixture(scope="module")
def model_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("model") / "model"
    directory.mkdir()
    config = ModelConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **SHAPE)
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    with write_jsonl(path) as out:
        for number in range(5):
            content = f"张明在{'北京' * number}？"
            kind = ("买", "看")[number % 2]
            out.write({"messages": [{"role": "user", "content": content}], "accepted": ["苹果"], "kind": kind})
    return path


def evaluate(model: Path, out: Path, *more: str) -> int:
    return run(["evaluate", "--model", str(model), "--out", str(out), "--device", "cpu", *more])


def test_likelihood_of_shards_and_of_their_documents_agree(model_dir: Path, shards_dir: Path, tmp_path: Path) -> None:
    with write_jsonl(tmp_path / "held-out.jsonl") as out:
        for text in small_texts(30, seed=1):  # what the fixture's validation split holds
            out.write({"text": text, "source": "", "id": ""})
    reports = []
    for name, data in (("shards", shards_dir), ("documents", tmp_path / "held-out.jsonl")):
        assert evaluate(model_dir, tmp_path / name, "--suite", "likelihood", "--data", str(data)) == 0
        reports.append(read_json(tmp_path / name / "report.json")["likelihood"])
    assert reports[0] == pytest.approx(reports[1])
    assert reports[0]["characters"] == sum(map(len, small_texts(30, seed=1)))


def test_answers_are_scored_and_kept(model_dir: Path, questions: Path, tmp_path: Path) -> None:
    arguments = ("--suite", "answers", "--questions", str(questions), "--max-new-tokens", "6", "--batch-size", "2")
    assert evaluate(model_dir, tmp_path / "out", *arguments) == 0
    rows = list(read_jsonl(tmp_path / "out" / "answers.jsonl"))
    report = read_json(tmp_path / "out" / "report.json")["answers"]
    assert len(rows) == report["questions"] == 5
    assert [row["messages"] for row in rows] == [row["messages"] for row in read_jsonl(questions)]
    assert report["right"] == sum(row["right"] for row in rows)
    assert {name: part["questions"] for name, part in report["by_kind"].items()} == {"买": 3, "看": 2}


def test_several_models_stand_side_by_side(
    model_dir: Path, questions: Path, shards_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model and an adapter on it: the report is keyed by model and holds for each what it holds for one alone."""
    model, adapter = load_model(model_dir), tmp_path / "lora"
    add_adapters(model, LoraSettings(rank=2), model_dir)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.5)
    save_model(adapter, model, model_dir)
    write_json(adapter / "report.json", {"trained_parameters": 1234, "training_time": "0:07", "steps": 5})
    suite = ["--suite", "answers", "likelihood", "--questions", str(questions), "--data", str(shards_dir)]
    suite += ["--max-new-tokens", "6"]
    command = ["evaluate", "--out", str(tmp_path / "both"), "--device", "cpu", *suite]
    assert run([*command, "--model", str(model_dir), str(adapter)]) == 0
    shown = capsys.readouterr().out
    assert "side by side" in shown and "1,234" in shown and "0:07" in shown
    models = read_json(tmp_path / "both" / "report.json")["models"]
    assert list(models) == [str(model_dir), str(adapter)]
    assert models[str(adapter)]["training"] == {"trained_parameters": 1234, "training_time": "0:07", "steps": 5}
    for number, path in enumerate((model_dir, adapter), 1):
        assert evaluate(path, tmp_path / str(number), *suite) == 0
        alone = read_json(tmp_path / str(number) / "report.json")
        assert {name: alone[name] for name in ("answers", "likelihood")} == {
            name: models[str(path)][name] for name in ("answers", "likelihood")
        }
        rows = [
            list(read_jsonl(tmp_path / name)) for name in (f"{number}/answers.jsonl", f"both/answers-{number}.jsonl")
        ]
        assert rows[0] == rows[1]
    assert models[str(model_dir)]["likelihood"] != models[str(adapter)]["likelihood"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--suite", "answer"], "known are likelihood, answers"),
        (["--suite", "answers"], "needs --questions"),
        (["--suite", "likelihood"], "needs --data"),
        (["--suite", "answers", "--questions", "absent.jsonl"], "absent.jsonl: no such file"),
    ],
)
def test_mistakes_are_one_line(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert evaluate(model_dir, tmp_path / "out", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_question_beyond_the_context_is_a_mistake(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with write_jsonl(tmp_path / "long.jsonl") as out:
        out.write({"prompt": "北京" * 100, "accepted": ["苹果"]})
    arguments = ("--suite", "answers", "--questions", str(tmp_path / "long.jsonl"))
    assert evaluate(model_dir, tmp_path / "out", *arguments) == 2
    assert "context is 64" in capsys.readouterr().err
