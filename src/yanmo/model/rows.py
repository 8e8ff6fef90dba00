"""Give a model another vocabulary: rows of the embedding and the head carried over, the body untouched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from yanmo.model.transformer import Transformer


@torch.no_grad()
def with_rows(model: Transformer, origins: Sequence[Sequence[int]]) -> Transformer:
    """The same model with `len(origins)` rows; row i is the mean of the old rows `origins[i]`, of all if none.

    One origin copies the row, so logits of kept ids are those of the old model. Several are the ids that stood for
    a new token so far: it starts where the model already expects its parts; a token without origin starts as the
    average one, the least surprising (Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html).
    """
    config = dataclasses.replace(model.config, vocab_size=len(origins))
    weights = model.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = _rows(weights[name], origins)
    with torch.device("meta"):
        other = Transformer(config)
    other.load_state_dict(weights, assign=True)
    other.tie_weights()
    return other


def _rows(table: Tensor, origins: Sequence[Sequence[int]]) -> Tensor:
    """(old rows, width) -> (len(origins), width). Means in fp32, whatever the table's dtype."""
    rows = table[[old[0] if old else 0 for old in origins]]
    everything = table.float().mean(0)
    for number, old in enumerate(origins):
        if len(old) != 1:
            mean = table[list(old)].float().mean(0) if old else everything
            rows[number] = mean.to(table.dtype)
    return rows
