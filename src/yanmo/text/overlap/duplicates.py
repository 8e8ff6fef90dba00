"""Exact and near duplicates in a corpus of any size; the first of them stays.

A document is removed if an earlier document that is kept equals it in folded form (exact), or shares with it at
least `threshold` of all their different 5-grams of folded letters (near; the Jaccard index). "That is kept" breaks
chains: if a resembles b and b resembles c, but a does not resemble c, then b goes and c stays.

While a shard of documents is cleaned, `document_keys` makes 16 bytes (exact) and some bands of 8 bytes (near) of
each document, and `write_keys` puts them into a file. When all shards are there, `find_duplicates`

1. finds equal hashes by sorting, which takes no text;
2. sorts one band of all documents after the other; those equal in a band are candidate pairs, kept on disk;
3. goes through the documents in order, once, and compares each with the candidates that are kept so far. Only
   documents with a candidate are read; the sets of 5-grams of those that stay lie in a temporary file.

Memory is about 40 bytes a document and a fixed amount of text. The result depends on the documents, their order
and the threshold, not on shards or batches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from yanmo.core.files import atomic_open
from yanmo.text.overlap.fold import batches, fold_all, folded_hashes, letters_of
from yanmo.text.overlap.minhash import NONE, Banding, Sets, band_hashes, banding, distinct, shingle_sets

CROWD = 16
"""In a band, a document is compared with the first 16 that are equal there. More are equal only in large families
cut from one template; such a family is either one document and its copies, which the first few tell, or documents
that differ and meet their true likes in other, smaller crowds."""
PIECE = 1 << 18
"""Documents of one band whose candidate pairs are made at once."""
CHUNK = 1 << 12
"""Documents compared at once, at most."""
CHUNK_CHARACTERS = 1 << 20
ELEMENTS = 1 << 21
"""5-grams compared at once."""

Keys = np.ndarray
"""(2 + bands, documents) uint64: the folded hash in two halves, then the hash of each band. See `document_keys`."""
Texts = Callable[[int, Sequence[int]], Iterator[str]]
"""(shard, ascending rows) -> the texts of these documents."""


@dataclass(frozen=True)
class Found:
    """The duplicates in one shard, in the order of its rows; arrays of equal length."""

    rows: np.ndarray
    """Which documents of the shard are removed, int64, ascending."""
    shards: np.ndarray
    """The shard of the kept document that each repeats, int64."""
    of_rows: np.ndarray
    """Its row there, int64."""
    exact: np.ndarray
    """Whether it is equal in folded form, bool."""
    jaccard: np.ndarray
    """Jaccard index of the two, float64; 1 for exact ones."""


def document_keys(texts: Sequence[str], threshold: float = 0.8, near: bool = True) -> Keys:
    """The keys of documents, to be searched with the same `threshold` and `near`. Batches do not matter.

    Raises: ValueError: the threshold is outside of 0.5 to 0.95.
    """
    bands = banding(threshold) if near else Banding(0, 0)
    parts = [_batch_keys(texts[first:last], bands) for first, last in batches(texts)]
    return np.concatenate([np.empty((2 + bands.bands, 0), np.uint64), *parts], axis=1)


def _batch_keys(texts: Sequence[str], bands: Banding) -> Keys:
    folded = fold_all(texts)
    hashes = np.frombuffer(folded_hashes(folded), "<u8").reshape(-1, 2).T
    return np.concatenate([hashes, band_hashes(folded.letters(), bands)]) if bands.bands else hashes


def write_keys(path: Path, keys: Sequence[Keys]) -> None:
    """Write a shard's keys, in the order of its documents, as a little-endian .npy file; whole or not at all."""
    together = np.concatenate(keys, axis=1) if keys else np.empty((2, 0), np.uint64)
    with atomic_open(path) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(together, "<u8"), allow_pickle=False)


def read_keys(path: Path) -> Keys:
    """A shard's keys, mapped into memory. Band by band they lie together, so reading one band reads no other."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def find_duplicates(key_files: Sequence[Path], texts: Texts, threshold: float = 0.8, near: bool = True) -> list[Found]:
    """The duplicates of each shard, a shard being a key file and its documents; documents count in that order.

    `texts` is called once for each shard that has candidates for near duplicates. Temporary files lie beside the
    first key file.
    """
    corpus = _Corpus(key_files)
    corpus.find_exact()
    if near and len(corpus.of):
        with (
            tempfile.TemporaryFile(dir=key_files[0].parent) as pairs,
            tempfile.TemporaryFile(dir=key_files[0].parent) as sets,
        ):
            candidates = _Candidates(pairs)
            for band in range(banding(threshold).bands):
                corpus.collect(2 + band, candidates)
            candidates.complete()
            _Comparison(corpus, candidates, sets, threshold).run(texts)
    return corpus.found()


class _Corpus:
    """All shards' documents, numbered through, and what is known of each."""

    def __init__(self, key_files: Sequence[Path]):
        # Opened anew for each band: a process may have only so many files open, and there may be more shards.
        self.key_files = key_files
        self.starts = np.cumsum([0] + [read_keys(path).shape[1] for path in key_files])
        count = int(self.starts[-1])
        assert count < 1 << 32
        self.of = np.arange(count, dtype=np.uint32)
        """The document that each repeats; itself if it is kept."""
        self.exact = np.zeros(count, bool)
        self.jaccard = np.zeros(count)

    def kept(self, documents: np.ndarray) -> np.ndarray:
        return self.of[documents] == documents

    def groups(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Documents equal in a column of keys, kept ones only: their numbers, group after group, ascending within
        each, and for each of them the place in this array where its group starts.

        A document's number takes the place of the hash's low bits, so one sort of plain integers does it. What the
        hash loses (at 5 million documents it keeps 41 bits) makes a few groups too large.
        """
        low = np.uint64((1 << len(self.of).bit_length()) - 1)
        parts = [np.empty(0, np.uint64)]
        for path, (start, end) in zip(self.key_files, pairwise(self.starts.tolist()), strict=True):
            if start == end:
                continue
            hashes = read_keys(path)[column]
            documents = np.arange(start, end)
            wanted = self.kept(documents) & (hashes != NONE)
            parts.append((hashes[wanted] & ~low) | documents[wanted].astype(np.uint64))
        packed = np.concatenate(parts)
        del parts
        packed.sort()
        same = np.concatenate(([False], packed[1:] ^ packed[:-1] <= low))
        inside = np.flatnonzero(same | np.append(same[1:], False))
        opens = ~same[inside]
        places = np.maximum.accumulate(np.where(opens, np.arange(len(inside)), 0))
        return (packed[inside] & low).astype(np.int64), places

    def find_exact(self) -> None:
        documents = np.sort(self.groups(0)[0])
        hashes = self._hashes(documents)
        order = np.lexsort(hashes)
        documents, hashes = documents[order], hashes[:, order]
        opens = np.append(True, (hashes[:, 1:] != hashes[:, :-1]).any(axis=0))[: len(documents)]
        places = np.maximum.accumulate(np.where(opens, np.arange(len(documents)), 0))
        self.of[documents] = documents[places]
        later = documents[~opens]
        self.exact[later], self.jaccard[later] = True, 1

    def _hashes(self, documents: np.ndarray) -> np.ndarray:
        """(2, documents): the folded hashes of ascending documents."""
        parts = [np.empty((2, 0), np.uint64)]
        for path, (start, end) in zip(self.key_files, pairwise(self.starts.tolist()), strict=True):
            first, last = np.searchsorted(documents, (start, end))
            parts.append(read_keys(path)[:2, documents[first:last] - start])
        return np.concatenate(parts, axis=1)

    def collect(self, column: int, candidates: _Candidates) -> None:
        """Add the candidate pairs of one band: each document with the first CROWD of its group."""
        documents, places = self.groups(column)
        for first in range(0, len(documents), PIECE):
            own = np.arange(first, min(first + PIECE, len(documents)))
            pairs = []
            for rank in range(CROWD):
                own = own[own - places[own] > rank]
                pairs.append(_pack(documents[own], documents[places[own] + rank]))
            candidates.add(np.concatenate(pairs))

    def found(self) -> list[Found]:
        # The first of several equal documents may itself have turned out a near duplicate.
        moved = np.flatnonzero(self.of[self.of] != self.of)
        self.exact[moved], self.jaccard[moved] = False, self.jaccard[self.of[moved]]
        self.of[moved] = self.of[self.of[moved]]
        result = []
        for start, end in pairwise(self.starts.tolist()):
            documents = start + np.flatnonzero(~self.kept(np.arange(start, end)))
            of = self.of[documents].astype(np.int64)
            shards = np.searchsorted(self.starts, of, side="right") - 1
            result.append(
                Found(
                    documents - start,
                    shards,
                    of - self.starts[shards],
                    self.exact[documents],
                    self.jaccard[documents],
                )
            )
        return result


class _Candidates:
    """Pairs of a later and an earlier document, in sorted pieces on disk."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._ends = [0]

    def add(self, pairs: np.ndarray) -> None:
        pairs = distinct(pairs)
        self._stream.write(pairs.data)
        self._ends.append(self._ends[-1] + len(pairs))

    def complete(self) -> None:
        """All are added; only now they can be asked for."""
        self._stream.flush()
        empty = self._ends[-1] == 0  # which cannot be mapped
        pairs = np.empty(0, np.uint64) if empty else np.memmap(self._stream, np.uint64, "r")
        self._pieces = [pairs[start:end] for start, end in pairwise(self._ends)]

    def documents(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of `count` documents are in a pair at all, and which as the earlier one; bool."""
        later, earlier = np.zeros(count, bool), np.zeros(count, bool)
        for piece in self._pieces:
            later[_later(piece)] = True
            earlier[_earlier(piece)] = True
        return later | earlier, earlier

    def of(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The different pairs whose later document is one of first..last: later and earlier ones, in that order."""
        bounds = np.array([first, last + 1], np.uint64) << np.uint64(32)
        parts = [piece[slice(*np.searchsorted(piece, bounds))] for piece in self._pieces]
        pairs = distinct(np.concatenate([np.empty(0, np.uint64), *parts]))
        return _later(pairs), _earlier(pairs)


def _pack(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    return later.astype(np.uint64) << np.uint64(32) | earlier.astype(np.uint64)


def _later(pairs: np.ndarray) -> np.ndarray:
    return (pairs >> np.uint64(32)).astype(np.int64)


def _earlier(pairs: np.ndarray) -> np.ndarray:
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


class _Comparison:
    """Goes through the documents that have candidates, in order, and decides which are removed."""

    def __init__(self, corpus: _Corpus, candidates: _Candidates, stream: BinaryIO, threshold: float):
        self._corpus, self._candidates, self._stream, self._threshold = corpus, candidates, stream, threshold
        count = len(corpus.of)
        self._wanted, self._referred = candidates.documents(count)
        self._sizes = np.zeros(count, np.int64)
        """Of the sets of 5-grams, as far as they are known."""
        self._places = np.zeros(count, np.int64)
        """Where in the stream, or in the chunk at hand, they lie."""

    def run(self, texts: Texts) -> None:
        for shard, (start, end) in enumerate(pairwise(self._corpus.starts.tolist())):
            rows = np.flatnonzero(self._wanted[start:end])
            if not len(rows):
                continue
            done = 0
            for chunk in _chunks(texts(shard, rows.tolist())):
                self._decide(start + rows[done : done + len(chunk)], shingle_sets(letters_of(chunk)[0]))
                done += len(chunk)
            assert done == len(rows), "a shard has fewer documents than keys"

    def _decide(self, documents: np.ndarray, sets: Sets) -> None:
        """Which of a chunk's documents are removed; the sets of the others are stored."""
        self._sizes[documents] = np.diff(sets.ends, prepend=0)
        self._places[documents] = sets.ends - self._sizes[documents]
        later, earlier = self._candidates.of(int(documents[0]), int(documents[-1]))
        sizes = np.stack([self._sizes[later], self._sizes[earlier]])
        # Two sets cannot have more in common than the smaller one holds.
        possible = self._corpus.kept(earlier) & (sizes.min(0) / sizes.max(0) >= self._threshold)
        later, earlier = later[possible], earlier[possible]
        elements = np.cumsum(sizes[:, possible].sum(0))
        first = 0
        while first < len(later):
            limit = ELEMENTS + (elements[first - 1] if first else 0)
            last = max(int(np.searchsorted(elements, limit)), first + 1)
            self._compare(later[first:last], earlier[first:last], sets.values, int(documents[0]))
            first = last
        self._store(documents, sets.values)

    def _compare(self, later: np.ndarray, earlier: np.ndarray, values: np.ndarray, first: int) -> None:
        """Compare pairs, given in order; `values` holds the sets of the documents from `first` on."""
        undecided = self._corpus.kept(later) & self._corpus.kept(earlier)
        later, earlier = later[undecided], earlier[undecided]
        stored = np.unique(earlier[earlier < first])
        parts = [values, *map(self._load, stored.tolist())]
        starts = self._places[earlier]
        behind = np.cumsum([len(part) for part in parts])
        starts[earlier < first] = behind[np.searchsorted(stored, earlier[earlier < first])]
        jaccard = _jaccard(
            np.concatenate(parts), (self._places[later], self._sizes[later]), (starts, self._sizes[earlier])
        )
        of, similar = self._corpus.of, jaccard >= self._threshold
        pairs = zip(later[similar].tolist(), earlier[similar].tolist(), jaccard[similar].tolist(), strict=True)
        for document, other, index in pairs:
            # Pairs are in order, so whether the other one stays is decided by now.
            if of[document] == document and of[other] == other:
                of[document] = other
                self._corpus.jaccard[document] = index

    def _load(self, document: int) -> np.ndarray:
        self._stream.seek(self._places[document])
        return np.frombuffer(self._stream.read(4 * int(self._sizes[document])), np.uint32)

    def _store(self, documents: np.ndarray, values: np.ndarray) -> None:
        """Write the sets that later documents will be compared with."""
        stored = documents[self._corpus.kept(documents) & self._referred[documents]]
        starts, sizes = self._places[stored], self._sizes[stored]
        end = self._stream.seek(0, 2)
        self._stream.write(values[_ranges(starts, sizes)].data)
        self._places[stored] = end + 4 * (np.cumsum(sizes) - sizes)


def _chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if len(chunk) == CHUNK or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The integers start..start + size - 1 of each, one range after the other."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)


def _jaccard(
    values: np.ndarray, first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The Jaccard index of pairs of sets in `values`, each given by its start and its size."""
    pair = np.arange(len(first[0]), dtype=np.uint64) << np.uint64(32)
    elements = np.concatenate(
        [np.repeat(pair, sizes) | values[_ranges(starts, sizes)] for starts, sizes in (first, second)]
    )
    elements.sort()
    common = elements[1:][elements[1:] == elements[:-1]] >> np.uint64(32)
    shared = np.bincount(common.astype(np.int64), minlength=len(pair))
    return shared / (first[1] + second[1] - shared)
