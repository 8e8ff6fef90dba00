"""Raw corpora in any public format -> clean documents, and every removed row with its reason.

    yanmo clean --inputs corpus/ --out runs/clean
    yanmo clean --inputs novels/ wiki.jsonl.zst --min-chars 50 --out runs/clean

One ordered stream: blocks of rows are read here, cleaned in worker processes and come back in order; duplicates
are decided and parts are written here. So the output depends on the inputs and the settings and never on the
number of workers, rows in = documents + removed holds by counting, and an interrupted run, started again with
--resume, ends with the same bytes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

from yanmo.core.files import JsonlWriter, write_jsonl
from yanmo.core.processes import core_count, in_order
from yanmo.core.run import Run, open_run
from yanmo.core.settings import CommandSettings
from yanmo.text.adapters import DOCUMENTS
from yanmo.text.cleaning import Cleaned, Document, Removed, clean_block
from yanmo.text.conversations import find_format
from yanmo.text.dedup import Seen
from yanmo.text.formats import check_name
from yanmo.text.readers import Damage, read_blocks
from yanmo.text.rules import Rules
from yanmo.text.sources import Encoding, Source, TxtDocuments, find_files, look
from yanmo.text.step import Drop

MEGABYTE = 1_000_000
WORTH_PROCESSES = 8 * MEGABYTE
"""Inputs smaller than this are cleaned before a second process has started."""
TABLE_ROWS = 20


@dataclass(kw_only=True)
class Settings(Rules, CommandSettings):
    MAY_CHANGE: ClassVar = ("workers",)

    out: Path = Path("runs/clean")
    """The directory to write: part-*.jsonl.zst, removed/, report.json."""
    inputs: list[Path]
    """Files and folders: .txt .json .jsonl .csv .parquet, plain or .gz .bz2 .zst .xz; folders are searched
    recursively, in sorted order."""
    format: str = "auto"
    """How rows are laid out: auto recognises each file by its keys; a wrong name lists the known ones."""
    encoding: Encoding = "auto"
    """Character encoding of text, CSV and JSON files; auto looks at the bytes."""
    txt_documents: TxtDocuments = "file"
    """What a document is in a .txt file. file: the file is one text (a book, an article), cut at a line's end
    every 32,768 characters; line: each line is one; paragraph: blank lines part them. file is the default
    because the others tear a book to pieces and lose the short ones."""
    deduplicate: bool = True
    """Remove documents that equal an earlier one but for width, case, spacing and quotation marks (duplicate)."""
    max_row_mb: int = 16
    """A longer line or row is quarantined (row_too_long), so that memory stays bounded."""
    part_mb: int = 64
    """About how much text goes into one part-*.jsonl.zst."""
    workers: int = 0
    """Processes; 0 takes all cores. The output is the same for any number."""


@dataclass
class Count:
    """What happened to the rows of one source."""

    rows: int = 0
    documents: int = 0
    characters_in: int = 0
    characters_kept: int = 0
    removed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Count) -> None:
        self.rows += other.rows
        self.documents += other.documents
        self.characters_in += other.characters_in
        self.characters_kept += other.characters_kept
        self.removed += other.removed


def main(settings: Settings) -> None:
    check(settings)
    files = find_files(settings.inputs)
    check_out_apart(settings, [path for path, _ in files])
    with open_run(settings) as run:
        if run.finished_before:
            run.say(f"{settings.out}: already complete")
            return
        limit = settings.max_row_mb * MEGABYTE
        sources = [look(*file, settings.encoding, settings.txt_documents, limit) for file in files]
        formats = [settings.format if settings.format != "auto" else find_format(s, DOCUMENTS) for s in sources]
        counts, damages = clean(sources, formats, settings, run)
        summarise(run, sources, formats, counts, damages)


def check(settings: Settings) -> None:
    """Raises: ValueError: a setting has an impossible value."""
    check_name(settings.format, DOCUMENTS)
    settings.check()
    for name, least in (("max_row_mb", 1), ("part_mb", 1), ("workers", 0)):
        if getattr(settings, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(settings, name)}: must be at least {least}")


def check_out_apart(settings: Settings, paths: Iterable[Path]) -> None:
    """Output among the inputs would be cleaned again by the next run."""
    out = settings.out.resolve()
    for path in paths:
        if out in path.resolve().parents:
            raise ValueError(f"--out {settings.out}: the input {path} lies in it; write somewhere else")
    for folder in settings.inputs:
        if folder.is_dir() and folder.resolve() in out.parents:
            raise ValueError(f"--out {settings.out}: lies in the input folder {folder}; write somewhere else")


def clean(sources: list[Source], formats: list[str], settings: Settings, run: Run) -> tuple[list[Count], list[Damage]]:
    """Clean all sources into `run.path`.

    Raises: ValueError: most rows are broken, there are none, or none is kept.
    """
    counts = [Count() for _ in sources]
    damages = [Damage(source) for source in sources]
    seen = Seen() if settings.deduplicate else None
    sizes = [source.path.stat().st_size for source in sources]
    before = [0, *accumulate(sizes)]
    workers = settings.workers or core_count()
    if sum(sizes) < WORTH_PROCESSES:
        workers = 1
    tasks = (
        partial(clean_block, index, block, source, format, settings)
        for index, (source, format) in enumerate(zip(sources, formats, strict=True))
        for block in read_blocks(source, DOCUMENTS[format].columns)
    )
    (run.path / "removed").mkdir(exist_ok=True)
    with (
        Parts(run.path, settings.part_mb * MEGABYTE) as parts,
        RemovedFiles(run.path / "removed") as removed,
        run.progress("clean", sum(sizes) / MEGABYTE, "MB") as bar,
    ):
        done = 0
        for block in in_order(tasks, workers):
            index = block.source
            counts[index].add(take(block, sources[index], seen, parts, removed))
            damages[index].add(block.rows, [(row.number, row.drop) for row in block.removed if row.broken])
            position = before[index] + block.position
            bar.advance((position - done) / MEGABYTE, documents=parts.rows, removed=removed.rows)
            done = position
        bar.advance((sum(sizes) - done) / MEGABYTE, documents=parts.rows, removed=removed.rows)
    rows = sum(count.rows for count in counts)
    assert rows == parts.rows + removed.rows, "a row was lost"
    if not rows:
        raise ValueError(f"--inputs {' '.join(map(str, settings.inputs))}: no rows; the files are empty")
    Damage.check_all(damages)
    return counts, damages


def take(block: Cleaned, source: Source, seen: Seen | None, parts: Parts, removed: RemovedFiles) -> Count:
    """Write a block's documents, duplicates and other removed rows where they belong, and count them."""
    count = Count(rows=block.rows)
    gone = list(block.removed)
    new = [True] * len(block.documents) if seen is None else seen.add(block.hashes)
    for document, is_new in zip(block.documents, new, strict=True):
        if is_new:
            parts.write(document)
            count.documents += 1
            count.characters_in += document.characters
            count.characters_kept += len(document.text)
        else:
            drop = Drop("duplicate", "of an earlier document")
            gone.append(Removed(drop, document.text, document.number, document.characters, broken=False))
    for row in sorted(gone, key=lambda row: row.number):
        removed.write(row, source)
        count.characters_in += row.characters
        count.removed[row.drop.reason] += 1
    assert count.rows == count.documents + count.removed.total(), "a row was lost"
    return count


class Parts(contextlib.ExitStack):
    """part-00000.jsonl.zst and so on, each whole or absent, each of about `limit` bytes of text."""

    def __init__(self, folder: Path, limit: int):
        super().__init__()
        self.rows = 0
        self._folder, self._limit = folder, limit
        self._number = self._size = 0
        self._writer: JsonlWriter | None = None

    def write(self, document: Document) -> None:
        if self._writer is None or self._size >= self._limit:
            self.close()
            self._writer = self.enter_context(write_jsonl(self._folder / f"part-{self._number:05}.jsonl.zst"))
            self._number, self._size = self._number + 1, 0
        self._writer.write({"text": document.text, "source": document.source, "id": document.id})
        self._size += 3 * len(document.text)  # a Han character is three bytes
        self.rows += 1


class RemovedFiles(contextlib.ExitStack):
    """removed/<reason>.jsonl.zst: what was removed, where it stood, and why."""

    def __init__(self, folder: Path):
        super().__init__()
        self.rows = 0
        self._folder = folder
        self._writers: dict[str, JsonlWriter] = {}

    def write(self, row: Removed, source: Source) -> None:
        reason = row.drop.reason
        if reason not in self._writers:
            self._writers[reason] = self.enter_context(write_jsonl(self._folder / f"{reason}.jsonl.zst"))
        place = source.place(row.number)
        self._writers[reason].write({"text": row.text, "place": place, "detail": row.drop.detail})
        self.rows += 1


def summarise(run: Run, sources: list[Source], formats: list[str], counts: list[Count], damages: list[Damage]) -> None:
    """Print what happened and put it into the report.

    Raises: ValueError: nothing was kept.
    """
    total = Count()
    for count in counts:
        total.add(count)
    named = sorted(zip(sources, counts, strict=True), key=lambda item: -item[1].rows)
    rows = [cells(source.name, count) for source, count in named[:TABLE_ROWS]]
    if len(named) > TABLE_ROWS:
        rest = Count()
        for _, count in named[TABLE_ROWS:]:
            rest.add(count)
        rows.append(cells(f"{len(named) - TABLE_ROWS} more", rest))
    if len(named) > 1:
        rows.append(cells("total", total))
    run.table("kept", ["source", "rows", "documents", "characters", "kept characters"], rows)
    if total.removed:
        reasons = [[reason, number, percent(number, total.rows)] for reason, number in total.removed.most_common()]
        run.table("removed, readable under removed/", ["reason", "rows", "share"], reasons)
    damaged = [damage for damage in damages if damage.broken]
    for damage in damaged[:TABLE_ROWS]:
        run.say(f"warning: {damage.source.path}: {damage.broken:,} broken rows: {', '.join(damage.first)}")
    run.report.update(
        **report(total),
        sources={
            source.name: {"format": format, "layout": source.layout, "encoding": source.encoding, **report(count)}
            for source, format, count in zip(sources, formats, counts, strict=True)
        },
        broken={str(damage.source.path): damage.first for damage in damaged},
    )
    if not total.documents:
        why = ", ".join(f"{reason} {count:,}" for reason, count in total.removed.most_common())
        raise ValueError(f"nothing is left of {total.rows:,} rows: {why}; {run.path}/removed shows them")


def cells(name: str, count: Count) -> list[Any]:
    return [name, count.rows, count.documents, count.characters_in, count.characters_kept]


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"


def report(count: Count) -> dict[str, Any]:
    return {
        "rows": count.rows,
        "documents": count.documents,
        "characters_in": count.characters_in,
        "characters_kept": count.characters_kept,
        "removed": dict(sorted(count.removed.items())),
    }
