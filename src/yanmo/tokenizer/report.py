"""What a vocabulary holds and how well it compresses: figures to judge a tokenizer by before training on it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from yanmo.tokenizer.hanzi import PUNCTUATION, level_1
from yanmo.tokenizer.load import Tokenizer


def vocabulary_by_script(tokenizer: Tokenizer) -> dict[str, int]:
    """How many entries are what: control, byte and part of a character, Han (one, several), Latin, ..."""
    kinds: Counter[str] = Counter()
    for number, data in enumerate(tokenizer.token_bytes):
        kinds["control" if number in tokenizer.special_ids else script(data)] += 1
    return dict(kinds.most_common())


def script(data: bytes) -> str:
    """The kind of text a token holds."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        characters = sum(byte & 0xC0 != 0x80 for byte in data) + (data[0] & 0xC0 == 0x80)
        return "part of a character" if characters < 2 else "parts of several characters"
    letters = {_script_of(character) for character in text} - {"space"}
    if letters == {"Han"}:
        return "Han, one" if len(text.strip()) == 1 else "Han, several"
    if not letters:
        return "space"
    if letters <= {"Han", "punctuation"} and "Han" in letters:
        return "Han with punctuation"
    return letters.pop() if len(letters) == 1 else "mixed"


def _script_of(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace() or category[0] == "C":
        return "space"
    if category[0] in "PS":
        return "punctuation"
    if category[0] == "N":
        return "digit"
    name = unicodedata.name(character, "")
    if name.startswith("CJK"):
        return "Han"
    return "Latin" if name.startswith("LATIN") else "other letter"


def coverage(tokenizer: Tokenizer, characters: Sequence[str]) -> dict[str, Any]:
    """How many of the characters are one token, and the first that are not."""
    missing = [
        character
        for character, ids in zip(characters, tokenizer.encode_batch(characters), strict=True)
        if len(ids) != 1
    ]
    return {"of": len(characters), "single": len(characters) - len(missing), "missing": "".join(missing[:100])}


def compression(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, float]:
    """Characters and bytes of UTF-8 per token, over all the texts together."""
    tokens = characters = size = 0
    for text in texts:
        tokens += len(tokenizer.encode(text))
        characters += len(text)
        size += len(text.encode("utf-8", "replace"))
    return {
        "tokens": tokens,
        "characters": characters,
        "characters_per_token": round(characters / max(1, tokens), 4),
        "bytes_per_token": round(size / max(1, tokens), 4),
    }


def describe(tokenizer: Tokenizer, held_out: dict[str, list[str]]) -> dict[str, Any]:
    """The report of a tokenizer, with its compression by source and overall on texts it was not trained on."""
    return {
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "vocabulary": vocabulary_by_script(tokenizer),
        "gb2312_level_1": coverage(tokenizer, level_1()),
        "punctuation": coverage(tokenizer, list(PUNCTUATION)),
        "held_out": compression(tokenizer, (text for texts in held_out.values() for text in texts)),
        "held_out_by_source": {source: compression(tokenizer, texts) for source, texts in sorted(held_out.items())},
    }
