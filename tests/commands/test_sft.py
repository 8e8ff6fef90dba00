"""`yanmo sft` as a user runs it: it learns the answers, says what it left out, and shows what it trains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from yanmo.cli import run
from yanmo.core.files import sha256
from yanmo.model.checkpoint import save_model
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer

TRAIN = (
    "--train.sequence-length 64 --train.batch-size 4 --train.dtype fp32 --train.device cpu --no-train.compile "
    "--train.lr 0.01 --train.log-every 1 --samples 你好"
).split()
ANSWERS = {"你好": "你好！", "你是谁？": "我是小墨。", "再见": "再见！"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    directory = tmp_path_factory.mktemp("base")
    config = ModelConfig(
        vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64
    )
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rows = [{"instruction": q, "input": "", "output": a} for q, a in ANSWERS.items()] * 12
    file = tmp_path / "chats.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def sft(base: Path, data: Path, out: Path, *more: str) -> list[str]:
    return ["sft", "--init", str(base), "--data", str(data), "--out", str(out), *TRAIN, *more]


def test_it_learns_to_answer_and_to_stop(base: Path, chats: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    questions = list(ANSWERS)
    assert run(sft(base, chats, out, "--train.epochs", "20", "--val-fraction", "0", "--samples", *questions)) == 0
    samples = json.loads((out / "report.json").read_text())["samples"]
    assert {s["prompt"]: s["completion"] for s in samples} == ANSWERS
    assert {s["finish"] for s in samples} == {"stop"}


def test_an_adapter_learns_goes_on_and_is_merged(base: Path, chats: Path, tmp_path: Path) -> None:
    adapter, more, merged = tmp_path / "adapter", tmp_path / "more", tmp_path / "merged"
    lora = "--lora.rank 8 --lora.dropout 0.1 --lora.modules-to-save embed_tokens --train.optimizer adamw".split()
    before = sha256(base / "model.safetensors")
    assert run(sft(base, chats, adapter, "--train.epochs", "15", "--train.save-every", "7", *lora)) == 0
    assert run(sft(adapter, chats, more, "--train.epochs", "15", "--samples", *ANSWERS)) == 0
    assert run(["merge", "--adapter", str(more), "--out", str(merged)]) == 0
    assert sha256(base / "model.safetensors") == before
    answers = {s["prompt"]: s["completion"] for s in json.loads((more / "report.json").read_text())["samples"]}
    assert answers == ANSWERS
    out = tmp_path / "prompts"
    out.mkdir()
    (out / "p.jsonl").write_bytes(
        b"".join(orjson.dumps({"messages": [{"role": "user", "content": q}]}) + b"\n" for q in ANSWERS)
    )
    for model in (more, merged):
        generate = ["generate", "--model", str(model), "--prompts", str(out / "p.jsonl"), "--temperature", "0"]
        assert run([*generate, "--out", str(out / model.name)]) == 0
    written = [(out / name / "completions.jsonl").read_text() for name in ("more", "merged")]
    assert written[0] == written[1] and all(answer in written[0] for answer in ANSWERS.values())


def test_an_adapter_resumes_bit_for_bit(base: Path, chats: Path, tmp_path: Path) -> None:
    lora = ["--lora.rank", "4", "--lora.dropout", "0.3", "--train.steps", "8"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(sft(base, chats, whole, *lora)) == 0
    assert run(sft(base, chats, parts, *lora, "--train.save-every", "3", "--train.keep", "9")) == 0
    for name in ("00000006", "00000008"):
        shutil.rmtree(parts / "state" / f"step-{name}")
    assert run([*sft(base, chats, parts, *lora, "--train.save-every", "3", "--train.keep", "9"), "--resume"]) == 0
    assert sha256(parts / "adapter_model.safetensors") == sha256(whole / "adapter_model.safetensors")


def test_an_adapter_on_an_adapter_is_refused(
    base: Path, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = ["--lora.rank", "4", "--train.steps", "1"]
    assert run(sft(base, chats, tmp_path / "one", *lora)) == 0
    assert run(sft(tmp_path / "one", chats, tmp_path / "two", *lora)) == 2
    assert "yanmo merge" in capsys.readouterr().err
    assert run(["merge", "--adapter", str(base), "--out", str(tmp_path / "merged")]) == 2
    assert "not an adapter directory" in capsys.readouterr().err


def test_what_is_left_out_is_counted_by_reason(base: Path, chats: Path, tmp_path: Path) -> None:
    with open(chats, "ab") as stream:
        for row in (
            {"instruction": "长", "output": "很" * 500},
            {"instruction": "", "output": "没有问题"},
            {"instruction": "没有回答", "output": ""},
        ):
            stream.write(orjson.dumps(row) + b"\n")
        stream.write(b'{"instruction": broken\n')
    out = tmp_path / "out"
    assert run(sft(base, chats, out, "--train.steps", "2", "--val-fraction", "0.3")) == 0
    counts = json.loads((out / "report.json").read_text())["conversations"]
    assert counts["read"] == 40
    kept = counts["training"]["kept"] + counts["validation"]["kept"]
    dropped = sum(sum(counts[part]["dropped"].values()) for part in ("training", "validation"))
    assert kept == 36 and dropped == 1
    assert sum(counts["rejected"].values()) == 3


def test_copies_of_a_conversation_are_never_on_both_sides(base: Path, chats: Path, tmp_path: Path) -> None:
    from yanmo.commands.sft import Settings, split

    training, held_out, _ = split(Settings(init=base, data=[chats], out=tmp_path, val_fraction=0.5))
    assert not {str(m) for m in training} & {str(m) for m in held_out}
    assert len(training) + len(held_out) == 36


def test_show_prints_trained_tokens_in_colour_and_trains_nothing(base: Path, chats: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "yanmo", *sft(base, chats, out, "--show", "1")],
        capture_output=True,
        text=True,
        env=os.environ | {"FORCE_COLOR": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    trained = "".join(part.split("\033[0m")[0] for part in done.stdout.split("\033[1;32m")[1:])
    assert trained.startswith("你好！<|im_end|>") or trained.startswith("我是小墨。<|im_end|>"), done.stdout
    assert "user" not in trained
    assert not out.exists()


def test_the_same_command_gives_the_same_weights(base: Path, chats: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(sft(base, chats, tmp_path / name, "--train.steps", "3")) == 0
    assert sha256(tmp_path / "a" / "model.safetensors") == sha256(tmp_path / "b" / "model.safetensors")


@pytest.mark.parametrize(
    ("content", "change", "message"),
    [
        (b'{"foo": 1}\n', [], "foo"),
        (b"", [], "no rows"),
        (b'{"instruction": "a", "output": ""}\n', [], "no conversation left to train on"),
        (None, ["--train.sequence-length", "128"], "--train.sequence-length: 128 is above the model's context, 64"),
        (None, ["--init", "/nowhere"], "/nowhere"),
        (None, ["--format", "elpaca"], "elpaca"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    base: Path,
    chats: Path,
    tmp_path: Path,
    content: bytes | None,
    change: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        chats.write_bytes(content)
    assert run(sft(base, chats, tmp_path / "out", *change)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
