"""yanmo generate: every kind of row, batches that change nothing, and resuming to the same bytes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import VOCABULARY, small_texts
from yanmo.cli import run
from yanmo.model.checkpoint import save_model
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.text.preferences import read_preferences

SAMPLING = ("--max-new-tokens", "12", "--temperature", "0.9", "--top-k", "50", "--device", "cpu")


@pytest.fixture(scope="module")
def model_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         max_position_embeddings=64)  # fmt: skip
    directory = tmp_path_factory.mktemp("model")
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [{"prompt": text[:number]} for number, text in enumerate(small_texts(8), 1)]
    rows[2] = {"messages": [{"role": "user", "content": "你好"}], "id": 7}
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def generate(model: Path, prompts: Path, out: Path, *more: str) -> int:
    return run(["generate", "--model", str(model), "--prompts", str(prompts), "--out", str(out), *SAMPLING, *more])


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "completions.jsonl").read_text().splitlines()]


def test_each_prompt_is_answered_in_order(model_dir: Path, prompts: Path, tmp_path: Path) -> None:
    assert generate(model_dir, prompts, tmp_path / "out", "--batch-size", "3") == 0
    given = [json.loads(line) for line in prompts.read_text().splitlines()]
    found = rows(tmp_path / "out")
    assert [row.get("prompt") for row in found] == [row.get("prompt") for row in given]
    assert found[2]["messages"] == given[2]["messages"]
    for row in found:
        assert row["finish"] in ("stop", "length") and row["tokens"] <= 12 and "\ufffd" not in row["completion"]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["prompts"] == 8 and report["tokens"] == sum(row["tokens"] for row in found)


def test_batch_size_changes_nothing_in_fp32(model_dir: Path, prompts: Path, tmp_path: Path) -> None:
    for size in ("1", "8"):
        assert generate(model_dir, prompts, tmp_path / size, "--batch-size", size, "--dtype", "fp32") == 0
    assert rows(tmp_path / "1") == rows(tmp_path / "8")


@pytest.mark.parametrize("kept", [0, 1, 4, 5, 8])
def test_resume_gives_the_same_bytes(kept: int, model_dir: Path, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert generate(model_dir, prompts, out, "--batch-size", "2") == 0
    whole = (out / "completions.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (out / "completions.jsonl").write_bytes(b"".join(lines[:kept]) + b"".join(lines[kept:])[:9])  # torn in a row
    (out / "report.json").unlink()
    assert generate(model_dir, prompts, out, "--batch-size", "2", "--resume") == 0
    assert (out / "completions.jsonl").read_bytes() == whole
    report = json.loads((out / "report.json").read_text())
    assert report["resumed_at"] == kept // 2 * 2
    assert report["tokens"] == sum(row["tokens"] for row in rows(out))


def test_text_lines_are_prompts_and_chat_wraps_them(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("张明在\n\n李华在北京\n")
    for name, flags in (("plain", ()), ("chat", ("--chat",))):
        assert generate(model_dir, tmp_path / "lines.txt", tmp_path / name, "--temperature", "0", *flags) == 0
        assert [row["prompt"] for row in rows(tmp_path / name)] == ["张明在", "李华在北京"]
    assert rows(tmp_path / "plain") != rows(tmp_path / "chat")


@pytest.mark.parametrize(("text", "words"), [
    ('{"question": "?"}\n', ("prompts.jsonl:1", '"prompt"')),
    ('{"prompt": "好"}\n{"messages": [{"role": "assistant", "content": "好"}]}\n', ("prompts.jsonl:2", "user turn")),
    ('{"prompt": "' + "好" * 500 + '"}\n', ("prompts.jsonl:1", "context is 64")),
    ('{"prompt": ""}\n', ("prompts.jsonl:1", "empty")),
    ('{"prompt": \n', ("prompts.jsonl:1", "broken")),
])  # fmt: skip
def test_bad_prompts_are_named(
    text: str, words: tuple[str, ...], model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.jsonl").write_text(text)
    assert generate(model_dir, tmp_path / "prompts.jsonl", tmp_path / "out") == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert all(word in message for word in words), message


def rejected(model: Path, chats: Path, out: Path, *more: str) -> int:
    return run(["generate", "--model", str(model), "--conversations", str(chats), "--out", str(out), *SAMPLING, *more])


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    rows: list[dict] = [
        {"instruction": f"第{n}个问题", "input": "", "output": text} for n, text in enumerate(small_texts(7))
    ]
    rows.insert(2, {"instruction": "好" * 500, "input": "", "output": "太长了。"})
    rows.insert(4, {"instruction": "没有回答", "input": "", "output": ""})
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_rejected_answers_make_preferences(model_dir: Path, chats: Path, tmp_path: Path) -> None:
    assert rejected(model_dir, chats, tmp_path / "out", "--batch-size", "3") == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["conversations"] == {"read": 9, "left_out": {"question_fills_the_context": 1, "empty_assistant": 1}}
    assert report["prompts"] == 7 and report["prompts_per_second"] > 0 and report["hours_for_50000"] > 0
    completed = rows(tmp_path / "out")
    pairs = [json.loads(line) for line in (tmp_path / "out/preferences.jsonl").read_text().splitlines()]
    assert [pair["chosen"] for pair in pairs] == small_texts(7) and report["preferences"]["pairs"] == 7
    assert [pair["rejected"] for pair in pairs] == [row["completion"].strip() for row in completed]
    assert [pair["messages"] for pair in pairs] == [row["messages"] for row in completed]
    read = read_preferences([tmp_path / "out/preferences.jsonl"])
    assert [comparison.pair.chosen for comparison in read] == small_texts(7)  # type: ignore[union-attr]


@pytest.mark.parametrize("kept", [0, 3, 7])
def test_rejected_answers_resume_to_the_same_bytes(kept: int, model_dir: Path, chats: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert rejected(model_dir, chats, out, "--batch-size", "2") == 0
    names = ("completions.jsonl", "preferences.jsonl")
    whole = [(out / name).read_bytes() for name in names]
    (out / names[0]).write_bytes(b"".join(whole[0].splitlines(keepends=True)[:kept]))
    (out / names[1]).unlink()
    (out / "report.json").unlink()
    assert rejected(model_dir, chats, out, "--batch-size", "2", "--resume") == 0
    assert [(out / name).read_bytes() for name in names] == whole


def test_killed_rejected_answers_resume(model_dir: Path, chats: Path, tmp_path: Path) -> None:
    """A real kill -9, after the first batch is on the disk."""
    many = tmp_path / "many.jsonl"
    many.write_text("".join(line for line in chats.read_text().splitlines(keepends=True) for _ in range(10)))
    command = ["generate", "--model", str(model_dir), "--conversations", str(many), *SAMPLING, "--batch-size", "2"]
    killed = subprocess.Popen([sys.executable, "-m", "yanmo", *command, "--out", str(tmp_path / "killed")])
    deadline = time.monotonic() + 60
    while not (completions := tmp_path / "killed" / "completions.jsonl").exists() or not completions.stat().st_size:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert run([*command, "--out", str(tmp_path / "killed"), "--resume"]) == 0
    assert run([*command, "--out", str(tmp_path / "whole")]) == 0
    for name in ("completions.jsonl", "preferences.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_prompts_or_conversations(model_dir: Path, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert rejected(model_dir, chats, tmp_path / "out", "--prompts", str(chats)) == 2
    assert "either --prompts" in capsys.readouterr().err
