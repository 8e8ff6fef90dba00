"""Beam search: the answer of the highest mean log-probability, among the few best kept at each length."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch

from yanmo.model.cache import KVCache
from yanmo.model.sampling import Sampler
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer


@torch.inference_mode()
def beam_search(
    model: Transformer, prompt: Sequence[int], settings: SamplingSettings, stop_ids: Collection[int]
) -> tuple[list[int], bool]:
    """The best answer's ids without the stop id, and whether it ended by itself.

    A score is the sum of log-probabilities (after the repetition rules) divided by the number of tokens, the
    stop id among them. `num_beams` unfinished answers are kept; the search ends when as many are finished, or
    when no room is left, where unfinished ones count as they are.
    """
    beams = settings.num_beams
    weight, vocab_size = model.model.embed_tokens.weight, model.config.vocab_size
    room = min(settings.max_new_tokens, model.config.max_position_embeddings - len(prompt))
    cache = KVCache(model.config, beams, len(prompt) + room, model.compute_dtype or weight.dtype, weight.device)
    sampler = Sampler(settings, [prompt] * beams, vocab_size)
    hidden = model(torch.tensor([list(prompt)] * beams, device=weight.device), cache=cache)[:, -1]
    cache.advance(len(prompt))
    # All beams are equal at first: only one of them may propose.
    scores = torch.tensor([0.0] + [-math.inf] * (beams - 1), device=weight.device)
    answers: list[list[int]] = [[] for _ in range(beams)]
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, room + 1):
        logits = sampler.penalised(model.lm_head(hidden).float())
        totals = (scores[:, None] + logits.log_softmax(-1)).flatten()
        # Each beam can end by each stop id, so among this many candidates are `beams` that go on.
        best, places = totals.topk(min(beams * (1 + len(stop_ids)), len(totals)))
        source: list[int] = []
        tokens: list[int] = []
        kept: list[float] = []
        for total, place in zip(best.tolist(), places.tolist(), strict=True):
            beam, token = divmod(place, vocab_size)
            if len(tokens) == beams or total == -math.inf:
                break
            if token in stop_ids:
                finished.append((total / length, answers[beam]))
            else:
                source.append(beam)
                tokens.append(token)
                kept.append(total)
        answers = [[*answers[beam], token] for beam, token in zip(source, tokens, strict=True)]
        if len(finished) >= beams or not tokens or length == room:
            break
        cache.select(source)
        sampler.select(source)
        sampler.append(tokens)
        scores = torch.tensor(kept, device=weight.device)
        hidden = model(torch.tensor(tokens, device=weight.device)[:, None], cache=cache)[:, 0]
        cache.advance(1)
    candidates = [(score, True, ids) for score, ids in finished]
    if len(finished) < beams:
        candidates += [(total / length, False, ids) for total, ids in zip(kept, answers, strict=True)]
    _, ended, ids = max(candidates)
    return ids, ended
