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


class Formats(dict[str, Format[T]]):
    """Formats by name, the most specific first. Indexing also takes a public corpus's name, and a format of one's
    own that says which key means what: `text=正文,title=标题`.
    """

    def __init__(
        self, named: Mapping[str, Format[T]], needs: Sequence[str], may: Sequence[str], make: Callable[..., Any]
    ):
        """`make(**keys)` builds the format of `needs` (and perhaps `may`) -> key."""
        super().__init__(named)
        self._needs, self._may, self._make = needs, may, make
        self.usage = ",".join(f"{name}=KEY" for name in needs) + "".join(f"[,{name}=KEY]" for name in may)

    def __missing__(self, name: str) -> Format[T]:
        """Raises: ValueError: there is none of that name."""
        if "=" in name:
            keys = {meaning: key for meaning, _, key in (part.partition("=") for part in name.split(","))}
            if set(self._needs) <= set(keys) <= {*self._needs, *self._may} and all(keys.values()):
                return self._make(**keys)
            raise ValueError(f"--format {name}: which key means what is written {self.usage}")
        if known := next((known for known in self.values() if name.lower() in known.corpora), None):
            return known
        corpora = {corpus for known in self.values() for corpus in known.corpora}
        close = difflib.get_close_matches(name.lower(), {*self, *corpora}, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"--format {name}: no such format; {hint}there are: auto {' '.join(self)}, or {self.usage}")


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


def common_format(rows: Sequence[RowKeys], formats: Mapping[str, Format[T]]) -> str | None:
    """The format that most of the rows have."""
    names = [name for name in (matching(row, formats) for row in rows) if name]
    return max(names, key=names.count) if len(names) * 2 > len(rows) else None


def recognise(rows: Sequence[RowKeys], place: str, formats: Formats[T]) -> str:
    """The format of a file from its first rows: the one that most of them have.

    Raises: ValueError: none fits; the line lists the keys that were seen and the formats nearest to them.
    """
    if name := common_format(rows, formats):
        return name
    keys = list(dict.fromkeys(key for row in rows for key in row))
    near = "; ".join(f"{name} lacks {', '.join(missing)}" for name, missing in nearest(keys, formats))
    raise ValueError(
        f"{place}: unknown format with the keys {', '.join(keys[:20]) or 'none at all'}; nearest: {near}; "
        f"say which key means what with --format {formats.usage} (yanmo doctor {place} shows the rows)"
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


def check_name(name: str, formats: Formats[Any]) -> str:
    """The name by which `formats` knows the format called `name`, which may be a public corpus's; "auto" is "auto".

    Raises: ValueError: there is no such format.
    """
    if name == "auto":
        return name
    wanted = formats[name]
    return next((known for known, format in formats.items() if format is wanted), name)
