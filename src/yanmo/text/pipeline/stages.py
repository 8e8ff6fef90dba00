"""The three stages of `clean`, as functions that any process on any machine may call.

1. `clean_piece`: the rows of a piece become a shard of documents, removed rows, keys and counts.
2. `find_repeated`: all keys, in order, tell which documents repeat an earlier one. One process.
3. `write_part`: a shard without its duplicates becomes a part of the output; `gather` joins what was removed.

What is finished is not done again, and what a stage makes depends on the job and the stage before it alone. So any
number of processes may share the shards in any way (`clean_share` and `write_share` share them by rank), be killed
at any moment and be started again, and the output has the same bytes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import zstandard

from yanmo.core.files import (
    CHUNK,
    JsonlWriter,
    atomic_open,
    iter_lines,
    open_binary,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from yanmo.text.files.rows import Block
from yanmo.text.files.sources import Source
from yanmo.text.overlap.duplicates import Found, Keys, document_keys, find_duplicates, write_keys
from yanmo.text.pipeline.cleaning import Cleaned, clean_block
from yanmo.text.pipeline.shards import (
    FIRST_BROKEN,
    Count,
    Counts,
    Job,
    Tally,
    all_counts,
    finished,
    finished_span,
    load_job,
    new_shard,
    read_count,
    read_counts,
)
from yanmo.text.pipeline.spans import Piece, read_pieces
from yanmo.text.step import Drop
from yanmo.text.steps.rules import batch_check
from yanmo.text.wiki.dump import pages_until

DOCUMENTS, REMOVED, KEYS, ROWS, WRITTEN = "documents.jsonl.zst", "removed.jsonl.zst", "keys", "rows.npy", "written.json"
DUPLICATES, PARTS = "duplicates.npy", "parts.json"
FAST = 1
"""The zstd level of files that are read once and deleted."""
ROW = np.dtype([("source", "<u4"), ("number", "<u8")])
DUPLICATE = np.dtype([("row", "<u4"), ("of_shard", "<u4"), ("of_row", "<u4"), ("exact", "?"), ("jaccard", "<f4")])


# 1. Documents


def clean_share(out: Path, rank: int, world_size: int) -> None:
    """Clean every `world_size`-th span, from `rank` on."""
    for span in range(rank, len(load_job(out).spans), world_size):
        clean_span(out, span)


def clean_span(out: Path, span: int) -> list[Counts]:
    """Clean the rows of a span, as far as that is not done, into one shard or, if it is a large stream, several."""
    done = finished_span(load_job(out), span)
    return [clean_piece(out, piece) for piece in pieces(out, span)] if done is None else done


def pieces(out: Path, span: int) -> Iterator[Piece]:
    job = load_job(out)
    return read_pieces(span, job.spans[span], job.sources, job.formats, job.part_bytes)


def clean_piece(out: Path, piece: Piece) -> Counts:
    """Clean the rows of a piece into a shard."""
    job = load_job(out)
    path = job.shard(piece.span, piece.number)
    if finished(path):
        return read_counts(path)
    check = batch_check(job.rules)
    counts = Counts(piece.span, piece.number, piece.last, piece.size)
    keys: list[Keys] = []
    rows: list[np.ndarray] = []
    with new_shard(path) as folder:
        with write_jsonl(folder / DOCUMENTS, FAST) as documents, write_jsonl(folder / REMOVED, FAST) as removed:
            for source, block in piece.blocks:
                cleaned = clean_block(block, job.sources[source], job.formats[source], job.steps(source), check)
                count = counts.sources.setdefault(source, Count())
                count_rows(cleaned, count)
                count.lines = lines_until(block, job.sources[source])
                write_rows(cleaned, source, documents, removed)
                rows.append(np.array([(source, document.number) for document in cleaned.documents], ROW))
                if job.duplicates != "none":
                    texts = [document.text for document in cleaned.documents]
                    keys.append(document_keys(texts, job.near_jaccard, job.duplicates == "near"))
        assert documents.rows == counts.documents and removed.rows == counts.removed, "a row was lost"
        with atomic_open(folder / ROWS) as stream:
            np.save(stream, np.concatenate([np.empty(0, ROW), *rows]))
        if job.duplicates != "none":
            write_keys(folder / KEYS, keys)
        counts.save(folder / "counts.json")
    return counts


def lines_until(block: Block, source: Source) -> int:
    """Lines or pages of its range up to a block's end; 0 for a Parquet file, whose rows have their numbers already."""
    if source.layout == "parquet":
        return 0
    if source.layout == "wiki":
        return pages_until(block)
    return block.first + (block.data.count(b"\n") if isinstance(block.data, bytes) else 0)


def write_rows(cleaned: Cleaned, source: int, documents: JsonlWriter, removed: JsonlWriter) -> None:
    for document in cleaned.documents:
        row = {"text": document.text, "source": source, "number": document.number, "characters": document.characters}
        documents.write(row if document.name is None else row | {"name": document.name})
    for gone in cleaned.removed:
        why = {"reason": gone.drop.reason, "detail": gone.drop.detail}
        removed.write({"text": gone.text, "source": source, "number": gone.number} | why)


def count_rows(cleaned: Cleaned, count: Count) -> None:
    count.rows += cleaned.rows
    count.documents += len(cleaned.documents)
    count.characters_in += sum(document.characters for document in cleaned.documents)
    count.characters_in += sum(row.characters for row in cleaned.removed)
    count.characters_kept += sum(len(document.text) for document in cleaned.documents)
    for row in cleaned.removed:
        count.removed[row.drop.reason] += 1
        count.lost[row.drop.reason] += row.characters
        if row.broken:
            count.broken += 1
            if len(count.first_broken) < FIRST_BROKEN:
                count.first_broken.append((row.number, *row.drop))
    assert count.rows == count.documents + count.removed.total(), "a row was lost"


# 2. Duplicates


class Part(NamedTuple):
    """What a shard is to be written as."""

    span: int
    piece: int
    number: int | None
    """Of the part; None if no document is left."""
    documents: int
    duplicates: tuple[int, int]
    """Its place in duplicates.npy."""
    lines: dict[int, int]
    """For the sources of which it is not the first: how many lines of the file come before its span."""

    @property
    def kept(self) -> int:
        return self.documents - (self.duplicates[1] - self.duplicates[0])

    def line(self, row: Mapping[str, Any]) -> int:
        """The number of a shard's row in its file."""
        return row["number"] + self.lines.get(row["source"], 0)


def find_repeated(out: Path, rank: int = 0, world_size: int = 1) -> None:
    """Find the duplicates among all shards and say what each shard is to be written as. Work for one rank."""
    assert world_size == 1
    job = load_job(out)
    tally = Tally(job)
    shards = [(counts, tally.add(counts)) for counts in all_counts(job)]
    folders = [job.shard(counts.span, counts.piece) for counts, _ in shards]
    tables = [np.empty(0, DUPLICATE)] * len(shards)
    if job.duplicates != "none":
        found = find_duplicates(
            [folder / KEYS for folder in folders],
            lambda shard, rows: texts(folders[shard], rows),
            job.near_jaccard,
            job.duplicates == "near",
        )
        tables = [duplicate_table(shard) for shard in found]
    with atomic_open(job.folder / DUPLICATES) as stream:
        np.save(stream, np.concatenate([np.empty(0, DUPLICATE), *tables]))
    parts, number, end = [], 0, 0
    for (counts, lines), table in zip(shards, tables, strict=True):
        start, end = end, end + len(table)
        any_left = counts.documents > len(table)
        place = number if any_left else None
        parts.append(Part(counts.span, counts.piece, place, counts.documents, (start, end), lines))
        number += any_left
    write_json(job.folder / PARTS, [part._asdict() | {"lines": list(part.lines.items())} for part in parts])


def texts(shard: Path, rows: Sequence[int]) -> Iterator[str]:
    """Documents of a shard; the rows ascend."""
    wanted = iter(rows)
    row = next(wanted, None)
    with open_binary(shard / DOCUMENTS) as stream:
        for number, line in enumerate(iter_lines(stream)):
            if number == row:
                yield orjson.loads(line)["text"]
                row = next(wanted, None)
                if row is None:
                    return


def duplicate_table(found: Found) -> np.ndarray:
    table = np.empty(len(found.rows), DUPLICATE)
    columns = (found.rows, found.shards, found.of_rows, found.exact, found.jaccard)
    for name, column in zip(DUPLICATE.names or (), columns, strict=True):
        table[name] = column
    return table


def found_repeated(job: Job) -> bool:
    return (job.folder / PARTS).is_file()


def load_parts(job: Job) -> list[Part]:
    """What `find_repeated` decided; read once a process."""
    path = job.folder / PARTS
    return _load_parts(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load_parts(path: Path, time: int) -> list[Part]:
    return [Part(**row | {"lines": dict(row["lines"])}) for row in read_json(path)]


# 3. Output


def write_share(out: Path, rank: int, world_size: int) -> None:
    """Write every `world_size`-th part, from `rank` on."""
    for index in range(rank, len(load_parts(load_job(out))), world_size):
        write_part(out, index)


def part_path(out: Path, number: int) -> Path:
    return out / f"part-{number:05}.jsonl.zst"


def write_part(out: Path, index: int) -> int:
    """Write a shard's documents without the duplicates, and, by reason, what was removed from it.

    Returns the number of documents.
    """
    job = load_job(out)
    part = load_parts(job)[index]
    shard = job.shard(part.span, part.piece)
    if (shard / WRITTEN).is_file():
        return part.kept
    duplicates = np.load(job.folder / DUPLICATES, mmap_mode="r")[slice(*part.duplicates)]
    reasons = dict(zip(duplicates["row"].tolist(), _reasons(job, duplicates), strict=True))
    taken: dict[int, Count] = {}
    (shard / "removed").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        removed = stack.enter_context(RemovedFiles(shard / "removed"))
        if part.number is not None:
            documents = stack.enter_context(write_jsonl(part_path(out, part.number)))
        for number, row in enumerate(read_jsonl(shard / DOCUMENTS)):
            source, line = job.sources[row["source"]], part.line(row)
            if number in reasons:
                removed.write(row["text"], source.place(line), reasons[number])
                count = taken.setdefault(row["source"], Count())
                count.take_away(reasons[number].reason, len(row["text"]), row["characters"])
            else:
                name, identity = row.get("name", (source.name, f"{source.name}:{line}"))
                documents.write({"text": row["text"], "source": name, "id": identity})
        for row in read_jsonl(shard / REMOVED):
            place = job.sources[row["source"]].place(part.line(row))
            removed.write(row["text"], place, Drop(row["reason"], row["detail"]))
        assert part.kept == (0 if part.number is None else documents.rows), "a row was lost"
    write_json(shard / WRITTEN, {str(source): vars(count) for source, count in taken.items()})
    return part.kept


def _reasons(job: Job, duplicates: np.ndarray) -> list[Drop]:
    """Why each duplicate goes: which document it repeats, and how closely."""
    parts = load_parts(job)
    places = [""] * len(duplicates)
    for shard in np.unique(duplicates["of_shard"]).tolist():
        part = parts[shard]
        chosen = np.flatnonzero(duplicates["of_shard"] == shard)
        rows = np.load(job.shard(part.span, part.piece) / ROWS, mmap_mode="r")[duplicates["of_row"][chosen]]
        for index, (source, number) in zip(chosen.tolist(), rows.tolist(), strict=True):
            places[index] = job.sources[source].place(part.line({"source": source, "number": number}))
    return [
        Drop("duplicate", f"of {place}") if exact else Drop("near_duplicate", f"of {place}, Jaccard {jaccard:.2f}")
        for place, exact, jaccard in zip(
            places, duplicates["exact"].tolist(), duplicates["jaccard"].tolist(), strict=True
        )
    ]


class RemovedFiles(contextlib.ExitStack):
    """<reason>.jsonl.zst: what was removed, where it stood, and why."""

    def __init__(self, folder: Path):
        super().__init__()
        self._folder = folder
        self._writers: dict[str, JsonlWriter] = {}

    def write(self, text: str, place: str, why: Drop) -> None:
        if why.reason not in self._writers:
            path = self._folder / f"{why.reason}.jsonl.zst"
            self._writers[why.reason] = self.enter_context(write_jsonl(path, FAST))
        self._writers[why.reason].write({"text": text, "place": place, "detail": why.detail})


def totals(out: Path) -> Tally:
    """Counts of every source after all stages."""
    job = load_job(out)
    tally = Tally(job)
    for counts in all_counts(job):
        tally.add(counts)
        for source, count in read_json(job.shard(counts.span, counts.piece) / WRITTEN).items():
            tally.counts[int(source)].add(read_count(count))
    for count in tally.counts:
        assert count.rows == count.documents + count.removed.total(), "a row was lost"
    return tally


def gather(out: Path, reason: str) -> None:
    """Join what all shards removed for a reason into one file, of one frame: some zstd readers stop after the first."""
    job = load_job(out)
    with (
        atomic_open(out / "removed" / f"{reason}.jsonl.zst") as raw,
        zstandard.ZstdCompressor(3).stream_writer(raw, closefd=False) as joined,
    ):
        for part in load_parts(job):
            path = job.shard(part.span, part.piece) / "removed" / f"{reason}.jsonl.zst"
            if path.is_file():
                with open_binary(path) as stream:
                    shutil.copyfileobj(stream, joined, CHUNK)
