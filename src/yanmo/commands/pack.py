"""Turn documents into token shards: some held out for validation, inputs mixed by weight, all in a random order.

yanmo pack --inputs runs/clean --tokenizer runs/tokenizer
yanmo pack --inputs runs/web runs/wiki --weights 3 1 --tokenizer runs/tokenizer
yanmo pack --inputs pretrain_data.bin --tokenizer their-tokenizer/ --shuffle-seed none
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from yanmo.core.processes import core_count
from yanmo.core.run import open_run
from yanmo.core.settings import CommandSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.data.buckets import Buckets
    from yanmo.data.gather import Plan
    from yanmo.data.labels import Labels
    from yanmo.data.shards import Meta, ShardWriter
    from yanmo.data.statistics import SourceStatistics, Statistics
    from yanmo.tokenizer.encode import FastEncoder, HuggingFaceEncoder
    from yanmo.tokenizer.load import Tokenizer


@dataclass(kw_only=True)
class Settings(CommandSettings):
    out: Path = Path("runs/pack")
    """The shards directory to write."""
    inputs: list[Path]
    """Documents: directories that `yanmo clean` wrote, or .jsonl[.zst] files whose rows have "text"; or raw token
    files (.bin) of other projects: ids of --tokenizer, uint16 up to 65,536 entries and uint32 above."""
    tokenizer: Path
    """The tokenizer directory; a copy of it travels with the shards."""
    weights: list[float] = field(default_factory=list)
    """Shares of the training tokens, one for each of --inputs: 3 1 gives three quarters to the first. The input with
    most text for its weight is used once, the others are repeated. Without weights everything is used once."""
    max_epochs: float = 4.0
    """No input is repeated more often than this; if it would have to be, the others are cut back instead."""
    shuffle_seed: int | None = 0
    """Seed of the order of the documents; none keeps the order of the inputs."""
    val_fraction: float = 0.005
    """Share of the documents held out for validation, chosen by a hash of their text; 0 holds out none."""
    val_documents: int = 8
    """Hold out at least this many, though never more than a tenth of them."""
    end_id: int | None = None
    """Which id ends a document in raw token files; by default the tokenizer's, which it becomes in any case."""
    engine: Literal["auto", "huggingface"] = "auto"
    """auto: fastokens if it gives the ids of Hugging Face's `tokenizers` for hard cases and a sample of the inputs."""
    workers: int = 0
    """Encoding processes, some 60 MB of memory each; 0 is one for every core. The shards do not depend on it."""

    MAY_CHANGE: ClassVar = ("workers", "engine")


def main(settings: Settings) -> None:
    from yanmo.data.buckets import Buckets
    from yanmo.data.documents import ValidationSplit
    from yanmo.data.gather import make_plan
    from yanmo.data.labels import Labels
    from yanmo.data.shards import ShardWriter, token_dtype
    from yanmo.data.statistics import Statistics
    from yanmo.tokenizer.load import load_tokenizer

    _check(settings)
    with open_run(settings) as run:
        if run.finished_before:
            run.say("already packed; nothing to do (--overwrite packs again)")
            return
        tokenizer = load_tokenizer(settings.tokenizer)
        buckets = Buckets(run.path / "buckets", token_dtype(tokenizer.vocab_size), settings.shuffle_seed)
        labels = Labels()
        engine = _fill(buckets, settings, tokenizer, labels, run)
        split = ValidationSplit(settings.val_fraction, settings.val_documents)
        plan = make_plan(buckets, split, labels.inputs(), settings.weights, settings.max_epochs)
        statistics = Statistics(len(labels.names))
        with ShardWriter(run.path, tokenizer) as writer:
            _write(plan, writer, statistics)
            sources = _by_source(settings, plan, labels, statistics)
            writer.origin = {
                "engine": engine,
                "shuffle_seed": settings.shuffle_seed,
                "sources": [source.row() for source in sources],
            }
        shutil.rmtree(buckets.path)
        _report(run, writer.meta, sources, statistics)


def _check(settings: Settings) -> None:
    if not 0 <= settings.val_fraction < 1:
        raise ValueError(f"--val-fraction {settings.val_fraction}: must be at least 0 and below 1")
    if settings.val_documents < 0:
        raise ValueError(f"--val-documents {settings.val_documents}: must not be negative")
    if settings.workers < 0:
        raise ValueError(f"--workers {settings.workers}: must not be negative")
    if settings.max_epochs < 1:
        raise ValueError(f"--max-epochs {settings.max_epochs:g}: must be at least 1")
    if twice := [path for number, path in enumerate(settings.inputs) if path in settings.inputs[:number]]:
        raise ValueError(f"--inputs {twice[0]}: given twice; --weights repeat an input")
    if not settings.weights:
        return
    given = " ".join(f"{weight:g}" for weight in settings.weights)
    if len(settings.weights) != len(settings.inputs):
        raise ValueError(f"--weights {given}: one is needed for each of the {len(settings.inputs)} --inputs")
    if not all(0 < weight < float("inf") for weight in settings.weights):
        raise ValueError(f"--weights {given}: must be positive; leave out an input that is not wanted")
    if settings.shuffle_seed is None:
        raise ValueError("--weights: repeated documents must be shuffled; give --shuffle-seed a number")


def _choose_encoder(settings: Settings, tokenizer: Tokenizer, run: Run) -> FastEncoder | HuggingFaceEncoder:
    from yanmo.data.packing import some_texts
    from yanmo.tokenizer.encode import HuggingFaceEncoder, choose_encoder

    if settings.engine == "huggingface":
        return HuggingFaceEncoder(tokenizer)
    encoder, reason = choose_encoder(tokenizer, some_texts(settings.inputs))
    if reason:
        run.say(f"encoding with {encoder.name}, ten times slower: {reason}")
    return encoder


def _fill(buckets: Buckets, settings: Settings, tokenizer: Tokenizer, labels: Labels, run: Run) -> str:
    """Encode all documents into the buckets. Returns the name of the engine, whose memory is free again."""
    from yanmo.data.buckets import BucketWriter
    from yanmo.data.packing import Packer, after, blocks, input_files, pack_blocks

    packer = Packer(tokenizer, _choose_encoder(settings, tokenizer, run))
    end_id = tokenizer.end_id if settings.end_id is None else settings.end_id
    total = sum(file.stat().st_size for path in settings.inputs for file in input_files(path))
    with BucketWriter(buckets) as out, run.progress("packing", total / 1e6, "MB of input") as bar:
        if buckets.documents:
            run.say(f"going on after {buckets.documents:,} documents")
        stream = after(blocks(settings.inputs, labels, tokenizer.vocab_size, end_id), buckets.documents)
        started, size = time.monotonic(), 0
        for block in pack_blocks(packer, stream, settings.workers or core_count()):
            out.write(block.ids, block.rows)
            size += int(block.rows["bytes"].sum())
            bar.advance(block.finished / 1e6, MB_per_s=round(size / 1e6 / (time.monotonic() - started), 1))
    if not buckets.documents:
        raise ValueError(f"--inputs {' '.join(map(str, settings.inputs))}: no documents in them")
    return packer.encoder.name


def _write(plan: Plan, writer: ShardWriter, statistics: Statistics) -> None:
    """The buckets' documents as shards, and what they amount to."""
    from yanmo.data.gather import gather
    from yanmo.data.shards import SPLITS

    for bucket in range(plan.buckets.count):
        statistics.see(plan.buckets.rows(bucket))
    for split in SPLITS:
        for ids, rows in gather(plan, split):
            sizes = (int(rows[name].sum(dtype="u8")) for name in ("bytes", "characters"))
            writer.splits[split].write(ids, rows["tokens"], *sizes)
            if split == "train":
                statistics.use(rows)


def _by_source(settings: Settings, plan: Plan, labels: Labels, statistics: Statistics) -> list[SourceStatistics]:
    names = [path.name for path in settings.inputs]
    if len({*names}) < len(names):
        names = [str(path) for path in settings.inputs]
    sources = statistics.sources([(names[input], source) for input, source in labels.names])
    for source in sources if settings.weights else []:
        number = names.index(source.input)
        source.weight, source.epochs = settings.weights[number], plan.epochs[number]
    return sources


def _report(run: Run, meta: Meta, sources: list[SourceStatistics], statistics: Statistics) -> None:
    """Tables on the screen, `statistics.png`, and the same figures for report.json."""
    from yanmo.data.plot import plot_statistics

    columns = ["documents", "tokens", "bytes", "characters"]
    rows = [[name, *(getattr(info, key) for key in columns)] for name, info in meta.splits().items()]
    run.table(f"Token shards ({meta.dtype})", ["split", *columns], rows)
    _source_table(run, sources, meta.train.tokens)
    quantiles = statistics.quantiles()
    run.table("Tokens of a document", ["", *quantiles], [["all documents", *quantiles.values()]])
    histogram = statistics.histogram()
    documents, tokens = (sum(getattr(s, key) for s in sources) for key in ("documents", "tokens"))
    title = f"{documents:,} documents, {tokens:,} tokens; {meta.train.tokens:,} for training"
    plot_statistics(run.path / "statistics.png", title, histogram, sources)
    run.report.update({row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows})
    run.report |= {
        "engine": meta.engine,
        "sources": meta.sources,
        "document_tokens": quantiles,
        "document_tokens_histogram": {str(length): count for length, count in histogram.items()},
    }


def _source_table(run: Run, sources: list[SourceStatistics], train_tokens: int) -> None:
    from yanmo.data.documents import JSONL

    columns = ["source", "documents", "tokens", "epochs", "train %", "char/tok", "byte/tok"]
    several = len({source.input for source in sources}) > 1
    rows = []
    for s in sources:
        name = f"{s.input}: {s.source}" if several and s.source != s.input else s.source
        name, share = JSONL.sub("", name), 100 * s.train_tokens / max(1, train_tokens)
        rows.append([name, s.documents, s.tokens, s.epochs, share, s.characters_per_token, s.bytes_per_token])
    run.table("Tokens by source", columns, rows)
