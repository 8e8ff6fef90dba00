"""Make a tokenizer smaller: keep what is used most, what must stay, and whatever these are made of.

Entries are taken away one by one, always the one whose loss costs the fewest tokens, and only those that no kept
entry is made of. What is gone is encoded as its parts, so these inherit its use: a piece that looked rare beside its
longer form is not taken for useless. (Counting once and closing the choice over the merge paths afterwards compresses
less; docs/log.md.) Nothing unreachable can be left: the last merge of every kept entry is kept.
"""

from __future__ import annotations

import copy
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson
import tokenizers

from yanmo.tokenizer.hanzi import PUNCTUATION, required
from yanmo.tokenizer.inventory import Inventory, Unigram
from yanmo.tokenizer.scripts import scripts_of
from yanmo.tokenizer.sentencepiece import Piece, SentencePiece, Type
from yanmo.tokenizer.source import Source
from yanmo.tokenizer.special import DOCUMENT_END, SPECIAL_TOKENS

ASCII = "\n\t" + "".join(map(chr, range(0x20, 0x7F)))
"""With `hanzi.PUNCTUATION`, the characters that every trimmed vocabulary has whole, whatever its size."""

BATCH = 256
"""Texts encoded together."""


@dataclass(frozen=True)
class Trimmed:
    """A smaller tokenizer, and where its entries come from."""

    tokenizer: tokenizers.Tokenizer
    id_map: np.ndarray
    """(source's ids,) int32: the new id of each, -1 if it is gone."""
    origins: list[list[int]]
    """For each new id the source's ids that stood for it: one if it was kept, several for a new word, none if it is
    new altogether."""
    order: list[int]
    """The inventory's number of each entry, by new id; the control tokens that joined come after these."""
    model: SentencePiece | None = None
    """The same vocabulary as a SentencePiece model, if the source was one."""

    def moved(self, ids: Iterable[int]) -> list[int]:
        """The new ids of those of the source's ids that are left."""
        return [int(self.id_map[number]) for number in ids if self.id_map[number] >= 0]


def require(inventory: Inventory, size: int | None, texts: Iterable[str]) -> set[int]:
    """The entries that must stay at that size: ASCII, punctuation, everyday Chinese characters; made if missing."""
    characters = dict.fromkeys(ASCII + PUNCTUATION)
    counts = Counter(itertools.chain.from_iterable(texts))
    characters |= dict.fromkeys(required(size or 1 << 20, counts))
    return {inventory.add(character) for character in characters}


def retain(inventory: Inventory, words: Iterable[str]) -> tuple[set[int], dict[str, str]]:
    """The entries that keep these words whole, and why some words cannot be.

    A word that has an entry, after a space or without one, keeps every form it has; another one gets the entry that
    encoding it alone produces.
    """
    stay: set[int] = set()
    refused: dict[str, str] = {}
    for word in words:
        forms = [inventory.ids.get(inventory.name(form)) for form in (word, f" {word}")]
        known = {number for number in forms if number is not None} - inventory.unreachable
        if known:
            stay |= known
        elif inventory.is_one_part(word):
            stay.add(inventory.add(inventory.alone(word)))
        else:
            refused[word] = "the tokenizer splits it before its vocabulary is asked"
    return stay, refused


def usage(inventory: Inventory, texts: Sequence[str]) -> np.ndarray:
    """(entries of the inventory,) int64: how often encoding produces each, those added to it included."""
    everything = rebuild(inventory, inventory.reachable())
    counts = np.zeros(len(everything.origins), np.int64)
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        encodings = everything.tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        ids = np.fromiter(itertools.chain.from_iterable(e.ids for e in encodings), np.int64)
        counts += np.bincount(ids, minlength=len(counts))
    used = np.zeros(len(inventory.names), np.int64)
    used[everything.order] = counts[: len(everything.order)]  # control tokens that joined come last
    return used


def by_script(inventory: Inventory, keep: frozenset[str], drop: frozenset[str]) -> Callable[[int], bool]:
    """Whether an entry is of the wanted scripts only; parts of characters stay only where a kept entry needs them."""

    def wanted(number: int) -> bool:
        text = inventory.text(number)
        if text is None:
            return not keep and not drop
        scripts = scripts_of(text) - {"space"} if text.strip() else scripts_of(text)
        return not scripts & drop and (not keep or scripts <= keep)

    return wanted


def foreign_control(inventory: Inventory) -> set[int]:
    """The source's own control tokens: not ours, and not the one for what is unknown, which its model asks for."""
    special = {number for number, token in inventory.added.items() if token["special"]}
    return (
        special - {inventory.ids[token] for token in SPECIAL_TOKENS if token in inventory.ids} - {inventory.unknown()}
    )


def choose(
    inventory: Inventory, size: int | None, counts: np.ndarray, stay: set[int], wanted: Callable[[int], bool]
) -> set[int]:
    """The ids to keep: control tokens, bytes, `stay`, and of the `wanted` those whose loss would cost most.

    size: how many at most; None keeps all that are wanted.
    Raises ValueError if more than that must stay.
    """
    kept = inventory.reachable()
    needed_by = Counter(part for number in kept for part in set(inventory.parts.get(number, ())))
    used = dict(enumerate(counts.tolist()))
    fixed = stay | inventory.bytes | inventory.added.keys()
    if not inventory.byte_fallback:  # a character that goes would be lost, not spelt
        fixed |= {number for number in kept if len(inventory.names[number]) == 1}

    def cost(number: int) -> tuple[bool, int, int]:
        more = max(1, len(inventory.parts[number]) - 1)
        return wanted(number), used[number] * more, -number

    queue = [cost(number) for number in kept if not needed_by[number] and number not in fixed]
    heapq.heapify(queue)
    while queue:
        entry = heapq.heappop(queue)
        number = -entry[2]
        if entry[0] and (size is None or len(kept) <= size):
            break
        if (now := cost(number)) != entry:  # it has inherited use since it was queued
            heapq.heappush(queue, now)
            continue
        kept.discard(number)
        parts = inventory.parts[number]
        for part in parts:
            used[part] += used[number]
        for part in set(parts):
            needed_by[part] -= 1
            if not needed_by[part] and part not in fixed:
                heapq.heappush(queue, cost(part))
    if size is not None and len(kept) > size:
        raise ValueError(
            f"--vocab-size: {len(kept) + _joining(inventory)} entries must stay (control tokens, bytes, everyday "
            "characters, the retained words and what these are made of); ask for at least that many"
        )
    return kept


def _joining(inventory: Inventory) -> int:
    """How many of our control tokens the source lacks."""
    return sum(token not in inventory.ids for token in SPECIAL_TOKENS)


def room(inventory: Inventory, vocab_size: int) -> int:
    """How many entries of the inventory fit beside the control tokens that join them."""
    return vocab_size - _joining(inventory)


def rebuild(inventory: Inventory, kept: Iterable[int], source: Source | None = None) -> Trimmed:
    """The tokenizer of these entries in the order of their ids, our control tokens behind them.

    Normalisation and splitting stay as they are; nothing is put around a text. Our end of document starts as the
    source's end token, and where that is dropped takes its place.
    """
    # A Unigram model would find a control token's name in a text, so there they stand outside the model.
    inside = inventory.scores if isinstance(inventory, Unigram) else None
    order = sorted(kept, key=lambda number: (inside is not None and number not in inside, number))
    places = {number: place for place, number in enumerate(order)}
    joining = [token for token in SPECIAL_TOKENS if token not in inventory.ids]
    table = copy.copy(inventory.table)
    table["model"] = inventory.model_table(order)
    if inside is None:
        table["model"]["vocab"] |= {token: len(order) + place for place, token in enumerate(joining)}
    added = [token | {"id": places[number]} for number, token in inventory.added.items() if number in places]
    for place, token in enumerate(joining, len(order)):
        added.append({"id": place, "content": token, "special": True, "normalized": False})
        added[-1] |= {"single_word": False, "lstrip": False, "rstrip": False}
    table["added_tokens"] = sorted(added, key=lambda token: token["id"])
    table |= {"truncation": None, "padding": None, "post_processor": None}
    id_map = np.full(inventory.source_size, -1, np.int32)
    for number, place in places.items():
        if number < inventory.source_size:
            id_map[number] = place
    origins = [inventory.origins.get(number, [number]) for number in order] + [[] for _ in joining]
    end = None if source is None else source.backend.token_to_id(source.special.get("eos_token", ""))
    if end is not None and DOCUMENT_END in joining:
        place = len(order) + joining.index(DOCUMENT_END)
        origins[place] = [end]
        if id_map[end] < 0:
            id_map[end] = place
    tokenizer = tokenizers.Tokenizer.from_str(orjson.dumps(table).decode())
    tokenizer.encode_special_tokens = True  # a control token written out in a text is text
    assert tokenizer.get_vocab_size() == len(origins)
    model = None if source is None or source.model is None else as_model(inventory, order, source.model)
    return Trimmed(tokenizer, id_map, origins, order, model)


def as_model(inventory: Inventory, order: Sequence[int], source: SentencePiece) -> SentencePiece:
    """The SentencePiece model of the entries in this order; kept pieces keep their scores.

    An entry that took over its byte's id is a byte there, so ids are the same and the 256 bytes complete.
    """
    pieces = []
    for number in order:
        old = source.pieces[number] if number < len(source.pieces) else Piece(inventory.names[number], 0.0, Type.NORMAL)
        score = inventory.new_score(number, source)
        pieces.append(old if score is None else replace(old, score=score))
    return source.with_pieces(pieces)


def unreachable(inventory: Inventory) -> list[str]:
    """The entries that encoding their own text does not produce: control tokens and standing-by bytes aside.

    It asks the library itself, not the inventory's reasoning about it.
    """
    model = tokenizers.Tokenizer.from_str(orjson.dumps(inventory.table).decode()).model
    names = (inventory.names[number] for number in inventory.ordinary())
    return [name for name in names if len(model.tokenize(name)) != 1]
