"""A run: one output directory and its voice.

Every command writes into one directory: `run.toml` (the settings with where they came from, valid as input
again), `report.json` (counts, times, results) and, in training, `metrics.jsonl`. The same object speaks to the
screen: bars with ETA on a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import filelock
import orjson
import tomli_w
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

import yanmo
from yanmo.core.files import atomic_write, fingerprint, read_json, write_json
from yanmo.core.processes import core_count
from yanmo.core.settings import PROVENANCE, CommandSettings, describe, flatten, read_toml, to_dict
from yanmo.core.signals import Failure

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors")
PLAIN_SECONDS = 5.0
"""How often a log file, as opposed to a terminal, gets a line of progress."""


class Bar(Protocol):
    def advance(self, amount: float, **figures: Any) -> None: ...


class Run:
    """The open output directory of one command."""

    def __init__(self, path: Path, command: str):
        self.path = path
        self.command = command
        self.report: dict[str, Any] = {}
        self.finished_before = False
        self.console = Console(highlight=False)
        self._started = time.monotonic()
        self._metrics: Any = None

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def table(self, title: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A table whose first column is text and whose other columns are right-aligned figures."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            numeric = all(not isinstance(row[index], str) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, str) else number(cell) for cell in row))
        self.console.print(table)

    @contextlib.contextmanager
    def progress(self, label: str, total: float | None, unit: str = "", done: float = 0) -> Iterator[Bar]:
        """A bar to advance; figures passed to `advance` are shown beside it. `done` was done in an earlier run."""
        if not self.console.is_terminal:
            bar = PlainBar(self, label, total, unit, done)
            yield bar
            bar.close()
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[figures]}", style="cyan"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            yield RichBar(progress, label, total, done)

    def log(self, step: int, **figures: Any) -> None:
        """One line of metrics.jsonl. A full disk must not end a training run: the line is lost, loudly."""
        row = {"step": step, "seconds": round(time.monotonic() - self._started, 3), **figures}
        try:
            if self._metrics is None:
                self._metrics = open(self.path / "metrics.jsonl", "ab")  # noqa: SIM115 closed with the run
            self._metrics.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            self._metrics.flush()
        except OSError as error:
            self.say(f"warning: metrics.jsonl: {error}; step {step} is not logged")

    def close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()

    def write_report(self) -> None:
        self.report |= {"command": self.command, "finished": True}
        self.report["wall_seconds"] = round(time.monotonic() - self._started, 2)
        write_json(self.path / "report.json", self.report)


class RichBar:
    def __init__(self, progress: Progress, label: str, total: float | None, done: float):
        self._progress = progress
        self._task = progress.add_task(label, total=total, completed=int(done), figures="")

    def advance(self, amount: float, **figures: Any) -> None:
        self._progress.advance(self._task, amount)
        if figures:
            self._progress.update(self._task, figures=figure_text(figures))


class PlainBar:
    """Progress as lines, one every few seconds: readable in a log file, over ssh, in CI."""

    def __init__(self, run: Run, label: str, total: float | None, unit: str, done: float):
        self._run, self._label, self._total, self._unit = run, label, total, unit
        self._done = self._before = done
        self._figures = ""
        self._started = self._spoke = time.monotonic()

    def advance(self, amount: float, **figures: Any) -> None:
        self._done += amount
        self._figures = figure_text(figures) or self._figures
        if time.monotonic() - self._spoke >= PLAIN_SECONDS:
            self._spoke = time.monotonic()
            self._line()

    def close(self) -> None:
        self._line()

    def _line(self) -> None:
        elapsed = time.monotonic() - self._started
        parts = [f"{self._label}: {number(self._done)}"]
        if self._total:
            parts[0] += f"/{number(self._total)}"
        parts[0] += f" {self._unit}".rstrip()
        if self._figures:
            parts.append(self._figures)
        parts.append(f"{duration(elapsed)} elapsed")
        if self._total and self._before < self._done < self._total:
            rate = (self._done - self._before) / elapsed
            parts.append(f"ETA {duration((self._total - self._done) / rate)}")
        self._run.say("  ".join(parts))


def figure_text(figures: dict[str, Any]) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in figures.items())


def number(value: Any) -> str:
    """A figure for people: integers with thousands separators, floats with four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (abs(value) >= 1000 and value == value):
        return f"{round(value):,}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def open_run(settings: CommandSettings, device: str | None = None) -> Iterator[Run]:
    """Claim `settings.out`, write run.toml, give the Run, and write report.json if the block succeeds.

    Raises: ValueError: an input is missing; --out is in use, not empty, or was made with other settings.
    """
    command = type(settings).__module__.rpartition(".")[2]
    inputs = input_fingerprints(settings)
    settings.out.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(settings.out / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ValueError(f"--out {settings.out}: another yanmo process is writing there") from None
    run = Run(settings.out, command)
    try:
        _claim(settings, command, inputs)
        if settings.resume and (settings.out / "report.json").is_file():
            run.finished_before = True
            run.report = read_json(settings.out / "report.json")
        atomic_write(settings.out / "run.toml", _run_toml(settings, command, inputs, device))
        yield run
        run.write_report()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise Failure(
                f"--out {settings.out}: the disk is full ({error.strerror}); what is finished stays: make room and "
                "give the command again with --resume"
            ) from error
        raise
    finally:
        run.close()
        lock.release()


def _claim(settings: CommandSettings, command: str, inputs: dict[str, str]) -> None:
    """Make sure that --out may be written: empty, ours to overwrite, or the same run to resume."""
    out = settings.out
    present = [path for path in out.iterdir() if path.name != ".lock"]
    if not present:
        return
    ours = (out / "run.toml").is_file()
    if settings.overwrite and ours:
        for path in present:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif settings.resume and ours:
        _check_same_run(settings, command, inputs)
    elif settings.overwrite or settings.resume:
        raise ValueError(f"--out {out}: not empty and not written by yanmo (no run.toml); give another directory")
    else:
        raise ValueError(f"--out {out}: not empty; --resume goes on there, --overwrite empties it first")


def _check_same_run(settings: CommandSettings, command: str, inputs: dict[str, str]) -> None:
    """Resuming with another model shape, seed or corpus would silently train something else."""
    table = read_toml(settings.out / "run.toml")
    before = table.get(PROVENANCE, {})
    if before.get("command") != command:
        raise ValueError(f"--out {settings.out}: holds the output of `yanmo {before.get('command')}`, not `{command}`")
    if getattr(settings, "RERUN", False):
        return
    old, new = flatten(table), flatten(to_dict(settings))
    free = {"out", "resume", "overwrite"} | set(getattr(settings, "MAY_CHANGE", ()))
    for setting in describe(type(settings)):
        name = setting.name
        if name not in free and str(old.get(name)) != str(new.get(name)):
            raise ValueError(f"--resume: --{name} was {old.get(name)}, is now {new.get(name)}; keep it or change --out")
    for path, digest in inputs.items():
        if before.get("inputs", {}).get(path, digest) != digest:
            raise ValueError(f"--resume: {path} has changed since this run began; give another --out")


def input_fingerprints(settings: CommandSettings) -> dict[str, str]:
    """The fingerprint of every file or directory that the settings name, --out aside.

    Raises: ValueError: one of them does not exist.
    """
    values = flatten(to_dict(settings))
    found = {}
    for setting in describe(type(settings)):
        if setting.name == "out" or "Path" not in str(setting.type) or setting.name not in values:
            continue
        value = values[setting.name]
        for text in value if isinstance(value, list) else [value]:
            if not Path(text).exists():
                raise ValueError(f"--{setting.name} {text}: no such file or directory")
            found[text] = fingerprint(Path(text))
    return found


def _run_toml(settings: CommandSettings, command: str, inputs: dict[str, str], device: str | None) -> str:
    table = to_dict(settings)
    for name in ("resume", "overwrite"):
        del table[name]
    table[PROVENANCE] = {
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": sys.argv[1:],
        "device": device or processor(),
        "yanmo": yanmo.__version__,
        "git": git_commit(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "inputs": inputs,
    }
    return "# Valid as input again: yanmo COMMAND run.toml --out NEW\n" + tomli_w.dumps(table)


def processor() -> str:
    """The processor's name and the cores this process may use."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {core_count()} cores"


def git_commit() -> str:
    """The commit of the checkout that this package runs from, `-dirty` if changed; `none` if installed."""
    git = ["git", "-C", str(Path(yanmo.__file__).parent)]
    try:
        top = subprocess.run([*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, check=True)
        done = subprocess.run([*git, "describe", "--always", "--dirty"], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return done.stdout.strip() if top.stdout else "none"
