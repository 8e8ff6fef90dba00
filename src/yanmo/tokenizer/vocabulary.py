"""Which tokens a vocabulary holds, and the merges that make every one of them reachable.

The order is: control tokens, the 256 bytes, beginnings of characters, characters, and then what was learned:
strings of whole characters, most frequent first. Because the merges that build characters come before all
others, a token never holds part of one character beside another (`，` with the first byte of what follows),
as byte-level training on Chinese otherwise makes by the hundred; a character without a token of its own costs
two tokens, its beginning and its last byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["byte", "char"]
Merge = tuple[bytes, bytes]


@dataclass
class Vocabulary:
    """Tokens beside the control tokens, in the order of their ids, and the merges in the order of their rank."""

    tokens: list[bytes] = field(default_factory=lambda: [bytes([byte]) for byte in range(256)])
    merges: list[Merge] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._known = set(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: bytes) -> bool:
        return token in self._known

    def add(self, left: bytes, right: bytes) -> None:
        """The token `left + right` and its merge; both parts are there already."""
        assert left in self._known and right in self._known, (left, right)
        token = left + right
        if token not in self._known:
            self._known.add(token)
            self.tokens.append(token)
            self.merges.append((left, right))

    def spell(self, data: bytes) -> None:
        """A character or its beginning, byte after byte, so that characters share their beginnings."""
        for end in range(1, len(data)):
            self.add(data[:end], data[end : end + 1])

    def add_whole(self, token: bytes) -> None:
        """A token that is not made of others: a character of a character-level vocabulary."""
        if token not in self._known:
            self._known.add(token)
            self.tokens.append(token)


def assemble(
    kind: Kind, characters: Iterable[str], beginnings: Iterable[bytes], learned: Iterable[Merge], size: int
) -> Vocabulary:
    """A vocabulary of `size` tokens at most: bytes, beginnings, characters, then learned merges while they fit.

    A learned merge is taken only if both its parts are in the vocabulary, so none leads nowhere. The
    character-level kind has characters as such, and bytes only for those it lacks: no beginnings.
    """
    vocabulary = Vocabulary()
    for data in [*beginnings, *(character.encode() for character in characters)]:
        if len(vocabulary) + len(data) - 1 > size:
            break
        if kind == "byte":
            vocabulary.spell(data)
        else:
            vocabulary.add_whole(data)
    for left, right in learned:
        if len(vocabulary) >= size:
            break
        if left in vocabulary and right in vocabulary:
            vocabulary.add(left, right)
    return vocabulary


def beginnings(counts: Counter[str], at_least: float) -> list[bytes]:
    """All bytes but the last of the characters that occur at least that often together, most frequent first."""
    common: Counter[bytes] = Counter()
    for character, count in counts.items():
        if len(data := character.encode()) > 2:
            common[data[:-1]] += count
    return [beginning for beginning, count in _by_count(common) if count >= at_least]


def characters(counts: Counter[str], at_least: float) -> list[str]:
    """Characters beyond ASCII that occur at least that often, most frequent first."""
    return [character for character, count in _by_count(counts) if count >= at_least and character > "\x7f"]


def _by_count(counts: Counter) -> list:
    """By falling count, equal counts by the key: the same whatever order the corpus came in."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
