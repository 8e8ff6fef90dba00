"""Trimming a SentencePiece BPE vocabulary: compression kept, entries that nothing produces, byte fallback, time.

    python bench/trim.py MODEL DOCUMENTS ... [--sizes 16384 32768] [--beside OTHER.model ...] [--megabytes 20]

MODEL is a SentencePiece file (ChatGLM2's, say), DOCUMENTS what `yanmo clean` writes or any JSON lines with "text";
OTHER models are measured as they are. Three rules choose from the same counts:
- frequency: the entries used most, and no more thought;
- frequency + closure: the same, each together with everything it is merged from;
- yanmo: entries are taken away one by one, the cheapest first, and their parts inherit their use (with the everyday
  characters pinned, which the other two do without).
Held out is what `data.sample` holds out: other documents of the same sources.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from yanmo.data.documents import document_files, read_documents
from yanmo.data.sample import stratified_sample
from yanmo.tokenizer.inventory import Inventory, take_stock
from yanmo.tokenizer.report import compression
from yanmo.tokenizer.source import Source, from_sentencepiece, open_source
from yanmo.tokenizer.trimming import by_script, choose, rebuild, require, room, usage


def by_use(inventory: Inventory, counts: np.ndarray) -> list[int]:
    return sorted(inventory.reachable(), key=lambda number: (-counts[number], number))


def frequency(source: Source, inventory: Inventory, counts: np.ndarray, size: int) -> Source:
    assert source.model is not None
    fixed = inventory.bytes | inventory.added.keys()
    chosen = [number for number in by_use(inventory, counts) if number not in fixed]
    kept = sorted([*fixed, *chosen[: size - len(fixed)]])
    return from_sentencepiece(source.file, source.model.with_pieces([source.model.pieces[number] for number in kept]))


def closed_frequency(source: Source, inventory: Inventory, counts: np.ndarray, size: int) -> Source:
    kept = set(inventory.bytes | inventory.added.keys())
    for number in by_use(inventory, counts):
        path = [] if number in kept else [number]
        for entry in path:  # grows while it is walked
            path += [part for part in set(inventory.parts[entry]) if part not in kept and part not in path]
        if len(kept) + len(path) <= room(inventory, size):
            kept.update(path)
    return Source(source.file, rebuild(inventory, kept).tokenizer, {})


def ours(source: Source, texts: list[str], size: int) -> Source:
    inventory = take_stock(source.backend)
    stay = require(inventory, size, texts)
    wanted = by_script(inventory, frozenset(), frozenset())
    kept = choose(inventory, room(inventory, size), usage(inventory, texts), stay, wanted)
    return Source(source.file, rebuild(inventory, kept).tokenizer, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("documents", type=Path, nargs="+")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16384, 32768])
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--megabytes", type=float, default=20)
    arguments = parser.parse_args()
    files = document_files(arguments.documents)
    sample = stratified_sample(lambda: read_documents(files), int(arguments.megabytes * 1e6))
    held_out = {"all": [text for texts in sample.held_out.values() for text in texts]} | sample.held_out
    source = open_source(arguments.model)
    inventory = take_stock(source.backend)
    started = time.process_time()
    counts = usage(inventory, sample.texts)
    print(f"counted in {sample.bytes / 1e6:.1f} MB: {time.process_time() - started:.1f} CPU s")
    print("| rule | entries | " + " | ".join(held_out) + " | kept % | fallback % | unreachable | CPU s |")

    whole = 0.0

    def row(name: str, result: Source, seconds: float) -> None:
        nonlocal whole
        figures = {part: compression(result.as_loaded(), texts) for part, texts in held_out.items()}
        ratio = figures["all"]["bytes_per_token"]
        whole = whole or ratio
        stock = take_stock(result.backend)
        cells = [name, result.backend.get_vocab_size(), *(f"{f['bytes_per_token']:.3f}" for f in figures.values())]
        cells += [f"{100 * ratio / whole:.2f}", f"{100 * figures['all']['fallback_share']:.2f}"]
        print("|", *(f"{cell} |" for cell in [*cells, len(stock.unreachable), f"{seconds:.1f}"]), flush=True)

    row(arguments.model.parent.name, source, 0)
    for path in arguments.beside:
        row(path.parent.name, open_source(path), 0)
    for size in arguments.sizes:
        for name, make in (
            ("frequency", lambda: frequency(source, inventory, counts, size)),  # noqa: B023 called at once
            ("frequency + closure", lambda: closed_frequency(source, inventory, counts, size)),  # noqa: B023
            ("**yanmo**, counting included", lambda: ours(source, sample.texts, size)),  # noqa: B023
        ):
            started = time.process_time()
            result = make()
            row(name, result, time.process_time() - started)


if __name__ == "__main__":
    main()
