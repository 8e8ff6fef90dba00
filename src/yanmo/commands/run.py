"""A recipe: one TOML file with a table a stage, run in order; finished stages are skipped.

    yanmo run recipes/real-small.toml
    yanmo run recipes/real-small.toml --pretrain.train.steps 100 --out runs/quick

A table's name is the stage's and its output directory's; `command = "clean"` inside says which command it runs
where the name is another. `{clean}` in a value stands for the output directory of the stage called clean.
A stage is skipped when its settings and the fingerprints of its inputs are those it finished with, resumed when
it was interrupted, and done again when something changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from yanmo.commands import COMMANDS
from yanmo.core.files import read_json
from yanmo.core.settings import (
    PROVENANCE,
    CommandSettings,
    build,
    describe,
    flatten,
    read_toml,
    to_dict,
)
from yanmo.core.settings import (
    parse as parse_settings,
)

NOT_STAGES = ("demo", "run", "chat")


@dataclass(kw_only=True)
class Settings(CommandSettings):
    RERUN: ClassVar = True

    recipe: Path
    """The recipe; also accepted as the first word."""
    set: list[str] = field(default_factory=list)
    """Changes to the recipe, each as STAGE.SETTING=VALUE; `--STAGE.SETTING VALUE` says the same."""
    out: Path = Path("runs")
    """The directory of the stages' directories; by default runs/ and the recipe's name."""


def parse(arguments: list[str]) -> Settings:
    """`RECIPE.toml`, its stages' settings as flags, and this command's own."""
    words = list(arguments)
    if words and not words[0].startswith("--"):
        words.insert(0, "--recipe")
    own, changes = [], []
    own_names = {setting.name for setting in describe(Settings)}
    position = 0
    while position < len(words):
        end = position + 1
        while end < len(words) and not words[end].startswith("--"):
            end += 1
        name, equals, inline = words[position][2:].partition("=")
        if name in own_names:
            own += words[position:end]
        else:
            values = [inline] if equals else words[position + 1 : end]
            changes += [f"{name}={value}" for value in values or ["true"]]
        position = end
    settings = parse_settings(Settings, own)
    settings.set += changes
    return settings


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run

    recipe = read_toml(settings.recipe)
    if settings.out == Path("runs"):
        settings = replace(settings, out=settings.out / str(recipe.get("name", settings.recipe.stem)))
    with open_run(replace(settings, resume=not settings.overwrite)) as run:
        run.report["stages"] = run_recipe(recipe, settings.out, settings.set, run.say, str(settings.recipe))


def run_recipe(
    recipe: dict[str, Any], out: Path, changes: list[str], say: Callable[[str], None], source: str
) -> dict[str, str]:
    """Run the stages in order. Returns what became of each: done, resumed or skipped.

    Raises: ValueError: a stage or setting that does not exist, before the first stage runs.
    """
    stages = plan(recipe, out, changes, source)
    outcome = {}
    for number, (name, (command, settings)) in enumerate(stages.items(), 1):
        state, reason = stage_state(settings, command)
        title = f"[{number}/{len(stages)}] {name}"
        outcome[name] = state
        if state == "skipped":
            say(f"{title}: finished before, skipped")
            continue
        say(f"\n{title}{f' ({reason})' if reason else ''}: {COMMANDS[command]}")
        settings = replace(settings, resume=state == "resumed", overwrite=state == "done" and settings.out.exists())
        importlib.import_module(f"yanmo.commands.{command}").main(settings)
    return outcome


def plan(recipe: dict[str, Any], out: Path, changes: list[str], source: str) -> dict[str, tuple[str, CommandSettings]]:
    """Every stage's command and typed settings, checked before anything runs."""
    tables = {name: dict(table) for name, table in recipe.items() if isinstance(table, dict) and name != PROVENANCE}
    directories = {name: str(out / name) for name in tables}
    flat = {name: flatten(table) for name, table in tables.items()}
    for change in changes:
        name, _, value = change.partition("=")
        stage, _, setting = name.partition(".")
        if stage not in flat or not setting:
            raise ValueError(f"--{name}: no such setting; stages of this recipe are {', '.join(flat)}")
        flat[stage][setting.replace("_", "-")] = value
    stages = {}
    for name, values in flat.items():
        command = values.pop("command", name)
        if command not in COMMANDS or command in NOT_STAGES:
            raise ValueError(f'{source}: [{name}] is no command; say which one it runs with command = "..."')
        values = {key: expand(value, directories) for key, value in values.items()}
        module = importlib.import_module(f"yanmo.commands.{command}")
        try:
            settings = build(module.Settings, {"out": directories[name]} | values)
        except ValueError as error:
            raise ValueError(f"{source}: [{name}] {error}") from None
        stages[name] = (command, settings)
    if not stages:
        raise ValueError(f"{source}: no stages; a recipe has a table for each, such as [clean]")
    return stages


def expand(value: Any, directories: dict[str, str]) -> Any:
    """`{stage}` -> that stage's directory, in strings and lists of them."""
    if isinstance(value, list):
        return [expand(item, directories) for item in value]
    if not isinstance(value, str):
        return value
    for name, directory in directories.items():
        value = value.replace("{" + name + "}", directory)
    return value


def stage_state(settings: CommandSettings, command: str) -> tuple[str, str]:
    """("skipped" | "resumed" | "done", why a finished stage is done again)."""
    from yanmo.core.run import input_fingerprints

    record = settings.out / "run.toml"
    if not record.is_file():
        return "done", ""
    table = read_toml(record)
    before, now = flatten(table), flatten(to_dict(settings))
    changed = [
        f"{name} changed"
        for name in sorted(before.keys() | now.keys())
        if name not in ("out", "resume", "overwrite") and before.get(name) != now.get(name)
    ]
    if table[PROVENANCE]["command"] != command:
        changed.append("the command changed")
    inputs = table[PROVENANCE]["inputs"]
    changed += [
        f"{path} changed" for path, digest in input_fingerprints(settings).items() if inputs.get(path) != digest
    ]
    if changed:
        return "done", f"again: {', '.join(changed[:3])}"
    report = settings.out / "report.json"
    finished = report.is_file() and read_json(report).get("finished")
    return ("skipped", "") if finished else ("resumed", "interrupted before")
