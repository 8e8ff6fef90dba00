"""Trimming: the size asked for, nothing unreachable, nothing necessary lost, the most used kept."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import numpy as np
import orjson
import pytest
import sentencepiece
import tokenizers
from tests.conftest import small_texts

from yanmo.core.files import read_jsonl
from yanmo.tokenizer.chinese_llama import strip, strip_source
from yanmo.tokenizer.hanzi import PUNCTUATION, level_1
from yanmo.tokenizer.inventory import Bpe, take_stock
from yanmo.tokenizer.scripts import scripts_of
from yanmo.tokenizer.sentencepiece import Type, read_model, write_model
from yanmo.tokenizer.source import Source, check_same, open_source
from yanmo.tokenizer.special import SPECIAL_TOKENS
from yanmo.tokenizer.train import train
from yanmo.tokenizer.trimming import (
    ASCII,
    Trimmed,
    by_script,
    choose,
    foreign_control,
    rebuild,
    require,
    retain,
    room,
    unreachable,
    usage,
)

DATA = Path(os.environ.get("YANMO_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "tokenizers").is_dir(), reason=f"no real data in {DATA} (YANMO_DATA)")
ANY = frozenset[str]()
WORDS = ["苹果树", "pencil", "kindergarten", "自行车", "can't"]


def wordy_texts(count: int, seed: int = 0) -> list[str]:
    """Text of 1,200 invented words over 600 characters, with English and other scripts between."""
    generator = random.Random(0)
    alphabet = level_1()[::5][:600]
    words = ["".join(generator.choices(alphabet, k=generator.choice((2, 2, 3)))) for _ in range(1200)]
    words += "the cat House Привет мир ελληνικά 1234 pencil pencils これは 한국어".split() * 8
    generator = random.Random(seed)
    return ["，".join(generator.choices(words, k=60)) + "。a cup of tea\n" for _ in range(count)]


def spm(path: Path, kind: str) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(wordy_texts(150)),
        model_writer=model,
        model_type=kind,
        vocab_size=2400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="module", params=["bpe", "unigram", "byte", "char"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    directory = tmp_path_factory.mktemp("source")
    if request.param in ("bpe", "unigram"):
        return open_source(spm(directory / "tokenizer.model", request.param))
    tokenizer = train(wordy_texts(150), 2400, request.param)
    tokenizer.save(str(directory / "tokenizer.json"))
    return open_source(directory)


def trim(source: Source, size: int | None, words: list[str] = WORDS, keep=ANY, drop=ANY) -> Trimmed:
    inventory = take_stock(source.backend)
    stay, _ = retain(inventory, words)
    texts = wordy_texts(60)
    stay |= require(inventory, size, texts)
    number = None if size is None else room(inventory, size)
    kept = choose(inventory, number, usage(inventory, texts), stay, by_script(inventory, keep, drop))
    return rebuild(inventory, kept, source)


def names(tokenizer: tokenizers.Tokenizer) -> set[str]:
    inventory = take_stock(tokenizer)
    return {text for number in inventory.ordinary() if (text := inventory.text(number))}


@pytest.fixture(scope="module")
def size(source: Source) -> int:
    return 1500 if source.backend.get_vocab_size() > 2000 else 850  # SentencePiece finds 1,045 Unigram pieces


@pytest.fixture(scope="module")
def trimmed(source: Source, size: int) -> Trimmed:
    return trim(source, size)


def test_size_and_control_tokens(trimmed: Trimmed, size: int) -> None:
    assert trimmed.tokenizer.get_vocab_size() == size
    assert sorted(trimmed.tokenizer.get_vocab().values()) == list(range(size))
    for token in SPECIAL_TOKENS:
        assert trimmed.tokenizer.token_to_id(token) is not None


def test_nothing_is_unreachable(trimmed: Trimmed) -> None:
    inventory = take_stock(trimmed.tokenizer)
    assert unreachable(inventory) == []
    assert inventory.unreachable == set()
    assert len(inventory.ordinary()) > 500


def test_the_map_and_the_origins(source: Source, trimmed: Trimmed) -> None:
    """What is kept has its name still (a one-byte character instead of its byte's name), in the order of its ids."""
    assert trimmed.id_map.shape == (source.backend.get_vocab_size(),)
    assert trimmed.id_map.dtype == np.int32
    kept = trimmed.id_map[trimmed.id_map >= 0]
    assert len(set(kept)) == len(kept)
    for old, new in enumerate(trimmed.id_map.tolist()):
        if new < 0:
            continue
        before, after = source.backend.id_to_token(old), trimmed.tokenizer.id_to_token(new)
        assert before == after or before == f"<0x{ord(after):02X}>"
        assert trimmed.origins[new] == [old]
    assert all(0 <= old < len(trimmed.id_map) for origin in trimmed.origins for old in origin)


def test_text_comes_back(trimmed: Trimmed) -> None:
    for text in [*wordy_texts(5, seed=9), *small_texts(5), "龘𠮷 Ω\n\t", "<|im_end|>", "<s>a", "  x  y"]:
        ids = trimmed.tokenizer.encode(text, add_special_tokens=False).ids
        assert trimmed.tokenizer.decode(ids, skip_special_tokens=False) == text
        assert not {trimmed.tokenizer.token_to_id(token) for token in SPECIAL_TOKENS} & set(ids)


def test_required_characters_are_whole(trimmed: Trimmed) -> None:
    assert set(ASCII + PUNCTUATION) <= names(trimmed.tokenizer)
    for character in "·【】°×AZ\n\t":
        encoded = trimmed.tokenizer.encode(f"x{character}x", add_special_tokens=False)
        assert not any(token.startswith("<0x") for token in encoded.tokens)


def test_retained_words_are_one_token(source: Source, trimmed: Trimmed) -> None:
    for word in WORDS[:4]:
        kept = {word, f" {word}"} & names(source.backend)
        assert kept <= names(trimmed.tokenizer)
        assert kept or len(trimmed.tokenizer.encode(word, add_special_tokens=False).ids) == 1, word
    _, refused = retain(take_stock(source.backend), WORDS)
    splits = source.backend.pre_tokenizer is not None and source.model is None
    assert list(refused) == (["can't"] if splits else [])


def test_a_new_word_remembers_what_it_was(source: Source) -> None:
    inventory = take_stock(source.backend)
    before = source.backend.encode("kindergarten", add_special_tokens=False).ids
    stay, _ = retain(inventory, ["kindergarten"])
    (number,) = stay
    assert len(before) > 1
    assert inventory.origins[number] == before


def test_a_result_is_a_source_again(trimmed: Trimmed, size: int, tmp_path: Path) -> None:
    trimmed.tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = open_source(tmp_path)
    smaller = trim(again, size - 50, words=[])
    assert smaller.tokenizer.get_vocab_size() == size - 50
    assert unreachable(take_stock(smaller.tokenizer)) == []
    assert (smaller.id_map >= 0).sum() == size - 50
    for text in wordy_texts(3, seed=9):
        assert smaller.tokenizer.decode(smaller.tokenizer.encode(text).ids) == text
    inventory = take_stock(again.backend)
    same = rebuild(inventory, inventory.in_use(), again)
    assert orjson.loads(same.tokenizer.to_str())["model"] == orjson.loads(trimmed.tokenizer.to_str())["model"]


def test_what_goes_is_what_costs_least(source: Source, trimmed: Trimmed, size: int) -> None:
    """No more than a prototype loses that keeps the most frequent and closes that over their parts."""
    held_out = wordy_texts(30, seed=3)
    inventory = take_stock(source.backend)
    stay = retain(inventory, WORDS)[0] | require(inventory, size, wordy_texts(60))
    counts = usage(inventory, wordy_texts(60))
    kept = inventory.bytes | inventory.added.keys()
    for number in [*sorted(stay), *sorted(inventory.reachable() - stay, key=lambda n: (-counts[n], n))]:
        path = {number}
        while more := {part for n in path for part in inventory.parts.get(n, ())} - path:
            path |= more
        if len(kept | path) <= room(inventory, size):
            kept |= path
    prototype = rebuild(inventory, kept, source)

    def tokens(tokenizer: tokenizers.Tokenizer) -> int:
        return sum(len(tokenizer.encode(text).ids) for text in held_out)

    assert tokens(source.backend) < tokens(trimmed.tokenizer) <= 1.002 * tokens(prototype.tokenizer)


def test_by_script(source: Source) -> None:
    result = trim(source, None, words=[], keep=frozenset({"han", "latin", "digit", "punctuation", "space"}))
    foreign = {text for text in names(source.backend) if scripts_of(text) & {"cyrillic", "hangul", "kana"}}
    assert foreign
    assert not foreign & names(result.tokenizer)
    assert "the" in names(result.tokenizer) or " the" in names(result.tokenizer)
    without = trim(source, None, words=[], drop=frozenset({"cyrillic"}))
    assert not any(scripts_of(text) & {"cyrillic"} for text in names(without.tokenizer))
    assert any(scripts_of(text) & {"hangul"} for text in names(without.tokenizer))


def test_everything_kept_is_the_same_tokenizer(source: Source) -> None:
    inventory = take_stock(source.backend)
    result = rebuild(inventory, inventory.in_use(), source)
    assert result.id_map.tolist() == list(range(source.backend.get_vocab_size()))
    for text in [*wordy_texts(5, seed=9), *small_texts(5), "龘 <s>\n"]:
        assert result.tokenizer.encode(text).ids == source.backend.encode(text).ids


def test_the_sentencepiece_file_gives_the_same_ids(source: Source, trimmed: Trimmed, size: int, tmp_path: Path) -> None:
    if source.model is None:
        assert trimmed.model is None
        return
    assert trimmed.model is not None
    write_model(tmp_path / "t.model", trimmed.model)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t.model"))
    for text in [*wordy_texts(20, seed=4), *WORDS, "龘 A\n\tz · 【】", "a<s>"]:
        assert trimmed.tokenizer.encode(text).ids == theirs.encode(text)
    assert theirs.get_piece_size() == size - len(SPECIAL_TOKENS)
    scores = {piece.text: piece.score for piece in source.model.pieces}
    assert all(scores.get(p.text, p.score) == p.score for p in trimmed.model.pieces if p.type == Type.NORMAL)


def test_the_sources_control_tokens_can_go(source: Source) -> None:
    inventory = take_stock(source.backend)
    gone = foreign_control(inventory)
    inventory.forget(gone)
    result = rebuild(inventory, inventory.in_use(), source)
    if source.model is None:
        assert not gone
        return
    assert result.tokenizer.token_to_id("<s>") is None
    end = result.tokenizer.token_to_id("<|endoftext|>")
    assert result.id_map[source.backend.token_to_id("</s>")] == end  # it lives on under our name
    assert result.origins[end] == [source.backend.token_to_id("</s>")]


def test_too_small_and_other_kinds(source: Source, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--vocab-size: \d+ entries must stay"):
        trim(source, 300)
    pieces = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    with pytest.raises(ValueError, match="WordPiece tokenizer is refused"):
        take_stock(pieces)
    suffixed = tokenizers.Tokenizer(tokenizers.models.BPE({"a</w>": 0}, [], end_of_word_suffix="</w>"))
    with pytest.raises(ValueError, match="end_of_word_suffix is refused"):
        Bpe(suffixed)


def test_another_vocabulary_is_told_by_its_first_difference(source: Source, tokenizer_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"its id \d+ is .* that of --source is"):
        check_same(tokenizer_dir, source)
    check_same(tokenizer_dir, open_source(tokenizer_dir))


# The real ones


def web_texts() -> list[str]:
    with open(DATA / "samples/2021-31_zh_head_0000_sample.jsonl", "rb") as rows:
        return [orjson.loads(row)["text"] for row in rows]


@needs_data
@pytest.mark.slow
def test_the_rule_of_chinese_llama_gives_its_pieces() -> None:
    words = (DATA / "tokenizers/retain_en.txt").read_text(encoding="utf-8").splitlines()
    theirs = read_model(DATA / "tokenizers/chatglm2_pruned_35k/tokenizer.model")
    source = open_source(DATA / "tokenizers/chatglm2")
    assert source.model is not None
    model, origins = strip(source.model, words)
    assert len(model.pieces) == 35203
    assert model.pieces == theirs.pieces
    assert [source.model.pieces[old].score for old in origins] == [piece.score for piece in theirs.pieces]
    result = strip_source(source, words)
    assert result.tokenizer.get_vocab_size() == 35203 + 1 + len(SPECIAL_TOKENS)  # 乾 has an entry again
    assert len(unreachable(take_stock(result.tokenizer))) > 500


@needs_data
@pytest.mark.slow
def test_compression_kept_of_chatglm2() -> None:
    """Documents drawn from three kinds of text; every tenth is held out."""
    texts = web_texts()
    for name, step in (("classics_in_modern_chinese", 20), ("tech_docs", 5)):
        rows = read_jsonl(DATA / f"pretrain/{name}.jsonl.zst")
        texts += [row["text"][:10_000] for number, row in enumerate(rows) if number % step == 0]
    held_out, sample = texts[::10], [text for number, text in enumerate(texts) if number % 10]
    source = open_source(DATA / "tokenizers/chatglm2")
    inventory = take_stock(source.backend)
    stay = require(inventory, 32768, sample)
    counts = usage(inventory, sample)

    def tokens(tokenizer: tokenizers.Tokenizer) -> int:
        return sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(held_out))

    for size, share in ((32768, 0.985), (16384, 0.935)):
        kept = choose(inventory, room(inventory, size), counts, stay, by_script(inventory, ANY, ANY))
        result = rebuild(inventory, kept)
        assert unreachable(take_stock(result.tokenizer)) == []
        assert tokens(source.backend) / tokens(result.tokenizer) > share


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama2", "qwen", "minimind_6400", "matelike_6400"])
def test_real_sources_become_smaller(name: str, tmp_path: Path) -> None:
    source = open_source(DATA / "tokenizers" / name)
    texts = web_texts()[:100]
    words = ["huggingface", "苹果树上"]
    inventory = take_stock(source.backend)
    stay = retain(inventory, words)[0] | require(inventory, 6000, texts)
    kept = choose(inventory, room(inventory, 6000), usage(inventory, texts), stay, by_script(inventory, ANY, ANY))
    result = rebuild(inventory, kept, source)
    assert result.tokenizer.get_vocab_size() == 6000
    assert unreachable(take_stock(result.tokenizer)) == []
    assert [len(result.tokenizer.encode(word).ids) for word in words] == [1, 1]
    for text in texts[:20]:
        assert result.tokenizer.decode(result.tokenizer.encode(text).ids, skip_special_tokens=False) == text
    if result.model is not None:
        write_model(tmp_path / "t.model", result.model)
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t.model"))
        assert [result.tokenizer.encode(text).ids for text in texts] == theirs.encode(texts)
