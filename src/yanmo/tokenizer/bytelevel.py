"""The printable alphabet of byte-level BPE (GPT-2, Radford et al. 2019): one character for each byte.

`tokenizer.json` stores tokens in this alphabet; these two functions are the way between it and real bytes.
"""

from __future__ import annotations


def _alphabet() -> list[str]:
    """Printable Latin-1 bytes stand for themselves; the others are numbered from U+0100 on, in byte order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (chr(0x100 + number) for number in range(256))
    return [chr(byte) if byte in printable else next(hidden) for byte in range(256)]


ALPHABET = _alphabet()
_BYTES = {character: byte for byte, character in enumerate(ALPHABET)}


def to_alphabet(data: bytes) -> str:
    return "".join(ALPHABET[byte] for byte in data)


def from_alphabet(token: str) -> bytes:
    """Raises KeyError when `token` is not written in the alphabet."""
    return bytes(_BYTES[character] for character in token)
