"""The tokenizer that `yanmo trim` starts from: as a Hugging Face tokenizer, with what else its file knows.

Whatever the file is, the ids are those of its own library: SentencePiece's, tiktoken's, Hugging Face's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from yanmo.tokenizer import sentencepiece, tiktoken
from yanmo.tokenizer.load import Tokenizer, load_tokenizer, open_backend
from yanmo.tokenizer.sentencepiece import SentencePiece

RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?")


@dataclass(frozen=True)
class Source:
    file: Path
    backend: tokenizers.Tokenizer
    special: dict[str, str]
    """Which control token serves as `bos_token`, `eos_token`, `unk_token`, `pad_token`."""
    model: SentencePiece | None = None
    """The SentencePiece model that it was read from, if it was."""

    def as_loaded(self) -> Tokenizer:
        return Tokenizer(self.file, self.backend, dict(self.special))


def open_source(path: Path, split: tiktoken.Split = "qwen", prefix_space: bool = True) -> Source:
    """The tokenizer in a file or a directory.

    split: how text is cut before a tiktoken vocabulary, which does not say so itself.
    prefix_space: False takes away the space that a SentencePiece model puts before every text.
    Raises: ValueError: there is none, it is broken, or of a kind that cannot be read.
    """
    file = tokenizer_file(path)
    with open(file, "rb") as stream:
        start = stream.read(4096)
    if file.suffix == ".json" or start.lstrip().startswith(b"{"):
        return _hugging_face(file)
    if file.suffix == ".tiktoken" or RANK_LINE.fullmatch(start.partition(b"\n")[0]):
        backend = tiktoken.as_tokenizer(tiktoken.read_ranks(file), split)
        backend.encode_special_tokens = True
        special = {"eos_token": tiktoken.CONTROL[split][0]} if tiktoken.CONTROL[split] else {}
        return Source(file, backend, special)
    return from_sentencepiece(file, sentencepiece.read_model(file), prefix_space)


def tokenizer_file(path: Path) -> Path:
    """The file that says what the tokenizer at `path` is: itself, or the first of those that a directory has."""
    if path.is_file():
        return path
    found = (path / "tokenizer.json", *sorted(path.glob("*.model")), *sorted(path.glob("*.tiktoken")))
    for file in found:
        if file.is_file():
            return file
    raise ValueError(f"{path}: no tokenizer there (tokenizer.json, *.model or *.tiktoken)")


def from_sentencepiece(file: Path, model: SentencePiece, prefix_space: bool = True) -> Source:
    model = model if prefix_space else model.without_prefix()
    try:
        backend = sentencepiece.as_tokenizer(model)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    backend.encode_special_tokens = True
    return Source(file, backend, model.special(), model)


def _hugging_face(file: Path) -> Source:
    loaded = load_tokenizer(file.parent) if file.name == "tokenizer.json" else Tokenizer(file, open_backend(file), {})
    special = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        token = loaded.config.get(name)
        if isinstance(token, dict):  # older files store an AddedToken object
            token = token["content"]
        if token:
            special[name] = token
    return Source(file, loaded.backend, special)


def check_same(directory: Path, source: Source) -> None:
    """Raises ValueError if the tokenizer in a model's directory gives an id of the source to another token."""
    theirs = load_tokenizer(directory).backend
    for token, number in sorted(source.backend.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1]):
        other = theirs.id_to_token(number)
        if other not in (token, None):
            raise ValueError(
                f"--model {directory}: its id {number} is {other!r}, that of --source is {token!r}; "
                "give as --source the tokenizer that the model was trained with"
            )
