"""SentencePiece `.model` files: read, written, and turned into the `tokenizer.json` that gives the same ids.

The file is one protobuf message (sentencepiece_model.proto). Its wire format is simple enough to read here, field
by field, so that no protobuf runtime is needed, and whatever this file does not know is written back unchanged.
Nothing is spliced by byte counts: other models have longer specifications.

Both of SentencePiece's models become Hugging Face's of the same name. BPE merges any two neighbours whose
concatenation is a piece, best score first; `yanmo.tokenizer.derivation` finds the one merge that each piece needs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import cast

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from yanmo.core.files import atomic_write
from yanmo.tokenizer.derivation import last_merge
from yanmo.tokenizer.train import byte_piece

SPACE = "▁"
"""U+2581, how pieces write a space."""


class Type(IntEnum):
    """`ModelProto.SentencePiece.Type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


UNIGRAM, BPE = 1, 2  # TrainerSpec.ModelType

# Field numbers of sentencepiece_model.proto.
PIECES, TRAINER, NORMALIZER, SELF_TEST = 1, 2, 3, 4
MODEL_TYPE, VOCAB_SIZE, SUFFIX_SPACES, BYTE_FALLBACK = 3, 4, 24, 35
SPECIAL_IDS = {40: 0, 41: 1, 42: 2, 43: -1}  # unknown, begin, end, padding, with their defaults
CHARSMAP, DUMMY_PREFIX, REMOVE_SPACES, ESCAPE_SPACES = 2, 3, 4, 5

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | bytes
Message = list[tuple[int, int, Value]]
"""A protobuf message as it lies in the file: field number, wire type, value."""


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    type: Type


@dataclass(frozen=True)
class SentencePiece:
    """A model: its pieces in the order of their ids, and everything else as it was read."""

    pieces: list[Piece]
    trainer: Message = field(default_factory=list)
    normalizer: Message = field(default_factory=list)
    others: Message = field(default_factory=list)

    def byte_fallback(self) -> bool:
        return bool(_get(self.trainer, BYTE_FALLBACK, 0))

    def dummy_prefix(self) -> bool:
        """Whether a space is put before every text."""
        return bool(_get(self.normalizer, DUMMY_PREFIX, 1))

    def special(self) -> dict[str, str]:
        """Which control piece is what, by its name in `tokenizer_config.json`."""
        named = zip(("unk_token", "bos_token", "eos_token", "pad_token"), self._special_ids().values(), strict=True)
        return {name: self.pieces[number].text for name, number in named if 0 <= number < len(self.pieces)}

    def _special_ids(self) -> dict[int, int]:
        given = {number: cast(int, _get(self.trainer, number, default)) for number, default in SPECIAL_IDS.items()}
        return {number: _signed(value) for number, value in given.items()}

    def with_pieces(self, pieces: list[Piece]) -> SentencePiece:
        """The same specifications over other pieces; the ids and the size they name follow the pieces."""
        trainer = _put(self.trainer, VOCAB_SIZE, len(pieces))
        places = {piece.text: number for number, piece in enumerate(pieces)}
        for number, old in self._special_ids().items():
            if 0 <= old < len(self.pieces):
                trainer = _put(trainer, number, places.get(self.pieces[old].text, -1))
        return replace(self, pieces=pieces, trainer=trainer)

    def without_prefix(self) -> SentencePiece:
        return replace(self, normalizer=_put(self.normalizer, DUMMY_PREFIX, 0))


# The file


def read_model(path: Path) -> SentencePiece:
    """Raises ValueError, naming the file, if it is not a SentencePiece model or ends too early."""
    try:
        message = list(_fields(path.read_bytes()))
        model = SentencePiece(
            pieces=[_piece(cast(bytes, value)) for number, wire, value in message if (number, wire) == (PIECES, BYTES)],
            trainer=_submessage(message, TRAINER),
            normalizer=_submessage(message, NORMALIZER),
            # Encodings recorded at training time hold for the old pieces only.
            others=[part for part in message if part[0] not in (PIECES, TRAINER, NORMALIZER, SELF_TEST)],
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not a SentencePiece model, or cut off ({error})") from None
    if not model.pieces or not model.trainer:
        raise ValueError(f"{path}: not a SentencePiece model (no pieces or no trainer specification in it)")
    return model


def write_model(path: Path, model: SentencePiece) -> None:
    parts: Message = [(PIECES, BYTES, _encoded(_piece_message(piece))) for piece in model.pieces]
    parts += [(TRAINER, BYTES, _encoded(model.trainer)), (NORMALIZER, BYTES, _encoded(model.normalizer))]
    atomic_write(path, _encoded(parts + model.others))


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, Type.NORMAL
    for number, wire, value in _fields(data):
        if (number, wire) == (1, BYTES):
            text = cast(bytes, value).decode()
        elif (number, wire) == (2, FIXED32):
            (score,) = struct.unpack("<f", cast(bytes, value))
        elif (number, wire) == (3, VARINT):
            kind = Type(cast(int, value))
    return Piece(text, score, kind)


def _piece_message(piece: Piece) -> Message:
    message: Message = [(1, BYTES, piece.text.encode()), (2, FIXED32, struct.pack("<f", piece.score))]
    return message + ([] if piece.type == Type.NORMAL else [(3, VARINT, int(piece.type))])


def _fields(data: bytes) -> Iterator[tuple[int, int, Value]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes at byte {at} of {len(data)}")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"no number at byte {at}")


def _encoded(message: Message) -> bytes:
    data = bytearray()
    for number, wire, value in message:
        data += _as_varint(number << 3 | wire)
        if isinstance(value, int):
            data += _as_varint(value)
        else:
            data += (_as_varint(len(value)) if wire == BYTES else b"") + value
    return bytes(data)


def _as_varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # protobuf writes negative numbers as 64 bits of two's complement
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _submessage(message: Message, number: int) -> Message:
    return list(_fields(cast(bytes, _get(message, number, b""))))


def _get(message: Message, number: int, default: Value) -> Value:
    """The last value given counts, as protobuf has it."""
    return next((value for given, _, value in reversed(message) if given == number), default)


def _put(message: Message, number: int, value: int) -> Message:
    return [part for part in message if part[0] != number] + [(number, VARINT, value)]


# The same ids from `tokenizers`


def as_tokenizer(model: SentencePiece) -> Tokenizer:
    """A Hugging Face tokenizer that gives the ids of `SentencePieceProcessor.encode`.

    Raises: ValueError: the model is of a kind that has no equal there.
    """
    kind = cast(int, _get(model.trainer, MODEL_TYPE, UNIGRAM))
    if kind not in (UNIGRAM, BPE):
        raise ValueError(f"SentencePiece model type {kind} (word or char) is refused; BPE and Unigram can be read")
    if _get(model.trainer, SUFFIX_SPACES, 0):
        raise ValueError("treat_whitespace_as_suffix: pieces that end in a space are not supported")
    if any(piece.type == Type.UNUSED for piece in model.pieces):
        raise ValueError("the model has pieces marked UNUSED, which no tokenizer.json can express")
    tokenizer = Tokenizer(_bpe(model) if kind == BPE else _unigram(model))
    defined = [piece.text for piece in model.pieces if piece.type == Type.USER_DEFINED]
    _set_spaces(tokenizer, model, bool(defined))
    control = [piece.text for piece in model.pieces if piece.type in (Type.CONTROL, Type.UNKNOWN)]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    # The longest match counts, as in SentencePiece.
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in sorted(defined, key=len, reverse=True)])
    return tokenizer


def _bpe(model: SentencePiece) -> models.BPE:
    scores = {p.text: p.score for p in model.pieces if p.type in (Type.NORMAL, Type.USER_DEFINED)}

    def rank(left: str, right: str) -> float | None:
        score = scores.get(left + right)
        return None if score is None else -score

    vocabulary = {piece.text: number for number, piece in enumerate(model.pieces)}
    ranked = []
    for piece in model.pieces:
        if piece.type == Type.NORMAL and len(piece.text) > 1 and (last := last_merge(piece.text, rank)):
            # Of pieces with the same score, SentencePiece takes the leftmost, so a run of spaces grows from the left.
            ranked.append((-piece.score, -len(piece.text), last))
            _give_entries(vocabulary, last, model.byte_fallback())
    ranked.sort(key=lambda item: item[:2])
    return models.BPE(
        vocab=vocabulary,
        merges=[merge for *_, merge in ranked],
        unk_token=next((p.text for p in model.pieces if p.type == Type.UNKNOWN), None),
        fuse_unk=True,
        byte_fallback=model.byte_fallback(),
    )


def _give_entries(vocabulary: dict[str, int], parts: tuple[str, str], byte_fallback: bool) -> None:
    """SentencePiece merges characters that are no pieces themselves; `tokenizers` must have an entry for them.

    An ASCII character takes over the entry of its byte, which is the same thing. Another one gets a new entry at
    the end: the one case in which ids differ, where such a character stands alone (as one token, not three bytes).
    """
    for part in parts:
        if part not in vocabulary:
            assert len(part) == 1, part
            if byte_fallback and part.isascii():
                vocabulary[part] = vocabulary.pop(byte_piece(ord(part)))
            else:
                vocabulary[part] = len(vocabulary)


def _unigram(model: SentencePiece) -> models.Unigram:
    normal = [piece.score for piece in model.pieces if piece.type == Type.NORMAL]
    worst, best = min(normal), max(normal)
    # An unknown character is 10 worse than the worst entry: control pieces must not be the worst.
    scores = {Type.NORMAL: None, Type.USER_DEFINED: best + 1.0}
    vocabulary = []
    for piece in model.pieces:
        score = scores.get(piece.type, worst)
        vocabulary.append((piece.text, piece.score if score is None else score))
    unknown = next((number for number, p in enumerate(model.pieces) if p.type == Type.UNKNOWN), None)
    return models.Unigram(vocabulary, unk_id=unknown, byte_fallback=model.byte_fallback())


def _set_spaces(tokenizer: Tokenizer, model: SentencePiece, has_defined: bool) -> None:
    """What happens to a text before and after: character map, spaces, the space in front.

    User-defined symbols cut a text before it is normalised, and only its beginning may get the space in front. Then
    a text that begins with a space, or with such a symbol, gets none: the one case that `tokenizers` cannot express.
    """
    space = SPACE if _get(model.normalizer, ESCAPE_SPACES, 1) else " "
    prefix, remove = model.dummy_prefix(), bool(_get(model.normalizer, REMOVE_SPACES, 1))
    before = _character_map(cast(bytes, _get(model.normalizer, CHARSMAP, b"")))
    if remove:
        before += [normalizers.Replace(Regex(r"\A +"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if prefix and not has_defined:
        before.append(normalizers.Prepend(space))
    if space != " ":
        before.append(normalizers.Replace(" ", space))
    if remove:
        before.append(normalizers.Replace(Regex(space + r"+\z"), ""))
    if before:
        tokenizer.normalizer = normalizers.Sequence(before)
    cuts = _cuts(model) if isinstance(tokenizer.model, models.Unigram) else []
    if prefix and has_defined:
        cuts.append(pre_tokenizers.Metaspace(replacement=space, prepend_scheme="first", split=False))
    if cuts:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    after: list[decoders.Decoder] = [decoders.Replace(space, " ")] if space != " " else []
    after += [decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        after.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(after)


def _character_map(charsmap: bytes) -> list[normalizers.Normalizer]:
    if not charsmap:
        return []
    mapping = normalizers.Precompiled(charsmap)
    steps: list[normalizers.Normalizer] = [mapping]
    separate = mapping.normalize_str("\r") + mapping.normalize_str("\n")
    if mapping.normalize_str("\r\n") != separate:  # `tokenizers` maps what is one grapheme as one character
        steps.insert(0, normalizers.Replace("\r\n", separate))
    return steps


def _cuts(model: SentencePiece) -> list[pre_tokenizers.PreTokenizer]:
    """Unigram in `tokenizers` finds every entry in a text, also control and byte pieces, which must not be found.

    A cut behind their first character, where the rest follows, keeps them from being whole.
    """
    names = [piece.text for piece in model.pieces if piece.type in (Type.CONTROL, Type.UNKNOWN) and len(piece.text) > 1]
    rules = [f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in names]
    if model.byte_fallback():
        rules.append("<(?=0x[0-9A-F]{2}>)")
    return [pre_tokenizers.Split(Regex("|".join(rules)), behavior="isolated")] if rules else []
