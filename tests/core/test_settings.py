"""Settings from TOML and flags, and the one line that answers each mistake."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from yanmo.core.settings import CommandSettings, build, describe, flatten, parse, to_dict


@dataclass(kw_only=True)
class Inner:
    lr: float = 0.1
    """How fast."""
    steps: int | None = None
    """How long."""
    kind: Literal["muon", "adamw"] = "muon"
    """Which."""


@dataclass(kw_only=True)
class Example(CommandSettings):
    out: Path = Path("runs/example")
    inputs: list[Path]
    """What to
    read."""
    names: list[str] = field(default_factory=list)
    """Names."""
    shuffle: bool = True
    """Shuffle."""
    train: Inner = field(default_factory=lambda: Inner(lr=0.5))


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('inputs = ["a", "b"]\n[train]\nlr = 1\nsteps = 5\n')
    settings = parse(Example, [str(file), "--train.lr", "3e-3", "--no-shuffle", "--train.kind=adamw"])
    assert settings.inputs == [Path("a"), Path("b")]
    assert settings.train == Inner(lr=0.003, steps=5, kind="adamw")
    assert settings.shuffle is False
    assert settings.out == Path("runs/example")


def test_a_group_keeps_the_defaults_its_command_gives_it() -> None:
    settings = parse(Example, ["--inputs", "x", "--train.steps", "1e3"])
    assert settings.train == Inner(lr=0.5, steps=1000)
    assert {s.name: s.default for s in describe(Example)}["train.lr"] == 0.5


def test_field_docstrings_are_the_help() -> None:
    helps = {setting.name: setting.help for setting in describe(Example)}
    assert helps["inputs"] == "What to read."
    assert helps["train.lr"] == "How fast."
    assert helps["out"].startswith("The directory to write")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train.lrr", "1"], r"--train\.lrr: no such setting; did you mean --train\.lr"),
        (["--lr", "1"], r"--lr: no such setting; did you mean --train\.lr"),
        (["--train.lr", "fast"], r"--train\.lr: 'fast' is not a number"),
        (["--train.steps", "1.5"], r"--train\.steps: '1\.5' is not a whole number"),
        (["--train.kind", "sgd"], r"--train\.kind: 'sgd' is not one of muon, adamw"),
        (["--shuffle", "maybe"], r"--shuffle: 'maybe' is not true or false"),
        (["--train.lr"], r"--train\.lr needs one value"),
        (["--train.lr", "1", "2"], r"--train\.lr needs one value .*got 2"),
        ([], r"missing: --inputs"),
        (["--inputs", "x", "--", "y"], None),
        (["missing.toml"], r"missing\.toml: no such settings file"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str | None) -> None:
    if message is None:
        parse(Example, arguments)
        return
    with pytest.raises(ValueError, match=message) as error:
        parse(Example, arguments)
    assert "\n" not in str(error.value)


def test_toml_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("lr = = 1\n")
    with pytest.raises(ValueError, match=r"a\.toml: not valid TOML.*line 1"):
        parse(Example, [str(file)])
    file.write_text('inputs = ["x"]\n[train]\nlr = true\n')
    with pytest.raises(ValueError, match=r"--train\.lr: True is not a number"):
        parse(Example, [str(file)])


@given(
    st.builds(
        Example,
        inputs=st.lists(st.text("abc/ü字", min_size=1).map(Path), min_size=1),
        names=st.lists(st.text()),
        shuffle=st.booleans(),
        train=st.builds(Inner, lr=st.floats(allow_nan=False), steps=st.none() | st.integers(-(2**60), 2**60)),
    )
)
def test_what_is_written_reads_back_the_same(settings: Example) -> None:
    table = tomllib.loads(tomli_w.dumps(to_dict(settings)))
    assert build(Example, flatten(table)) == settings
