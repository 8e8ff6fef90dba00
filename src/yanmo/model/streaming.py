"""Ids to text as they come, a character only when its bytes are whole.

A token of a byte-level vocabulary may hold a part of a character, and a model may emit bytes that form none.
Both are a matter of bytes: whoever knows those of each id needs no second look at the text so far.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence


class TextStream:
    """Text of one answer, piece by piece; the pieces joined are `text_of` all its ids.

    token_bytes: the UTF-8 bytes behind each id, empty for control tokens (`Tokenizer.token_bytes`).
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = token_bytes
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def push(self, token: int) -> str:
        """The characters that `token` completes: none, one or many."""
        return self.decoder.decode(_bytes(self.token_bytes, token))


def text_of(ids: Iterable[int], token_bytes: Sequence[bytes]) -> str:
    """The text of a whole answer. Bytes that form no character are left out: U+FFFD helps no reader."""
    return b"".join(_bytes(token_bytes, token) for token in ids).decode("utf-8", errors="ignore")


def _bytes(token_bytes: Sequence[bytes], token: int) -> bytes:
    # A model may have more rows than its tokenizer has ids; those have no text.
    return token_bytes[token] if token < len(token_bytes) else b""
