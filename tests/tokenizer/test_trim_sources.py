"""Foreign tokenizers as ours: the ids of their own libraries, real files and small ones of every kind."""

from __future__ import annotations

import base64
import io
import os
import random
from pathlib import Path

import orjson
import pytest
import sentencepiece
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import small_texts

from yanmo.tokenizer import derivation
from yanmo.tokenizer.scripts import script, scripts_of
from yanmo.tokenizer.sentencepiece import Piece, Type, as_tokenizer, read_model, write_model
from yanmo.tokenizer.source import open_source
from yanmo.tokenizer.tiktoken import SPLITS, read_ranks

DATA = Path(os.environ.get("YANMO_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "tokenizers").is_dir(), reason=f"no real data in {DATA} (YANMO_DATA)")

ODD = [
    "",
    " ",
    "  两个  空格 ",
    "\n\n\t\tx\r\n",
    "▁ ▁▁ x",
    "<s> </s> <unk> <0x0A> <|endoftext|>",
    "👩‍👩‍👧 𠮷 龘",
    " " * 37 + "a" + " " * 21,
    "aaaaaaaaa bbbbbbb ......... ————————",
    "１２３ ﬁ é e\u0301 Å",
    "20261122 3.14 1,000",
    "达·芬奇【注】25°×4",
]


def real_lines(count: int) -> list[str]:
    """Lines of real web text, BELLE and Wikipedia samples, the long ones cut."""
    with open(DATA / "samples/2021-31_zh_head_0000_sample.jsonl", "rb") as rows:
        texts = [orjson.loads(row)["text"] for row in rows]
    with open(DATA / "samples/train_2M_CN_sample.json", "rb") as rows:
        texts += [orjson.loads(row)["output"] for row in rows]
    texts += [
        row["completion"]
        for row in orjson.loads((DATA / "samples/wikipedia-cn-20230720-filtered_sample.json").read_bytes())
    ]
    lines = [line for text in texts for line in text.split("\n") if line]
    return random.Random(0).sample(lines, count)


def sp_train(path: Path, **options) -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(small_texts(400)), model_writer=model, minloglevel=2, num_threads=1, **options
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


KINDS = {
    "bpe": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "normalization_rule_name": "identity"},
    "bpe, as it comes": {"model_type": "bpe", "vocab_size": 160},
    "unigram": {"model_type": "unigram", "vocab_size": 400, "byte_fallback": True, "remove_extra_whitespaces": False},
    "unigram, as it comes": {"model_type": "unigram", "vocab_size": 130},
    "digits, no prefix": {
        "model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "split_digits": True, "add_dummy_prefix": False,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
    },
    "defined": {
        "model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "user_defined_symbols": ["<n>", "<nn>", "自行"],
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("sentencepiece") / "tokenizer.model"
    return sp_train(path, **KINDS[request.param]), path


@pytest.mark.parametrize("text", [*ODD, *small_texts(20, seed=5), "坐<n>自行车<nn>去"])
def test_sentencepiece_ids(trained, text: str) -> None:
    theirs, path = trained
    if comparable(theirs, text):
        assert open_source(path).backend.encode(text).ids == theirs.encode(text)


@given(text=st.text(st.sampled_from("张明在北京买了苹果。acup3 ▁　·龘<s>\n")))
@settings(max_examples=80, deadline=None)
def test_sentencepiece_ids_of_any_text(trained, text: str) -> None:
    theirs, path = trained
    if comparable(theirs, text):
        assert cached(path).encode(text).ids == theirs.encode(text)


def comparable(theirs: sentencepiece.SentencePieceProcessor, text: str) -> bool:
    """What as_tokenizer says it cannot: a space in front of a model with user-defined symbols; and where control
    pieces are written out and characters are unknown, the count of the unknown ones."""
    defined, unigram = theirs.piece_to_id("<n>") != theirs.unk_id(), theirs.get_score(theirs.get_piece_size() - 1) != 0
    if defined:
        return not text.startswith((" ", "▁", "<n>", "<nn>", "自行"))
    unknown = theirs.unk_id() in theirs.encode(text)
    return not (unknown and unigram and ("<s>" in text or "</s>" in text))


def test_control_pieces_in_a_text_stay_text(trained) -> None:
    theirs, path = trained
    text = "a<s>b</s>c <unk> <0x0A>"
    ours = open_source(path).backend.encode(text).ids
    control = {theirs.bos_id(), theirs.eos_id(), theirs.piece_to_id("<0x0A>")}
    assert not (control - {theirs.unk_id()}) & set(ours)


CACHE: dict = {}


def cached(path: Path):
    return CACHE.setdefault(path, open_source(path).backend)


def test_the_file_comes_back_byte_for_byte(trained, tmp_path: Path) -> None:
    _, path = trained
    write_model(tmp_path / "again.model", read_model(path))
    ours, theirs = (tmp_path / "again.model").read_bytes(), path.read_bytes()
    again = read_model(tmp_path / "again.model")
    assert again == read_model(path)
    assert len(ours) <= len(theirs)
    sentencepiece.SentencePieceProcessor(model_proto=ours)


def test_specifications_follow_the_pieces(tmp_path: Path) -> None:
    """The size, and the ids of control pieces, even negative ones, in a file that the library itself reads."""
    theirs = sp_train(tmp_path / "a.model", **KINDS["bpe"], pad_id=3)
    model = read_model(tmp_path / "a.model")
    fewer = model.with_pieces([piece for piece in model.pieces if piece.text not in ("<s>", "苹果")])
    write_model(tmp_path / "b.model", fewer)
    other = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "b.model"))
    assert other.get_piece_size() == theirs.get_piece_size() - 2
    assert (other.unk_id(), other.bos_id(), other.eos_id(), other.pad_id()) == (0, -1, 1, 2)
    assert other.decode(other.encode("张明在北京买了苹果。")) == "张明在北京买了苹果。"


def test_characters_that_are_no_pieces(tmp_path: Path) -> None:
    """SentencePiece merges them all the same; ASCII ones take their byte's id, others get one at the end."""
    sp_train(tmp_path / "a.model", **KINDS["bpe"])
    model = read_model(tmp_path / "a.model")
    stripped = model.with_pieces([p for p in model.pieces if p.text not in ("c", "果")])
    assert any(len(p.text) > 1 and "果" in p.text for p in stripped.pieces)
    write_model(tmp_path / "b.model", stripped)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "b.model"))
    ours = as_tokenizer(stripped)
    for text in ("a cup", "c", "abc cc", "苹果", "买了苹果。"):
        assert ours.encode(text).ids == theirs.encode(text)
    assert ours.encode("x果").ids[-1] == len(stripped.pieces)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"this is no model", "not a SentencePiece model"),
        (b"", "no pieces"),
        (b"\x0a\xff\xff\xff\xff\x0f", "not a SentencePiece model, or cut off"),
        (bytes(range(256)), "not a SentencePiece model"),
        (b"\x0a\x02\x08\x05\x12\x00", "no pieces or no trainer"),  # a piece whose text is a number
        (b"\x0a\x02\x18\x63", "cut off"),  # a piece of type 99
    ],
)
def test_not_a_model(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.model").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_model(tmp_path / "x.model")
    assert "x.model" in str(error.value)


@given(end=st.integers(0, 8000))
@settings(max_examples=60, deadline=None)
def test_a_truncated_model_never_passes(trained, tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    _, path = trained
    data = path.read_bytes()
    cut = path.with_name("cut.bin")
    cut.write_bytes(data[: min(end, len(data) - 1)])
    with pytest.raises(ValueError, match=r"cut\.bin"):
        read_model(cut)


def test_kinds_that_are_refused(tmp_path: Path) -> None:
    sp_train(tmp_path / "char.model", model_type="char", vocab_size=60)
    with pytest.raises(ValueError, match="word or char"):
        open_source(tmp_path / "char.model")
    sp_train(tmp_path / "suffix.model", model_type="bpe", vocab_size=160, treat_whitespace_as_suffix=True)
    with pytest.raises(ValueError, match="treat_whitespace_as_suffix"):
        open_source(tmp_path / "suffix.model")
    model = read_model(tmp_path / "suffix.model")
    with pytest.raises(ValueError, match="UNUSED"):
        as_tokenizer(read_model(sp_file(tmp_path)).with_pieces([*model.pieces, Piece("x", 0.0, Type.UNUSED)]))


def sp_file(directory: Path) -> Path:
    sp_train(directory / "tokenizer.model", **KINDS["bpe"])
    return directory / "tokenizer.model"


# tiktoken


def tiktoken_file(path: Path) -> list[bytes]:
    """Bytes, and what merging small texts by frequency gives."""
    tokens = [bytes([byte]) for byte in range(256)]
    data = "".join(small_texts(100)).encode()
    for size in (2, 3, 6, 9):
        counts: dict[bytes, int] = {}
        for start in range(len(data) - size):
            counts[data[start : start + size]] = counts.get(data[start : start + size], 0) + 1
        tokens += sorted(counts, key=lambda token: (-counts[token], token))[:60]
    path.write_bytes(b"".join(base64.b64encode(t) + f" {rank}\n".encode() for rank, t in enumerate(tokens)))
    return tokens


@pytest.mark.parametrize("split", SPLITS)
def test_tiktoken_ids(tmp_path: Path, split) -> None:
    tokens = tiktoken_file(tmp_path / "small.tiktoken")
    ranks = {token: rank for rank, token in enumerate(tokens)}
    theirs = tiktoken.Encoding("small", pat_str=SPLITS[split], mergeable_ranks=ranks, special_tokens={})
    ours = open_source(tmp_path / "small.tiktoken", split).backend
    for text in [*ODD, *small_texts(50, seed=7)]:
        assert ours.encode(text).ids == theirs.encode_ordinary(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("QQ=! 256", ":257: not a tiktoken rank"),
        ("QUI=", ":257: not a tiktoken rank"),
        ("QUI= x", ":257: not a tiktoken rank"),
        ("QUI= 7", ":257: rank 7 comes twice"),
        ("QUI= 300", "ranks are missing"),
        ("QQ== 256", "tokens come twice"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    path = tmp_path / "x.tiktoken"
    path.write_text("\n".join([*lines, line]))
    with pytest.raises(ValueError, match=message):
        read_ranks(path)
    path.write_text("\n".join(lines[:100]))
    with pytest.raises(ValueError, match="156 of the 256 bytes"):
        read_ranks(path)


# The argument that trimming rests on


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_a_token_is_merged_the_same_way_everywhere(symbols: list[str], generator: random.Random) -> None:
    """Whatever text is merged, each token in the result is the one its own text merges into."""
    pairs = [(a, b) for a in ("a", "b", "c", "ab", "bc", "aa", "abc") for b in ("a", "b", "c", "bc", "aa", "ca")]
    generator.shuffle(pairs)
    ranks = {pair: rank for rank, pair in enumerate(pairs[:20])}
    left, _ = derivation.merge(symbols, lambda a, b: ranks.get((a, b)))
    for token in left:
        assert derivation.merge(list(token), lambda a, b: ranks.get((a, b)))[0] == [token]


def test_scripts() -> None:
    sample = "汉〇々 A é Ａ ひ カ ｶ 한 Ж α ا 3 ① ， + \u3000"
    assert [script(c) for c in sample.replace(" ", "")] == [
        "han", "han", "han", "latin", "latin", "latin", "kana", "kana", "kana", "hangul", "cyrillic", "greek",
        "arabic", "digit", "digit", "punctuation", "symbol", "space",
    ]  # fmt: skip
    assert scripts_of("使用 Python3") == {"han", "space", "latin", "digit"}


# The real ones


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["chatglm2", "llama2", "chatglm2_pruned_35k"])
def test_real_sentencepiece_models(name: str, tmp_path: Path) -> None:
    path = DATA / "tokenizers" / name / "tokenizer.model"
    theirs, ours = sentencepiece.SentencePieceProcessor(model_file=str(path)), open_source(path).backend
    lines = [*real_lines(1000), *ODD]
    if "pruned" in name:  # 乾 is no piece, 乾隆 is: alone it is an entry of its own here, three bytes there
        lines = [line for line in lines if "乾" not in line]
    assert [e.ids for e in ours.encode_batch_fast(lines)] == theirs.encode(lines)
    assert [ours.decode(ours.encode(line).ids, skip_special_tokens=False) for line in lines[:200]] == [
        theirs.decode(theirs.encode(line)) for line in lines[:200]
    ]
    write_model(tmp_path / "again.model", read_model(path))
    assert (tmp_path / "again.model").read_bytes() == path.read_bytes()


@needs_data
@pytest.mark.slow
def test_real_tiktoken_ranks() -> None:
    path = DATA / "tokenizers/qwen/qwen.tiktoken"
    ranks = {token: rank for rank, token in enumerate(read_ranks(path))}
    theirs = tiktoken.Encoding("qwen", pat_str=SPLITS["qwen"], mergeable_ranks=ranks, special_tokens={})
    ours = open_source(path).backend
    lines = [*real_lines(1000), *ODD]
    assert [e.ids for e in ours.encode_batch_fast(lines)] == [theirs.encode_ordinary(line) for line in lines]
    assert ours.token_to_id("<|im_end|>") == 151645
