"""Documents to ids, in parallel: blocks of text go out to processes and come back in order.

What a block is does not depend on the workers, so neither do the shards. At most a few blocks are on their way at
once, and a block's ids travel as one array: memory stays the same however large the corpus is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from yanmo.core.processes import in_order
from yanmo.data.buckets import ROW
from yanmo.data.documents import document_files, read_documents
from yanmo.data.labels import Labels
from yanmo.data.shards import checked, token_dtype
from yanmo.data.tokenfiles import is_token_file, read_token_file
from yanmo.tokenizer.encode import FastEncoder, HuggingFaceEncoder, together
from yanmo.tokenizer.load import Tokenizer, load_tokenizer, repaired

BLOCK = 1 << 18
"""Characters of text that are encoded together: about 700 KB of Chinese, which stays in the caches."""


class TextBlock(NamedTuple):
    texts: list[str]
    labels: np.ndarray
    finished: int
    """Bytes of the input files that end with this block; the progress bar counts these."""


class IdBlock(NamedTuple):
    """Documents that come as ids."""

    ids: np.ndarray
    lengths: np.ndarray
    label: int
    finished: int


class Encoded(NamedTuple):
    """The documents of a block."""

    ids: np.ndarray
    """Flat, each document with its end token, in the dtype of the shards."""
    rows: np.ndarray
    """`buckets.ROW`, one for each document."""
    finished: int


def input_files(path: Path) -> list[Path]:
    """The files of one input. Raises: ValueError: it is missing, or a directory without documents."""
    return [path] if is_token_file(path) and path.is_file() else document_files([path])


def blocks(inputs: Sequence[Path], labels: Labels, vocab_size: int, end_id: int) -> Iterator[TextBlock | IdBlock]:
    """All documents, in order, by the block; `end_id` is where those of raw token files end."""
    for number, path in enumerate(inputs):
        for file in input_files(path):
            if is_token_file(file):
                label = labels.number(number, file.stem)
                for ids, lengths in read_token_file(file, vocab_size, end_id):
                    yield IdBlock(ids, lengths, label, ids.nbytes)
            else:
                yield from _text_blocks(number, file, labels)


def _text_blocks(number: int, file: Path, labels: Labels) -> Iterator[TextBlock]:
    texts: list[str] = []
    numbers: list[int] = []
    size = 0
    for text, source in read_documents([file]):
        if size >= BLOCK:
            yield TextBlock(texts, np.array(numbers, dtype="<u2"), 0)
            texts, numbers, size = [], [], 0
        texts.append(text)
        numbers.append(labels.number(number, source))
        size += len(text)
    if texts:
        yield TextBlock(texts, np.array(numbers, dtype="<u2"), file.stat().st_size)


def after(stream: Iterable[TextBlock | IdBlock], documents: int) -> Iterator[TextBlock | IdBlock]:
    """What is left of a stream of blocks after its first `documents`, which end with a block."""
    for block in stream:
        if documents <= 0:
            yield block
        documents -= len(block.texts) if isinstance(block, TextBlock) else block.lengths.size
    assert documents <= 0, "the inputs have fewer documents than before"


class Packer:
    """Turns blocks into ids with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, encoder: FastEncoder | HuggingFaceEncoder):
        self.tokenizer, self.encoder = tokenizer, encoder
        self.dtype = token_dtype(tokenizer.vocab_size)
        self._divides = divisible(tokenizer)

    def __call__(self, block: TextBlock | IdBlock) -> Encoded:
        """Raises: ValueError: an id does not fit the dtype or the vocabulary."""
        return self._adopt(block) if isinstance(block, IdBlock) else self._encode(block)

    def _encode(self, block: TextBlock) -> Encoded:
        rows = np.zeros(len(block.texts), dtype=ROW)
        rows["label"] = block.labels
        parts: list[str] = []
        document: list[int] = []  # the number of each part's document
        for number, text in enumerate(block.texts):
            try:
                data = text.encode()
            except UnicodeEncodeError:
                text = repaired(text)
                data = text.encode()
            rows["hash"][number] = xxhash.xxh3_64_intdigest(data)
            rows["bytes"][number] = len(data)
            rows["characters"][number] = len(text)
            divided = divide(text) if self._divides else [text]
            parts += divided
            document += [number] * len(divided)
        del data  # as large as the document
        ids, lengths = self._ids(parts)
        rows["tokens"] = np.bincount(document, weights=lengths, minlength=len(rows)) + 1
        ends = np.cumsum(rows["tokens"], dtype=np.int64)
        flat = np.full(int(ends[-1]), self.tokenizer.end_id, dtype=self.dtype)
        of_text = np.ones(flat.size, dtype=bool)
        of_text[ends - 1] = False
        flat[of_text] = ids
        return Encoded(flat, rows, block.finished)

    def _ids(self, parts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all the parts, flat, and how many each has; a text of many parts takes no more memory at a time."""
        ids, lengths = [], []
        for some in together(parts, BLOCK):
            flat = self.encoder(some)
            ids.append(checked(flat.ids, self.tokenizer.vocab_size, self.dtype))
            lengths.append(flat.lengths)
        return np.concatenate(ids), np.concatenate(lengths)

    def _adopt(self, block: IdBlock) -> Encoded:
        ids, lengths = block.ids.copy(), block.lengths
        ends = np.cumsum(lengths)
        rows = np.zeros(lengths.size, dtype=ROW)
        rows["label"], rows["tokens"] = block.label, lengths
        table = self.tokenizer.token_bytes
        pieces = [table[number] for number in ids.tolist()]
        for number, (start, end) in enumerate(zip(ends - lengths, ends - 1, strict=True)):
            data = b"".join(pieces[start:end])
            rows["hash"][number] = xxhash.xxh3_64_intdigest(data)
            rows["bytes"][number] = len(data)
            rows["characters"][number] = len(data.decode("utf-8", "replace"))
        ids[ends - 1] = self.tokenizer.end_id
        return Encoded(checked(ids, self.tokenizer.vocab_size, self.dtype), rows, block.finished)


_SAFE = re.compile(r"\n(?=[^\W_])")


def divide(text: str) -> list[str]:
    """A very long text in parts, so that encoding it takes bounded memory.

    A part ends after a newline with a letter or digit behind it, where Qwen2's split always cuts: the ids are those
    of the whole. A line longer than a block has no such place and is cut anyway.
    """
    parts = []
    start = 0
    while len(text) - start > BLOCK:
        cut = start + BLOCK
        places = [match.end() for match in _SAFE.finditer(text, start + BLOCK // 2, cut)]
        cut = places[-1] if places else cut
        parts.append(text[start:cut])
        start = cut
    return [*parts, text[start:]]


def divisible(tokenizer: Tokenizer) -> bool:
    """Whether `divide` keeps the ids: not where a tokenizer puts something before every text, as Llama's does."""
    return tokenizer.encode("甲\n乙") == [*tokenizer.encode("甲\n"), *tokenizer.encode("乙")]


def pack_blocks(packer: Packer, stream: Iterable[TextBlock | IdBlock], workers: int) -> Iterator[Encoded]:
    """The blocks' documents as ids, in order, by `workers` processes (one: this one).

    Raises: Failure: a worker died.
    """
    if workers == 1:
        yield from map(packer, stream)
        return
    prepare = partial(_prepare, packer.tokenizer.path, type(packer.encoder))
    yield from in_order((partial(_pack, block) for block in stream), workers, prepare)


_packer: Packer
"""Of this process."""


def _prepare(path: Path, engine: type[FastEncoder] | type[HuggingFaceEncoder]) -> None:
    global _packer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = load_tokenizer(path)
    _packer = Packer(tokenizer, engine(tokenizer))


def _pack(block: TextBlock | IdBlock) -> Encoded:
    return _packer(block)


SAMPLED_FILES = 64
SAMPLED_CHARACTERS = 300_000
SAMPLED_OF_EACH = 2000


def some_texts(inputs: Sequence[Path]) -> list[str]:
    """Beginnings of documents from all over the inputs, for a first look at what is in them."""
    files = document_files([path for path in inputs if not is_token_file(path)])
    files = files[:: -(-len(files) // SAMPLED_FILES) or 1]
    each = SAMPLED_CHARACTERS // SAMPLED_OF_EACH // max(1, len(files))
    documents = (document for file in files for document in islice(read_documents([file]), each))
    return [document.text[:SAMPLED_OF_EACH] for document in documents]
