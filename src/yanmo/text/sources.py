"""Which files an input names, and what each is: layout and encoding are found by looking at the bytes.

Public Chinese sets are full of `.json` files that hold JSON lines and of tables in GB18030.
"""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yanmo.text.streams import Stream

Encoding = Literal["auto", "utf-8", "gb18030"]
TxtDocuments = Literal["file", "line", "paragraph"]
Layout = Literal["jsonl", "array", "objects", "csv", "txt", "parquet"]

KINDS = (".txt", ".json", ".jsonl", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".bz2", ".zst", ".xz")
READ = f"{' '.join(KINDS)} are read, plain or {' '.join(COMPRESSIONS)}"
HEAD = 1 << 16
MAX_ROW_BYTES = 16_000_000
"""A longer row is quarantined: no document is so long, and one endless line must not fill the memory."""


@dataclass(frozen=True)
class Source:
    """One input file and how to read it."""

    path: Path
    name: str
    """How documents, counts and ids call it: the file's name, or its path below the folder that was given."""
    layout: Layout
    encoding: str
    txt_documents: TxtDocuments
    max_row_bytes: int

    def place(self, number: int) -> str:
        """`file:line` where lines can be counted, `file row number` elsewhere."""
        by_line = self.layout in ("jsonl", "csv", "txt")
        return f"{self.path}:{number}" if by_line else f"{self.path} row {number}"


def kind_of(path: Path) -> str | None:
    """The suffix that tells the kind, compression aside; None if it is none that can be read."""
    suffix = Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix
    return suffix if suffix in KINDS else None


def find_files(inputs: list[Path]) -> list[tuple[Path, str]]:
    """All readable files of the inputs with their names; folders are searched recursively, in sorted order.

    Raises: ValueError: an input is missing, of an unknown kind, or a folder without any file of a known one.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for given in inputs:
        for path, name in _files_of(given):
            found.setdefault(path.resolve(), (path, name))
    return _with_unique_names(list(found.values()))


def _files_of(given: Path) -> list[tuple[Path, str]]:
    if given.is_dir():
        paths = sorted(p for p in given.rglob("*") if p.is_file() and kind_of(p) and _visible(p, given))
        if not paths:
            raise ValueError(f"{given}: nothing to read in this folder; {READ}")
        return [(path, path.relative_to(given).as_posix()) for path in paths]
    if not given.exists():
        raise ValueError(f"{given}: no such file or folder")
    if kind_of(given) is None:
        raise ValueError(f"{given}: unknown kind of file; {READ}")
    return [(given, given.name)]


def _visible(path: Path, folder: Path) -> bool:
    """Neither hidden nor what an earlier `clean` removed, should a folder of documents be given."""
    parts = path.relative_to(folder).parts
    ours = (folder / "run.toml").is_file()
    return not any(part.startswith(".") for part in parts) and not (
        ours and (parts[0] == "removed" or path.name == "report.json")
    )


def _with_unique_names(files: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Names that two inputs share get their folder's name in front, and a number if that is shared too."""
    count = Counter(name for _, name in files)
    files = [(path, name if count[name] == 1 else f"{path.resolve().parent.name}/{name}") for path, name in files]
    count = Counter(name for _, name in files)
    seen: Counter[str] = Counter()
    unique = []
    for path, name in files:
        seen[name] += 1
        unique.append((path, name if count[name] == 1 else f"{name}#{seen[name]}"))
    return unique


def look(
    path: Path,
    name: str | None = None,
    encoding: Encoding = "auto",
    txt_documents: TxtDocuments = "file",
    max_row_bytes: int = MAX_ROW_BYTES,
) -> Source:
    """Find out a file's layout and encoding from its first 64 kB.

    Raises: ValueError: the kind is unknown, or the text is UTF-16.
    """
    kind = kind_of(path)
    if kind is None:
        raise ValueError(f"{path}: unknown kind of file; {READ}")
    layout: Layout
    if kind == ".parquet":
        layout, found = "parquet", "utf-8"
    else:
        with Stream(path) as stream:
            head = stream.peek(HEAD)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ValueError(f"{path}: UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8")
        layout = "txt" if kind == ".txt" else "csv" if kind == ".csv" else _json_layout(head)
        found = detect_encoding(head) if encoding == "auto" else encoding
    return Source(path, name or path.name, layout, found, txt_documents, max_row_bytes)


def _json_layout(head: bytes) -> Layout:
    """An array, JSON lines, or pretty-printed objects one after the other."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"["):
        return "array"
    first_line = text.partition(b"\n")[0].strip()
    return "objects" if first_line == b"{" else "jsonl"


def detect_encoding(head: bytes) -> str:
    """ "gb18030" if the bytes are clearly that and clearly not UTF-8, else "utf-8".

    A UTF-8 file with some damage stays UTF-8: in GB18030 text read as UTF-8 nearly every character is invalid.
    """
    text = head.decode("utf-8", "replace")
    foreign = sum(1 for character in text if character > "\x7f")
    invalid = text.count("�") - head.count("�".encode())
    return "gb18030" if invalid * 10 > foreign + 30 and looks_like_gb18030(head) else "utf-8"


def looks_like_gb18030(data: bytes) -> bool:
    """Whether the bytes decode as GB18030 into mostly everyday Han characters."""
    text = data.decode("gb18030", "replace")
    foreign = [character for character in text if character > "\x7f"]
    han = sum("\u4e00" <= character <= "\u9fa5" for character in foreign)
    return text.count("�") * 100 <= len(foreign) + 100 and han * 2 >= len(foreign) > 0
