"""Documents to token shards, in parallel: blocks of text go out to processes and come back in order.

What a block is does not depend on the workers, so neither do the shards. At most a few blocks are on their way at
once, and a block's ids travel as one array: memory stays the same however large the corpus is.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yanmo.core.signals import Failure
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
    """Encode blocks in order, on `workers` processes (one: in this one).

    Raises: Failure: a worker died.
    """
    if workers == 1:
        for block in stream:
            yield encode_block(tokenizer, block)
        return
    # Spawned, not forked: the tokenizer library runs threads, and a fork copies their locks as they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(tokenizer.path,))
    try:
        waiting: deque[Future[dict[Split, Encoded]]] = deque()
        for block in stream:
            waiting.append(pool.submit(_work, block))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise Failure("an encoding process died, most likely for want of memory; try fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


_tokenizer: Tokenizer
"""Of a worker process."""


def _start_worker(path: Path) -> None:
    global _tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread a process
    _tokenizer = load_tokenizer(path)


def _work(block: Block) -> dict[Split, Encoded]:
    return encode_block(_tokenizer, block)
