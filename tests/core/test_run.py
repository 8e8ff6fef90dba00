"""The output directory of a command: claimed once, refused when it is somebody else's, described in full."""

from __future__ import annotations

import io
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import pytest
from rich.console import Console

from yanmo.core.run import Run, duration, number, open_run
from yanmo.core.settings import CommandSettings


@dataclass(kw_only=True)
class Example(CommandSettings):
    inputs: list[Path] = field(default_factory=list)
    size: int = 3


def test_a_run_describes_itself(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("墨")
    out = tmp_path / "out"
    with open_run(Example(out=out, inputs=[source]), device="a pencil") as run:
        run.report["rows"] = 1
        run.log(1, loss=2.5)
    table = tomllib.loads((out / "run.toml").read_text())
    assert table["size"] == 3
    provenance = table["provenance"]
    assert provenance["device"] == "a pencil" and provenance["inputs"][str(source)]
    assert {"yanmo", "git", "python", "started"} <= provenance.keys() and "torch" in provenance["libraries"]
    report = json.loads((out / "report.json").read_text())
    assert report["rows"] == 1 and report["finished"]
    assert json.loads((out / "metrics.jsonl").read_text())["loss"] == 2.5


def test_a_failed_run_leaves_no_report_and_can_be_resumed(tmp_path: Path) -> None:
    settings = Example(out=tmp_path / "out")
    with pytest.raises(KeyError), open_run(settings):
        raise KeyError("broken")
    assert not (settings.out / "report.json").exists()
    with pytest.raises(ValueError, match="--resume goes on there"), open_run(settings):
        pass
    with open_run(Example(out=settings.out, resume=True)) as run:
        assert not run.finished_before
    with open_run(Example(out=settings.out, resume=True)) as run:
        assert run.finished_before


def test_resuming_with_another_setting_or_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("墨")
    with open_run(Example(out=tmp_path / "out", inputs=[source])):
        pass
    with (
        pytest.raises(ValueError, match="--size was 3, is now 4"),
        open_run(Example(out=tmp_path / "out", inputs=[source], size=4, resume=True)),
    ):
        pass
    source.write_text("砚")
    with (
        pytest.raises(ValueError, match=r"in\.txt has changed since this run began"),
        open_run(Example(out=tmp_path / "out", inputs=[source], resume=True)),
    ):
        pass


def test_overwriting_empties_only_what_yanmo_wrote(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_run(Example(out=out)) as run:
        (run.path / "state").mkdir()
        (run.path / "state" / "old").write_text("")
    with open_run(Example(out=out, overwrite=True)):
        assert not (out / "state").exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not written by yanmo"), open_run(Example(out=foreign, overwrite=True)):
        pass
    assert (foreign / "thesis.txt").read_text() == "mine"


def test_two_processes_cannot_write_to_one_directory(tmp_path: Path) -> None:
    settings = Example(out=tmp_path / "out")
    with (
        open_run(settings),
        pytest.raises(ValueError, match="another yanmo process is writing there"),
        open_run(settings),
    ):
        pass
    filelock.FileLock(tmp_path / "out" / ".lock").acquire(timeout=0)


def test_a_full_disk_loses_a_line_of_metrics_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    run = Run(tmp_path, "pretrain")
    run.log(7, loss=1.0)
    assert "step 7 is not logged" in capsys.readouterr().out


def test_progress_is_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr("yanmo.core.run.time.monotonic", lambda: float(next(clock)))
    with Run(tmp_path, "clean").progress("reading", total=4, unit="files") as bar:
        for _ in range(4):
            bar.advance(1, documents=1234.0)
    lines = capsys.readouterr().out.splitlines()
    assert any("reading: 2/4 files  documents 1,234" in line and "ETA" in line for line in lines)
    assert lines[-1].startswith("reading: 4/4 files")


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    run = Run(tmp_path, "clean")
    run.console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    with run.progress("reading", total=2, unit="files") as bar:
        bar.advance(2, loss=1.5)
    shown = run.console.file.getvalue()  # type: ignore[attr-defined]
    assert "reading" in shown and "2/2" in shown and "loss 1.5" in shown


@pytest.mark.parametrize(("value", "text"), [(1234567, "1,234,567"), (0.123456, "0.1235"), (12345.6, "12,346")])
def test_numbers_are_readable(value: float, text: str) -> None:
    assert number(value) == text


def test_durations_are_readable() -> None:
    assert [duration(s) for s in (5, 65, 3665)] == ["0:05", "1:05", "1:01:05"]
