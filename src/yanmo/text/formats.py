"""A public format: the keys that its rows have, by which it is recognised, and the function that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from yanmo.text.step import Drop

T = TypeVar("T")
RowKeys = Mapping[str, Any]


@dataclass(frozen=True)
class Format(Generic[T]):
    """`read` turns a row into a text or a list of messages, or says with a Drop why it cannot."""

    keys: tuple[str, ...]
    """All of them must be there for the format to be recognised."""
    read: Callable[[RowKeys], T | Drop]
    also: tuple[str, ...] = ()
    """Keys that are read when they are there."""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys + self.also


def field(row: RowKeys, key: str) -> str | Drop:
    """A text field; null counts as empty, absence does not."""
    if key not in row:
        return Drop("missing_field", f"no {key!r} among {' '.join(row)}")
    value = row[key]
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return Drop("wrong_type", f"{key!r} is {type(value).__name__}, not text")


def objects(row: RowKeys, key: str) -> list[dict[str, Any]] | Drop:
    """A field that holds a list of objects; null counts as an empty one, absence does not."""
    if key not in row:
        return Drop("missing_field", f"no {key!r} among {' '.join(row)}")
    value = row[key] or []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    return Drop("wrong_type", f"{key!r} is not a list of objects")


def joined(parts: Iterable[str | Drop]) -> str | Drop:
    """The parts that hold something, each on its own line; the first Drop if there is one."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Drop):
            return part
        if part.strip():
            texts.append(part)
    return "\n".join(texts)


def matching(row: RowKeys, formats: Mapping[str, Format[T]]) -> str | None:
    """The first format all of whose keys the row has."""
    return next((name for name, known in formats.items() if all(key in row for key in known.keys)), None)


def recognise(rows: Sequence[RowKeys], place: str, formats: Mapping[str, Format[T]]) -> str:
    """The format of a file from its first rows: the one that most of them have.

    Raises: ValueError: none fits; the line lists the keys that were seen and the formats there are.
    """
    names = [name for name in (matching(row, formats) for row in rows) if name]
    if len(names) * 2 > len(rows):
        return max(names, key=names.count)
    keys = ", ".join(list(dict.fromkeys(key for row in rows for key in row))[:20]) or "none at all"
    known = "; ".join(f"{name}: {', '.join(format.keys)}" for name, format in formats.items())
    raise ValueError(f"{place}: unknown format with the keys {keys}; the known ones need -- {known}")


def check_name(name: str, formats: Mapping[str, Format[T]]) -> None:
    """Raises: ValueError: `name` is neither "auto" nor the name of a format."""
    if name != "auto" and name not in formats:
        raise ValueError(f"--format {name}: no such format; there are: auto {' '.join(formats)}")
