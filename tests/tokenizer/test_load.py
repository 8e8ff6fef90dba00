"""Loading: control tokens stay ids, every id knows its bytes, foreign directories work or say what they lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import small_texts
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.tokenizer.special import SPECIAL_TOKENS

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("literal", SPECIAL_TOKENS)
def test_a_control_token_in_text_is_text(tokenizer: Tokenizer, literal: str) -> None:
    ids = tokenizer.encode(f"他写{literal}。")
    assert not tokenizer.special_ids & set(ids)
    assert tokenizer.decode(ids) == f"他写{literal}。"


def test_lone_surrogates_become_replacement_characters(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("好\ud800好\U0001f600")) == "好\ufffd好\U0001f600"


@given(text=ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_bytes_and_characters_add_up(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert b"".join(tokenizer.token_bytes[number] for number in ids) == text.encode()
    assert tokenizer.byte_counts()[ids].sum() == len(text.encode())
    assert tokenizer.char_counts()[ids].sum() == len(text)


def test_control_tokens_count_nothing(tokenizer: Tokenizer) -> None:
    controls = sorted(tokenizer.special_ids)
    assert controls == [0, 1, 2, 3] and (tokenizer.end_id, tokenizer.pad_id) == (0, 3)
    assert not tokenizer.byte_counts()[controls].any()
    assert not tokenizer.char_counts()[controls].any()


def test_transformers_gives_the_same_ids(tokenizer: Tokenizer) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(tokenizer.path)
    assert theirs.eos_token == "<|im_end|>"
    assert theirs.pad_token == "<|pad|>"
    for text in [*small_texts(20), " a  b\n\n\tc 1234 ", "龘👩‍👧"]:
        assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text


def test_fingerprint_is_of_the_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.copy_to(tmp_path / "same")
    file = tmp_path / "same" / "tokenizer.json"
    table = json.loads(file.read_text())
    file.write_text(json.dumps(table))
    (tmp_path / "same" / "chat_template.jinja").write_text("another")
    assert load_tokenizer(tmp_path / "same").fingerprint == tokenizer.fingerprint
    table["model"]["merges"].pop()
    file.write_text(json.dumps(table))
    assert load_tokenizer(tmp_path / "same").fingerprint != tokenizer.fingerprint


def test_copy_takes_only_the_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.copy_to(tmp_path / "there")
    names = {file.name for file in (tmp_path / "there").iterdir()}
    assert names == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


def foreign(path: Path, config: dict[str, object] | None) -> Tokenizer:
    backend = Backend(models.BPE(vocab={"</s>": 0, "▁": 1, "你": 2, "<0xE4>": 3}, merges=[], byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.add_special_tokens(["</s>"])
    backend.save(str(path / "tokenizer.json"))
    if config is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(path)


def test_a_foreign_tokenizer_names_its_own_end(tmp_path: Path) -> None:
    tokenizer = foreign(tmp_path, {"eos_token": {"content": "</s>"}, "pad_token": "</s>"})
    assert (tokenizer.end_id, tokenizer.pad_id) == (0, 0)
    assert tokenizer.byte_counts().tolist() == [0, 3, 3, 1]


def test_a_foreign_tokenizer_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'eos_token' in tokenizer_config.json"):
        foreign(tmp_path, None).end_id  # noqa: B018


def test_not_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tokenizer.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="not a tokenizer file"):
        load_tokenizer(tmp_path)
