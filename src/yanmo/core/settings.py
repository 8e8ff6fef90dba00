"""Settings: typed dataclasses, filled from a TOML file and from flags, whose field docstrings are the help.

A command's settings are one dataclass, nested where it helps (`train.lr`). The same description serves the
TOML file, the flags, `--help` and the error messages, so that every mistake is answered in one line that names
the setting and where it was set. Nothing here imports torch: `yanmo COMMAND --help` must be instant.

Why not a library: the candidates answer a mistake with a box of many lines or a traceback, and none checks a
TOML file and flags by the same rule with the place named (docs/log.md has the comparison).
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import textwrap
import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
PROVENANCE = "provenance"


@dataclass(kw_only=True)
class CommandSettings:
    """What every command has: where it writes."""

    out: Path
    """The directory to write; nothing outside it is touched."""
    resume: bool = False
    """Go on with what an interrupted run left in --out."""
    overwrite: bool = False
    """Empty --out first if something is there."""


@dataclass(frozen=True)
class Setting:
    """One leaf of a settings dataclass: dotted name as users write it, type, default, help."""

    name: str
    type: Any
    default: Any
    help: str

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


def describe(cls: type, prefix: str = "", base: Any = None) -> Iterator[Setting]:
    """All leaves of a settings dataclass, in the order in which they are written.

    `base` is an object whose values are the defaults: a command may give a nested group its own.
    """
    hints, docs = typing.get_type_hints(cls), _field_docs(cls)
    for field in dataclasses.fields(cls):
        kind, name = hints[field.name], prefix + field.name.replace("_", "-")
        default = _default(field) if base is None else getattr(base, field.name)
        if dataclasses.is_dataclass(kind):
            group = None if default is dataclasses.MISSING else default
            yield from describe(typing.cast(type, kind), name + ".", group)
        else:
            yield Setting(name, kind, default, docs.get(field.name, ""))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@cache
def _field_docs(cls: type) -> dict[str, str]:
    """The string below each field, base classes first, so that a subclass may say more."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                value = getattr(text.value, "value", None)
                if isinstance(value, str) and isinstance(field.target, ast.Name):
                    docs[field.target.id] = " ".join(value.split())
    return docs


def parse(cls: type[T], arguments: list[str]) -> T:
    """Settings from a command line: an optional TOML file, then `--setting value ...`; flags win."""
    values: dict[str, Any] = {}
    rest = list(arguments)
    if rest and not rest[0].startswith("--"):
        values |= flatten(read_toml(Path(rest.pop(0))))
    values |= _read_flags(cls, rest)
    return build(cls, values)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested dicts.

    Raises: ValueError: the file is missing or is not TOML; the line is named.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such settings file (a setting is written --name value)")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from None


def flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"lr": 1}} -> {"train.lr": 1}; `_` and `-` are the same; a run's [provenance] is skipped."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if key == PROVENANCE and not prefix:
            continue
        name = prefix + key.replace("_", "-")
        flat |= flatten(value, name + ".") if isinstance(value, dict) else {name: value}
    return flat


def _read_flags(cls: type, arguments: list[str]) -> dict[str, Any]:
    """`--a.b x y --c=z --flag --no-flag` -> raw strings by dotted name."""
    known = {setting.name: setting for setting in describe(cls)}
    values: dict[str, Any] = {}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if not word.startswith("--"):
            raise ValueError(f"{word!r}: expected a setting, written --name value")
        name, equals, inline = word[2:].partition("=")
        name = name.replace("_", "-")
        negative = name.startswith("no-") and name[3:] in known and _is_switch(known[name[3:]].type)
        setting = find(known, name[3:] if negative else name)
        following: list[str] = [inline] if equals else []
        while not equals and position < len(arguments) and not _is_flag(arguments[position]):
            following.append(arguments[position])
            position += 1
        values[setting.name] = _flag_value(setting, following, negative)
    return values


def _is_flag(word: str) -> bool:
    return word.startswith("--") and len(word) > 2


def _is_switch(kind: Any) -> bool:
    return bool in (kind, *get_args(kind))


def _flag_value(setting: Setting, words: list[str], negative: bool) -> Any:
    if _is_switch(setting.type) and not words:
        return not negative
    if negative:
        raise ValueError(f"--no-{setting.name} takes no value")
    if _list_item(setting.type) is not None:
        return words
    if len(words) != 1:
        raise ValueError(f"--{setting.name} needs one value ({type_name(setting.type)}), got {len(words)}")
    return words[0]


def find(known: dict[str, Setting], name: str) -> Setting:
    """The setting called `name`, or one line that names the closest ones."""
    if name in known:
        return known[name]
    tail = {key.rpartition(".")[2]: key for key in known}
    close = difflib.get_close_matches(name, known, n=3) or [
        tail[key] for key in difflib.get_close_matches(name.rpartition(".")[2], tail, n=3)
    ]
    hint = f"did you mean --{' or --'.join(close)}?" if close else "--help lists them all"
    raise ValueError(f"--{name}: no such setting; {hint}")


def build(cls: type[T], values: dict[str, Any]) -> T:
    """A settings object from dotted names and raw values (strings from flags, typed values from TOML)."""
    known = {setting.name: setting for setting in describe(cls)}
    converted = {}
    for name, value in values.items():
        setting = find(known, name)
        converted[name] = convert(setting.name, setting.type, value)
    missing = [name for name, setting in known.items() if setting.required and name not in converted]
    if missing:
        raise ValueError(f"missing: --{' --'.join(missing)}; --help explains each setting")
    return typing.cast(T, _construct(cls, converted, "", None))


def _construct(cls: type, values: dict[str, Any], prefix: str, base: Any) -> Any:
    hints, arguments = typing.get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        name, kind = prefix + field.name.replace("_", "-"), hints[field.name]
        default = _default(field) if base is None else getattr(base, field.name)
        if dataclasses.is_dataclass(kind):
            group = None if default is dataclasses.MISSING else default
            arguments[field.name] = _construct(typing.cast(type, kind), values, name + ".", group)
        else:
            arguments[field.name] = values.get(name, default)
    return cls(**arguments)


def convert(name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind`; raises ValueError naming the setting, what it got and what it wants."""
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if type(None) in options and value in (None, "none", ""):
        return None
    (kind,) = (option for option in options if option is not type(None))
    item = _list_item(kind)
    if item is not None:
        return [convert(name, item, part) for part in (value if isinstance(value, list) else [value])]
    result = _scalar(kind, value)
    if result is None:
        raise ValueError(f"--{name}: {value!r} is not {type_name(kind)}")
    return result


def _scalar(kind: Any, value: Any) -> Any:
    """A scalar of the wanted kind, or None when `value` cannot be one. Strings come from flags."""
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else None
    if kind in (Path, str):
        return kind(value) if isinstance(value, str | Path) else None
    if kind is bool:
        return {"true": True, "false": False}.get(str(value).lower())
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _number(kind, value)
    if kind is float and isinstance(value, int | float):
        return float(value)
    if kind is int and (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        return int(value)
    return None


def _number(kind: type, text: str) -> int | float | None:
    """`1e6` and `2_000` are integers too: people write token counts like that."""
    try:
        number = float(text)
    except ValueError:
        return None
    if kind is float:
        return number
    try:
        return int(text)
    except ValueError:
        return int(number) if number.is_integer() else None


def _list_item(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is list else None


def type_name(kind: Any) -> str:
    """How a type is called in help and errors."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(option) for option in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(type_name(option) for option in get_args(kind))
    if (item := _list_item(kind)) is not None:
        return f"one or more: {type_name(item)}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    return "none" if kind is type(None) else names[kind]


def to_dict(settings: Any) -> dict[str, Any]:
    """Nested plain values, None left out (TOML has no null; absent means the default)."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            table[field.name.replace("_", "-")] = to_dict(value)
        elif value is not None:
            table[field.name.replace("_", "-")] = _plain(value)
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
