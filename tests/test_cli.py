"""The command line: help, exit codes, and what it answers to a mistake."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from yanmo import cli
from yanmo.commands import COMMANDS
from yanmo.core.signals import Failure, Terminated


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_of_every_command_has_a_help_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, below in itertools.pairwise(lines):
        if line.startswith("  --"):
            assert len(below.strip()) > 10, line
    writes = name != "chat"
    assert any(line.startswith("  --out") for line in lines) == writes


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pretrian"]) == 2
    assert "did you mean pretrain?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("wrong\nvalue"), 2),
        (FileNotFoundError("a"), 2),
        (OSError(28, "No space left on device"), 1),
        (Failure("NaN"), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str, arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli, "command", fail)
    assert cli.run(["clean"]) == code
    assert capsys.readouterr().err.count("\n") == (1 if code < 100 else 0)


def test_module_and_command_are_the_same(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "yanmo", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("yanmo ")
