"""Train a tokenizer on documents: byte-level BPE that has the everyday Chinese characters whole.

yanmo tokenizer --inputs runs/clean --vocab-size 16000
yanmo tokenizer --inputs runs/clean --compare other/tokenizer.model qwen.tiktoken
yanmo tokenizer --inputs runs/clean --sweep 4000 6400 12800     (tiny models say which size is best)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from yanmo.core.run import open_run
from yanmo.core.settings import CommandSettings
from yanmo.evaluate.sweep import TrialSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.data.sample import Sample
    from yanmo.tokenizer.load import Tokenizer


@dataclass(kw_only=True)
class Settings(CommandSettings):
    out: Path = Path("runs/tokenizer")
    """The tokenizer directory to write."""
    inputs: list[Path]
    """Documents: directories that `yanmo clean` wrote, or .jsonl[.zst] files whose rows have "text"."""
    vocab_size: int = 6400
    """Entries, control tokens included. 6,400 suits models up to 50M parameters, 16,000 to 32,000 larger ones."""
    kind: Literal["byte", "char"] = "byte"
    """byte: byte-level BPE, the usual choice. char: characters, with bytes only for those it lacks."""
    sample_mb: float | None = None
    """Megabytes of text to train on, drawn from all sources; by default 20 up to 16,384 entries and 60 above.
    Memory is about 15 MB for each."""
    weights: list[float] = field(default_factory=list)
    """Shares of the sample, one number for each of --inputs; a small input is then taken up to four times. By default
    every source has the square root of its size."""
    compare: list[Path] = field(default_factory=list)
    """Other tokenizers to set the report beside: Hugging Face directories or tokenizer.json, SentencePiece .model,
    tiktoken files."""
    sweep: list[int] = field(default_factory=list)
    """Sizes to try instead of --vocab-size: each gets a tokenizer and a tiny model of equal parameters and equal
    compute, and the size with the fewest bits a character on the same held-out text is what --out holds."""
    trial: TrialSettings = field(default_factory=TrialSettings)


def main(settings: Settings) -> None:
    with open_run(settings) as run:
        if run.finished_before:
            run.say("already trained; nothing to do (--overwrite trains again)")
        elif settings.sweep:
            sweep(settings, run)
        else:
            train_one(settings, run)


def train_one(settings: Settings, run: Run) -> None:
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.tokenizer.save import save_tokenizer
    from yanmo.tokenizer.train import train

    others = open_others(settings.compare)
    sample = draw(settings, sample_bytes(settings, settings.vocab_size))
    run.say(
        f"training on {sample.bytes / 1e6:.1f} MB: {len(sample.texts):,} documents drawn from {sample.documents_seen:,}"
    )
    save_tokenizer(train(sample.texts, settings.vocab_size, settings.kind), run.path)
    run.report.update(sample_bytes=sample.bytes, sample_documents=len(sample.texts))
    show(run, load_tokenizer(run.path), sample.held_out, others)


def sample_bytes(settings: Settings, vocab_size: int) -> int:
    megabytes = (20 if vocab_size <= 16_384 else 60) if settings.sample_mb is None else settings.sample_mb
    if megabytes <= 0:
        raise ValueError(f"--sample-mb {megabytes}: must be positive")
    return int(megabytes * 1e6)


def draw(settings: Settings, budget: int) -> Sample:
    from yanmo.data.documents import Document, document_files, read_documents
    from yanmo.data.sample import stratified_sample

    weights = settings.weights
    if not weights:
        files = document_files(settings.inputs)
        return stratified_sample(lambda: read_documents(files), budget)
    if len(weights) != len(settings.inputs) or min(weights) < 0 or not any(weights):
        raise ValueError(
            f"--weights {' '.join(f'{weight:g}' for weight in weights)}: one number for each of the "
            f"{len(settings.inputs)} --inputs is needed, none below 0 and one above"
        )
    each = {str(path): document_files([path]) for path in settings.inputs}

    def read() -> Iterator[Document]:
        for name, files in each.items():
            yield from (Document(document.text, name) for document in read_documents(files))

    return stratified_sample(read, budget, dict(zip(each, weights, strict=True)))


def open_others(paths: list[Path]) -> dict[str, Tokenizer]:
    """The tokenizers to compare with, by name; opened before the work, so that a mistake costs nothing."""
    from yanmo.tokenizer.foreign import name_of, open_any

    names = [name_of(path) for path in paths]
    return {
        name if names.count(name) == 1 else str(path): open_any(path) for name, path in zip(names, paths, strict=True)
    }


def show(run: Run, tokenizer: Tokenizer, held_out: dict[str, list[str]], others: dict[str, Tokenizer]) -> None:
    """The report: into report.json, and as tables beside the others'."""
    from yanmo.tokenizer.report import describe, lines, tables

    report = describe(tokenizer, held_out)
    compared = {name: describe(other, held_out) for name, other in others.items()}
    run.report.update(report)
    if compared:
        run.report["compared"] = compared
    for table in tables({"this one": report, **compared}):
        run.table(*table)
    for line in lines(report):
        run.say(line)


def sweep(settings: Settings, run: Run) -> None:
    """Stages under --out/sweep, as `yanmo run` does them: an interrupted sweep goes on where it was."""
    from yanmo.commands.run import run_recipe
    from yanmo.core.files import write_jsonl
    from yanmo.evaluate.sweep import held_out, outcome, plan, recipe, text_needed
    from yanmo.tokenizer.load import load_tokenizer

    trials = plan(settings.sweep, settings.trial)
    others = open_others(settings.compare)
    budget = max(sample_bytes(settings, trials[-1].vocab_size), text_needed(trials))
    sample = draw(settings, budget)
    if not sample.held_out:
        raise ValueError("--inputs: too few documents for a sweep; some must be held out to judge by")
    place = run.path / "sweep"
    documents, judged = place / "documents.jsonl.zst", place / "held-out.jsonl.zst"
    place.mkdir(exist_ok=True)
    for path, texts in (
        (documents, (("sample", text) for text in sample.texts)),
        (judged, held_out(sample.held_out)),
    ):
        with write_jsonl(path) as out:
            for number, (source, text) in enumerate(texts):
                out.write({"text": text, "source": source, "id": f"{path.name.partition('.')[0]}/{number}"})
    run.say(
        f"{len(trials)} sizes, models of {settings.trial.parameters:,} parameters; "
        f"{sample.bytes / 1e6:.1f} MB of text in {len(sample.texts):,} documents"
    )
    seeds = settings.trial.seeds
    stages = recipe(trials, seeds, documents, judged, {"kind": settings.kind, "sample-mb": 2 * budget / 1e6})
    run_recipe(stages, place, [], run.say, "--sweep")
    rows = outcome(trials, seeds, place)
    best = load_tokenizer(place / f"tokenizer-{rows[0]['vocab_size']}")
    best.copy_to(run.path)
    run.report.update(sample_bytes=sample.bytes, sample_documents=len(sample.texts), sweep=rows)
    run.table(
        "Vocabulary sizes, best first",
        ["entries", "width", "tables %", "k tokens", "k characters", "chars/token", "bits/char", "spread"],
        [
            [
                row["vocab_size"],
                row["hidden_size"],
                round(100 * row["in_tables"]),
                row["tokens"] // 1000,
                row["training_characters"] // 1000,
                round(row["held_out_characters_per_token"], 3),
                round(row["bits_per_character"], 4),
                round(row["spread"], 4) if len(seeds) > 1 else "-",
            ]
            for row in rows
        ],
    )
    show(run, load_tokenizer(run.path), sample.held_out, others)
    run.say(f"best: {rows[0]['vocab_size']:,} entries, in {run.path}")
