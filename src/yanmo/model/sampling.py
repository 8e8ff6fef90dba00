"""From logits to the next token: the usual rules, each a function of logits (B, V), and the order they come in.

The order is transformers': repetition penalty, n-gram blocking, temperature, top-k, top-p, min-p. A rule
removes tokens by setting their logit to -inf. Each row draws from a generator of its own, seeded by its number,
so a row gets the same tokens in any batch; the draws are made on the host, the same for every device.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from yanmo.model.sampling_settings import SamplingSettings

NEVER = -math.inf


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens marked in seen (B, V) less likely: positive logits are divided, negative ones multiplied.

    CTRL (https://arxiv.org/abs/1909.05858) divides whatever the sign, which makes negative ones more likely.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k likeliest tokens (and what ties with the last of them)."""
    if k >= logits.shape[-1]:
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[:, -1:], NEVER)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p (https://arxiv.org/abs/1904.09751)."""
    ordered, order = logits.sort(descending=True, stable=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    return logits.masked_fill(torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= p), NEVER)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Keep tokens at least p times as likely as the likeliest (https://arxiv.org/abs/2407.01082)."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), NEVER)


def draw(logits: Tensor, uniforms: Sequence[float]) -> list[int]:
    """A token of each row: where the cumulated probability passes the row's number in [0, 1)."""
    cumulated = logits.double().softmax(-1).cumsum(-1)
    wanted = torch.tensor(uniforms, dtype=torch.double, device=logits.device)[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, wanted, right=True).squeeze(1).tolist()


class NgramBlock:
    """Which tokens would complete an n-gram that a sequence already holds."""

    def __init__(self, size: int, ids: Sequence[int]) -> None:
        self.size = size
        self.ids: list[int] = []
        self.followers: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for token in ids:
            self.append(token)

    def append(self, token: int) -> None:
        if len(self.ids) >= self.size - 1:
            self.followers[self._tail()].append(token)
        self.ids.append(token)

    def blocked(self) -> list[int]:
        return self.followers.get(self._tail(), []) if len(self.ids) >= self.size - 1 else []

    def _tail(self) -> tuple[int, ...]:
        return tuple(self.ids[len(self.ids) - self.size + 1 :])


class Sampler:
    """Chooses the next token of every row of a batch, and remembers what the rules need to know of each row."""

    def __init__(
        self, settings: SamplingSettings, prompts: Sequence[Sequence[int]], vocab_size: int, first_row: int = 0
    ) -> None:
        self.settings = settings.validate()
        self.generators = [random.Random(f"{settings.seed}:{first_row + row}") for row in range(len(prompts))]
        self.blocks = [NgramBlock(settings.no_repeat_ngram, ids) for ids in prompts if settings.no_repeat_ngram]
        self.seen: Tensor | None = None
        if settings.repetition_penalty != 1:
            self.seen = torch.zeros(len(prompts), vocab_size, dtype=torch.bool)
            for row, ids in enumerate(prompts):
                self.seen[row, list(ids)] = True

    def __call__(self, logits: Tensor) -> list[int]:
        """logits (B, V) -> B tokens."""
        settings, logits = self.settings, self.penalised(logits.float())
        if settings.temperature == 0:
            tokens = logits.argmax(-1).tolist()
        else:
            logits = logits / settings.temperature
            if settings.top_k:
                logits = keep_top_k(logits, settings.top_k)
            if settings.top_p < 1:
                logits = keep_top_p(logits, settings.top_p)
            if settings.min_p:
                logits = keep_min_p(logits, settings.min_p)
            tokens = draw(logits, [generator.random() for generator in self.generators])
        self.append(tokens)
        return tokens

    def penalised(self, logits: Tensor) -> Tensor:
        """The rules that look at what a row said before."""
        if self.seen is not None:
            self.seen = self.seen.to(logits.device)
            logits = penalise_repetition(logits, self.seen, self.settings.repetition_penalty)
        if self.blocks:
            logits = logits.clone()
        for row, block in enumerate(self.blocks):
            logits[row, block.blocked()] = NEVER
        return logits

    def append(self, tokens: Sequence[int]) -> None:
        if self.seen is not None:
            self.seen[torch.arange(len(tokens)), list(tokens)] = True
        for block, token in zip(self.blocks, tokens, strict=bool(self.blocks)):
            block.append(token)

    def select(self, rows: Sequence[int]) -> None:
        """Row i becomes what row `rows[i]` was."""
        self.generators = [self.generators[row] for row in rows]
        self.blocks = [self.blocks[row] for row in rows] if self.blocks else []
        if self.seen is not None:
            self.seen = self.seen[list(rows)]
