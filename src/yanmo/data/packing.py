"""Documents to token shards, in parallel: blocks of text go out to processes and come back in order.

What a block is does not depend on the workers, so neither do the shards. At most a few blocks are on their way at
once, and a block's ids travel as one array: memory stays the same however large the corpus is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yanmo.core.processes import in_order
from yanmo.data.documents import Document, document_hash
from yanmo.data.shards import SPLITS, Split
from yanmo.tokenizer.load import Tokenizer, load_tokenizer

BLOCK = 1 << 18
"""Characters of text that are encoded together: about 700 KB of Chinese, which stays in the caches."""

Block = list[tuple[str, Split]]


class Encoded(NamedTuple):
    """The documents of one block that belong to one split."""

    ids: np.ndarray
    """Flat, each document with its end token."""
    lengths: np.ndarray
    """Ids of each document."""
    bytes: int
    characters: int


def blocks(documents: Iterable[Document], threshold: int) -> Iterator[Block]:
    """Documents together with their split, by the block."""
    block: Block = []
    size = 0
    for document in documents:
        block.append((document.text, "val" if document_hash(document.text) < threshold else "train"))
        size += len(document.text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def encode_block(tokenizer: Tokenizer, block: Block) -> dict[Split, Encoded]:
    """One block as ids, by split."""
    return {split: _encode(tokenizer, [text for text, its in block if its == split]) for split in SPLITS}


def _encode(tokenizer: Tokenizer, texts: list[str]) -> Encoded:
    parts = [part for text in texts for part in (*divide(text), None)]
    encoded = iter(tokenizer.encode_batch([part for part in parts if part is not None]))
    end = np.array([tokenizer.end_id], dtype=np.uint32)
    arrays = [end if part is None else np.array(next(encoded), dtype=np.uint32) for part in parts]
    ends = np.cumsum([len(ids) for ids in arrays])[[index for index, part in enumerate(parts) if part is None]]
    ids = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.uint32)
    lengths = np.diff(ends, prepend=0) if texts else np.zeros(0, dtype=np.int64)
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return Encoded(ids, lengths, size, sum(map(len, texts)))


_SAFE = re.compile(r"\n(?=[^\W_])")


def divide(text: str) -> list[str]:
    """A very long text in parts, so that encoding it takes bounded memory.

    A part ends after a newline with a letter or digit behind it, where Qwen2's split always cuts: the ids are those
    of the whole. A line longer than a block has no such place and is cut anyway.
    """
    parts = []
    start = 0
    while len(text) - start > BLOCK:
        cut = start + BLOCK
        places = [match.end() for match in _SAFE.finditer(text, start + BLOCK // 2, cut)]
        cut = places[-1] if places else cut
        parts.append(text[start:cut])
        start = cut
    return [*parts, text[start:]]


def encode_blocks(tokenizer: Tokenizer, stream: Iterable[Block], workers: int) -> Iterator[dict[Split, Encoded]]:
    """Encode blocks in order, on `workers` processes (one: in this one). Raises: Failure: a worker died."""
    tasks = (partial(_encode_with_own, block) for block in stream)
    return in_order(tasks, workers, partial(_load, tokenizer.path, threads=workers == 1))


_tokenizer: Tokenizer
"""Of this process."""


def _load(path: Path, threads: bool) -> None:
    global _tokenizer
    if not threads:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _tokenizer = load_tokenizer(path)


def _encode_with_own(block: Block) -> dict[Split, Encoded]:
    return encode_block(_tokenizer, block)
