"""Training: the size asked for, everyday characters whole, nothing unreachable, nothing lost."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import small_texts

from yanmo.tokenizer.hanzi import PUNCTUATION, level_1, required, standard
from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.tokenizer.report import coverage, vocabulary_by_script
from yanmo.tokenizer.save import save_tokenizer
from yanmo.tokenizer.special import SPECIAL_TOKENS
from yanmo.tokenizer.train import LONGEST_RUN, learn_merges, train
from yanmo.tokenizer.vocabulary import Kind

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def wordy_texts() -> list[str]:
    """Text of 4,000 invented words over 1,500 characters: enough for a vocabulary of thousands."""
    generator = random.Random(0)
    alphabet = level_1()[::2][:1500]
    words = ["".join(generator.choices(alphabet, k=generator.choice((2, 2, 3)))) for _ in range(4000)]
    return ["，".join(generator.choices(words, k=200)) + "。" for _ in range(200)]


@pytest.fixture(scope="module", params=["byte", "char"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    directory = tmp_path_factory.mktemp("trained")
    save_tokenizer(train(small_texts(), 560, request.param), directory)
    return load_tokenizer(directory)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    directory = tmp_path_factory.mktemp("large")
    save_tokenizer(train(wordy_texts(), 8192), directory)
    return load_tokenizer(directory)


def test_size_and_control_tokens(trained: Tokenizer) -> None:
    assert trained.vocab_size == 560
    assert [trained.backend.id_to_token(number) for number in range(4)] == list(SPECIAL_TOKENS)
    assert trained.special_ids == {0, 1, 2, 3}


@given(text=ANY_TEXT)
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back(trained: Tokenizer, text: str) -> None:
    assert trained.decode(trained.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["\n \t    x", "👩‍👩‍👧 🇨🇳", "龘𠮷", "a\r\n\r\nb", "\x00\x1f", "１２３ ﬁ é", "<0xE4>", "▁"]
)
def test_odd_text_comes_back(trained: Tokenizer, text: str) -> None:
    assert trained.decode(trained.encode(text)) == text


def test_digits_stand_alone(trained: Tokenizer) -> None:
    assert [trained.decode([number]) for number in trained.encode("20261122")] == list("20261122")


def test_every_token_is_reachable(large: Tokenizer) -> None:
    for number in range(4, large.vocab_size):
        assert len(large.backend.model.tokenize(large.backend.id_to_token(number))) == 1


def test_everyday_characters_are_whole_even_unseen(large: Tokenizer) -> None:
    characters = [*level_1(), *PUNCTUATION]
    assert len(characters) == 3755 + len(PUNCTUATION)
    assert coverage(large, characters)["missing"] == ""
    assert not set(level_1()) <= set("".join(wordy_texts()))


def test_no_token_joins_parts_of_characters(large: Tokenizer) -> None:
    kinds = vocabulary_by_script(large)
    assert "parts of several characters" not in kinds
    assert kinds["Han, several"] > 500  # the check above would pass on single characters alone


def test_small_vocabularies_take_the_most_frequent() -> None:
    counts = Counter({"的": 50, "是": 70, "a": 1000, "龘": 60})
    assert required(560, counts) == ["是", "的"]
    assert required(264, counts) == ["是"]
    assert required(8192, counts)[:3] == ["是", "的", "，"]


def test_large_vocabularies_have_the_standard_characters() -> None:
    assert not set(standard()[:3500]) <= set(required(8192, Counter()))
    assert set(standard()[:3500]) | set(level_1()) | set(PUNCTUATION) == set(required(16_384, Counter()))


def test_order_of_texts_does_not_matter(trained: Tokenizer) -> None:
    kind = "char" if trained.backend.model.byte_fallback else "byte"
    again = train(small_texts()[::-1], 560, kind)
    assert again.to_str() == train(small_texts(), 560, kind).to_str()


def test_more_than_the_text_gives() -> None:
    with pytest.raises(ValueError, match="--vocab-size 20000: this text gives a vocabulary of") as error:
        train(small_texts(), 20_000)
    assert "more text" in str(error.value)
    with pytest.raises(ValueError, match="--vocab-size 4000") as error:
        train(small_texts(), 4000)
    reachable = int(re.search(r"vocabulary of (\d+) entries", str(error.value))[1])  # type: ignore[index]
    assert train(small_texts(), reachable).get_vocab_size() == reachable


@pytest.mark.parametrize("kind", ["byte", "char"])
def test_a_small_vocabulary_of_a_rich_text_has_the_size_asked_for(kind: Kind) -> None:
    """1,500 characters compete for the 252 entries beside the bytes."""
    tokenizer = train(wordy_texts(), 512, kind)
    assert tokenizer.get_vocab_size() == 512
    text = wordy_texts()[0]
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_too_small() -> None:
    with pytest.raises(ValueError, match="--vocab-size 300: the smallest useful vocabulary has 512"):
        train(small_texts(), 300)


def test_long_runs_are_bounded_in_training() -> None:
    run = "".join(level_1()[:40])
    longest = max(len((left + right).decode()) for left, right in learn_merges([run] * 50, 1000, 40))
    assert longest == LONGEST_RUN
