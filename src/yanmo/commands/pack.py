"""Turn documents into token shards, with some documents held out for validation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from yanmo.core.processes import core_count
from yanmo.core.run import open_run
from yanmo.core.settings import CommandSettings


@dataclass(kw_only=True)
class Settings(CommandSettings):
    out: Path = Path("runs/pack")
    """The shards directory to write."""
    inputs: list[Path]
    """Documents: directories that `yanmo clean` wrote, or .jsonl[.zst] files whose rows have "text"."""
    tokenizer: Path
    """The tokenizer directory; a copy of it travels with the shards."""
    val_fraction: float = 0.005
    """Share of the documents held out for validation, chosen by a hash of their text; 0 holds out none."""
    val_documents: int = 8
    """Hold out at least this many, though never more than a tenth of them."""
    workers: int = 0
    """Encoding processes; 0 is one for every core. The shards do not depend on it."""

    MAY_CHANGE: ClassVar = ("workers",)


def main(settings: Settings) -> None:
    from yanmo.data.documents import ValidationSplit, document_files, document_hash, read_documents
    from yanmo.data.packing import blocks, encode_blocks
    from yanmo.data.shards import ShardWriter
    from yanmo.tokenizer.load import load_tokenizer

    _check(settings)
    with open_run(settings) as run:
        if run.finished_before:
            run.say("already packed; nothing to do (--overwrite packs again)")
            return
        tokenizer = load_tokenizer(settings.tokenizer)
        files = document_files(settings.inputs)
        split = ValidationSplit(settings.val_fraction, settings.val_documents)
        characters = 0
        for document in read_documents(files):
            split.see(document_hash(document.text))
            characters += len(document.text)
        if not split.documents:
            raise ValueError(f"--inputs {' '.join(map(str, settings.inputs))}: no documents in them")
        workers = settings.workers or core_count()
        stream = blocks(read_documents(files), split.threshold())
        with ShardWriter(run.path, tokenizer) as writer, run.progress("packing", characters, "characters") as bar:
            started, size = time.monotonic(), 0
            for encoded in encode_blocks(tokenizer, stream, workers):
                for name, part in encoded.items():
                    writer.splits[name].write(*part)
                size += sum(part.bytes for part in encoded.values())
                rate = size / 1e6 / (time.monotonic() - started)
                bar.advance(sum(part.characters for part in encoded.values()), MB_per_s=round(rate, 1))
        meta = writer.meta
        columns = ["documents", "tokens", "bytes", "characters"]
        rows = [[name, *(getattr(info, key) for key in columns)] for name, info in meta.splits().items()]
        run.table(f"Token shards ({meta.dtype})", ["split", *columns], rows)
        run.report.update({row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows})


def _check(settings: Settings) -> None:
    if not 0 <= settings.val_fraction < 1:
        raise ValueError(f"--val-fraction {settings.val_fraction}: must be at least 0 and below 1")
    if settings.val_documents < 0:
        raise ValueError(f"--val-documents {settings.val_documents}: must not be negative")
    if settings.workers < 0:
        raise ValueError(f"--workers {settings.workers}: must not be negative")
