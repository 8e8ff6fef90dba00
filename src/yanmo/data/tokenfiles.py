"""Raw token files of other projects (baby-llama2, Matelike, nanoGPT): nothing but ids, an end token after each text.

They say neither which tokenizer made them nor how wide an id is, so both are taken from the tokenizer that the user
names, and every id is held against its vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yanmo.data.shards import token_dtype

CHUNK = 1 << 17
"""Ids read at a time."""

LONGEST = 1 << 25
"""Ids after which the end of a document is given up on."""


class TokenBlock(NamedTuple):
    """Whole documents."""

    ids: np.ndarray
    """Flat, each document with its end token."""
    lengths: np.ndarray


def is_token_file(path: Path) -> bool:
    return path.suffix == ".bin"


def read_token_file(file: Path, vocab_size: int, end_id: int) -> Iterator[TokenBlock]:
    """The documents of a raw file, by the block; ids are uint16, or uint32 above 65,536 entries.

    An end token is put after a last document that has none.
    Raises: ValueError: the file is no whole number of ids, holds one outside the vocabulary, or no document end.
    """
    dtype = token_dtype(vocab_size)
    size = file.stat().st_size
    if size % dtype.itemsize:
        raise ValueError(f"{file}: {size} bytes are no whole number of {dtype.name} ids; is this a raw token file?")
    rest: list[np.ndarray] = []
    done = waiting = 0
    with open(file, "rb") as stream:
        while data := stream.read(CHUNK * dtype.itemsize):
            ids = np.frombuffer(data, dtype=dtype)
            if int(ids.max()) >= vocab_size:
                place = int(np.argmax(ids >= vocab_size))
                raise ValueError(
                    f"{file}: id {ids[place]} at position {done + place} is outside the vocabulary of {vocab_size} "
                    "entries; name the tokenizer that made the file with --tokenizer"
                )
            done += ids.size
            ends = np.flatnonzero(ids == end_id) + 1
            if not ends.size:
                rest.append(ids)
                waiting += ids.size
                if waiting > LONGEST:
                    raise _no_end(file, end_id, waiting)
                continue
            lengths = np.diff(ends, prepend=0)
            lengths[0] += waiting
            yield TokenBlock(np.concatenate([*rest, ids[: ends[-1]]]), lengths)
            rest, waiting = [ids[ends[-1] :]], ids.size - int(ends[-1])
    if waiting == done and done:
        raise _no_end(file, end_id, done)
    if waiting:
        yield TokenBlock(np.concatenate([*rest, np.array([end_id], dtype=dtype)]), np.array([waiting + 1]))


def _no_end(file: Path, end_id: int, ids: int) -> ValueError:
    return ValueError(f"{file}: no document ends ({end_id}) among {ids} ids; say which id ends one with --end-id")
