"""tiktoken rank files (`qwen.tiktoken`, `cl100k_base.tiktoken`): base64 of a token's bytes, and its rank, a line.

The file says nothing of how text is split before merging; that comes with the tokenizer's name. tiktoken merges any
two neighbours whose bytes are together a token, lowest rank first; `yanmo.tokenizer.derivation` finds the one merge
that each token needs, and a byte-level `tokenizer.json` with these merges gives the same ids.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from yanmo.tokenizer.bytelevel import to_alphabet
from yanmo.tokenizer.derivation import last_merge
from yanmo.tokenizer.special import DOCUMENT_END, TURN_END, TURN_START
from yanmo.tokenizer.train import QWEN2_SPLIT

Split = Literal["qwen", "gpt2", "cl100k"]

SPLITS: dict[Split, str] = {
    "qwen": QWEN2_SPLIT,
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}

CONTROL: dict[Split, tuple[str, ...]] = {
    "qwen": (DOCUMENT_END, TURN_START, TURN_END),
    "gpt2": (DOCUMENT_END,),
    "cl100k": (),
}
"""The control tokens that follow the ranks, in this order, in the tokenizers of that name. (Qwen's wrapper reserves
205 more, which nothing was trained on; those of cl100k leave a gap and are not taken over.)"""


def read_ranks(path: Path) -> list[bytes]:
    """Tokens in the order of their ranks. Raises ValueError that names the line of the first mistake."""
    tokens: dict[int, bytes] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            data, rank = line.split()
            token = base64.b64decode(data, validate=True)
            place = int(rank)
        except (ValueError, binascii.Error):
            raise ValueError(f"{path}:{number}: not a tiktoken rank (base64 of the token, a space, its rank)") from None
        if not token or place in tokens:
            raise ValueError(f"{path}:{number}: {'an empty token' if not token else f'rank {place} comes twice'}")
        tokens[place] = token
    ordered = [tokens[place] for place in sorted(tokens)]
    if sorted(tokens) != list(range(len(ordered))) or len(set(ordered)) != len(ordered):
        raise ValueError(f"{path}: not a tiktoken file: ranks are missing, or tokens come twice")
    if missing := {bytes([byte]) for byte in range(256)} - set(ordered):
        raise ValueError(f"{path}: not a tiktoken file: {len(missing)} of the 256 bytes have no rank")
    return ordered


def as_tokenizer(tokens: list[bytes], split: Split) -> Tokenizer:
    """A byte-level tokenizer with the ids of `tiktoken.Encoding`; an id is a rank, control tokens follow."""
    vocabulary = {to_alphabet(token): rank for rank, token in enumerate(tokens)}

    def rank(left: str, right: str) -> int | None:
        return vocabulary.get(left + right)

    found = ((name, last_merge(name, rank)) for name in vocabulary if len(name) > 1)
    merges = [last for _, last in found if last]
    control = CONTROL[split]
    vocabulary |= {token: len(tokens) + place for place, token in enumerate(control)}
    # tiktoken looks the whole of a split part up before it merges.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLITS[split]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer
