"""Train a tokenizer on Chinese text: byte-level BPE with Qwen2's split, learned on characters.

Merges are learned between characters and put on top of merges that build the characters from bytes
(`yanmo.tokenizer.vocabulary`). Beside byte-level training as usual, it compresses as well (3.323 instead of 3.306
bytes a token on 20 MB of prose, 3.852 instead of 3.867 on modern text, at 6,400 entries; docs/log.md,
bench/RESULTS.md) in a third of the memory and two thirds of the time. The result is an ordinary byte-level BPE
`tokenizer.json`.

Memory grows with the sample, as Chinese has no spaces and nearly every clause is a new word. So the sample is
bounded, and for training only, runs of Han characters are cut where no merge could join (`yanmo.tokenizer.pairs`)
and after a few characters.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import orjson
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from yanmo.tokenizer.bytelevel import to_alphabet
from yanmo.tokenizer.hanzi import required
from yanmo.tokenizer.pairs import SEPARATOR, cut_rare_pairs
from yanmo.tokenizer.special import SPECIAL_TOKENS
from yanmo.tokenizer.vocabulary import Kind, Merge, Vocabulary, assemble, beginnings, characters

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts text before BPE: digits singly, a punctuation mark with the word behind it. llama.cpp knows it
by name (`tokenizer.ggml.pre = qwen2`), so a GGUF file gives the same ids; with another split it would not."""

LONGEST_RUN = 8
"""Letters of one run that training sees together. Costs nothing measurable (3.3207 bytes a token, 3.3205 without)."""

FEWEST = 2
"""A pair or character seen less often teaches nothing."""

SMALLEST = 512
"""Fewer entries than bytes, control tokens and a little more make no vocabulary."""

USAGE_SLICE = 4_000_000
"""Characters encoded to see how often the rarest learned tokens are used."""


def train(texts: Sequence[str], vocab_size: int, kind: Kind = "byte") -> Tokenizer:
    """A tokenizer of exactly `vocab_size` entries, control tokens included, learned from `texts`.

    The same texts give the same tokenizer, whatever their order.
    Raises: ValueError: the size is too small to be one, or more than these texts can fill.
    """
    if vocab_size < SMALLEST:
        raise ValueError(f"--vocab-size {vocab_size}: the smallest useful vocabulary has {SMALLEST} entries")
    counts = Counter(itertools.chain.from_iterable(texts))
    learned = learn_merges(texts, vocab_size, len(counts))
    unreachable: set[bytes] = set()
    while True:
        merges = [merge for merge in learned if b"".join(merge) not in unreachable]
        vocabulary = choose(kind, texts, counts, merges, vocab_size - len(SPECIAL_TOKENS))
        tokenizer = as_tokenizer(kind, vocabulary)
        found = _unreachable(kind, tokenizer, vocabulary)
        if not found:
            return tokenizer
        unreachable |= found


def learn_merges(texts: Sequence[str], vocab_size: int, alphabet: int) -> list[Merge]:
    """`vocab_size` merges between characters and strings of characters at most, most frequent first.

    `alphabet` is how many different characters the texts have.
    """
    tokenizer = Tokenizer(models.BPE())
    bounded = QWEN2_SPLIT.replace(r"\p{L}+", rf"(?:[A-Za-z]+|\p{{L}}{{1,{LONGEST_RUN}}})")
    cuts = pre_tokenizers.Split(SEPARATOR, behavior="removed")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cuts, _split(bounded)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size + alphabet, min_frequency=FEWEST, special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator(cut_rare_pairs(texts, vocab_size, FEWEST), trainer)
    merges = orjson.loads(tokenizer.to_str())["model"]["merges"]
    taken = {*SPECIAL_TOKENS, *(byte_piece(byte) for byte in range(256))}
    return [(left.encode(), right.encode()) for left, right in merges if left + right not in taken]


def choose(kind: Kind, texts: Sequence[str], counts: Counter[str], learned: Sequence[Merge], size: int) -> Vocabulary:
    """Fill `size` entries: the required characters, and then whatever is used most.

    A character or a beginning that is not required earns its entry if it occurs more often than the rarest of
    the learned tokens, which it would push out, is used.
    Raises: ValueError: the texts give fewer entries.
    """
    must = required(size + len(SPECIAL_TOKENS), counts)
    first = assemble(kind, must, [], learned, size)
    if len(first) < size:
        least: float = FEWEST
    else:
        least = max(FEWEST, _usage_of_rarest(as_tokenizer(kind, first), texts, counts.total()))
    if kind == "byte":
        more, begins = characters(counts, least), beginnings(_less(counts, must), least)
    else:  # a character that is missing costs three tokens here and two there
        more, begins = characters(counts, least / 2), []
    vocabulary = assemble(kind, [*must, *more], begins, learned, size)
    if len(vocabulary) != size:
        reached = len(vocabulary) + len(SPECIAL_TOKENS)
        raise ValueError(
            f"--vocab-size {size + len(SPECIAL_TOKENS)}: this text gives a vocabulary of {reached} entries; "
            "ask for that many or fewer, or give more text"
        )
    return vocabulary


def _usage_of_rarest(tokenizer: Tokenizer, texts: Sequence[str], characters_in_all: int) -> float:
    """How often the last twentieth of the ids is used in all the texts, on average, judged by a slice of them."""
    part, size = [], 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= USAGE_SLICE:
            break
    last = tokenizer.get_vocab_size() * 19 // 20
    used = 0
    for start in range(0, len(part), 64):
        for encoding in tokenizer.encode_batch_fast(part[start : start + 64]):
            used += sum(number >= last for number in encoding.ids)
    return used / (tokenizer.get_vocab_size() - last) * characters_in_all / max(1, size)


def _less(counts: Counter[str], characters: Sequence[str]) -> Counter[str]:
    left = counts.copy()
    for character in characters:
        left.pop(character, None)
    return left


def _unreachable(kind: Kind, tokenizer: Tokenizer, vocabulary: Vocabulary) -> set[bytes]:
    """Learned tokens that BPE does not give for their own text: ties among repeated characters can do that."""
    names = ((token, _name(kind, token)) for token in vocabulary.tokens[256:])
    return {token for token, name in names if len(tokenizer.model.tokenize(name)) != 1}


def as_tokenizer(kind: Kind, vocabulary: Vocabulary) -> Tokenizer:
    """The vocabulary as a Hugging Face tokenizer with the control tokens at ids 0 to 3."""
    names = [*SPECIAL_TOKENS, *(_name(kind, token) for token in vocabulary.tokens)]
    model = models.BPE(
        vocab={name: number for number, name in enumerate(names)},
        merges=[(_name(kind, left), _name(kind, right)) for left, right in vocabulary.merges],
        byte_fallback=kind == "char",
    )
    tokenizer = Tokenizer(model)
    if kind == "byte":
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([_split(QWEN2_SPLIT), to_bytes])
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.pre_tokenizer = _split(QWEN2_SPLIT)
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    assert tokenizer.get_vocab_size() == len(names)
    return tokenizer


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def _name(kind: Kind, token: bytes) -> str:
    """How `tokenizer.json` writes a token."""
    if kind == "byte":
        return to_alphabet(token)
    return byte_piece(token[0]) if len(token) == 1 and token[0] > 0x7F else token.decode()


def byte_piece(byte: int) -> str:
    """SentencePiece's name for a byte that stands alone."""
    return f"<0x{byte:02X}>"
