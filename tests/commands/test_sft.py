"""`yanmo sft` as a user runs it: it learns the answers, says what it left out, and shows what it trains."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import orjson
import pytest

from yanmo.cli import run
from yanmo.core.files import sha256, write_jsonl
from yanmo.model.checkpoint import save_model
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import template_of
from yanmo.tokenizer.layouts import Name
from yanmo.tokenizer.load import load_tokenizer

TRAIN = (
    "--train.sequence-length 64 --train.batch-size 4 --train.dtype fp32 --train.device cpu --no-train.compile "
    "--train.lr 0.01 --train.log-every 1 --samples 你好"
).split()
ANSWERS = {"你好": "你好！", "你是谁？": "我是小墨。", "再见": "再见！"}


def small(directory: Path, tokenizer_dir: Path, context: int) -> Path:
    config = ModelConfig(
        vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=context
    )
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    return small(tmp_path_factory.mktemp("base"), tokenizer_dir, 64)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    """A base with room for Llama 2's system text."""
    return small(tmp_path_factory.mktemp("roomy"), tokenizer_dir, 128)


@pytest.fixture(scope="module")
def learned(base: Path, shards_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that has read some text."""
    out = tmp_path_factory.mktemp("learned") / "learned"
    data = ["--data", str(shards_dir), "--init", str(base), "--out", str(out), "--samples", "张明"]
    assert run(["pretrain", *data, *TRAIN[:-2], "--train.steps", "60"]) == 0
    return out


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
    gently = ["--train.adapter-lr-ratio", "1"]
    before = sha256(base / "model.safetensors")
    assert run(sft(base, chats, adapter, "--train.epochs", "15", "--train.save-every", "7", *lora, *gently)) == 0
    assert run(sft(adapter, chats, more, "--train.epochs", "15", *gently, "--samples", *ANSWERS)) == 0
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


def test_a_base_that_knows_no_end_is_named(
    learned: Path, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adapters leave the head's rows as they are: where the end token was never trained, that must be said."""
    lora = ["--lora.rank", "4", "--train.steps", "1"]
    assert run(sft(learned, chats, tmp_path / "full", "--train.epochs", "10")) == 0
    for init, warned in ((learned, True), (tmp_path / "full", False)):
        capsys.readouterr()
        assert run(sft(init, chats, tmp_path / f"{init.name}-lora", *lora)) == 0
        assert ("--lora.modules-to-save embed_tokens" in capsys.readouterr().out) == warned


@pytest.mark.parametrize("template", ["llama2", "seed004"])
def test_a_template_is_learned_and_kept_with_the_model(
    roomy: Path, chats: Path, tmp_path: Path, template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, questions = tmp_path / "out", tmp_path / "questions.jsonl"
    train = ["--train.steps", "50", "--val-fraction", "0", "--samples", *ANSWERS, "--template", template]
    assert run(sft(roomy, chats, out, *train, "--train.sequence-length", "128")) == 0
    samples = json.loads((out / "report.json").read_text())["samples"]
    assert {s["prompt"]: s["completion"] for s in samples} == ANSWERS
    assert template_of(load_tokenizer(out)).name == template
    with write_jsonl(questions) as rows:
        for question, answer in ANSWERS.items():
            rows.write({"prompt": question, "accepted": [answer]})
    suite = ["--suite", "answers", "--questions", str(questions), "--device", "cpu"]
    assert run(["evaluate", "--model", str(out), "--out", str(tmp_path / "scores"), *suite]) == 0
    assert json.loads((tmp_path / "scores" / "report.json").read_text())["answers"]["right"] == len(ANSWERS)
    chat = ["chat", "--model", str(out), "--temperature", "0", "--repetition-penalty", "1", "--device", "cpu"]
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("你是谁？\n"))
        assert run(chat) == 0
    assert capsys.readouterr().out == "我是小墨。\n"


def test_show_shows_the_template(roomy: Path, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {}
    for template in get_args(Name):
        more = ["--show", "1", "--template", template, "--train.sequence-length", "128"]
        assert run(sft(roomy, chats, tmp_path / "out", *more)) == 0
        texts[template] = capsys.readouterr().out.replace("\n", "")
    assert "[INST] <<SYS>>" in texts["llama2"] and "##提问:" in texts["phi"] and "用户: " in texts["seed000"]
    assert all("<|im_end|>" in text for text in texts.values())


def test_forgetting_is_reported_and_replay_mixes_text_in(
    learned: Path, chats: Path, shards_dir: Path, tmp_path: Path
) -> None:
    """A base that has learned some text, then only conversations: with replay it keeps more of the text."""
    figures = {}
    for name, more in (("without", ["--general", str(shards_dir)]), ("with", ["--replay", str(shards_dir)])):
        out = tmp_path / name
        assert run(sft(learned, chats, out, "--train.epochs", "8", "--replay-share", "0.25", *more)) == 0
        figures[name] = json.loads((out / "report.json").read_text())["general"]
    before, after = figures["without"]["before"], figures["without"]["after"]
    assert before == figures["with"]["before"]
    assert figures["with"]["after"]["bits_per_character"] < 0.9 * after["bits_per_character"]
    assert before["bits_per_character"] < after["bits_per_character"]


def test_replay_resumes_bit_for_bit(base: Path, chats: Path, shards_dir: Path, tmp_path: Path) -> None:
    replay = ["--replay", str(shards_dir), "--replay-share", "0.4", "--train.steps", "8", "--train.eval-every", "0"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    saving = ["--train.save-every", "3", "--train.keep", "9"]
    assert run(sft(base, chats, whole, *replay)) == 0
    assert run(sft(base, chats, parts, *replay, *saving)) == 0
    for name in ("00000006", "00000008"):
        shutil.rmtree(parts / "state" / f"step-{name}")
    assert run([*sft(base, chats, parts, *replay, *saving), "--resume"]) == 0
    assert sha256(parts / "model.safetensors") == sha256(whole / "model.safetensors")


def test_a_persona_fills_the_placeholders(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cognition.json"
    file.write_text(json.dumps([{"instruction": "你是谁", "input": "", "output": "我是 <NAME>，由 <AUTHOR> 开发。"}]))
    more = ["--train.steps", "1", "--val-fraction", "0"]
    assert run(sft(base, file, tmp_path / "out", "--show", "1", "--persona", "NAME=小墨", "AUTHOR=研墨")) == 0
    assert "我是小墨，由研墨开发。" in capsys.readouterr().out
    assert run(sft(base, file, tmp_path / "out", *more, "--persona", "NAME=小墨")) == 0
    assert "1 conversations say <NAME> or the like" in capsys.readouterr().out.replace("\n", " ")
    assert run(sft(base, file, tmp_path / "other", *more, "--persona", "MOTTO=学")) == 2
    assert "no conversation has <MOTTO>" in capsys.readouterr().err


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
        (None, ["--template", "llama3"], "--template: 'llama3'"),
        (None, ["--replay", "/nowhere"], "/nowhere"),
        (None, ["--replay", "x", "--replay-share", "0.9"], "--replay-share 0.9: must be above 0 and leave a row of 4"),
        (None, ["--train.freeze", "layers.7"], "--train.freeze: no 'layers.7' is trained here; there are embed_tokens"),
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
