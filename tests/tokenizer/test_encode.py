"""Engines: the same ids from both, and the fast one only where that is so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import small_texts

from yanmo.tokenizer import encode
from yanmo.tokenizer.encode import FastEncoder, Flat, HuggingFaceEncoder, choose_encoder, first_difference, hard_cases
from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.tokenizer.save import save_tokenizer
from yanmo.tokenizer.train import train

CHARACTERS = "张李王，。 \n\t<|>im_endoftxa1９é龘😀\u200d\ud800\x00\u3000"


@pytest.fixture(scope="module")
def characters_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    directory = tmp_path_factory.mktemp("characters")
    save_tokenizer(train(small_texts(), 600, "char"), directory)
    return load_tokenizer(directory)


@pytest.mark.parametrize("kind", ["tokenizer", "characters_tokenizer"])
def test_both_engines_give_the_same_ids(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(kind)
    encoder, reason = choose_encoder(tokenizer, small_texts())
    assert (type(encoder), reason) == (FastEncoder, "")
    flat = encoder(hard_cases(tokenizer))
    assert flat.ids.tolist() == [number for text in hard_cases(tokenizer) for number in tokenizer.encode(text)]
    assert flat.lengths.tolist() == [len(tokenizer.encode(text)) for text in hard_cases(tokenizer)]
    assert not tokenizer.special_ids & {*flat.ids.tolist()}


@given(texts=st.lists(st.text(CHARACTERS, max_size=60), max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_text(tokenizer: Tokenizer, texts: list[str]) -> None:
    if not hasattr(test_any_text, "encoder"):
        test_any_text.encoder = FastEncoder(tokenizer)
    assert first_difference(test_any_text.encoder, HuggingFaceEncoder(tokenizer), texts) is None


def test_the_thread_is_renewed_without_a_trace(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "RENEW", 1000)
    encoder = FastEncoder(tokenizer)
    threads = set()
    for text in small_texts(100):
        assert encoder([text]).ids.tolist() == tokenizer.encode(text)
        threads.add(id(encoder._thread))
    assert len(threads) > 1


class Wrong(FastEncoder):
    """An engine that confuses two ids, in one text of many."""

    name = "wrong 1.0"

    def __call__(self, texts):
        ids, lengths = super().__call__(texts)
        return Flat(np.where(ids == self.confused, ids + 1, ids), lengths)


def test_one_other_id_settles_it(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "FastEncoder", Wrong)
    texts = [*small_texts(50), "在江边看见雨伞"]
    Wrong.confused = tokenizer.encode(texts[-1])[-2]
    encoder, reason = choose_encoder(tokenizer, texts)
    assert isinstance(encoder, HuggingFaceEncoder)
    assert "gives other ids for" in reason
    text = first_difference(Wrong(tokenizer), HuggingFaceEncoder(tokenizer), texts)
    assert text is not None
    assert Wrong.confused in tokenizer.encode(text)


def test_a_tokenizer_that_only_hugging_face_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("张", -1.0)], 0))
    backend.save(str(tmp_path / "tokenizer.json"))
    encoder, reason = choose_encoder(load_tokenizer(tmp_path), ["张"])
    assert isinstance(encoder, HuggingFaceEncoder)
    assert "fastokens cannot read this tokenizer" in reason
    monkeypatch.setattr(encode, "fastokens", None)
    assert choose_encoder(load_tokenizer(tmp_path), ["张"])[1] == "fastokens is not installed"


def test_nothing_to_encode(tokenizer: Tokenizer) -> None:
    for encoder in (FastEncoder(tokenizer), HuggingFaceEncoder(tokenizer)):
        assert [part.tolist() for part in encoder([])] == [[], []]
        assert [part.tolist() for part in encoder(["", ""])] == [[], [0, 0]]
