"""Make a tokenizer smaller, or take one over from elsewhere; a model that goes with it follows.

The source is a SentencePiece `.model`, a tiktoken rank file, or a Hugging Face `tokenizer.json`. The result is a
tokenizer directory as `yanmo tokenizer` writes it. Beside it: `id_map.npy`, int32, the new id of each of the source's
ids, -1 for those that are gone; and for a SentencePiece source `tokenizer.model`, which gives the same ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from yanmo.core.run import Run, open_run
from yanmo.core.settings import CommandSettings

if TYPE_CHECKING:
    from yanmo.data.sample import Sample
    from yanmo.tokenizer.source import Source
    from yanmo.tokenizer.trimming import Trimmed


@dataclass(kw_only=True)
class Settings(CommandSettings):
    out: Path = Path("runs/trim")
    """The tokenizer directory to write; with --model, the model directory."""
    source: Path
    """The tokenizer: a SentencePiece .model, a tiktoken file, a tokenizer.json, or a directory that holds one."""
    keep: Literal["used", "scripts", "all", "chinese-llama"] = "used"
    """used: the --vocab-size entries that --inputs use most. scripts: everything in --scripts. all: everything, only
    the format changes. chinese-llama: the rule of that project, for ChatGLM2's model and its retain_en.txt."""
    inputs: list[Path] = field(default_factory=list)
    """Documents to count use in and to measure compression on, as `yanmo clean` writes them."""
    vocab_size: int = 32768
    """Entries of the result under --keep used, control tokens included."""
    scripts: list[str] = field(default_factory=list)
    """Only entries in these scripts: han latin kana hangul cyrillic greek digit punctuation symbol space and more."""
    drop_scripts: list[str] = field(default_factory=list)
    """No entries with a character of these scripts. Bytes and everyday characters always stay."""
    retain: Path | None = None
    """A file of words, one a line, that must be whole; those that have no entry get one."""
    source_controls: Literal["keep", "drop"] = "keep"
    """Whether the source's own control tokens stay beside ours."""
    prefix_space: Literal["keep", "drop"] = "keep"
    """Whether a SentencePiece source goes on to put a space before every text. Its models expect it; a model trained
    from the start does better without."""
    tiktoken_split: Literal["qwen", "gpt2", "cl100k"] = "qwen"
    """How text is split before a tiktoken vocabulary; the file does not say."""
    model: Path | None = None
    """A model directory with the source's vocabulary, to carry over: kept entries keep their embeddings."""
    sample_mb: float = 20
    """Megabytes of --inputs to count use in."""


def main(settings: Settings) -> None:
    from yanmo.tokenizer.chinese_llama import strip_source
    from yanmo.tokenizer.source import open_source

    words = _check(settings)
    source = open_source(settings.source, settings.tiktoken_split, settings.prefix_space == "keep")
    size = source.backend.get_vocab_size()
    if settings.keep == "used" and settings.vocab_size > size:
        raise ValueError(f"--vocab-size {settings.vocab_size}: the source has only {size} entries; ask for fewer")
    if settings.model is not None:
        _check_model(settings.model, source)
    with open_run(settings) as run:
        if run.finished_before:
            run.say("already trimmed; nothing to do (--overwrite trims again)")
            return
        run.say(f"{source.file}: {size:,} entries")
        sample = _sample(settings, run)
        result = (
            strip_source(source, words)
            if settings.keep == "chinese-llama"
            else _trim(settings, source, words, sample, run)
        )
        _write(run, source, result)
        if settings.model is not None:
            _carry_over(run, settings.model, result)
        _report(run, source, result, sample)


def _check(settings: Settings) -> list[str]:
    """The words to retain. Raises ValueError for settings that make no sense together."""
    from yanmo.tokenizer.scripts import check_scripts

    check_scripts("scripts", settings.scripts)
    check_scripts("drop-scripts", settings.drop_scripts)
    if settings.keep == "used" and not settings.inputs:
        raise ValueError("--keep used needs --inputs: documents in which to count what is used")
    if settings.keep == "scripts" and not (settings.scripts or settings.drop_scripts):
        raise ValueError("--keep scripts needs --scripts or --drop-scripts")
    if settings.keep == "chinese-llama" and settings.retain is None:
        raise ValueError("--keep chinese-llama needs --retain: its list of English words, retain_en.txt")
    if settings.sample_mb <= 0:
        raise ValueError(f"--sample-mb {settings.sample_mb}: must be positive")
    return [] if settings.retain is None else _words(settings.retain)


def _words(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"--retain {path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"--retain {path}: not UTF-8 ({error})") from None
    return list(dict.fromkeys(word for line in lines if (word := line.strip())))


def _check_model(directory: Path, source: Source) -> None:
    from yanmo.model.checkpoint import PADDING_ROWS, load_config
    from yanmo.tokenizer.source import check_same

    rows, size = load_config(directory).vocab_size, source.backend.get_vocab_size()
    if rows < size or rows - size >= PADDING_ROWS:
        raise ValueError(
            f"--model {directory}: it has {rows} embedding rows (vocab_size), but --source {size} entries; "
            "give as --source the tokenizer that the model was trained with"
        )
    if (directory / "adapter_config.json").is_file():
        raise ValueError(
            f"--model {directory}: an adapter has no vocabulary of its own; make a model of it: yanmo merge"
        )
    if (directory / "tokenizer.json").is_file():
        check_same(directory, source)


def _sample(settings: Settings, run: Run) -> Sample:
    from yanmo.data.documents import document_files, read_documents
    from yanmo.data.sample import Sample, stratified_sample

    if not settings.inputs:
        return Sample()
    files = document_files(settings.inputs)
    sample = stratified_sample(lambda: read_documents(files), int(settings.sample_mb * 1e6))
    run.say(f"counting in {sample.bytes / 1e6:.1f} MB: {len(sample.texts):,} of {sample.documents_seen:,} documents")
    return sample


def _trim(settings: Settings, source: Source, words: list[str], sample: Sample, run: Run) -> Trimmed:
    from yanmo.tokenizer import trimming
    from yanmo.tokenizer.inventory import take_stock

    inventory = take_stock(source.backend)
    if settings.source_controls == "drop":
        inventory.forget(trimming.foreign_control(inventory))
    stay, refused = trimming.retain(inventory, words)
    run.report |= {"retained_words": len(words) - len(refused), "refused_words": refused}
    if refused:
        run.say(f"{len(refused)} words of --retain cannot be one entry: the split before the vocabulary parts them")
    if settings.keep == "all":
        return trimming.rebuild(inventory, inventory.in_use(), source)
    size = trimming.room(inventory, settings.vocab_size) if settings.keep == "used" else None
    stay |= trimming.require(inventory, settings.vocab_size, sample.texts)
    counts = trimming.usage(inventory, sample.texts)
    wanted = trimming.by_script(inventory, frozenset(settings.scripts), frozenset(settings.drop_scripts))
    return trimming.rebuild(inventory, trimming.choose(inventory, size, counts, stay, wanted), source)


def _write(run: Run, source: Source, result: Trimmed) -> None:
    import numpy as np

    from yanmo.core.files import atomic_open
    from yanmo.tokenizer.save import save_tokenizer
    from yanmo.tokenizer.sentencepiece import write_model

    named = {name: token for name, token in source.special.items() if name in ("bos_token", "unk_token")}
    there = {name: token for name, token in named.items() if result.tokenizer.token_to_id(token) is not None}
    save_tokenizer(result.tokenizer, run.path, there)
    if result.model is not None:
        write_model(run.path / "tokenizer.model", result.model)
    with atomic_open(run.path / "id_map.npy") as stream:
        np.save(stream, result.id_map)


def _carry_over(run: Run, directory: Path, result: Trimmed) -> None:
    from yanmo.core.files import read_json, write_json
    from yanmo.model.checkpoint import load_model, save_model, stop_and_pad_ids
    from yanmo.model.rows import with_rows

    model = with_rows(load_model(directory), result.origins)
    save_model(run.path, model, run.path)
    config, generation = read_json(directory / "config.json"), directory / "generation_config.json"
    before = read_json(generation) if generation.is_file() else {}
    stops, pad = stop_and_pad_ids(run.path)
    old_stops = [*_ids(before.get("eos_token_id")), *_ids(config.get("eos_token_id"))]
    stops = list(dict.fromkeys([*result.moved(old_stops), *stops]))
    start = next(iter(result.moved(_ids(config.get("bos_token_id")))), None)
    ids = {"bos_token_id": start, "eos_token_id": stops, "pad_token_id": pad}
    write_json(run.path / "generation_config.json", before | ids)
    write_json(run.path / "config.json", read_json(run.path / "config.json") | {"bos_token_id": start})
    run.say(f"{directory}: carried over, {len(result.origins):,} rows for {len(result.id_map):,} entries before")


def _ids(given: Any) -> list[int]:
    return given if isinstance(given, list) else [] if given is None else [given]


def _report(run: Run, source: Source, result: Trimmed, sample: Sample) -> None:
    from yanmo.tokenizer.inventory import take_stock
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.tokenizer.report import describe, tables
    from yanmo.tokenizer.trimming import unreachable

    after, before = load_tokenizer(run.path), source.as_loaded()
    reports = {"result": describe(after, sample.held_out), "source": describe(before, sample.held_out)}
    lost, lost_before = unreachable(take_stock(after.backend)), take_stock(source.backend).unreachable
    run.report.update(reports["result"])
    run.report |= {
        "source": reports["source"],
        "kept": int((result.id_map >= 0).sum()),
        "added": len(result.origins) - int((result.id_map >= 0).sum()),
        "unreachable": len(lost),
        "source_unreachable": len(lost_before),
        "unreachable_examples": lost[:20],
    }
    for table in tables(reports):
        run.table(*table)
    run.say(f"entries that nothing produces: {len(lost):,} (source: {len(lost_before):,})")
    if sample.held_out:
        share = reports["result"]["held_out"]["bytes_per_token"] / reports["source"]["held_out"]["bytes_per_token"]
        run.report["compression_kept"] = round(share, 5)
        run.say(f"{100 * share:.2f} % of the source's compression on held-out text")
