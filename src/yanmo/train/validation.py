"""Validation: nats a token, and the same in bits a byte and bits a character, which other tokenizers can be
compared by. A token's loss depends on how much text it stands for; a byte's and a character's do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.load import Tokenizer
from yanmo.train.head import token_losses


def first_targets(batches: Iterable[dict[str, Tensor]], limit: int) -> Iterator[dict[str, Tensor]]:
    """Batches until `limit` targets have been given."""
    given = 0
    for batch in batches:
        if given >= limit:
            return
        given += int((batch["labels"] != IGNORE).sum())
        yield batch


def validation_loss(
    model: Transformer, tokenizer: Tokenizer, batches: Iterable[dict[str, Tensor]], rows: int
) -> dict[str, float]:
    """Mean losses over all targets of `batches`, dicts of (B, T) tensors, `rows` of them at a time.

    Returns nats_per_token, perplexity, bits_per_byte, bits_per_character and the tokens, bytes and characters
    they are over. End tokens count: a text that ends must say so, and that costs nats but no bytes.
    Gradients stay possible, as in training: without them a compiled block would be compiled once more.
    """
    device = model.lm_head.weight.device
    bytes_of = torch.from_numpy(tokenizer.byte_counts())
    characters_of = torch.from_numpy(tokenizer.char_counts())
    nats, tokens, n_bytes, n_characters = 0.0, 0, 0, 0
    for batch in batches:
        for start in range(0, len(batch["labels"]), rows):
            part = {name: tensor[start : start + rows].to(device) for name, tensor in batch.items()}
            labels = part["labels"].flatten()
            hidden = model(part["input_ids"], part["position_ids"], part["segments"])
            nats += float(token_losses(hidden.flatten(0, 1), model.lm_head.weight, labels).double().sum())
            targets = labels[labels != IGNORE].cpu()
            tokens += len(targets)
            n_bytes += int(bytes_of[targets].sum())
            n_characters += int(characters_of[targets].sum())
    if tokens == 0:
        return {}
    mean = nats / tokens
    return {
        "nats_per_token": mean,
        "perplexity": math.exp(min(mean, 700.0)),
        "bits_per_byte": nats / math.log(2) / max(n_bytes, 1),
        "bits_per_character": nats / math.log(2) / max(n_characters, 1),
        "tokens": tokens,
        "bytes": n_bytes,
        "characters": n_characters,
    }
