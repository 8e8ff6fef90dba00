"""`yanmo clean` by datatrove's executors, here, on a Ray cluster and by Slurm's scripts: the same bytes."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from tests.commands.test_clean import contents, han
from tests.slurm import play_slurm
from yanmo.cli import run
from yanmo.core.files import write_jsonl

pytest.importorskip("datatrove")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four spans, one of them a stream of two pieces, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("engines")
    rng = random.Random(1)
    rows = [{"text": han(rng, rng.randrange(50, 1000))} for _ in range(1500)]
    (folder / "in").mkdir()
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*rows[:1000], {"text": "短"}])
    (folder / "in" / "a.jsonl").write_text(lines, encoding="utf-8")
    with write_jsonl(folder / "in" / "b.jsonl.zst") as writer:
        for row in rows[500:]:
            writer.write(row)
    assert run(arguments(folder, "processes", "--workers", "1")) == 0
    return folder


def arguments(folder: Path, engine: str, *flags: str) -> list[str]:
    words = ["clean", "--inputs", str(folder / "in"), "--out", str(folder / engine), "--part-mb", "1"]
    return [*words, "--engine", engine, *flags]


def test_datatrove_on_this_machine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments(folder, "datatrove", "--cluster.ranks", "3", "--cluster.at-once", "2")) == 0
    assert contents(folder / "datatrove") == contents(folder / "processes")
    assert len(contents(folder / "datatrove")) == 6
    assert "clean: 3 tasks by datatrove" in capsys.readouterr().out.replace("\n", " ")


def test_begun_in_processes_and_finished_by_datatrove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working state belongs to no engine."""
    from yanmo.commands import clean

    words = arguments(folder, "processes")
    words[words.index("--out") + 1] = str(folder / "both")
    with monkeypatch.context() as patch:
        patch.setattr(clean, "find_repeated", lambda out: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(words) == 130
    words[words.index("processes")] = "datatrove"
    assert run([*words, "--resume", "--cluster.ranks", "1"]) == 0
    assert contents(folder / "both") == contents(folder / "processes")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_slurm(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play_slurm(tmp_path, monkeypatch)
    assert run(arguments(folder, "slurm", "--cluster.ranks", "2")) == 0
    assert contents(folder / "slurm") == contents(folder / "processes")


@pytest.mark.slow
def test_a_ray_cluster(folder: Path) -> None:
    ray = pytest.importorskip("ray")
    try:
        assert run(arguments(folder, "ray", "--cluster.ranks", "3", "--cluster.memory-gb", "1")) == 0
    finally:
        ray.shutdown()
    assert contents(folder / "ray") == contents(folder / "processes")
