"""Any tokenizer there is, opened as one of ours: to compare with, to look at.

A Hugging Face directory or `tokenizer.json`, a SentencePiece `.model`, a tiktoken rank file, or a directory with one
of them.
"""

from __future__ import annotations

from pathlib import Path

from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.tokenizer.source import open_source, tokenizer_file
from yanmo.tokenizer.tiktoken import Split


def open_any(path: Path) -> Tokenizer:
    """The tokenizer at `path`; a rank file is split as Qwen's are, unless its name is another's.

    Raises: ValueError: there is none, or it cannot be read.
    """
    file = tokenizer_file(path)
    if file.name == "tokenizer.json":
        return load_tokenizer(file.parent)
    split: Split = "cl100k" if "cl100k" in file.name else "gpt2" if "50k" in file.name else "qwen"
    return open_source(file, split).as_loaded()


def name_of(path: Path) -> str:
    """What to call the tokenizer at `path`: its directory, where the file's own name says nothing."""
    return path.parent.name if path.stem == "tokenizer" else path.stem or path.name
