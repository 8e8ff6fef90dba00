"""`yanmo pretrain` as a user runs it: resuming bit for bit after every kind of end, finishing a trunk, mistakes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from yanmo.cli import run
from yanmo.core.files import sha256
from yanmo.train.state import checkpoints

SHAPE = "--model.hidden-size 32 --model.num-hidden-layers 2 --model.num-attention-heads 2".split()
TRAIN = (
    "--train.steps 24 --train.sequence-length 32 --train.batch-size 8 --train.dtype fp32 --train.device cpu "
    "--train.save-every 5 --train.eval-every 0 --train.log-every 1 --no-train.compile --samples 张明在"
).split()


def pretrain(data: Path, out: Path, *more: str) -> list[str]:
    return ["pretrain", "--data", str(data), "--out", str(out), *SHAPE, *TRAIN, *more]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "yanmo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


@pytest.fixture(scope="module")
def undisturbed(shards_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert run(pretrain(shards_dir, out)) == 0
    return out


def losses(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def test_a_run_leaves_what_the_contract_says(undisturbed: Path) -> None:
    for name in (
        "run.toml report.json metrics.jsonl loss.png config.json model.safetensors generation_config.json "
        "tokenizer.json tokenizer_config.json"
    ).split():
        assert (undisturbed / name).is_file(), name
    report = json.loads((undisturbed / "report.json").read_text())
    assert report["steps"] == 24 and report["finished"]
    assert report["validation"]["bits_per_character"] > report["validation"]["bits_per_byte"] > 0
    assert losses(undisturbed)[24] < losses(undisturbed)[1] - 1
    assert report["samples"][0]["prompt"] == "张明在"


@pytest.mark.parametrize("when", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_resumes_bit_for_bit(
    undisturbed: Path, shards_dir: Path, tmp_path: Path, when: signal.Signals
) -> None:
    """Interrupted again and again at random moments, by the signal, until it finishes."""
    out, moments = tmp_path / "out", random.Random(int(when))
    exits = []
    for _ in range(12):
        process = start(pretrain(shards_dir, out, *(["--resume"] if (out / "run.toml").is_file() else [])))
        deadline = time.monotonic() + 60
        steps_wanted = moments.randint(5, 14) + (max(losses(out)) if (out / "metrics.jsonl").is_file() else 0)
        while process.poll() is None and time.monotonic() < deadline:
            if (out / "metrics.jsonl").is_file() and max(losses_so_far(out), default=0) >= steps_wanted:
                process.send_signal(when)
                break
            time.sleep(0.005)
        process.communicate(timeout=60)
        exits.append(process.returncode)
        if process.returncode == 0:
            break
    assert exits[-1] == 0, exits
    expected = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[when]
    assert set(exits[:-1]) <= {expected}, exits
    assert sha256(out / "model.safetensors") == sha256(undisturbed / "model.safetensors")
    assert losses(out) == losses(undisturbed)


def losses_so_far(out: Path) -> dict[int, float]:
    """As `losses`, while the last line may be half written."""
    found = {}
    for line in (out / "metrics.jsonl").read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "loss" in row:
            found[row["step"]] = row["loss"]
    return found


def test_resuming_a_finished_run_changes_nothing(
    undisturbed: Path, shards_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sha256(undisturbed / "model.safetensors")
    assert run(pretrain(shards_dir, undisturbed, "--resume")) == 0
    assert "is finished (24 steps)" in capsys.readouterr().out
    assert sha256(undisturbed / "model.safetensors") == before
    assert json.loads((undisturbed / "report.json").read_text())["steps"] == 24


def test_run_toml_is_input_again(undisturbed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run(["pretrain", str(undisturbed / "run.toml"), "--out", str(again)]) == 0
    assert sha256(again / "model.safetensors") == sha256(undisturbed / "model.safetensors")


def test_finish_anneals_a_trunk_that_stays_resumable(shards_dir: Path, tmp_path: Path) -> None:
    trunk, finished = tmp_path / "trunk", tmp_path / "finished"
    assert run(pretrain(shards_dir, trunk, "--train.schedule", "constant")) == 0
    before = {path: sha256(path) for path in trunk.rglob("*.safetensors")}
    point = checkpoints(trunk)[1]
    assert run(pretrain(shards_dir, finished, "--init", str(point), "--finish", "--train.steps", "10")) == 0
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    rates = [row["lr"] for row in rows if "lr" in row]
    assert [row["step"] for row in rows if "lr" in row] == list(range(21, 31)), "goes on at the trunk's step 20"
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.11 * rates[0]
    assert {path: sha256(path) for path in trunk.rglob("*.safetensors")} == before
    assert run(pretrain(shards_dir, trunk, "--train.schedule", "constant", "--resume", "--train.steps", "26")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train.lr", "fast"], "--train.lr: 'fast' is not a number"),
        (["--data", "/nowhere"], "--data /nowhere: no such file or directory"),
        (["--model.vocab-size", "100"], "--model.vocab-size: 100 is below the tokenizer's 512 entries"),
        (["--model.hidden-size", "33"], "hidden-size 33 is not divisible"),
        (["--train.sequence-length", "64", "--model.max-position-embeddings", "32"], "--train.sequence-length: 64"),
        (["--train.device", "cuda"], "--train.device"),
        (["--finish"], "--init DIR"),
        (["--train.steps", "0"], "--train.steps: 0 must be at least 1"),
        (["--train.batch-size", "-1"], "--train.batch-size: -1 must be above 0"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    shards_dir: Path, tmp_path: Path, change: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if change[-1] == "cuda":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    assert run(pretrain(shards_dir, tmp_path / "out", *change)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_output_that_is_not_empty_is_not_touched(
    undisturbed: Path, shards_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pretrain(shards_dir, undisturbed)) == 2
    assert "--resume goes on there, --overwrite empties it first" in capsys.readouterr().err
    foreign = tmp_path / "home"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    assert run(pretrain(shards_dir, foreign, "--overwrite")) == 2
    assert (foreign / "thesis.txt").read_text() == "mine"
    assert "not written by yanmo" in capsys.readouterr().err


def test_resuming_with_other_settings_or_data_is_refused(
    undisturbed: Path, shards_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pretrain(shards_dir, undisturbed, "--resume", "--train.lr", "0.5")) == 2
    assert "--train.lr was 0.006, is now 0.5" in capsys.readouterr().err


def test_weights_are_fp32_and_carry_the_format(undisturbed: Path) -> None:
    with safe_open(undisturbed / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F32"}  # noqa: SIM118
