"""A sample of documents to train a tokenizer on: of bounded size, from every source, the same in any order of files.

More text buys nothing (bytes a token at 6,400 entries from 5, 20 and 60 MB: 3.296, 3.323, 3.324), and costs memory.
A source's share is the square root of its size: the large ones lead, the small ones are still heard. Sources below a
hundredth of the text count as one: some corpora name a source for every document. Or the shares are given, and what
is wanted beyond a source's size is taken more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from yanmo.data.documents import HASH_RANGE, Document, ValidationSplit, document_hash

LONGEST = 10_000
"""Characters taken of one document: a single book must not write the vocabulary."""

HELD_OUT = 0.01
HELD_OUT_BYTES = 1_000_000
"""Held out per source, at most, to measure compression on."""

SMALL = 0.01
OTHERS = "(small sources)"

MOST_SOURCES = 10_000
"""Sources counted by name at once: beyond that those so far below a hundredth of `SMALL` join the others."""

MOST_COPIES = 4
"""How often given shares may take the same document."""

_GOLDEN = 0x9E3779B97F4A7C15  # odd, so that multiplying permutes the hashes: a second, independent draw


@dataclass
class Sample:
    texts: list[str] = field(default_factory=list)
    held_out: dict[str, list[str]] = field(default_factory=dict)
    """By source; documents that are not in `texts`."""
    bytes: int = 0
    documents_seen: int = 0


def stratified_sample(
    read: Callable[[], Iterator[Document]], budget: int, shares: Mapping[str, float] | None = None
) -> Sample:
    """About `budget` bytes of UTF-8 from what `read()` yields; it is called twice, and must yield the same.

    `shares` are those of the sources, if not by their sizes; they must name all.
    Raises: ValueError: there is no document.
    """
    sizes: Counter[str] = Counter()
    split = ValidationSplit(HELD_OUT, minimum=8)
    for document in read():
        split.see(document_hash(document.text))
        sizes[document.source] += _size(document.text[:LONGEST])
        if len(sizes) > MOST_SOURCES:
            sizes = _grouped(sizes, SMALL / 100)
    if not sizes:
        raise ValueError("--inputs: no documents in them; a tokenizer needs text")
    if shares is None:
        sizes = _grouped(sizes, SMALL)
        rates = sampling_rates(sizes, {source: size**0.5 for source, size in sizes.items()}, budget, 1)
    else:
        rates = sampling_rates(sizes, shares, budget, MOST_COPIES)
    threshold = split.threshold()
    sample = Sample(documents_seen=split.documents)
    held_bytes: Counter[str] = Counter()
    for document in read():
        digest, text = document_hash(document.text), document.text[:LONGEST]
        source = document.source if document.source in sizes else OTHERS
        if digest < threshold:
            if held_bytes[source] < HELD_OUT_BYTES:
                sample.held_out.setdefault(source, []).append(text)
                held_bytes[source] += _size(text)
            continue
        whole, part = divmod(rates[source], 1)
        if copies := int(whole) + (digest * _GOLDEN % HASH_RANGE < part * HASH_RANGE):
            sample.texts += [text] * copies
            sample.bytes += _size(text) * copies
    return sample


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _grouped(sizes: Counter[str], small: float) -> Counter[str]:
    """Sources below the share `small` of the text as one."""
    least = small * sizes.total()
    grouped: Counter[str] = Counter()
    for source, size in sizes.items():
        grouped[source if size >= least else OTHERS] += size
    return grouped


def sampling_rates(sizes: Counter[str], shares: Mapping[str, float], budget: int, most: int) -> dict[str, float]:
    """How often to take each document of a source so that the sample has these shares; 1 is all of them, once.

    What a source cannot give, taken `most` times, goes to the others.
    """
    rates: dict[str, float] = {}
    left, rest = float(budget), sum(shares[source] for source in sizes)
    for source in sorted(sizes, key=lambda name: (sizes[name] / max(shares[name], 1e-9), name)):  # first who overflow
        size, share = sizes[source], shares[source]
        taken = min(size * most, left * share / rest) if share else 0.0
        rates[source] = taken / size if size else 0.0
        left -= taken
        rest -= share
    return rates
