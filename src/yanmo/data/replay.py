"""Replay: pretraining text beside the conversations, so that a model that learns to answer does not forget to read.

Some rows of every batch are text, the same share of every batch but for whole rows, so the share of the tokens is
that of the rows. Where the share of one batch is no whole number of rows, batches with one more and one fewer take
turns. Like all batches these are a function of (seed, number).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from yanmo.data.batches import ArrayTokens, Batch, PackedBatches, TokenStream
from yanmo.data.documents import ValidationSplit, document_files, document_hash, read_documents
from yanmo.data.rows import PackedRows
from yanmo.data.shards import META, open_shards
from yanmo.tokenizer.load import Tokenizer

HELD_OUT, FEWEST = 0.02, 16
"""Share of the documents held out, and how many at least (but never more than a tenth)."""


class ReplayText(NamedTuple):
    training: TokenStream
    held_out: TokenStream


class ReplayBatches:
    """`batches(start)` yields batch number start, start + 1, ... for ever: conversations, then rows of text.

    share: of the rows that are text; at most all but one row of a batch.
    """

    def __init__(self, conversations: PackedRows, text: PackedBatches, share: float):
        assert conversations.batch_size == text.batch_size and 0 < share < 1
        assert conversations.sequence_length == text.sequence_length
        self.conversations, self.text, self.share = conversations, text, share
        self.batch_size = text.batch_size

    @property
    def batches_per_epoch(self) -> int:
        """How many batches see every conversation at least once."""
        return math.ceil(round(self.conversations.rows / (self.batch_size * (1 - self.share)), 6))

    def __call__(self, start: int) -> Iterator[Batch]:
        number = start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """`input_ids`, `labels`, `position_ids` (B, T) int64 and `segments` (B, T) int32 of one batch."""
        first, last = number * self.batch_size, (number + 1) * self.batch_size
        before, after = self._text_rows(first), self._text_rows(last)
        parts = [self.conversations.at(range(first - before, last - after))]
        if after > before:
            parts.append(self.text.at(range(before, after)))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _text_rows(self, rows: int) -> int:
        """How many of the first rows of the run are text."""
        return math.floor(round(rows * self.share, 6))


def open_text(paths: Sequence[Path], tokenizer: Tokenizer) -> ReplayText:
    """Text to replay and some that is held out: a directory of shards as it was packed, or documents, of which some
    are held out by their hash. Documents are read into memory; a large corpus is better packed.

    Raises: ValueError: the shards are of another tokenizer, or there is no text.
    """
    if len(paths) == 1 and (paths[0] / META).is_file():
        shards = open_shards(paths[0])
        if shards.tokenizer().fingerprint != tokenizer.fingerprint:
            raise ValueError(f"--replay {paths[0]}: packed with another tokenizer than the model's; give the documents")
        return ReplayText(shards.train, shards.val)
    texts = [document.text for document in read_documents(document_files(paths))]
    hashes = [document_hash(text) for text in texts]
    split = ValidationSplit(HELD_OUT, FEWEST)
    split.see_all(np.array(hashes, dtype=np.uint64))
    threshold = split.threshold()
    kept = [text for text, hash in zip(texts, hashes, strict=True) if hash >= threshold]
    if not kept:
        raise ValueError(f"--replay {' '.join(map(str, paths))}: no documents in it")
    held_out = [text for text, hash in zip(texts, hashes, strict=True) if hash < threshold]
    return ReplayText(_stream(kept, tokenizer), _stream(held_out, tokenizer))


def _stream(texts: Sequence[str], tokenizer: Tokenizer) -> ArrayTokens:
    documents = [np.array([*ids, tokenizer.end_id], np.uint32) for ids in tokenizer.encode_batch(texts)]
    return ArrayTokens(np.concatenate(documents) if documents else np.zeros(0, np.uint32))
