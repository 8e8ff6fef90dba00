"""How byte-pair merging makes a token: the merge that ends in it, or the finding that nothing does.

BPE always merges the pair of the best rank, the leftmost of equals. Whatever stands around a token, the merges
inside it are the same ones, in the same order, as when the token's own text is merged alone: no merge can cross
its borders and still leave it, and the best pair inside does not depend on what is outside. Two things follow,
and trimming rests on them:

- a token has exactly one last merge. A vocabulary that keeps both sides of it, and theirs, and so on, keeps the
  token reachable, and needs no other merges;
- a token that its own text does not merge into can never be produced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

Rank = Callable[[str, str], float | None]
"""The rank of merging two neighbours, lower first; None where there is no such merge."""


def merge(symbols: Sequence[str], rank: Rank) -> tuple[list[str], tuple[str, str] | None]:
    """What BPE leaves of `symbols`, and the last merge it made (None: it made none)."""
    left = list(symbols)
    ranks = [rank(a, b) for a, b in itertools.pairwise(left)]
    last = None
    while True:
        best: float | None = None
        for place, value in enumerate(ranks):
            if value is not None and (best is None or value < best):
                best, at = value, place
        if best is None:
            return left, last
        last = left[at], left[at + 1]
        left[at : at + 2] = [last[0] + last[1]]
        del ranks[at]
        if at > 0:
            ranks[at - 1] = rank(left[at - 1], left[at])
        if at < len(ranks):
            ranks[at] = rank(left[at], left[at + 1])


def last_merge(symbols: Sequence[str], rank: Rank) -> tuple[str, str] | None:
    """The merge that makes the whole of `symbols`; None if merging does not end in one token."""
    left, last = merge(symbols, rank)
    return last if len(left) == 1 else None
