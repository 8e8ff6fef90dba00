"""The working state of `clean` on the disk: one folder a shard, whole or absent, that one can watch with ls.

    shards/
      job.json              what is to be done: sources, spans, rules (`Job`)
      000000-00000/         a finished shard: span and piece
        documents.jsonl.zst   cleaned documents, in order
        removed.jsonl.zst     rows that were removed, and why
        rows.npy              each document's source and row, so that others can name it
        keys                  hashes of the documents for the search for duplicates
        counts.json           rows, characters, reasons (`Counts`)
        written.json          once its part is written: what the duplicates took away
      duplicates.npy        which documents repeat which
      parts.json            what each shard is to be written as; now duplicates are decided

A shard is made in a hidden folder that is renamed when all its files are on the disk. So a kill at any moment
leaves finished shards and hidden scraps, which go with the rest; and two processes that make the same shard, a task
that a cluster started again beside the first, do not meet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from yanmo.core.files import fsync_directory, read_json, write_json
from yanmo.core.settings import build, flatten, to_dict
from yanmo.text.files.damage import Damage
from yanmo.text.files.sources import Source
from yanmo.text.pipeline.spans import Range, Span, piece_name
from yanmo.text.step import Drop, Step
from yanmo.text.steps.rules import Rules, document_steps, source_kind

FOLDER = "shards"
FIRST_BROKEN = 5
"""How many broken rows of a source a shard names."""


@dataclass
class Job:
    """What is to be done, the same for every process and machine that works on it."""

    out: Path
    rules: Rules
    duplicates: Literal["near", "exact", "none"]
    near_jaccard: float
    part_bytes: int
    sources: list[Source]
    formats: list[str]
    spans: list[Span]
    _steps: dict[str, tuple[Step, ...]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.out / FOLDER

    def steps(self, source: int) -> tuple[Step, ...]:
        """The document steps for a source. Built once a process, since some load word lists and models."""
        kind = source_kind(self.rules, self.formats[source])
        if kind not in self._steps:
            self._steps[kind] = document_steps(self.rules, kind)
        return self._steps[kind]

    def shard(self, span: int, piece: int) -> Path:
        return self.folder / piece_name(span, piece)

    def save(self) -> None:
        sources = [dataclasses.asdict(source) | {"path": str(source.path)} for source in self.sources]
        self.folder.mkdir(exist_ok=True)
        write_json(
            self.folder / "job.json",
            {
                "rules": to_dict(self.rules),
                "duplicates": self.duplicates,
                "near_jaccard": self.near_jaccard,
                "part_bytes": self.part_bytes,
                "sources": sources,
                "formats": self.formats,
                "spans": [[[list(part) for part in ranges], *rest] for ranges, *rest in self.spans],
            },
        )


def has_job(out: Path) -> bool:
    return (out / FOLDER / "job.json").is_file()


def load_job(out: Path) -> Job:
    """The job of a directory; read once a process."""
    return _load_job(out, (out / FOLDER / "job.json").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load_job(out: Path, time: int) -> Job:
    table = read_json(out / FOLDER / "job.json")
    spans = [Span([Range(*part) for part in ranges], *rest) for ranges, *rest in table.pop("spans")]
    sources = [Source(**source | {"path": Path(source["path"])}) for source in table.pop("sources")]
    rules = build(Rules, flatten(table.pop("rules")))
    return Job(out, rules, sources=sources, spans=spans, **table)


@contextlib.contextmanager
def new_shard(path: Path) -> Iterator[Path]:
    """A hidden folder to write into, which takes the name `path` if the block succeeds.

    If another process was quicker, its shard stays: it holds the same bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
        fsync_directory(folder)
        try:
            os.rename(folder, path)
        except OSError:
            if not path.is_dir():
                raise
        fsync_directory(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Count:
    """What happened to the rows of one source, in a shard or altogether."""

    rows: int = 0
    documents: int = 0
    characters_in: int = 0
    characters_kept: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    """Characters of the removed rows, before cleaning; 0 for what could not be read."""
    broken: int = 0
    first_broken: list[tuple[int, str, str]] = field(default_factory=list)
    """Number, reason and detail of the first few."""
    lines: int = 0
    """Lines of the range so far, whatever they hold: where the next range of the file begins follows from them."""

    def add(self, other: Count) -> None:
        self.rows += other.rows
        self.documents += other.documents
        self.characters_in += other.characters_in
        self.characters_kept += other.characters_kept
        self.removed += other.removed
        self.lost += other.lost

    def take_away(self, reason: str, characters: int, before_cleaning: int) -> None:
        """A document turned out to be a duplicate."""
        self.documents -= 1
        self.characters_kept -= characters
        self.removed[reason] += 1
        self.lost[reason] += before_cleaning


def read_count(table: dict[str, Any]) -> Count:
    return Count(**table | {name: Counter(table[name]) for name in ("removed", "lost")})


@dataclass
class Counts:
    """counts.json: what one shard did with the rows of each source."""

    span: int
    piece: int
    last: bool
    """Whether its span ends with it."""
    size: int
    """Bytes of the files read for it."""
    sources: dict[int, Count] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        return sum(count.documents for count in self.sources.values())

    @property
    def removed(self) -> int:
        return sum(count.removed.total() for count in self.sources.values())

    def save(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self) | {"sources": {str(k): vars(v) for k, v in self.sources.items()}})


def read_counts(shard: Path) -> Counts:
    table = read_json(shard / "counts.json")
    sources = {int(number): read_count(count) for number, count in table["sources"].items()}
    return Counts(**table | {"sources": sources})


def finished(shard: Path) -> bool:
    return shard.is_dir()


def all_counts(job: Job) -> Iterator[Counts]:
    """The counts of every shard, in the order of the inputs; all must be finished."""
    for span in range(len(job.spans)):
        piece, last = 0, False
        while not last:
            counts = read_counts(job.shard(span, piece))
            yield counts
            piece, last = piece + 1, counts.last


def finished_span(job: Job, span: int) -> list[Counts] | None:
    """The counts of a span's shards; None unless all are finished."""
    counts: list[Counts] = []
    while finished(job.shard(span, len(counts))):
        counts.append(read_counts(job.shard(span, len(counts))))
        if counts[-1].last:
            return counts
    return None


class Tally:
    """Adds up shards in the order of the inputs, and finds where each span's lines begin.

    Adding raises: ValueError: most rows of a source are broken.
    """

    def __init__(self, job: Job):
        self._job = job
        self.counts = [Count() for _ in job.sources]
        self.damages = [Damage(source) for source in job.sources]
        self._lines: Counter[int] = Counter()
        self._offsets: dict[int, int] = {}
        self._span = -1

    def add(self, counts: Counts) -> dict[int, int]:
        """Add a shard; returns how many lines come before its span in each of its sources, where there are any."""
        if counts.span != self._span:
            self._span = counts.span
            sources = [part.source for part in self._job.spans[counts.span].ranges]
            self._offsets = {source: self._lines[source] for source in sources if self._lines[source]}
        for source, count in counts.sources.items():
            self.counts[source].add(count)
            offset = self._offsets.get(source, 0)
            rows = [(offset + number, Drop(reason, detail)) for number, reason, detail in count.first_broken]
            self.damages[source].broken += count.broken - len(rows)
            self.damages[source].add(count.rows, rows)
            self._lines[source] = offset + count.lines
        return self._offsets
