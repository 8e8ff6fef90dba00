"""Training a tokenizer: CPU seconds, peak memory and held-out compression, beside the libraries used for it.

    python bench/tokenizer.py --inputs runs/clean --mb 20 --vocab-size 6400

Every contestant trains on the same sample in a process of its own, one thread, and is measured on the same held-out
documents (1 % of them, by hash; `yanmo.data.sample`). Memory is the process's peak, less what it had when the text
was in memory. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

THREADS = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
Encode = Callable[[list[str]], list[list[int]]]


def yanmo_byte(texts: Sequence[str], size: int) -> Encode:
    from yanmo.tokenizer.train import train

    return _encoder(train(texts, size))


def yanmo_char(texts: Sequence[str], size: int) -> Encode:
    from yanmo.tokenizer.train import train

    return _encoder(train(texts, size, "char"))


def tokenizers_byte(texts: Sequence[str], size: int) -> Encode:
    """Byte-level BPE as it is usually trained, with the same split as ours."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from yanmo.tokenizer.train import QWEN2_SPLIT

    tokenizer = Tokenizer(models.BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((texts[start : start + 64] for start in range(0, len(texts), 64)), trainer)
    return _encoder(tokenizer)


def sentencepiece_bpe(texts: Sequence[str], size: int) -> Encode:
    """BPE with byte fallback, nothing normalised; SentencePiece trains on lines."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.split("\n") if line),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        split_digits=True,
        character_coverage=0.9995,
        num_threads=1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return lambda part: processor.encode(part)


CONTESTANTS = {
    "yanmo, byte": yanmo_byte,
    "yanmo, char": yanmo_char,
    "tokenizers, byte-level": tokenizers_byte,
    "sentencepiece, BPE": sentencepiece_bpe,
}


def _encoder(tokenizer) -> Encode:  # type: ignore[no-untyped-def]  # tokenizers.Tokenizer, not loaded here
    return lambda part: [encoding.ids for encoding in tokenizer.encode_batch_fast(part)]


def measure(name: str, inputs: list[Path], megabytes: float, size: int) -> dict[str, float]:
    from yanmo.data.documents import document_files, read_documents
    from yanmo.data.sample import stratified_sample

    files = document_files(inputs)
    sample = stratified_sample(lambda: read_documents(files), int(megabytes * 1e6))
    before, started = _peak(), time.process_time()
    encode = CONTESTANTS[name](sample.texts, size)
    seconds, peak = time.process_time() - started, _peak() - before
    held_out = [text for texts in sample.held_out.values() for text in texts]
    tokens = sum(map(len, encode(held_out)))
    return {
        "seconds": seconds,
        "peak": peak,
        "characters": sum(map(len, held_out)) / tokens,
        "bytes": sum(len(text.encode()) for text in held_out) / tokens,
    }


def _peak() -> float:
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, nargs="+", required=True)
    parser.add_argument("--mb", type=float, default=20)
    parser.add_argument("--vocab-size", type=int, default=6400)
    parser.add_argument("--only", choices=list(CONTESTANTS), help="one contestant, in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.inputs, arguments.mb, arguments.vocab_size)))
        return
    print(f"{arguments.mb:g} MB, {arguments.vocab_size:,} entries, one thread\n")
    print("| trainer | CPU s | peak MB | characters/token | bytes/token |\n|---|---|---|---|---|")
    for name in CONTESTANTS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | THREADS)
        figures = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {name} | {figures['seconds']:.1f} | {figures['peak']:.0f} | {figures['characters']:.3f} "
            f"| {figures['bytes']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
