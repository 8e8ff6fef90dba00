"""A public format: the keys that its rows have, by which it is recognised, and the function that reads them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from yanmo.text.step import Drop

T = TypeVar("T")
RowKeys = Mapping[str, Any]


@dataclass(frozen=True)
class Format(Generic[T]):
    """`read` turns a row into a text, messages or pairs, or says with a Drop why it cannot."""

    keys: tuple[str, ...]
    """All of them must be there for the format to be recognised."""
    read: Callable[[RowKeys], T | Drop]
    also: tuple[str, ...] = ()
    """Keys that are read when they are there."""
    looks: Callable[[RowKeys], bool] | None = None
    """What else tells it from its neighbours, where keys alone do not: called with rows that have all `keys`."""
    corpora: tuple[str, ...] = ()
    """Public corpora that come in it; their names are accepted wherever a format's is."""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys + self.also

    def fits(self, row: RowKeys) -> bool:
        return all(key in row for key in self.keys) and (self.looks is None or self.looks(row))


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
    """The first format that the row fits."""
    return next((name for name, known in formats.items() if known.fits(row)), None)


def recognise(rows: Sequence[RowKeys], place: str, formats: Mapping[str, Format[T]]) -> str:
    """The format of a file from its first rows: the one that most of them have.

    Raises: ValueError: none fits; the line lists the keys that were seen and the formats nearest to them.
    """
    names = [name for name in (matching(row, formats) for row in rows) if name]
    if len(names) * 2 > len(rows):
        return max(names, key=names.count)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    near = "; ".join(f"{name} lacks {', '.join(missing)}" for name, missing in nearest(keys, formats))
    raise ValueError(
        f"{place}: unknown format with the keys {', '.join(keys[:20]) or 'none at all'}; nearest: {near}; "
        f"yanmo doctor {place} shows the rows and how to convert them"
    )


def nearest(keys: Sequence[str], formats: Mapping[str, Format[Any]], count: int = 3) -> list[tuple[str, list[str]]]:
    """The formats that need least besides `keys`, each with what is missing; a key spelled alike counts half."""

    def distance(name: str) -> tuple[float, int]:
        lacking = missing(name)
        alike = sum(bool(difflib.get_close_matches(key, keys, 1)) for key in lacking)
        return ((len(lacking) - alike / 2) / max(1, len(formats[name].keys)), len(formats[name].keys))

    def missing(name: str) -> list[str]:
        return [key for key in formats[name].keys if key not in keys]

    return [(name, missing(name)) for name in sorted(formats, key=distance) if missing(name)][:count]


def check_name(name: str, formats: Mapping[str, Format[Any]]) -> str:
    """The format called `name`: "auto", a format's own name, or a public corpus's (skypile, belle-2m, ...).

    Raises: ValueError: it is none of them.
    """
    if name == "auto" or name in formats:
        return name
    wanted = name.lower()
    for format, known in formats.items():
        if wanted in known.corpora:
            return format
    corpora = {corpus for known in formats.values() for corpus in known.corpora}
    close = difflib.get_close_matches(wanted, {*formats, *corpora}, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(f"--format {name}: no such format; {hint}there are: auto {' '.join(formats)}")
