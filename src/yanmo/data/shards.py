"""Token shards: flat little-endian ids on disk, where each document ends, and a `meta.json` for all.

    train-00000.bin  uint16 or uint32 ids, every document followed by its end token
    train-00000.idx  uint64: the token offset in this shard where each document ends
    meta.json        dtype, vocabulary, tokenizer fingerprint, counts of tokens, documents, bytes and
                     characters, and for each file its size and SHA-256
    tokenizer/       the tokenizer, so that the shards are complete

Shards are opened read-only and never read whole: memory use does not depend on the size of the corpus.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from yanmo.core.files import fsync_directory, read_json, sha256, write_json
from yanmo.tokenizer.load import Tokenizer, load_tokenizer

META = "meta.json"
TOKENIZER = "tokenizer"
FORMAT = "yanmo-shards-1"
SHARD_TOKENS = 1 << 27
"""A shard is closed at the first document end past this many tokens: 256 MiB of uint16."""

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


def token_dtype(vocab_size: int) -> np.dtype:
    """uint16 while every id fits (vocab_size up to 65,536), uint32 above."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def checked(ids: np.ndarray, vocab_size: int, dtype: np.dtype) -> np.ndarray:
    """`ids` as `dtype`, where numpy's own cast would wrap 65,536 to 0 without a word.

    Raises: ValueError: an id does not fit the dtype, or is outside the vocabulary.
    """
    if ids.size:
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high > np.iinfo(dtype).max:
            raise ValueError(f"token id {low if low < 0 else high} does not fit {dtype.name}")
        if high >= vocab_size:
            raise ValueError(f"token id {high} is outside the vocabulary of {vocab_size} entries")
    return ids.astype(dtype)


@dataclass
class Counts:
    """What a text amounts to. Bytes and characters are those of the text: an end token counts 0."""

    tokens: int = 0
    documents: int = 0
    bytes: int = 0
    characters: int = 0

    def add(self, other: Counts) -> None:
        self.tokens += other.tokens
        self.documents += other.documents
        self.bytes += other.bytes
        self.characters += other.characters


@dataclass
class ShardInfo(Counts):
    """One shard: its two files' names and checksums, and its counts."""

    file: str = ""
    sha256: str = ""
    index: str = ""
    index_sha256: str = ""


@dataclass
class SplitInfo(Counts):
    shards: list[ShardInfo] = field(default_factory=list)


@dataclass
class Meta:
    """`meta.json`."""

    dtype: str
    vocab_size: int
    end_id: int
    tokenizer: str
    """Fingerprint of the tokenizer that made the ids."""
    train: SplitInfo
    val: SplitInfo
    format: str = FORMAT
    engine: str = ""
    """What encoded the texts; its ids are those of Hugging Face's `tokenizers` in any case."""
    shuffle_seed: int | None = None
    """None where the documents are in the order of the inputs."""
    sources: list[dict[str, Any]] = field(default_factory=list)
    """Figures by source (`yanmo.data.statistics.SourceStatistics`)."""

    def splits(self) -> dict[Split, SplitInfo]:
        return {"train": self.train, "val": self.val}


class SplitWriter:
    """Writes the shards of one split, one after the other; a file takes its name only when it is whole."""

    def __init__(self, path: Path, split: Split, vocab_size: int, shard_tokens: int = SHARD_TOKENS):
        self.path, self.split, self.vocab_size, self.shard_tokens = path, split, vocab_size, shard_tokens
        self.dtype = token_dtype(vocab_size)
        self.info = SplitInfo()
        self._files: list[_HashedFile] = []
        self._open = Counts()

    def write(self, ids: np.ndarray, lengths: np.ndarray, bytes: int, characters: int) -> None:
        """Append a block of documents: their ids, end tokens included, flat, and how many ids each has.

        A shard ends between blocks, so the same blocks always give the same files.
        Raises: ValueError: an id does not fit the dtype or the vocabulary.
        """
        assert int(lengths.sum()) == ids.size
        if not lengths.size:
            return
        if not self._files:
            name = f"{self.split}-{len(self.info.shards):05}"
            self._files = [_HashedFile(self.path / f"{name}{suffix}") for suffix in (".bin", ".idx")]
        tokens, index = self._files
        tokens.write(checked(ids, self.vocab_size, self.dtype))
        index.write(self._open.tokens + np.cumsum(lengths, dtype="<u8"))
        self._open.add(Counts(ids.size, lengths.size, bytes, characters))
        if self._open.tokens >= self.shard_tokens:
            self._close_shard()

    def close(self) -> SplitInfo:
        if self._files:
            self._close_shard()
        return self.info

    def abort(self) -> None:
        """Leave no half-written file behind."""
        for file in self._files:
            file.discard()

    def _close_shard(self) -> None:
        tokens, index = self._files
        shard = ShardInfo(
            **asdict(self._open),
            file=tokens.path.name,
            sha256=tokens.close(),
            index=index.path.name,
            index_sha256=index.close(),
        )
        self.info.shards.append(shard)
        self.info.add(shard)
        self._files, self._open = [], Counts()


class _HashedFile:
    """A file under a temporary name until closed, its SHA-256 taken on the way."""

    def __init__(self, path: Path):
        self.path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._stream = open(self._temporary, "wb")  # noqa: SIM115 closed by close() or discard()
        self._digest = hashlib.sha256()

    def write(self, array: np.ndarray) -> None:
        self._stream.write(array.data)
        self._digest.update(array.data)

    def close(self) -> str:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.replace(self._temporary, self.path)
        return self._digest.hexdigest()

    def discard(self) -> None:
        self._stream.close()
        self._temporary.unlink(missing_ok=True)


class ShardWriter:
    """Writes a shards directory. As a context: `meta.json` comes last, and only on success."""

    def __init__(self, path: Path, tokenizer: Tokenizer, shard_tokens: int = SHARD_TOKENS):
        self.path, self.tokenizer = path, tokenizer
        self.splits = {split: SplitWriter(path, split, tokenizer.vocab_size, shard_tokens) for split in SPLITS}
        self.origin: dict[str, Any] = {}
        """What `meta.json` says of the tokens' making: engine, shuffle_seed, sources."""

    def __enter__(self) -> ShardWriter:
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            for writer in self.splits.values():
                writer.abort()
            return
        self.tokenizer.copy_to(self.path / TOKENIZER)
        self.meta = Meta(
            dtype=token_dtype(self.tokenizer.vocab_size).name,
            vocab_size=self.tokenizer.vocab_size,
            end_id=self.tokenizer.end_id,
            tokenizer=self.tokenizer.fingerprint,
            train=self.splits["train"].close(),
            val=self.splits["val"].close(),
            **self.origin,
        )
        write_json(self.path / META, asdict(self.meta))
        fsync_directory(self.path)


class Tokens:
    """A split's tokens as one long read-only sequence, however many files it lies in."""

    def __init__(self, path: Path, info: SplitInfo, dtype: np.dtype, vocab_size: int):
        self.info = info
        self.vocab_size = vocab_size
        self._files = [path / shard.file for shard in info.shards]
        self._arrays = [np.memmap(file, dtype=dtype, mode="r") for file in self._files]
        self._starts = np.cumsum([0] + [len(array) for array in self._arrays])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens start..stop as int64, (stop - start,), across shard files.

        Raises: ValueError: a file holds an id outside the vocabulary, which an embedding would answer
        with a crash.
        """
        assert 0 <= start <= stop <= len(self), (start, stop, len(self))
        parts = []
        shard = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            offset = start - int(self._starts[shard])
            part = self._arrays[shard][offset : offset + stop - start].astype(np.int64)
            if int(part.max()) >= self.vocab_size:
                raise ValueError(
                    f"{self._files[shard]}: token id {int(part.max())} is outside the vocabulary of "
                    f"{self.vocab_size} entries; the file is damaged, run `yanmo pack` again"
                )
            parts.append(part)
            start += len(part)
            shard += 1
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Shards:
    """An open shards directory."""

    path: Path
    meta: Meta
    train: Tokens
    val: Tokens

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids.

        Raises: ValueError: the directory's tokenizer is another one than `meta.json` says.
        """
        tokenizer = load_tokenizer(self.path / TOKENIZER)
        if tokenizer.fingerprint != self.meta.tokenizer:
            raise ValueError(
                f"{tokenizer.path}: not the tokenizer that made the shards (fingerprint "
                f"{tokenizer.fingerprint}, {META} says {self.meta.tokenizer}); run `yanmo pack` again"
            )
        return tokenizer

    def verify(self) -> None:
        """Read every byte and compare checksums; opening alone compares sizes.

        Raises: ValueError: a file's SHA-256 differs from `meta.json`.
        """
        for shard in [*self.meta.train.shards, *self.meta.val.shards]:
            for name, expected in ((shard.file, shard.sha256), (shard.index, shard.index_sha256)):
                if sha256(self.path / name) != expected:
                    raise ValueError(f"{self.path / name}: damaged (SHA-256 differs from {META}); pack again")


def open_shards(path: Path) -> Shards:
    """Open a shards directory for reading; sizes, dtype and vocabulary are checked against each other.

    Raises: ValueError: it is no shards directory, or a file is missing, truncated or contradicts `meta.json`.
    """
    path = Path(path)
    if not (path / META).is_file():
        raise ValueError(f"{path}: not a shards directory (no {META}); make one with `yanmo pack`")
    meta = _read_meta(path / META)
    dtype = token_dtype(meta.vocab_size)
    if meta.dtype != dtype.name:
        raise ValueError(
            f"{path / META}: dtype {meta.dtype!r} does not go with {meta.vocab_size} entries ({dtype.name})"
        )
    if not 0 <= meta.end_id < meta.vocab_size:
        raise ValueError(f"{path / META}: end_id {meta.end_id} is outside the vocabulary of {meta.vocab_size}")
    for split in (meta.train, meta.val):
        for shard in split.shards:
            _check_size(path / shard.file, shard.tokens * dtype.itemsize)
            _check_size(path / shard.index, shard.documents * 8)
    train, val = (Tokens(path, split, dtype, meta.vocab_size) for split in (meta.train, meta.val))
    return Shards(path, meta, train, val)


def _check_size(file: Path, expected: int) -> None:
    if not file.is_file():
        raise ValueError(f"{file}: missing, though {META} lists it; run `yanmo pack` again")
    if file.stat().st_size != expected:
        raise ValueError(
            f"{file}: has {file.stat().st_size} bytes where {META} says {expected}; run `yanmo pack` again"
        )


def _read_meta(file: Path) -> Meta:
    table: dict[str, Any] = read_json(file)
    if table.get("format") != FORMAT:
        raise ValueError(f"{file}: format {table.get('format')!r} is not {FORMAT!r}, the one this version reads")
    try:
        for split in SPLITS:
            shards = [ShardInfo(**shard) for shard in table[split]["shards"]]
            table[split] = SplitInfo(**{**table[split], "shards": shards})
        return Meta(**table)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file}: incomplete or of another version ({error}); run `yanmo pack` again") from None
