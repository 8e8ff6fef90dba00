"""Documents on disk, as `yanmo clean` writes them, and the hash that decides what is done with each.

A document's hash depends on its text alone: not on its file, its place or the number of workers. Equal texts always
land on the same side of a split.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from yanmo.core.files import read_jsonl

HASH_RANGE = 1 << 64
JSONL = re.compile(r"\.jsonl(\.(gz|bz2|zst|xz))?$")


class Document(NamedTuple):
    text: str
    source: str
    """Where it comes from; its file's name if the row does not say."""


def document_files(inputs: Sequence[Path]) -> list[Path]:
    """The JSON lines files among `inputs`; a directory stands for those that lie directly in it, by name.

    Raises: ValueError: an input is missing, or a directory holds none.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _is_jsonl(file))
            if not found:
                raise ValueError(f"--inputs {path}: holds no .jsonl or .jsonl.zst; make documents with `yanmo clean`")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"--inputs {path}: no such file or directory")
    return files


def _is_jsonl(file: Path) -> bool:
    return JSONL.search(file.name) is not None and not file.name.startswith((".", "metrics.jsonl"))


def read_documents(files: Iterable[Path]) -> Iterator[Document]:
    """All documents, in order; empty ones, which teach nothing, are passed over.

    Raises: ValueError: a row is not a document; its file and line are named.
    """
    for file in files:
        for number, row in enumerate(read_jsonl(file), 1):
            text = row.get("text") if isinstance(row, dict) else None
            if not isinstance(text, str):
                raise ValueError(
                    f'{file}:{number}: not a document (no "text"); bring raw data into shape with `yanmo clean`'
                )
            if text:
                yield Document(text, str(row.get("source") or file.name.partition(".")[0]))


def document_hash(text: str) -> int:
    """64 bits, spread evenly."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


class ValidationSplit:
    """Which documents are held out: those whose hash is below a threshold.

    The threshold is `fraction` of the range, or the `minimum`-th smallest hash where that would hold out too few;
    never more than a tenth of the documents are taken to reach the minimum, and nothing at fraction 0.
    """

    def __init__(self, fraction: float, minimum: int):
        self.fraction, self.minimum = fraction, minimum
        self.documents = 0
        self._smallest: list[int] = []  # a heap of the negated `minimum` smallest hashes seen

    def see(self, hash: int) -> None:
        """Count a document; after all of them the threshold is known."""
        self.documents += 1
        if len(self._smallest) < self.minimum:
            heapq.heappush(self._smallest, -hash)
        elif self.minimum and -hash > self._smallest[0]:
            heapq.heapreplace(self._smallest, -hash)

    def see_all(self, hashes: np.ndarray) -> None:
        """Count documents by their hashes, uint64."""
        candidates = np.partition(hashes, self.minimum)[: self.minimum] if len(hashes) > self.minimum else hashes
        self.documents += len(hashes) - len(candidates)
        for hash in candidates.tolist():
            self.see(hash)

    def threshold(self) -> int:
        by_fraction = int(self.fraction * HASH_RANGE)
        smallest = sorted(-value for value in self._smallest)[: max(1, self.documents // 10)]
        if self.fraction == 0 or self.documents < 2 or not smallest:
            return by_fraction
        return max(by_fraction, smallest[-1] + 1)
