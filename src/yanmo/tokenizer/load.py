"""One class for every tokenizer directory, ours or a foreign Hugging Face one: text to ids and back, no torch.

Three promises beyond the `tokenizers` library that does the work: control tokens written out in a text stay
plain text; every id knows its bytes (so a loss in nats converts to bits per byte and per character exactly);
and the fingerprint depends on what decides the ids alone, not on how the file is formatted.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import tokenizers
import xxhash

from yanmo.core.files import read_json
from yanmo.tokenizer.bytelevel import from_alphabet
from yanmo.tokenizer.special import DOCUMENT_END, PAD

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class Tokenizer:
    """A tokenizer directory in use. Build it with `load_tokenizer`."""

    def __init__(self, path: Path, backend: tokenizers.Tokenizer, config: dict[str, Any]):
        self.path = path
        self.backend = backend
        self.config = config
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)

    # Text and ids

    def encode(self, text: str) -> list[int]:
        """Ids of `text`. A control token written out in it stays plain text; nothing is put around it."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text. A lone surrogate, which no UTF-8 can hold, is read as U+FFFD."""
        try:
            encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError:  # the only str that `tokenizers` cannot take is one with a lone surrogate
            encodings = self.backend.encode_batch_fast([repaired(t) for t in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, control tokens written out; bytes that are not UTF-8 become U+FFFD."""
        return self.backend.decode(list(ids), skip_special_tokens=False)

    # Control tokens

    @functools.cached_property
    def end_id(self) -> int:
        """The token after a document."""
        return self._control("a document end", DOCUMENT_END, "eos_token")

    @functools.cached_property
    def pad_id(self) -> int:
        return self._control("padding", PAD, "pad_token")

    def _control(self, meaning: str, token: str, setting: str) -> int:
        configured = self.config.get(setting)
        if isinstance(configured, dict):  # older files store an AddedToken object
            configured = configured["content"]
        for candidate in (token, configured):
            number = None if candidate is None else self.backend.token_to_id(candidate)
            if number is not None:
                return number
        raise ValueError(
            f"{self.path}: the tokenizer has no token for {meaning} ({token}); name one as {setting!r} in "
            "tokenizer_config.json"
        )

    @functools.cached_property
    def special_ids(self) -> frozenset[int]:
        """Every id that is a control token."""
        return frozenset(number for number, token in self.backend.get_added_tokens_decoder().items() if token.special)

    # What an id stands for

    @functools.cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes behind each id, empty for control tokens and unused ids: `b"".join` of them is the text.

        Exact for byte-level vocabularies. With SentencePiece-like ones the space that some of them put before
        a text is counted, as nothing in the ids tells it from a real one.
        """
        table = [b""] * self.vocab_size
        added = self.backend.get_added_tokens_decoder()
        decoder = str(self.backend.decoder)
        byte_level, spaces = "ByteLevel" in decoder, "▁" in decoder
        for token, number in self.backend.get_vocab(with_added_tokens=True).items():
            if number in self.special_ids:
                continue
            if number in added:
                table[number] = token.encode()
            else:
                table[number] = from_alphabet(token) if byte_level else _piece_bytes(token, spaces)
        return table

    def byte_counts(self) -> np.ndarray:
        """(vocab_size,) int32: UTF-8 bytes of each id, 0 for control tokens; summed over a text: its bytes."""
        return np.array([len(data) for data in self.token_bytes], dtype=np.int32)

    def char_counts(self) -> np.ndarray:
        """(vocab_size,) int32: characters that begin in each id (lead bytes); summed: a text's length."""
        return np.array([_lead_bytes(data) for data in self.token_bytes], dtype=np.int32)

    # The directory

    @functools.cached_property
    def fingerprint(self) -> str:
        """xxh3-128 over vocabulary, merges, added tokens and splitting: equal if and only if the ids are."""
        parts = orjson.loads(self.backend.to_str())
        kept = {name: parts[name] for name in ("model", "added_tokens", "pre_tokenizer", "normalizer")}
        return xxhash.xxh3_128_hexdigest(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS))

    def copy_to(self, directory: Path) -> None:
        """Copy the tokenizer's files, and only those, into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if (self.path / name).is_file():
                shutil.copyfile(self.path / name, directory / name)


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a directory that holds `tokenizer.json`, and `tokenizer_config.json` if it has one.

    Raises: ValueError: there is no `tokenizer.json`, or one of the files cannot be read as what it should be.
    """
    path = Path(path)
    file = path / "tokenizer.json"
    if not file.is_file():
        raise ValueError(f"{path}: not a tokenizer directory (no tokenizer.json); make one with `yanmo tokenizer`")
    config_file, template = path / "tokenizer_config.json", path / "chat_template.jinja"
    config = read_json(config_file) if config_file.is_file() else {}
    if template.is_file():  # some write the chat template only there, and everybody reads it there first
        config["chat_template"] = template.read_text(encoding="utf-8")
    return Tokenizer(path, open_backend(file), config)


def open_backend(file: Path) -> tokenizers.Tokenizer:
    """The library's tokenizer in a `tokenizer.json`, set as `Tokenizer` wants it. Raises: ValueError: it is none."""
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception for every kind of broken file
        raise ValueError(f"{file}: not a tokenizer file ({error})") from None
    backend.encode_special_tokens = True  # `<|im_end|>` in a text is ten characters, not a control token
    backend.no_truncation()
    backend.no_padding()
    return backend


def repaired(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no UTF-8 can hold."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _piece_bytes(token: str, spaces: bool) -> bytes:
    """Byte-fallback pieces are written `<0xE4>`; SentencePiece writes spaces `▁`."""
    if match := _BYTE_PIECE.fullmatch(token):
        return bytes([int(match[1], 16)])
    return (token.replace("▁", " ") if spaces else token).encode()


def _lead_bytes(data: bytes) -> int:
    return sum(byte & 0xC0 != 0x80 for byte in data)
