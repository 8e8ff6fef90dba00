"""`yanmo clean` killed at every stage, stopped, out of disk: what is finished stays, and the bytes are the same."""

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

from tests.commands.test_clean import contents, han
from yanmo.cli import run
from yanmo.core.files import read_json, write_jsonl

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and limits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of several spans, one of them compressed, with repetitions within and between them."""
    folder = tmp_path_factory.mktemp("restart")
    rng = random.Random(1)
    rows = [{"text": han(rng, rng.randrange(50, 500))} for _ in range(4500)]
    (folder / "in").mkdir()
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in [*rows[:2500], {"text": "短"}])
    (folder / "in" / "a.jsonl").write_text("".join(lines), encoding="utf-8")
    with write_jsonl(folder / "in" / "b.jsonl.zst") as writer:
        for row in rows[2400:]:
            writer.write(row)
    subprocess.run(command(folder, "whole"), check=True, capture_output=True)
    return folder


def command(folder: Path, out: str, *flags: str) -> list[str]:
    words = ["--inputs", str(folder / "in"), "--out", str(folder / out), "--part-mb", "1", *flags]
    return [sys.executable, "-m", "yanmo", "clean", *words]


def start(folder: Path, out: str, *flags: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(folder, out, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def shards(out: Path) -> dict[str, int]:
    """The finished ones, each with what tells it from another of the same name."""
    return {path.parent.name: path.stat().st_ino for path in out.glob("shards/[0-9]*/counts.json")}


def test_killed_at_every_stage_and_resumed_gives_the_same_bytes(folder: Path) -> None:
    out, rng = folder / "killed", random.Random()
    # Where it is killed, and with how many processes: the number may change.
    moments = [("shards/000000-00000", 2), ("shards/000003-*", 2), ("shards/parts.json", 1), ("part-00002*", 1)]
    kept: dict[str, int] = {}
    for moment, workers in moments:
        child = start(folder, "killed", "--workers", f"{workers}", *(["--resume"] if out.exists() else []))
        while child.poll() is None and not list(out.glob(moment)):
            time.sleep(0.002)
        time.sleep(rng.random() * 0.03)
        child.kill()
        assert child.wait() == -signal.SIGKILL, f"it had ended before {moment}"
        assert kept.items() <= shards(out).items(), "a finished shard was made again"
        kept = shards(out)
    assert len(kept) > 4
    child = start(folder, "killed", "--workers", "1", "--resume")
    while child.poll() is None and not list(out.glob("removed/*")):
        time.sleep(0.001)
    child.kill()  # while the working state is being removed, or at the very end
    subprocess.run(command(folder, "killed", "--resume"), check=True, capture_output=True)
    assert contents(out) == contents(folder / "whole")
    assert len(contents(out)) > 6


def test_stopped_by_a_signal_leaves_no_process(folder: Path) -> None:
    child = start(folder, "stopped", "--workers", "2")
    while child.poll() is None and not shards(folder / "stopped"):
        time.sleep(0.005)
    workers = children(child.pid)
    child.terminate()
    assert child.wait() == 143
    assert all_end(workers)
    assert not (folder / "stopped" / "report.json").exists()
    subprocess.run(command(folder, "stopped", "--resume"), check=True, capture_output=True)
    assert contents(folder / "stopped") == contents(folder / "whole")


def test_workers_die_with_their_parent(folder: Path) -> None:
    child = start(folder, "orphans", "--workers", "2")
    while child.poll() is None and not shards(folder / "orphans"):
        time.sleep(0.005)
    workers = children(child.pid)
    assert workers or not Path("/proc").exists()
    child.kill()
    child.wait()
    assert all_end(workers), "a worker outlived its parent"


def test_a_full_disk_is_one_line_and_no_loss(folder: Path) -> None:
    import resource

    def limit() -> None:
        """Files may not grow beyond this: the same error from `write` as on a full disk, but for its number."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    words = command(folder, "full", "--workers", "2")
    words[words.index("--inputs") + 1] = str(folder / "mixed")
    (folder / "mixed").mkdir()
    (folder / "mixed" / "a.txt").write_text(han(random.Random(2), 30_000), encoding="utf-8")
    os.link(folder / "in" / "a.jsonl", folder / "mixed" / "b.jsonl")
    done = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"--out {folder / 'full'}: the disk is full" in done.stderr
    assert "000000-00000" in shards(folder / "full")
    assert not list((folder / "full" / "shards").glob(".*")), "scraps take room on the full disk"
    subprocess.run([*words, "--resume"], check=True, capture_output=True)
    words[words.index("--out") + 1] = str(folder / "roomy")
    subprocess.run(words, check=True, capture_output=True)
    assert contents(folder / "full") == contents(folder / "roomy")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--min-chars", "30"], "--resume: --min-chars was"),
        (["--duplicates", "none"], "--resume: --duplicates was"),
        (["--part-mb", "2"], "--resume: --part-mb was"),
    ],
)
def test_other_settings_are_refused(
    folder: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command(folder, "whole", "--resume")[3:], *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_other_inputs_are_refused_and_other_workers_are_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = folder / "one.jsonl", folder / "one"
    path.write_text(json.dumps({"text": han(random.Random(3), 100)}))
    words = ["clean", "--inputs", str(path), "--out", str(out)]
    assert run(words) == 0
    (out / "report.json").unlink()
    assert run([*words, "--resume", "--workers", "3", "--engine", "processes", "--cluster.ranks", "3"]) == 0
    assert read_json(out / "report.json")["documents"] == 1
    (out / "report.json").unlink()
    path.write_text(json.dumps({"text": han(random.Random(4), 100)}))
    capsys.readouterr()
    assert run([*words, "--resume"]) == 2
    assert f"{path} has changed since this run began" in capsys.readouterr().err


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def all_end(processes: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, processes))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
