"""A recipe from end to end: its losses are those remembered in tests/golden, and finished stages are skipped."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.conftest import small_texts
from yanmo.cli import run

GOLDEN = Path(__file__).parent.parent / "golden"
STAGES = ["clean", "tokenizer", "pack", "pretrain", "sft"]


def write_inputs(directory: Path) -> None:
    texts = small_texts(400)
    (directory / "texts.jsonl").write_bytes(b"".join(orjson.dumps({"text": t}) + b"\n" for t in texts))
    chats = [
        {"instruction": f"{sentence.split('在')[0]}在哪里？", "output": f"在{sentence.split('在')[1][:2]}。"}
        for text in texts
        for sentence in text.split("。")[:1]
    ]
    (directory / "chats.jsonl").write_bytes(b"".join(orjson.dumps(chat) + b"\n" for chat in chats))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which the tiny recipe has run."""
    directory = tmp_path_factory.mktemp("workplace")
    write_inputs(directory)
    shutil.copy(GOLDEN / "tiny.toml", directory)
    before = Path.cwd()
    os.chdir(directory)
    assert run(["run", "tiny.toml"]) == 0
    yield directory
    os.chdir(before)


def curves(directory: Path) -> dict[str, dict[str, float]]:
    """step -> loss of each training stage, validation included."""
    found: dict[str, dict[str, float]] = {}
    for stage in ("pretrain", "sft"):
        rows = [json.loads(line) for line in (directory / stage / "metrics.jsonl").read_text().splitlines()]
        found[stage] = {str(row["step"]): row["loss"] for row in rows if "loss" in row}
        found[stage] |= {f"val {row['step']}": row["val_nats_per_token"] for row in rows if "val_nats_per_token" in row}
    return found


def test_losses_are_the_remembered_ones(workplace: Path) -> None:
    """A change here is a change of what training does: if it is meant, `python -m tests.commands.test_run`
    writes the new curves. The tolerance covers the order of sums on another processor."""
    remembered = json.loads((GOLDEN / "tiny.json").read_text())
    now = curves(workplace / "runs" / "tiny")
    for stage, curve in remembered.items():
        assert now[stage] == pytest.approx(curve, rel=0.02), stage
        assert curve["5"] - list(curve.values())[-1] > 0.5, "the golden run learns"


def outcome(directory: Path) -> dict[str, str]:
    return json.loads((directory / "runs" / "tiny" / "report.json").read_text())["stages"]


def test_finished_stages_are_skipped(workplace: Path) -> None:
    assert run(["run", "tiny.toml"]) == 0
    assert outcome(workplace) == dict.fromkeys(STAGES, "skipped")


def test_a_changed_setting_runs_its_stage_and_what_depends_on_it(workplace: Path) -> None:
    assert run(["run", "tiny.toml", "--sft.train.epochs", "1"]) == 0
    assert outcome(workplace) == dict.fromkeys(STAGES, "skipped") | {"sft": "done"}
    assert run(["run", "tiny.toml"]) == 0
    assert outcome(workplace)["sft"] == "done"


def test_a_changed_input_runs_what_reads_it(workplace: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workplace, copy)
    os.chdir(copy)
    try:
        with open("chats.jsonl", "ab") as stream:
            stream.write(orjson.dumps({"instruction": "你好", "output": "你好！"}) + b"\n")
        assert run(["run", "tiny.toml"]) == 0
        assert outcome(copy) == dict.fromkeys(STAGES, "skipped") | {"sft": "done"}
    finally:
        os.chdir(workplace)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("[clean]\ninputz = ['a']\n", [], r"bad.toml: [clean] --inputz: no such setting; did you mean --inputs"),
        ("[cleen]\ninputs = ['a']\n", [], "[cleen] is no command"),
        ("name = 'x'\n", [], "no stages"),
        ("[clean]\ninputs = ['a']\n", ["--pack.workers", "1"], "--pack.workers: no such setting; stages"),
        ("[clean]\ninputs = ['nowhere']\n", [], "nowhere: no such file"),
        ("[clean\n", [], "bad.toml: not valid TOML"),
    ],
)
def test_mistakes_in_a_recipe_are_named(
    tmp_path: Path, text: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "bad.toml"
    recipe.write_text(text)
    assert run(["run", str(recipe), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


if __name__ == "__main__":
    base = Path(sys.argv[1])
    write_inputs(base)
    os.chdir(base)
    assert run(["run", str(GOLDEN / "tiny.toml")]) == 0
    (GOLDEN / "tiny.json").write_text(json.dumps(curves(base / "runs" / "tiny"), indent=1) + "\n")
