"""Any tokenizer there is, opened as one of ours: to compare with, to look at.

A Hugging Face directory or `tokenizer.json`, a SentencePiece `.model`, a tiktoken rank file, or a directory with one
of them.
"""

from __future__ import annotations

from pathlib import Path

from yanmo.tokenizer import sentencepiece, tiktoken
from yanmo.tokenizer.load import Tokenizer, load_tokenizer, open_backend


def open_any(path: Path) -> Tokenizer:
    """The tokenizer at `path`; a rank file is split as Qwen's are, unless its name is another's.

    Raises: ValueError: there is none, or it cannot be read.
    """
    file = tokenizer_file(path)
    if file.name == "tokenizer.json":
        return load_tokenizer(file.parent)
    if file.suffix == ".json":
        return Tokenizer(file, open_backend(file), {})
    if file.suffix == ".model":
        backend = sentencepiece.as_tokenizer(sentencepiece.read_model(file))
    else:
        split: tiktoken.Split = "cl100k" if "cl100k" in file.name else "gpt2" if "50k" in file.name else "qwen"
        backend = tiktoken.as_tokenizer(tiktoken.read_ranks(file), split)
    backend.encode_special_tokens = True
    return Tokenizer(file, backend, {})


def tokenizer_file(path: Path) -> Path:
    """The file that says what the tokenizer at `path` is."""
    if path.is_file():
        return path
    found = (path / "tokenizer.json", *sorted(path.glob("*.model")), *sorted(path.glob("*.tiktoken")))
    for file in found:
        if file.is_file():
            return file
    raise ValueError(f"{path}: no tokenizer there (tokenizer.json, *.model or *.tiktoken)")


def name_of(path: Path) -> str:
    """What to call the tokenizer at `path`: its directory, where the file's own name says nothing."""
    return path.parent.name if path.stem in ("tokenizer", "tokenization") else path.stem or path.name
