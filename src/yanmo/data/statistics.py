"""What a corpus amounts to: documents, characters, bytes and tokens by source, and how long documents are.

Documents are seen as rows of figures, a bucket at a time, so the statistics take no memory worth mentioning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from yanmo.data.shards import Counts

SMALL = 0.005
"""Sources with a smaller share of their input's bytes are shown together."""

SMALL_SOURCES = "(small sources)"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_FINE = 6
"""Lengths are counted to a part in 64."""


@dataclass
class SourceStatistics(Counts):
    """One source. The counts, end tokens included, are of its documents, each once."""

    source: str = ""
    input: str = ""
    train_tokens: int = 0
    """Tokens that it gives to training, repeats included."""
    weight: float | None = None
    """Of its input, as asked for."""
    epochs: float = 1.0
    """How often its input's training documents are used."""

    @property
    def characters_per_token(self) -> float:
        """End tokens, which stand for no text, are not counted."""
        return self.characters / max(1, self.tokens - self.documents)

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(1, self.tokens - self.documents)

    def row(self) -> dict[str, object]:
        figures = {
            "characters_per_token": round(self.characters_per_token, 4),
            "bytes_per_token": round(self.bytes_per_token, 4),
        }
        return asdict(self) | figures


class Statistics:
    """Sums over rows of `buckets.ROW`."""

    def __init__(self, labels: int):
        self._sums = {name: np.zeros(labels) for name in ("documents", "tokens", "bytes", "characters", "train_tokens")}
        self._lengths = np.zeros(1, dtype=np.int64)

    def see(self, rows: np.ndarray) -> None:
        """Count documents, each of them once."""
        labels = len(self._sums["tokens"])
        self._sums["documents"] += np.bincount(rows["label"], minlength=labels)
        for name in ("tokens", "bytes", "characters"):
            self._sums[name] += np.bincount(rows["label"], weights=rows[name], minlength=labels)
        found = np.bincount(_bin(rows["tokens"]))
        longer, shorter = (found, self._lengths) if found.size > self._lengths.size else (self._lengths, found)
        self._lengths = longer + np.pad(shorter, (0, longer.size - shorter.size))

    def use(self, rows: np.ndarray) -> None:
        """Count documents that training gets, every time anew."""
        name = "train_tokens"
        self._sums[name] += np.bincount(rows["label"], weights=rows["tokens"], minlength=len(self._sums[name]))

    def sources(self, names: Sequence[tuple[str, str]]) -> list[SourceStatistics]:
        """By (input, source), the largest first within each input; `names` are those of the labels."""
        sizes: dict[str, float] = {}
        for (input, _), size in zip(names, self._sums["bytes"], strict=True):
            sizes[input] = sizes.get(input, 0) + size
        found: dict[tuple[str, str], SourceStatistics] = {}
        for label, (input, source) in enumerate(names):
            sums = {name: int(values[label]) for name, values in self._sums.items()}
            shown = source if sums["bytes"] >= SMALL * sizes[input] else SMALL_SOURCES
            entry = found.setdefault((input, shown), SourceStatistics(source=shown, input=input))
            for name, value in sums.items():
                setattr(entry, name, getattr(entry, name) + value)
        order = {input: number for number, input in enumerate(sizes)}
        return sorted(found.values(), key=lambda entry: (order[entry.input], -entry.tokens, entry.source))

    def quantiles(self) -> dict[str, int]:
        """Tokens of a document, end token included, to 1.6 %: the shortest, some quantiles and the longest."""
        reached = np.cumsum(self._lengths)
        present = np.flatnonzero(self._lengths)
        if not present.size:
            return {}
        places = {f"{share:.0%}": int(np.searchsorted(reached, share * reached[-1])) for share in QUANTILES}
        places = {"shortest": int(present[0]), **places, "longest": int(present[-1])}
        return {name: int(_start(np.array(place))) for name, place in places.items()}

    def histogram(self) -> dict[int, int]:
        """Documents of 1, 2 to 3, 4 to 7, ... tokens, by the least of each."""
        powers = np.frexp(_start(np.arange(1, self._lengths.size)))[1] - 1
        sums = np.bincount(powers, weights=self._lengths[1:])
        return {1 << power: int(count) for power, count in enumerate(sums)}


def _bin(lengths: np.ndarray) -> np.ndarray:
    """The number of a length's bin: one each up to 127, then 64 for each power of two."""
    lengths = lengths.astype(np.int64)
    shift = np.maximum(np.frexp(lengths)[1] - 1 - _FINE, 0)
    return (shift << _FINE) + (lengths >> shift)


def _start(bins: np.ndarray) -> np.ndarray:
    """The least length in a bin."""
    shift = np.maximum((bins >> _FINE) - 1, 0)
    return (bins - (shift << _FINE)) << shift
