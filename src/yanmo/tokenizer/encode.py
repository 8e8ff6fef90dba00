"""Many texts to ids, flat: by a fast engine where its ids are those of Hugging Face's, by Hugging Face's elsewhere.

fastokens encodes Chinese ten times as fast as `tokenizers` and gives no Python integer for each token, but it is
young. So it is believed only as far as it has been seen: before a corpus is encoded, cases that engines get wrong
and a sample of the corpus itself are encoded by both, and one different id settles it.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import tokenizers

from yanmo.tokenizer.load import Tokenizer, repaired

try:
    import fastokens
except ImportError:  # no wheel for this machine
    fastokens = None

RENEW = 1 << 19
"""Characters after which fastokens gets another thread. Its caches belong to the thread that encodes and grow with
the text: by 120 MB over 180 MB of prose, and it is no faster for it."""

TOGETHER = 1 << 14
"""Characters that Hugging Face's engine gets at once: it makes an object of 100 bytes and more of every token."""


class Flat(NamedTuple):
    ids: np.ndarray
    """uint32, of all the texts, one after the other."""
    lengths: np.ndarray
    """int64, ids of each text."""


class Encoder(Protocol):
    """Control tokens written out in a text stay plain text; nothing is put around it; a lone surrogate is U+FFFD."""

    name: str
    """The engine and its version."""

    def __call__(self, texts: Sequence[str]) -> Flat: ...


class HuggingFaceEncoder:
    """The reference: `tokenizers` itself."""

    name = f"tokenizers {tokenizers.__version__}"

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> Flat:
        parts = [
            np.array(ids, dtype=np.uint32)
            for some in together(texts, TOGETHER)
            for ids in self._tokenizer.encode_batch(some)
        ]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        return Flat(np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint32), lengths)


def together(texts: Sequence[str], characters: int) -> Iterator[list[str]]:
    """Texts in groups of at least so many characters."""
    some: list[str] = []
    size = 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size >= characters:
            yield some
            some, size = [], 0
    if some:
        yield some


class FastEncoder:
    """fastokens. Raises: ValueError: it does not know this kind of tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        self.name = f"fastokens {importlib.metadata.version('fastokens')}"
        # Read once, by fastokens alone; its threads spin while they wait, and a process is a core here.
        os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")
        self._engine = fastokens.Tokenizer.from_json_str(tokenizer.backend.to_str())
        self._thread = ThreadPoolExecutor(1)
        self._seen = 0

    def __call__(self, texts: Sequence[str]) -> Flat:
        if self._seen >= RENEW:
            self._thread.shutdown()
            self._thread = ThreadPoolExecutor(1)
            self._seen = 0
        self._seen += sum(map(len, texts))
        try:
            ids, ends = self._encode(list(texts))
        except UnicodeEncodeError:
            ids, ends = self._encode([repaired(text) for text in texts])
        return Flat(np.frombuffer(ids, dtype="<u4"), np.diff(np.frombuffer(ends, dtype="<u8").astype(np.int64)))

    def _encode(self, texts: list[str]) -> tuple[bytes, bytes]:
        flat = self._engine.encode_batch_flat
        return self._thread.submit(flat, texts, add_special_tokens=False, split_special_tokens=True).result()


def choose_encoder(tokenizer: Tokenizer, sample: Sequence[str]) -> tuple[FastEncoder | HuggingFaceEncoder, str]:
    """The fast engine if it gives Hugging Face's ids for the hard cases and for `sample`, else Hugging Face's.

    The second value says in a few words why it is not the fast one; it is empty where it is.
    """
    reference = HuggingFaceEncoder(tokenizer)
    if fastokens is None:
        return reference, "fastokens is not installed"
    try:
        fast = FastEncoder(tokenizer)
    except ValueError as error:
        return reference, f"fastokens cannot read this tokenizer: {error}"
    different = first_difference(fast, reference, [*hard_cases(tokenizer), *sample])
    return (fast, "") if different is None else (reference, f"{fast.name} gives other ids for {different[:40]!r}")


def first_difference(one: Encoder, other: Encoder, texts: Sequence[str]) -> str | None:
    """The first text whose ids differ between two engines."""
    for some in together(texts, TOGETHER):
        mine, theirs = one(some), other(some)
        if np.array_equal(mine.ids, theirs.ids) and np.array_equal(mine.lengths, theirs.lengths):
            continue
        return next(text for text in some if not np.array_equal(one([text]).ids, other([text]).ids))
    return None


def hard_cases(tokenizer: Tokenizer) -> list[str]:
    """Texts that engines get wrong: written control tokens, spaces, joined emoji, rare characters, endless runs."""
    added = [token.content for token in tokenizer.backend.get_added_tokens_decoder().values()]
    return [
        *(f"{before}{token}{after}" for token in added for before, after in (("", ""), ("好", "好"), (" ", "\n"))),
        "".join(added),
        *(" \n\t\r\x00\x1f\x7f\x85\xa0\u3000\u2028\ufeff\ufffd"),
        "a  b   \n\n \t c\r\n\r\n  d \u3000 e\n ",
        "a\x00b\ud800c",
        "👩‍👩‍👧‍👦🏳️‍🌈🇨🇳1️⃣☺︎ e\u0301 ﬁ ℃ ①ⅷ",
        "𠮷𪚥㐀䶿龘靐𠀀\U0002ebf0\ue000\uffff",
        "don't I'LL we've ABC123abc４５６ 3.14159 1,000,000",
        "한국어 かなカナ кириллица العربية हिन्दी ไทย ׃",
        "https://example.com/a?b=c&d=%E4%BD%A0#e_f-g.h",
        "def f(x):\n\treturn x**2  # 平方\n\n\nclass A:\n    pass\n",
        "“‘《（【——……、，。；：？！】）》’”~～·`@#$%^&*()_+-=[]{}|\\;:'\",.<>/?",
        *(character * 3000 for character in "张a!。 \n1龘\x00"),
        "".join(map(chr, range(0x20, 0x3100))),
        "".join(map(chr, range(0x4E00, 0x9FFF))),
    ]
