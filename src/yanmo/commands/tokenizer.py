"""Train a tokenizer on documents: byte-level BPE that has the everyday Chinese characters whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yanmo.core.run import open_run
from yanmo.core.settings import CommandSettings


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
    Memory is about 40 MB for each."""


def main(settings: Settings) -> None:
    from yanmo.data.documents import document_files, read_documents
    from yanmo.data.sample import stratified_sample
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.tokenizer.report import describe
    from yanmo.tokenizer.save import save_tokenizer
    from yanmo.tokenizer.train import train

    megabytes = settings.sample_mb or (20 if settings.vocab_size <= 16_384 else 60)
    if megabytes < 0:
        raise ValueError(f"--sample-mb {megabytes}: must be positive")
    with open_run(settings) as run:
        if run.finished_before:
            run.say("already trained; nothing to do (--overwrite trains again)")
            return
        files = document_files(settings.inputs)
        sample = stratified_sample(lambda: read_documents(files), int(megabytes * 1e6))
        run.say(
            f"training on {sample.bytes / 1e6:.1f} MB: {len(sample.texts):,} of {sample.documents_seen:,} documents"
        )
        save_tokenizer(train(sample.texts, settings.vocab_size, settings.kind), run.path)
        tokenizer = load_tokenizer(run.path)
        report = describe(tokenizer, sample.held_out)
        run.report.update(report, sample_bytes=sample.bytes, sample_documents=len(sample.texts))
        run.table("Vocabulary", ["entries are", "count"], [[kind, n] for kind, n in report["vocabulary"].items()])
        rows = [*report["held_out_by_source"].items(), ("all", report["held_out"])]
        run.table(
            "Held-out text",
            ["source", "characters", "characters/token", "bytes/token"],
            [[name or "-", r["characters"], r["characters_per_token"], r["bytes_per_token"]] for name, r in rows],
        )
        level_1 = report["gb2312_level_1"]
        run.say(f"everyday characters (GB2312 level 1) that are one token: {level_1['single']} of {level_1['of']}")
