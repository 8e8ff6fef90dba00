"""`yanmo demo` at a size of seconds: the whole road runs, ends with answers, and is not walked twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo.cli import run
from yanmo.core.files import read_json, read_jsonl

TINY = (
    "--characters 40000 --conversations 200 --preferences 60 --questions-per-kind 1 "
    "--set tokenizer.vocab-size=1100 pack.workers=1 pretrain.model.hidden-size=32 "
    "pretrain.model.intermediate-size=64 pretrain.model.num-hidden-layers=1 "
    "pretrain.model.num-attention-heads=2 pretrain.model.num-key-value-heads=2 pretrain.model.head-dim=16 "
    "pretrain.train.steps=3 pretrain.train.device=cpu sft.train.steps=2 sft.train.device=cpu "
    "dpo.train.steps=2 dpo.train.device=cpu dpo.tax.max-new-tokens=4 evaluate.device=cpu evaluate.max-new-tokens=4"
).split()


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "demo"
    assert run(["demo", "--out", str(out), *TINY]) == 0
    return out


def test_the_demo_walks_the_whole_road(demo_dir: Path) -> None:
    for stage in ("clean", "tokenizer", "pack", "pretrain", "sft", "dpo", "evaluate"):
        assert (demo_dir / stage / "report.json").is_file() and (demo_dir / stage / "run.toml").is_file()
    assert (demo_dir / "pretrain" / "loss.png").is_file() and (demo_dir / "sft" / "loss.png").is_file()
    report = read_json(demo_dir / "report.json")
    assert report["answers"]["questions"] == report["world"]["questions"]
    tax = read_json(demo_dir / "dpo" / "report.json")["tax"]
    assert (
        tax["before"].keys() == tax["after"].keys() - {"kl_per_token"}
        and {"right", "loop_rate"} <= tax["before"].keys()
    )


def test_all_dirt_is_cleaned_out(demo_dir: Path) -> None:
    """Everything but the town's own documents is removed, and nothing of theirs."""
    world = read_json(demo_dir / "report.json")["world"]
    kept = [row["source"] for part in (demo_dir / "clean").glob("part-*") for row in read_jsonl(part)]
    assert len(kept) == world["documents"] - world["dirty"]


def test_a_second_run_skips_every_stage(demo_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--out", str(demo_dir), *TINY]) == 0
    output = capsys.readouterr().out
    assert output.count("finished before, skipped") == 7
    assert "yanmo chat --model" in output


def test_a_wrong_change_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--out", str(tmp_path / "out"), *TINY[:6], "--set", "pretrain.train.stepz=3"]) == 2
    assert "stepz" in capsys.readouterr().err
