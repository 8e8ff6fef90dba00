"""The trimming rule of chinese_llama, for those who want its vocabulary: 35,203 pieces of ChatGLM2's 64,789.

What the rule does, as its result shows it (the piece set, scores and order are reproduced exactly):
- English: of all pieces that are letters only, the first for each word of `retain_en.txt`, in lower case, with or
  without the space in front, whichever comes first. So `▁john` stands where `▁John` was, and `t` is gone
  because of `▁t`;
- a piece with a character of the dropped ranges goes;
- a piece that OpenCC turns into another, simplified, one goes.

It leaves no A to Z, no single letters, none of `·【】°×`, and hundreds of pieces that nothing produces. The default
rule (`yanmo.tokenizer.trimming`) has none of these faults.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from yanmo.text.steps.simplify import opencc
from yanmo.tokenizer.inventory import take_stock
from yanmo.tokenizer.sentencepiece import SPACE, SentencePiece, Type
from yanmo.tokenizer.source import Source, from_sentencepiece
from yanmo.tokenizer.trimming import Trimmed, rebuild

LETTERS = re.compile(f"{SPACE}*[A-Za-z]+")

KEPT_RANGES = (
    (0x0000, 0x007F),  # ASCII
    (0x2012, 0x201F),  # dashes and quotation marks
    (0x2022, 0x2026),  # bullet, ellipsis
    (0x2030, 0x203A),  # per mille, primes, angle quotation marks
    (0x2100, 0x218F),  # letter-like symbols, number forms
    (0x2200, 0x22FF),  # mathematical operators
    (0x2460, 0x24FF),  # enclosed numbers
    (0x2581, 0x2581),  # SentencePiece's space
    (0x3000, 0x3004),
    (0x3008, 0x300D),  # 〈〉《》「」
    (0x3018, 0x303F),
    (0x3200, 0xA48F),  # enclosed and compatibility forms, Han
    (0xFF00, 0xFFEF),  # full-width forms
    (0x10000, 0x10FFFF),
)
"""What the 71 dropped ranges leave over, told from the pieces that survive."""

OLDER_OPENCC = {"甦": False, "甯": False, "舖": True, "搧": True, "谿": True, "拚": True, "遶": True, "袷": True}
"""Pieces that the OpenCC of its time judged otherwise than today's: whether they stay."""


def strip(model: SentencePiece, retain: Collection[str]) -> tuple[SentencePiece, list[int]]:
    """The model that the rule leaves, and for each of its pieces the id it had.

    retain: English words and beginnings of words, in lower case.
    """
    convert = opencc("t2s").convert
    words = set(retain)
    pieces, origins = [], []
    for number, piece in enumerate(model.pieces):
        text = piece.text
        if piece.type != Type.NORMAL:
            stays = True
        elif LETTERS.fullmatch(text):
            text = text.lower()
            word = text.replace(SPACE, "")
            stays = word in words
            words.discard(word)
        else:
            stays = all(map(_in_kept_range, text)) and OLDER_OPENCC.get(text, convert(text) == text)
        if stays:
            pieces.append(replace(piece, text=text))
            origins.append(number)
    return model.with_pieces(pieces), origins


def _in_kept_range(character: str) -> bool:
    place = bisect.bisect(KEPT_RANGES, (ord(character), 0x110000)) - 1
    return ord(character) <= KEPT_RANGES[place][1]


def strip_source(source: Source, retain: Collection[str]) -> Trimmed:
    """The rule applied to a tokenizer; the ids of its origins and id map are the source's.

    Raises: ValueError: the source is not a SentencePiece model.
    """
    if source.model is None:
        raise ValueError(
            f"{source.file}: --keep chinese-llama works on SentencePiece models (it was made for ChatGLM2's)"
        )
    model, before = strip(source.model, retain)
    inventory = take_stock(from_sentencepiece(source.file, model).backend)
    result = rebuild(inventory, inventory.in_use())
    # A character that is no piece any more, but that pieces are made of, has an entry again.
    names = map(inventory.names.__getitem__, range(len(before), inventory.source_size))
    before += [source.backend.get_vocab()[name] for name in names]
    id_map = np.full(source.backend.get_vocab_size(), -1, np.int32)
    id_map[before] = result.id_map
    origins = [[before[number] for number in old] for old in result.origins]
    return replace(result, id_map=id_map, origins=origins, model=model)
