"""Likelihood of held-out text: nats a token, bits a byte and bits a character.

Every document is scored on its own, from the end token before it to its own end token. One longer than the
context goes through overlapping windows, so that every token but those of the first window has at least half a
context before it. Bits a byte and a character do not depend on the tokenizer, so any two models can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from yanmo.data.batches import TokenStream
from yanmo.data.documents import document_files, read_documents
from yanmo.data.shards import META, open_shards
from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.load import Tokenizer
from yanmo.train.head import token_losses

BATCH_TOKENS = 8192
"""Tokens, padding included, that go through the model at once."""
SORTED_TOGETHER = 1024
"""Windows that are sorted by length before they are batched, so that little is padding."""

Window = tuple[list[int], int]
"""Ids, and how many of the first of them are there only to be read."""


@dataclass
class Likelihood:
    """Sums over all scored tokens. End tokens count as tokens and cost nats, but are no bytes."""

    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0
    characters: int = 0

    def figures(self) -> dict[str, float]:
        """nats_per_token, perplexity, bits_per_byte, bits_per_character and what they are over."""
        mean, bits = self.nats / max(self.tokens, 1), self.nats / math.log(2)
        return {
            "nats_per_token": mean,
            "perplexity": math.exp(min(mean, 700.0)),
            "bits_per_byte": bits / max(self.bytes, 1),
            "bits_per_character": bits / max(self.characters, 1),
            "tokens": self.tokens,
            "bytes": self.bytes,
            "characters": self.characters,
        }


@torch.inference_mode()
def likelihood(
    model: Transformer,
    tokenizer: Tokenizer,
    documents: Iterable[list[int]],
    advance: Callable[[int], None] = lambda tokens: None,
) -> Likelihood:
    """Score documents, given as token ids without end tokens; `advance` is told of every batch's tokens."""
    result = Likelihood()
    device = model.lm_head.weight.device
    bytes_of, characters_of = (torch.from_numpy(counts()) for counts in (tokenizer.byte_counts, tokenizer.char_counts))
    for batch in batches(windows(documents, tokenizer.end_id, model.config.max_position_embeddings)):
        inputs, labels = pad(batch, tokenizer.end_id)
        hidden = model(inputs.to(device))
        result.nats += float(token_losses(hidden, model.lm_head.weight, labels.to(device)).double().sum())
        targets = labels[labels != IGNORE]
        result.tokens += len(targets)
        result.bytes += int(bytes_of[targets].sum())
        result.characters += int(characters_of[targets].sum())
        advance(len(targets))
    return result


def windows(documents: Iterable[list[int]], end_id: int, context: int) -> Iterator[Window]:
    """Every document between end tokens, cut into windows of at most `context` + 1 ids that overlap by half."""
    for document in documents:
        ids = [end_id, *document, end_id]
        done = 1  # ids that have been targets; the first end token is none
        while done < len(ids):
            start = max(0, done - (context + 1) // 2) if done > 1 else 0
            window = ids[start : start + context + 1]
            yield window, done - start
            done = start + len(window)


def batches(windows: Iterable[Window]) -> Iterator[list[Window]]:
    """Windows of similar length together, about BATCH_TOKENS at once."""
    iterator = iter(windows)
    while together := sorted(islice(iterator, SORTED_TOGETHER), key=lambda window: len(window[0])):
        while together:
            rows = max(1, BATCH_TOKENS // len(together[-1][0]))
            yield together[-rows:]
            del together[-rows:]


def pad(batch: list[Window], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels (B, T); padding stands at the end, where causal attention never looks."""
    length = max(len(ids) for ids, _ in batch) - 1
    inputs = torch.full((len(batch), length), pad_id)
    labels = torch.full((len(batch), length), IGNORE)
    for row, (ids, read) in enumerate(batch):
        inputs[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        labels[row, read - 1 : len(ids) - 1] = torch.tensor(ids[read:])
    return inputs, labels


def token_documents(data: list[Path], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Token ids of every document: of a shards directory's validation split, or of document files.

    Raises: ValueError: the shards were packed with another tokenizer.
    """
    if len(data) == 1 and (data[0] / META).is_file():
        shards = open_shards(data[0])
        if shards.tokenizer().fingerprint != tokenizer.fingerprint:
            raise ValueError(f"{data[0]}: packed with another tokenizer than the model's; give the documents")
        yield from stream_documents(shards.val, tokenizer.end_id)
        return
    for document in read_documents(document_files(data)):
        yield tokenizer.encode(document.text)


def stream_documents(tokens: TokenStream, end_id: int, chunk: int = 1 << 20) -> Iterator[list[int]]:
    """The documents of packed shards: the token stream, cut at its end tokens."""
    open_part = np.zeros(0, dtype=np.int64)
    for start in range(0, len(tokens), chunk):
        ids = np.concatenate([open_part, tokens.read(start, min(start + chunk, len(tokens)))])
        *documents, open_part = np.split(ids, np.flatnonzero(ids == end_id) + 1)
        yield from (document[:-1].tolist() for document in documents)
    if len(open_part):
        yield open_part.tolist()
