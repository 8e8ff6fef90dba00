"""How often each input is used, so that their shares of the training tokens are those asked for.

The input with most text for its weight is used once, whole; the others are repeated as often as their weight asks.
Repeats teach less and less: up to four are worth nearly as much as new text, sixteen next to nothing (Muennighoff et
al. 2023, Scaling Data-Constrained Language Models). Where one would be repeated more often than is allowed, the
others are cut back, for the weights hold in any case.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.data.shuffle import draws

_CHOICE = 1  # tells these random numbers from others of the same seed


def epochs(tokens: Sequence[int], weights: Sequence[float], most: float) -> list[float]:
    """How often to use each of some inputs with so many training tokens; at most `most` times.

    Raises: ValueError: an input has no token to give.
    """
    for number, (count, weight) in enumerate(zip(tokens, weights, strict=True), 1):
        if not count:
            raise ValueError(f"--weights {weight:g}: input {number} has no documents to train on")
    totals = [count * sum(weights) / weight for count, weight in zip(tokens, weights, strict=True)]
    total = min(max(totals), most * min(totals))
    return [float(f"{total / own:.9g}") for own in totals]  # 2, not 1.9999999999999998: that would be 1 and a bit


def copies(tokens: np.ndarray, wanted: float, *key: int) -> np.ndarray:
    """How often to take each document of one input so that `wanted` tokens come together, to half a document.

    Each is taken floor or ceil of the same number of times; which ones is a function of `key`.
    """
    whole, left = divmod(wanted, max(1, int(tokens.sum())))
    order = np.argsort(draws(np.arange(tokens.size), _CHOICE, *key), kind="stable")
    reached = np.cumsum(tokens[order]) - tokens[order] / 2
    taken = np.full(tokens.size, int(whole))
    taken[order[reached < left]] += 1
    return taken
