"""The corpus: deterministic, varied, answerable, and its test unseen in training."""

import lzma
import random
import re
import zlib
from pathlib import Path

import pytest

from yanmo.core.files import read_jsonl
from yanmo.demo.corpus import Corpus, build_corpus, majority, user_turns, write_corpus
from yanmo.demo.dirt import dirty_rows


def test_a_seed_is_a_corpus(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_corpus(build_corpus(5, 20_000, 200, 50, 2), tmp_path / name, 5)
    for file in ("corpus.jsonl", "conversations.jsonl", "preferences.jsonl", "questions.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert build_corpus(6, 20_000, 200, 50, 2).documents != build_corpus(5, 20_000, 200, 50, 2).documents


def test_documents_are_varied(corpus: Corpus) -> None:
    """Memorising sentences does not pay: documents do not repeat, and compress no better than such prose should."""
    assert len(set(corpus.documents)) > 0.999 * len(corpus.documents)
    text = "\n".join(corpus.documents)
    sentences = re.split("[。？！\n]", text)
    assert len(set(sentences)) > 10_000
    data = text.encode()
    assert len(zlib.compress(data, 9)) / len(data) > 0.2
    assert len(lzma.compress(data)) / len(data) > 0.09


def test_documents_are_whole_chinese_sentences(corpus: Corpus) -> None:
    for text in corpus.documents:
        assert not re.search(r"[{}a-zA-Z]|。。|，，|，。|None", text), text
        assert text[-1] in "。！？”：", text


def test_no_question_stands_in_the_training_data(corpus: Corpus) -> None:
    asked_of = [*corpus.conversations, *(pair.messages for pair in corpus.preferences)]
    everything = "\n".join([*corpus.documents, *(m["content"] for row in asked_of for m in row)])
    asked = {user_turns(row[: i + 1]) for row in asked_of for i in range(len(row))}
    for question in corpus.questions:
        key = user_turns(question.messages)
        assert key not in asked
        assert len(question.messages) > 1 or key not in everything


def test_both_answers_of_a_preference_are_true(corpus: Corpus) -> None:
    told = {turn["content"] for row in corpus.conversations for turn in row if turn["role"] == "assistant"}
    assert len(corpus.preferences) == 500
    for pair in corpus.preferences:
        assert len(pair.chosen) > len(pair.rejected)
    known = sum(answer in told for pair in corpus.preferences for answer in (pair.chosen, pair.rejected))
    assert known > 0.6 * 1000, "both are answers that fine-tuning teaches too"


def test_questions_cover_all_kinds_and_levels(corpus: Corpus) -> None:
    assert {question.level for question in corpus.questions} == {"新说法", "新搭配", "没问过"}
    assert len({question.kind for question in corpus.questions}) >= 30
    assert len(corpus.questions) > 400
    assert any(len(question.messages) == 3 for question in corpus.questions)


def test_guessing_does_not_pay(corpus: Corpus) -> None:
    assert majority(corpus.questions) < 0.25


def test_every_answer_follows_from_the_documents(corpus: Corpus) -> None:
    """What the test asks about the town was told: the accepted words stand in the documents beside their subject."""
    told = "\n".join(corpus.documents)
    own = ("闲谈", "不认识的人", "没人说过的事", "比年龄", "加减")
    for question in corpus.questions:
        if question.kind not in own:
            assert any(word in told for word in question.accepted), question
            assert not any(rival in word for rival in question.rivals for word in question.accepted)


def test_strangers_and_residents_are_apart(corpus: Corpus) -> None:
    names = {person.name for person in corpus.world.people}
    for question in corpus.questions:
        if question.kind == "不认识的人":
            assert not any(name in question.messages[0]["content"] for name in names)


@pytest.mark.parametrize("reason", ["copy", "scrap", "foreign", "advert", "mojibake"])
def test_dirt_of_every_kind(corpus: Corpus, reason: str) -> None:
    rows = [text for why, text in dirty_rows(corpus.documents, 300, random.Random(0)) if why == reason]
    assert rows
    assert (reason == "copy") == (rows[0] in set(corpus.documents))


def test_files_hold_everything(corpus: Corpus, tmp_path: Path) -> None:
    counts = write_corpus(corpus, tmp_path, 0)
    rows = list(read_jsonl(tmp_path / "corpus.jsonl"))
    assert len(rows) == counts["documents"] == len(corpus.documents) + counts["dirty"]
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["text"] for row in rows} >= set(corpus.documents)
    assert len(list(read_jsonl(tmp_path / "conversations.jsonl"))) == counts["conversations"] == 3000
    questions = list(read_jsonl(tmp_path / "questions.jsonl"))
    assert len(questions) == counts["questions"]
    assert set(questions[0]) == {"messages", "accepted", "rivals", "kind", "level"}
