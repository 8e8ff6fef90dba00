"""Generation: prompts of different lengths in one batch, answers that end when they end.

`stream` is the loop: one forward pass over all prompts (right-padded; the cache knows their lengths), then a
token a row and step. A row that stops leaves the batch and the last one takes its place: no work is wasted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from yanmo.model.beam import beam_search
from yanmo.model.cache import KVCache
from yanmo.model.sampling import Sampler
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer


@dataclass
class Completion:
    """An answer: its ids without the stop id, and whether it ended by itself."""

    ids: list[int] = dataclasses.field(default_factory=list)
    finish: Literal["stop", "length"] = "length"


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    stop_ids: Collection[int],
    first_row: int = 0,
) -> list[Completion]:
    """Answers to `prompts`. first_row numbers the first of them for the random draws (see `Sampler`).

    Raises ValueError if a prompt leaves no room in the context, or a setting makes no sense.
    """
    if settings.validate().num_beams > 1:
        check_prompts(model, prompts)
        return [
            Completion(ids, "stop" if ended else "length")
            for ids, ended in (beam_search(model, prompt, settings, stop_ids) for prompt in prompts)
        ]
    completions = [Completion() for _ in prompts]
    for row, token in stream(model, prompts, settings, stop_ids, first_row):
        if token in stop_ids:
            completions[row].finish = "stop"
        else:
            completions[row].ids.append(token)
    return completions


@torch.inference_mode()
def stream(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    stop_ids: Collection[int],
    first_row: int = 0,
    sampler: Sampler | None = None,
) -> Iterator[tuple[int, int]]:
    """(row, token) as they are chosen, a stop id included as the row's last. sampler: one of one's own.

    A row ends with a stop id, after `max_new_tokens`, or when the context is full.
    """
    check_prompts(model, prompts)
    sampler = sampler or Sampler(settings, prompts, model.config.vocab_size, first_row)
    context = model.config.max_position_embeddings
    budget = [min(settings.max_new_tokens, context - len(prompt)) for prompt in prompts]
    cache = new_cache(model, prompts, settings.max_new_tokens)
    rows = list(range(len(prompts)))  # rows[i]: the prompt that stands in row i of the batch
    hidden = prefill(model, prompts, cache)
    while rows:
        tokens = sampler(model.lm_head(hidden))
        alive = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            yield row, token
            budget[row] -= 1
            if budget[row] and token not in stop_ids:
                alive.append(place)
        if len(alive) < len(rows):
            alive = close_gaps(alive)
            rows, tokens = [rows[place] for place in alive], [tokens[place] for place in alive]
            sampler.select(alive)
            cache.select(alive)
        if rows:
            hidden = model(torch.tensor(tokens, device=hidden.device)[:, None], cache=cache)[:, 0]
            cache.advance(1)


def close_gaps(alive: list[int]) -> list[int]:
    """An order of the places in `alive` (ascending) that moves few: gaps are filled from the end."""
    alive = list(alive)
    placed: list[int] = []
    while alive:
        placed.append(alive.pop(0) if alive[0] == len(placed) else alive.pop())
    return placed


def check_prompts(model: Transformer, prompts: Sequence[Sequence[int]]) -> None:
    """Raises ValueError for an empty prompt, one that fills the context, or an id the model has no row for."""
    context, vocab_size = model.config.max_position_embeddings, model.config.vocab_size
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise ValueError(f"prompt {number} is empty: give at least one token")
        if len(prompt) >= context:
            raise ValueError(f"prompt {number} has {len(prompt)} tokens, the model's context is {context}: shorten it")
        if max(prompt) >= vocab_size:
            raise ValueError(f"prompt {number}: id {max(prompt)}, but the model's vocab_size is {vocab_size}")


def new_cache(model: Transformer, prompts: Sequence[Sequence[int]], new_tokens: int) -> KVCache:
    """A cache for these prompts and their answers, in the dtype of the model's activations."""
    weight = model.model.embed_tokens.weight
    longest = max(map(len, prompts), default=0)
    capacity = min(longest + new_tokens, model.config.max_position_embeddings)
    return KVCache(model.config, len(prompts), capacity, model.compute_dtype or weight.dtype, weight.device)


def prefill(model: Transformer, prompts: Sequence[Sequence[int]], cache: KVCache) -> Tensor:
    """Read the prompts into an empty cache; hidden states (B, hidden_size) of each one's last token.

    A prompt that is asked several times is read once and its keys and values are copied.
    """
    lengths = [len(prompt) for prompt in prompts]
    places: dict[tuple[int, ...], int] = {}
    rows = [places.setdefault(tuple(prompt), len(places)) for prompt in prompts]
    if len(places) < len(prompts):
        once = new_cache(model, list(places), 0)
        hidden = prefill(model, list(places), once)
        cache.take(once, rows)
        return hidden[rows]
    device = model.model.embed_tokens.weight.device
    ids = torch.zeros(len(prompts), max(lengths, default=0), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
    hidden = model(ids.to(device), cache=cache)
    cache.advance(lengths)
    return hidden[torch.arange(len(prompts)), torch.tensor(lengths) - 1]
