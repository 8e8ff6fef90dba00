"""Ranks: every one runs once, wherever it runs; what fails is told and done again. Slurm is played."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.slurm import play_slurm

from yanmo.core.ranks import Cluster, check_installed, run_ranks
from yanmo.core.signals import Failure

pytest.importorskip("datatrove")


def sign(folder: Path, rank: int, world_size: int) -> None:
    """Work that shows that it was done, where, and how often; rank 1 fails while there is a file `broken`."""
    if rank == 1 and (folder / "broken").exists():
        raise ValueError("rank 1 is broken")
    with open(folder / f"{rank}-of-{world_size}", "a") as stream:
        stream.write(f"{Path.cwd()}\n")


def signed(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*-of-*"))}


def test_every_rank_runs_once_and_a_failure_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work, state = partial(sign, tmp_path), tmp_path / "state"
    (tmp_path / "broken").touch()
    with pytest.raises(ValueError, match="rank 1 is broken"):
        run_ranks(work, 3, state, "datatrove", Cluster(at_once=1))
    (tmp_path / "broken").unlink()
    run_ranks(work, 3, state, "datatrove", Cluster(at_once=2))
    run_ranks(work, 3, state, "datatrove", Cluster(at_once=2))
    assert sorted(path.name for path in (state / "completions").iterdir()) == ["00000", "00001", "00002"]
    assert signed(tmp_path) == {f"{rank}-of-3": f"{tmp_path}\n" for rank in range(3)}


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_slurm_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts that would be submitted do the work; how a real Slurm schedules them is not tested."""
    play_slurm(tmp_path, monkeypatch)
    here = Path(__file__).parent  # where `sign` is
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent.parent)]))
    monkeypatch.chdir(tmp_path)
    check_installed("slurm")
    cluster = Cluster(partition="cheap", time="1:00:00", at_once=2, memory_gb=3)
    (tmp_path / "broken").touch()
    with pytest.raises(Failure, match=r"1 of 3 tasks did not finish, the first of them number 1; .*logs"):
        run_ranks(partial(sign, tmp_path), 3, tmp_path / "clean", "slurm", cluster)
    (tmp_path / "broken").unlink()
    run_ranks(partial(sign, tmp_path), 3, tmp_path / "clean", "slurm", cluster)
    assert signed(tmp_path) == {f"{rank}-of-3": f"{tmp_path}\n" for rank in range(3)}
    script = (tmp_path / "clean" / "launch_script.slurm").read_text()
    for line in ("partition=cheap", "time=1:00:00", "mem-per-cpu=3G", "array=0-0%2", "job-name=yanmo-clean"):
        assert f"#SBATCH --{line}\n" in script


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match="--engine slurm: no sbatch"):
        check_installed("slurm")
    monkeypatch.setitem(sys.modules, "datatrove.executor", None)
    with pytest.raises(ValueError, match=r'--engine datatrove: .*; pip install "yanmo\[dist\]"'):
        check_installed("datatrove")
