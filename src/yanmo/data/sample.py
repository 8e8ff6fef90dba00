"""A sample of documents to train a tokenizer on: of bounded size, from every source, the same in any order of files.

More text buys nothing (bytes a token at 6,400 entries from 5, 20 and 60 MB: 3.296, 3.323, 3.324), and costs memory.
A source's share is the square root of its size: the large ones lead, the small ones are still heard. Sources below
a hundredth of the text count as one: some corpora name a source for every document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from yanmo.data.documents import HASH_RANGE, Document, ValidationSplit, document_hash

LONGEST = 10_000
"""Characters taken of one document: a single book must not write the vocabulary."""

HELD_OUT = 0.01
HELD_OUT_BYTES = 1_000_000
"""Held out per source, at most, to measure compression on."""

SMALL = 0.01
OTHERS = "(small sources)"

_GOLDEN = 0x9E3779B97F4A7C15  # odd, so that multiplying permutes the hashes: a second, independent draw


@dataclass
class Sample:
    texts: list[str] = field(default_factory=list)
    held_out: dict[str, list[str]] = field(default_factory=dict)
    """By source; documents that are not in `texts`."""
    bytes: int = 0
    documents_seen: int = 0


def stratified_sample(read: Callable[[], Iterator[Document]], budget: int) -> Sample:
    """About `budget` bytes of UTF-8 from what `read()` yields; it is called twice, and must yield the same.

    Raises: ValueError: there is no document.
    """
    sizes: Counter[str] = Counter()
    split = ValidationSplit(HELD_OUT, minimum=8)
    for document in read():
        split.see(document_hash(document.text))
        sizes[document.source] += len(document.text[:LONGEST].encode("utf-8", "replace"))
    if not sizes:
        raise ValueError("--inputs: no documents in them; a tokenizer needs text")
    group = {source: source if size >= SMALL * sizes.total() else OTHERS for source, size in sizes.items()}
    grouped: Counter[str] = Counter()
    for source, size in sizes.items():
        grouped[group[source]] += size
    rates = sampling_rates(grouped, budget)
    threshold = split.threshold()
    sample = Sample(documents_seen=split.documents)
    held_bytes: Counter[str] = Counter()
    for document in read():
        digest, text, source = document_hash(document.text), document.text[:LONGEST], group[document.source]
        size = len(text.encode("utf-8", "replace"))
        if digest < threshold:
            if held_bytes[source] < HELD_OUT_BYTES:
                sample.held_out.setdefault(source, []).append(text)
                held_bytes[source] += size
        elif digest * _GOLDEN % HASH_RANGE < rates[source] * HASH_RANGE:
            sample.texts.append(text)
            sample.bytes += size
    return sample


def sampling_rates(sizes: Counter[str], budget: int) -> dict[str, float]:
    """Which part of each source to take: shares by square root, what small ones cannot fill goes to the others."""
    rates: dict[str, float] = {}
    left, roots = float(budget), sum(size**0.5 for size in sizes.values())
    for source, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):  # small ones overflow first
        taken = min(size, left * size**0.5 / roots)
        rates[source] = taken / size if size else 0.0
        left -= taken
        roots -= size**0.5
    return rates
