"""The entries of a tokenizer, how each is made of others, and how to give it more: what trimming works on.

`parts` of an entry are the entries that stand in its place when it is gone: the two sides of its last merge (BPE),
its best split into other pieces (Unigram), its bytes (a character in a vocabulary with byte fallback). They are what
must stay so that the entry stays reachable, and where its use goes when it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import tokenizers

from yanmo.tokenizer.bytelevel import ALPHABET, from_alphabet, to_alphabet
from yanmo.tokenizer.derivation import merge
from yanmo.tokenizer.sentencepiece import SPACE, SentencePiece
from yanmo.tokenizer.train import byte_piece

BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


class Inventory:
    """All entries of a tokenizer by id. Build it with `take_stock`; `Bpe` and `Unigram` know their models.

    `names` are the entries as the file writes them, `""` for an id that is not in use. `origins` holds, for entries
    added here, the ids that encoded their text before.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        self.table: dict[str, Any] = orjson.loads(tokenizer.to_str())
        self.splitter = tokenizer.pre_tokenizer
        self.ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
        self.names = [""] * (max(self.ids.values()) + 1)
        for name, number in self.ids.items():
            self.names[number] = name
        self.source_size = len(self.names)
        self.added = {token["id"]: token for token in self.table["added_tokens"]}
        after = orjson.dumps([self.table["pre_tokenizer"], self.table["decoder"]]).decode()
        self.byte_level, self.spaces = "ByteLevel" in after, SPACE in after
        before = orjson.dumps([self.table["normalizer"], self.table["pre_tokenizer"]]).decode()
        puts_space = ('"Prepend"', '"prepend_scheme":"first"', '"prepend_scheme":"always"', '"add_prefix_space":true')
        self.prefix = any(mark in before for mark in puts_space)
        self.bytes = {self.ids[name] for name in self._byte_names() if name in self.ids}
        self.parts: dict[int, tuple[int, ...]] = {}
        self.unreachable: set[int] = set()
        self.origins: dict[int, list[int]] = {}

    @property
    def byte_fallback(self) -> bool:
        return self.byte_level or bool(self.table["model"]["byte_fallback"])

    def _byte_names(self) -> Iterable[str]:
        return ALPHABET if self.byte_level else map(byte_piece, range(256))

    # Names and texts

    def name(self, text: str) -> str:
        """How the file writes a text."""
        if self.byte_level:
            return to_alphabet(text.encode())
        return text.replace(" ", SPACE) if self.spaces else text

    def text(self, number: int) -> str | None:
        """What an entry stands for; None for part of a character, a control token, an id not in use."""
        name = self.names[number]
        if number in self.added or not name:
            return None
        if self.byte_level:
            try:
                return from_alphabet(name).decode()
            except (KeyError, UnicodeDecodeError):
                return None
        if BYTE_PIECE.fullmatch(name):
            return None
        return name.replace(SPACE, " ") if self.spaces else name

    def ordinary(self) -> list[int]:
        """The ids in use that are neither control tokens nor the bytes that stand by for missing characters."""
        aside = self.added.keys() | (set() if self.byte_level else self.bytes)
        return [number for number, name in enumerate(self.names) if name and number not in aside]

    def in_use(self) -> set[int]:
        return {number for number, name in enumerate(self.names) if name}

    def reachable(self) -> set[int]:
        return self.in_use() - self.unreachable

    def forget(self, numbers: Iterable[int]) -> None:
        """Take control tokens away."""
        for number in numbers:
            del self.ids[self.names[number]], self.added[number]
            self.names[number] = ""

    def alone(self, word: str) -> str:
        """A word as it is encoded when it is the whole text: with the space that SentencePiece puts in front."""
        return f" {word}" if self.prefix else word

    def is_one_part(self, text: str) -> bool:
        """Whether the split before the model leaves the text whole; if not, it can never be one token."""
        return self.splitter is None or len(self.splitter.pre_tokenize_str(text)) == 1

    # More entries

    def add(self, text: str) -> int:
        """The id of an entry for `text` that encoding really produces; it and what it needs are made if missing."""
        name = self.name(text)
        if len(name) > 1:
            for character in name:
                self._add_character(character)
            return self._add_string(name)
        return self._add_character(name)

    def _add_character(self, character: str) -> int:
        if character in self.ids:
            return self.ids[character]
        byte = byte_piece(ord(character))
        if character.isascii() and byte in self.ids:
            # Its byte means the same and is used for nothing else: the entry changes its name, not its id.
            number = self.ids.pop(byte)
            self.ids[character], self.names[number] = number, character
            return number
        return self._append(character, self._without(character))

    def _append(self, name: str, parts: tuple[int, ...]) -> int:
        number = len(self.names)
        self.names.append(name)
        self.ids[name] = number
        self.parts[number] = parts
        self.origins[number] = [origin for part in parts for origin in self.origins.get(part, [part])]
        return number

    def _without(self, character: str) -> tuple[int, ...]:
        """What a character is encoded as if it has no entry."""
        pieces = [self.ids.get(byte_piece(byte)) for byte in character.encode()]
        if self.byte_fallback and None not in pieces:
            return tuple(piece for piece in pieces if piece is not None)
        unknown = self.unknown()
        return () if unknown is None else (unknown,)

    def unknown(self) -> int | None:
        """The id of the token for what has no entry."""
        raise NotImplementedError

    def _add_string(self, name: str) -> int:
        raise NotImplementedError

    def model_table(self, order: Sequence[int]) -> dict[str, Any]:
        """`model` of a tokenizer.json that holds these entries, numbered in this order."""
        raise NotImplementedError

    def new_score(self, number: int, source: SentencePiece) -> float | None:
        """The SentencePiece score of an entry made here; None for one that keeps the score it has."""
        raise NotImplementedError


class Bpe(Inventory):
    """Merges by rank. Only the last merge of each entry is kept: no other is ever made (see derivation.py)."""

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        super().__init__(tokenizer)
        model = self.table["model"]
        for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
            if model[name]:
                raise ValueError(f"BPE with {name} is refused: only byte-level and SentencePiece-like BPE can be read")
        self.ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
        self._source_merges = len(self.ranks)
        self._last: dict[int, tuple[str, str]] = {}
        for number in self.ordinary():
            name = self.names[number]
            if len(name) == 1:
                if number not in self.bytes:
                    self.parts[number] = self._without(name)
                continue
            left, last = merge(name, self._rank)
            if len(left) == 1 and last:
                self._last[number] = last
                self.parts[number] = (self.ids[last[0]], self.ids[last[1]])
            elif model["ignore_merges"] and all(part in self.ids for part in left):
                self.parts[number] = tuple(self.ids[part] for part in left)
            else:
                self.unreachable.add(number)

    def _rank(self, left: str, right: str) -> int | None:
        return self.ranks.get((left, right))

    def unknown(self) -> int | None:
        return self.ids.get(self.table["model"]["unk_token"] or "")

    def _add_string(self, name: str) -> int:
        left, last = merge(name, self._rank)
        whole = left[0]
        if len(left) == 1 and last:
            self.unreachable.discard(self.ids[whole])
            return self.ids[whole]
        for part in left[1:]:  # merges of the lowest rank: they touch nothing that was merged before
            self.ranks[whole, part] = len(self.ranks)
            sides = whole, part
            whole += part
            number = self.ids.get(whole)  # an entry that was there, but that nothing produced
            if number is None:
                number = self._append(whole, (self.ids[sides[0]], self.ids[sides[1]]))
            self.parts[number] = (self.ids[sides[0]], self.ids[sides[1]])
            self.unreachable.discard(number)
            self._last[number] = sides
        return self.ids[name]

    def model_table(self, order: Sequence[int]) -> dict[str, Any]:
        kept = [self._last[number] for number in order if number in self._last]
        kept.sort(key=self.ranks.__getitem__)
        vocabulary = {self.names[number]: place for place, number in enumerate(order)}
        return self.table["model"] | {"vocab": vocabulary, "merges": [list(sides) for sides in kept]}

    def new_score(self, number: int, source: SentencePiece) -> float | None:
        if number not in self._last or self.ranks[self._last[number]] < self._source_merges:
            return None
        worst = min(piece.score for piece in source.pieces)
        step = max(1.0, -worst * 2.0**-22)  # scores are stored in 24 bits: as small a step as tells them apart
        return worst - step * (1 + self.ranks[self._last[number]] - self._source_merges)


class Unigram(Inventory):
    """Pieces with scores; the split with the best sum counts (Kudo 2018, https://arxiv.org/abs/1804.10959)."""

    UNKNOWN_PENALTY = 10.0
    """How much worse than the worst piece an unknown character is, in SentencePiece and `tokenizers`."""

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        super().__init__(tokenizer)
        self.scores: dict[int, float] = {number: pair[1] for number, pair in enumerate(self.table["model"]["vocab"])}
        self._raised: set[int] = set()
        self._usable = {self.names[number] for number in self.ordinary()}
        self._worst = min(self.scores[number] for number in self.ordinary())
        self._longest = max(map(len, self._usable))
        for number in self.ordinary():
            name = self.names[number]
            alternative, score = self._split(name)
            self.parts[number] = alternative
            if len(name) > 1 and score >= self.scores[number]:
                self.unreachable.add(number)

    def unknown(self) -> int | None:
        return self.table["model"]["unk_id"]

    def _split(self, name: str) -> tuple[tuple[int, ...], float]:
        """The best split of a name into other entries than itself, and its score."""
        best: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, ())]
        for end in range(1, len(name) + 1):
            character = name[end - 1]
            choices = [(best[-1][0] + self._worst - self.UNKNOWN_PENALTY, end - 1, self._without(character))]
            for start in range(max(0, end - self._longest), end):
                part = name[start:end]
                if part in self._usable and part != name:
                    number = self.ids[part]
                    choices.append((best[start][0] + self.scores[number], start, (number,)))
            best.append(max(choices, key=lambda choice: choice[0]))
        parts: list[int] = []
        at = len(name)
        while at:
            parts[:0] = best[at][2]
            at = best[at][1]
        return tuple(parts), best[-1][0]

    def _add_character(self, character: str) -> int:
        before = len(self.names)
        number = super()._add_character(character)
        if number == before or character not in self._usable:  # it is new, or took over its byte's entry
            self.scores[number] = self._worst
            self._usable.add(character)
        return number

    def _add_string(self, name: str) -> int:
        known = self.ids.get(name)
        if known is not None and known not in self.unreachable:
            return known
        parts, score = self._split(name)
        number = self._append(name, parts) if known is None else known
        self.scores[number] = max(self._worst, score + 1.0)
        self._raised.add(number)
        self.unreachable.discard(number)
        self._usable.add(name)
        self._longest = max(self._longest, len(name))
        return number

    def model_table(self, order: Sequence[int]) -> dict[str, Any]:
        unknown = self.unknown()
        return self.table["model"] | {
            "vocab": [[self.names[number], self.scores[number]] for number in order if number in self.scores],
            "unk_id": order.index(unknown) if unknown in order else None,
        }

    def new_score(self, number: int, source: SentencePiece) -> float | None:
        return self.scores[number] if number in self.origins or number in self._raised else None


def take_stock(tokenizer: tokenizers.Tokenizer) -> Inventory:
    """Raises ValueError for a kind of model that cannot be trimmed."""
    kind = orjson.loads(tokenizer.to_str())["model"]["type"]
    if kind not in ("BPE", "Unigram"):
        raise ValueError(f"a {kind} tokenizer is refused: BPE and Unigram can be read")
    return Bpe(tokenizer) if kind == "BPE" else Unigram(tokenizer)
