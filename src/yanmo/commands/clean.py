"""Raw corpora in any public format -> clean documents, and every removed row with its reason.

    yanmo clean --inputs corpus/ --out runs/clean
    yanmo clean --inputs novels/ wiki.jsonl.zst --min-chars 50 --out runs/clean
    yanmo clean --inputs zhwiki-*-pages-articles-multistream*.xml.bz2 --out runs/wiki

The inputs are cut into spans that processes clean one by one into shards (1), duplicates are found among all of
them (2), and each shard becomes a part of the output (3); these stages are text/pipeline/stages.py. The working
state lies in OUT/shards, where ls shows it, until all is done. An interrupted run, killed or not, loses what its
processes were at and goes on with --resume; the output depends on the inputs and the settings, never on the number
of processes or machines or on interruptions, and rows in = documents + removed is counted.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from yanmo.core.processes import core_count, in_order
from yanmo.core.ranks import Cluster, Engine, check_installed, run_ranks
from yanmo.core.run import Run, open_run
from yanmo.core.settings import CommandSettings, describe
from yanmo.text.adapters import DOCUMENTS
from yanmo.text.conversations import find_format
from yanmo.text.files.damage import Damage
from yanmo.text.files.sources import Encoding, TxtDocuments, find_files, look
from yanmo.text.formats import check_name
from yanmo.text.overlap.minhash import HIGHEST, LOWEST
from yanmo.text.pipeline.shards import (
    FOLDER,
    Count,
    Counts,
    Job,
    Tally,
    all_counts,
    finished,
    finished_span,
    has_job,
    load_job,
)
from yanmo.text.pipeline.spans import Piece, plan_spans
from yanmo.text.pipeline.stages import (
    clean_piece,
    clean_share,
    clean_span,
    find_repeated,
    found_repeated,
    gather,
    load_parts,
    pieces,
    totals,
    write_part,
    write_share,
)
from yanmo.text.steps import classifier
from yanmo.text.steps.rules import Rules, batch_check

MEGABYTE = 1_000_000
WORTH_PROCESSES = 8 * MEGABYTE
"""Inputs smaller than this are cleaned before a second process has started."""
TABLE_ROWS = 20


@dataclass(kw_only=True)
class Reading(CommandSettings):
    """What is read, and how."""

    out: Path = Path("runs/clean")
    """The directory to write: part-*.jsonl.zst, removed/, report.json."""
    inputs: list[Path]
    """Files and folders: .txt .json .jsonl .csv .parquet and wiki dumps (.xml), plain or .gz .bz2 .zst .xz; folders
    are searched recursively, in sorted order."""
    format: str = "auto"
    """How rows are laid out: auto recognises each file by its keys; a wrong name lists the known ones."""
    encoding: Encoding = "auto"
    """Character encoding of text, CSV and JSON files; auto looks at the bytes."""
    txt_documents: TxtDocuments = "file"
    """What a document is in a .txt file. file: the file is one text (a book, an article), cut at a line's end
    every 32,768 characters; line: each line is one; paragraph: blank lines part them. file is the default
    because the others tear a book to pieces and lose the short ones."""
    max_row_mb: int = 16
    """A longer line or row is quarantined (row_too_long), so that memory stays bounded."""


@dataclass(kw_only=True)
class Settings(Rules, Reading):
    MAY_CHANGE: ClassVar = ("workers", "engine", *(setting.name for setting in describe(Cluster, "cluster.")))

    duplicates: Literal["near", "exact", "none"] = "near"
    """Which documents are removed for repeating an earlier one. exact: those that equal it but for width, case,
    spacing and quotation marks (duplicate); near: also those that share most of their text (near_duplicate)."""
    near_jaccard: float = 0.8
    """From which share of common 5-grams of characters, of all that two documents have, they are near duplicates."""
    part_mb: int = 32
    """About how much of the inputs goes into one part-*.jsonl.zst. A part is also what one process cleans at a time,
    and so what an interruption costs, and two or three of them are all that it holds in memory."""
    workers: int = 0
    """Processes on this machine; 0 takes all cores, and one for small inputs. The output is the same for any number."""
    engine: Literal["processes", Engine] = "processes"
    """What runs the stages, with the same output. processes: this machine; ray and slurm: a cluster, through
    datatrove's executors; datatrove: the same on this machine alone. All but the first need yanmo[dist]."""
    cluster: Cluster = field(default_factory=Cluster)


def main(settings: Settings) -> None:
    check(settings)
    files = find_files(settings.inputs)
    check_out_apart(settings, [path for path, _ in files])
    with open_run(settings) as run:
        if not run.finished_before:
            job = load_job(settings.out) if has_job(settings.out) else plan(settings, files)
            if settings.engine == "processes":
                work_here(job, run, settings.workers)
            else:
                work_on_cluster(job, run, settings.engine, settings.cluster)
            finish(job, run)
            run.write_report()  # before the working state goes: what is removed here must not be needed again
        else:
            run.say(f"{settings.out}: already complete")
        shutil.rmtree(settings.out / FOLDER, ignore_errors=True)


def check(settings: Settings) -> None:
    """Raises: ValueError: a setting has an impossible value, or an extra is missing."""
    settings.format = check_name(settings.format, DOCUMENTS)
    settings.check()
    batch_check(settings)
    settings.cluster.check()
    for name, least in (("max_row_mb", 1), ("part_mb", 1), ("workers", 0)):
        if getattr(settings, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(settings, name)}: must be at least {least}")
    if not LOWEST <= settings.near_jaccard <= HIGHEST:
        raise ValueError(f"--near-jaccard {settings.near_jaccard}: must lie between {LOWEST} and {HIGHEST}")
    if settings.engine != "processes":
        check_installed(settings.engine)


def check_out_apart(settings: Settings, paths: Iterable[Path]) -> None:
    """Output among the inputs would be cleaned again by the next run."""
    out = settings.out.resolve()
    for path in paths:
        if out in path.resolve().parents:
            raise ValueError(f"--out {settings.out}: the input {path} lies in it; write somewhere else")
    for folder in settings.inputs:
        if folder.is_dir() and folder.resolve() in out.parents:
            raise ValueError(f"--out {settings.out}: lies in the input folder {folder}; write somewhere else")


def plan(settings: Settings, files: list[tuple[Path, str]]) -> Job:
    """Look at every file, cut the inputs into spans and write down what is to be done."""
    limit = settings.max_row_mb * MEGABYTE
    sources = [look(*file, settings.encoding, settings.txt_documents, limit) for file in files]
    job = Job(
        out=settings.out,
        rules=with_classifier(
            Rules(**{r.name: getattr(settings, r.name) for r in dataclasses.fields(Rules)}), settings.out
        ),
        duplicates=settings.duplicates,
        near_jaccard=settings.near_jaccard,
        part_bytes=settings.part_mb * MEGABYTE,
        sources=sources,
        formats=[settings.format if settings.format != "auto" else find_format(s, DOCUMENTS) for s in sources],
        spans=plan_spans(sources, settings.part_mb * MEGABYTE),
    )
    job.save()
    return job


def with_classifier(rules: Rules, out: Path) -> Rules:
    """The rules with the classifier that their examples teach, which is trained here and read by every process.

    Raises: ValueError: too few examples.
    """
    if not rules.good_examples:
        return rules
    good, bad = (classifier.read_examples(paths) for paths in (rules.good_examples, rules.bad_examples))
    path = out / "quality.safetensors"
    classifier.train(good, bad).save(path)
    return dataclasses.replace(rules, quality_model=path)


# On this machine


def work_here(job: Job, run: Run, workers: int) -> None:
    """All stages in processes of this machine."""
    size = sum(span.size for span in job.spans)
    workers = workers or (core_count() if size >= WORTH_PROCESSES else 1)
    earlier = {number for number in range(len(job.spans)) if finished_span(job, number) is not None}
    done = sum(job.spans[number].size for number in earlier)
    tally = Tally(job)
    documents = removed = 0
    with run.progress("clean", size / MEGABYTE, "MB", done / MEGABYTE) as bar:
        for shards in in_order(cleaning(job, earlier), workers):
            for counts in shards:
                tally.add(counts)
                documents, removed = documents + counts.documents, removed + counts.removed
                advanced = 0 if counts.span in earlier else counts.size
                bar.advance(advanced / MEGABYTE, documents=documents, removed=removed)
    check_rows(job)
    if not found_repeated(job):
        with run.progress("duplicates", documents, "documents") as bar:
            find_repeated(job.out)
            kept = sum(part.kept for part in load_parts(job))
            bar.advance(documents, removed=documents - kept)
    parts = load_parts(job)
    with run.progress("write", len(parts), "parts") as bar:
        documents = 0
        for kept in in_order((partial(write_part, job.out, index) for index in range(len(parts))), workers):
            documents += kept
            bar.advance(1, documents=documents)


def cleaning(job: Job, earlier: Collection[int]) -> Iterator[Callable[[], list[Counts]]]:
    """Tasks that give the counts of every shard, in order.

    A span is read where it is cleaned. A large file that must be read from its start is read here, which is the
    cheap half, and its pieces are cleaned in parallel; those that are finished are only read past. `earlier`:
    the spans that were finished before.
    """
    for number, span in enumerate(job.spans):
        if not span.streamed or number in earlier:
            yield partial(clean_span, job.out, number)
            continue
        for piece in pieces(job.out, number):
            blocks = [] if finished(job.shard(number, piece.number)) else piece.blocks
            yield partial(clean_one, job.out, piece._replace(blocks=blocks))


def clean_one(out: Path, piece: Piece) -> list[Counts]:
    return [clean_piece(out, piece)]


# On a cluster


def work_on_cluster(job: Job, run: Run, engine: Engine, cluster: Cluster) -> None:
    """The same stages, shared by rank."""

    def share(name: str, work: Callable[[Path, int, int], None], ranks: int) -> None:
        state = job.folder / f"{name}-by-{ranks}"
        run.say(f"{name}: {ranks} tasks by {engine}; {state}/completions has a file for each that is done")
        run_ranks(partial(work, job.out), ranks, state, engine, cluster)

    ranks = min(cluster.ranks, len(job.spans))
    share("clean", clean_share, ranks)
    check_rows(job)
    if not found_repeated(job):
        share("duplicates", find_repeated, 1)
    share("write", write_share, ranks)


# Both


def check_rows(job: Job) -> None:
    """Raises: ValueError: there are no rows, or most of them are broken."""
    tally = Tally(job)
    for counts in all_counts(job):
        tally.add(counts)
    if not any(count.rows for count in tally.counts):
        raise ValueError(f"{', '.join(str(source.path) for source in job.sources[:3])}: no rows; the files are empty")
    Damage.check_all(tally.damages)


def finish(job: Job, run: Run) -> None:
    """Join the removed rows and tell what happened."""
    tally = totals(job.out)
    if job.rules.quality_model:
        accuracy = classifier.load(job.rules.quality_model).accuracy
        run.say(f"quality classifier: {accuracy:.1%} of the examples told apart when not trained on (chance: 50 %)")
        run.report["quality_accuracy"] = accuracy
    (job.out / "removed").mkdir(exist_ok=True)
    for reason in sorted(set().union(*(count.removed for count in tally.counts))):
        gather(job.out, reason)
    summarise(run, job, tally.counts, tally.damages)


def summarise(run: Run, job: Job, counts: list[Count], damages: list[Damage]) -> None:
    """Print what happened and put it into the report.

    Raises: ValueError: nothing was kept.
    """
    total = Count()
    for count in counts:
        total.add(count)
    named = sorted(zip(job.sources, counts, strict=True), key=lambda item: -item[1].rows)
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
        columns = ["reason", "rows", "share of rows", "characters", "share of characters"]
        reasons = [
            [
                reason,
                number,
                percent(number, total.rows),
                total.lost[reason],
                percent(total.lost[reason], total.characters_in),
            ]
            for reason, number in total.removed.most_common()
        ]
        run.table("removed, readable under removed/", columns, reasons)
    if total.removed and len(named) > 1:
        most = sorted(named, key=lambda item: -item[1].removed.total())[:TABLE_ROWS]
        rows = [[source.name, why(count)] for source, count in most if count.removed]
        run.table("removed, by source", ["source", "reasons"], rows)
    damaged = [damage for damage in damages if damage.broken]
    for damage in damaged[:TABLE_ROWS]:
        run.say(f"warning: {damage.source.path}: {damage.broken:,} broken rows: {', '.join(damage.first)}")
    run.report.update(
        **report(total),
        sources={
            source.name: {"format": format, "layout": source.layout, "encoding": source.encoding, **report(count)}
            for source, format, count in zip(job.sources, job.formats, counts, strict=True)
        },
        broken={str(damage.source.path): damage.first for damage in damaged},
    )
    if not total.documents:
        raise ValueError(f"nothing is left of {total.rows:,} rows: {why(total)}; {run.path}/removed shows them")


def cells(name: str, count: Count) -> list[Any]:
    return [name, count.rows, count.documents, count.characters_in, count.characters_kept]


def why(count: Count) -> str:
    return ", ".join(f"{reason} {number:,}" for reason, number in count.removed.most_common())


def percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"


def report(count: Count) -> dict[str, Any]:
    return {
        "rows": count.rows,
        "documents": count.documents,
        "characters_in": count.characters_in,
        "characters_kept": count.characters_kept,
        "removed": dict(sorted(count.removed.items())),
        "removed_characters": dict(sorted(count.lost.items())),
    }
