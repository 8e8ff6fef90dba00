"""Which files an input names, and what each is: layout and encoding are found by looking at the bytes.

Public Chinese sets are full of `.json` files that hold JSON lines and of tables in GB18030.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yanmo.text.files.streams import Stream

Encoding = Literal["auto", "utf-8", "gb18030"]
TxtDocuments = Literal["file", "line", "paragraph"]
Layout = Literal["jsonl", "array", "objects", "csv", "txt", "parquet", "wiki"]

KINDS = (".txt", ".json", ".jsonl", ".csv", ".parquet", ".xml")
COMPRESSIONS = (".gz", ".bz2", ".zst", ".xz")
ARCHIVES = {".zip": "unzip", ".7z": "7z x", ".rar": "unrar x", ".tar": "tar xf", ".tgz": "tar xf"}
WRAPPERS = ("data", "RECORDS", "records", "rows", "items", "examples", "instances", "list", "result")
"""Keys under which exported files hold the array of their rows."""
WRAPPED = re.compile(
    rb'\{\s*(?:"[^"\\]{0,50}"\s*:\s*(?:"[^"\\]{0,500}"|[-+.\w]{1,30})\s*,\s*){0,10}"([^"\\]{1,50})"\s*:\s*\[\s*\{'
)
"""An object whose first value that is not a scalar is an array of objects."""
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
    items: str = "item"
    """Where an array's elements are, as ijson writes it: "data.item" for `{"data": [...]}`."""

    def place(self, number: int) -> str:
        """`file:line` where lines can be counted, `file row number` elsewhere, `file page number` in a wiki dump."""
        if self.layout in ("jsonl", "csv", "txt"):
            return f"{self.path}:{number}"
        return f"{self.path} {'page' if self.layout == 'wiki' else 'row'} {number}"


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
        raise ValueError(f"{given}: {_what_else(given)}")
    if not given.is_file():
        raise ValueError(f"{given}: not a file but a pipe or a device, which cannot be read twice; save it first")
    return [(given, given.name)]


def _what_else(path: Path) -> str:
    """Why a file of another kind is not read, and the way out."""
    if path.suffix == ".bin":
        return f"token ids, no text in it; yanmo pack --inputs {path} --tokenizer DIR takes it, yanmo doctor shows it"
    if path.suffix in ARCHIVES or ".tar" in path.suffixes:
        return f"an archive; unpack it first ({ARCHIVES.get(path.suffix, 'tar xf')} {path.name})"
    return f"unknown kind of file; {READ}"


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

    Raises: ValueError: the kind is unknown, the text is UTF-16, or the XML is no wiki dump.
    """
    kind = kind_of(path)
    if kind is None:
        raise ValueError(f"{path}: unknown kind of file; {READ}")
    layout: Layout
    items = "item"
    if kind == ".parquet":
        layout, found = "parquet", "utf-8"
    else:
        with Stream(path) as stream:
            head = stream.peek(HEAD)
        if kind == ".xml" and head and not (b"<mediawiki" in head or b"<page>" in head):
            raise ValueError(f"{path}: XML, but not a MediaWiki dump, which begins with <mediawiki")
        if utf16 := _utf16(head):
            raise ValueError(f"{path}: {utf16} text; convert it first: iconv -f {utf16} -t UTF-8")
        known: dict[str, Layout] = {".txt": "txt", ".csv": "csv", ".xml": "wiki"}
        layout = known.get(kind) or _json_layout(head)
        found = detect_encoding(head) if encoding == "auto" else encoding
        if layout == "array" and (wrapper := _wrapper(head)):
            items = f"{wrapper}.item"
    return Source(path, name or path.name, layout, found, txt_documents, max_row_bytes, items)


def _utf16(head: bytes) -> str | None:
    """UTF-16 or UTF-32 by its mark, or by half of its bytes being zero; no text in UTF-8 or GB18030 has that."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    for start, name in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        # ASCII (a JSON file's keys, line ends) has a zero byte beside each character; Han has none.
        zeros = head[start::2].count(0)
        if zeros >= 16 and zeros * 10 > len(head) and head[1 - start :: 2].count(0) * 50 < len(head):
            return name
    return None


def _json_layout(head: bytes) -> Layout:
    """An array, also as the value of an object's key; JSON lines; or pretty-printed objects one after the other."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"[") or _wrapper(head):
        return "array"
    first_line = text.partition(b"\n")[0].strip()
    return "objects" if first_line == b"{" else "jsonl"


def _wrapper(head: bytes) -> str | None:
    """The key that holds the file's rows, in `{"RECORDS": [{...}, ...]}`; None for rows themselves.

    A row may look the same (`{"data": [{...}]}`), but then it ends with its line and another row follows.
    """
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    found = WRAPPED.match(text)
    if found is None or (key := found[1].decode("utf-8", "replace")) not in WRAPPERS:
        return None
    first, _, rest = text.partition(b"\n")
    return None if first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{") else key


def detect_encoding(head: bytes) -> str:
    """ "gb18030" if the bytes are clearly that and clearly not UTF-8, else "utf-8".

    A UTF-8 file with some damage stays UTF-8: in GB18030 text read as UTF-8 nearly every character is invalid.
    """
    text = head.decode("utf-8", "replace")
    foreign = sum(1 for character in text if character > "\x7f")
    invalid = text.count("�") - head.count("�".encode())
    return "gb18030" if invalid * 10 > foreign + 30 and looks_like_gb18030(head) else "utf-8"


def other_encoding(line: bytes, encoding: str) -> str | None:
    """The encoding of a line that is not in its file's, where that is beyond doubt; else None.

    Files put together from several sources mix the two. A line is GB18030 for certain if it is GB2312 to the last
    byte, with at least four characters of its first level (the 3,755 in daily use), more than four fifths of its Han.
    Damaged UTF-8 is not: read in pairs, every third of its Han begins a character of the second level. A line is
    UTF-8 for certain if it decodes as that with at least four Han characters.
    """
    other = "gb2312" if encoding == "utf-8" else "utf-8"
    try:
        text = line.decode(other)
    except UnicodeDecodeError:
        return None
    foreign = [character for character in text if character > "\x7f"]
    if other == "utf-8":
        return other if sum("\u4e00" <= character <= "\u9fff" for character in foreign) >= 4 else None
    leads = [character.encode("gb2312")[0] for character in foreign]
    han, daily = sum(lead >= 0xB0 for lead in leads), sum(0xB0 <= lead < 0xD8 for lead in leads)
    return "gb18030" if daily >= 4 and daily * 5 > han * 4 else None


def looks_like_gb18030(data: bytes) -> bool:
    """Whether the bytes decode as GB18030 into mostly everyday Han characters."""
    text = data.decode("gb18030", "replace")
    foreign = [character for character in text if character > "\x7f"]
    han = sum("\u4e00" <= character <= "\u9fa5" for character in foreign)
    return text.count("�") * 100 <= len(foreign) + 100 and han * 2 >= len(foreign) > 0
