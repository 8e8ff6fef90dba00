"""Documents, their split, and the sample a tokenizer is trained on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from yanmo.data import sample as sample_module
from yanmo.data.documents import Document, ValidationSplit, document_files, document_hash, read_documents
from yanmo.data.sample import LONGEST, OTHERS, sampling_rates, stratified_sample


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_a_directory_stands_for_its_documents(tmp_path: Path) -> None:
    (tmp_path / "removed").mkdir()
    write(tmp_path / "removed" / "short.jsonl", [{"text": "dropped"}])
    write(tmp_path / "metrics.jsonl", [{"step": 1}])
    second = write(tmp_path / "part-00001.jsonl", [{"text": "二", "source": "wiki"}])
    first = write(tmp_path / "part-00000.jsonl", [{"text": "一"}, {"text": ""}])
    assert document_files([tmp_path]) == [first, second]
    assert list(read_documents([first, second])) == [Document("一", "part-00000"), Document("二", "wiki")]


def test_what_is_no_document(tmp_path: Path) -> None:
    for row in ({"txt": "a"}, {"text": 3}, ["text"]):
        file = write(tmp_path / "a.jsonl", [{"text": "好"}, row])
        with pytest.raises(ValueError, match=r"a.jsonl:2: not a document"):
            list(read_documents([file]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no .jsonl"):
        document_files([tmp_path / "empty"])
    with pytest.raises(ValueError, match="no such file or directory"):
        document_files([tmp_path / "missing"])


def held_out(texts: list[str], fraction: float, minimum: int) -> set[str]:
    split = ValidationSplit(fraction, minimum)
    for text in texts:
        split.see(document_hash(text))
    return {text for text in texts if document_hash(text) < split.threshold()}


def test_split_takes_about_the_fraction_and_never_less_than_the_minimum() -> None:
    texts = [f"第{number}篇" for number in range(4000)]
    assert 150 < len(held_out(texts, 0.05, 8)) < 250
    assert len(held_out(texts, 1e-9, 8)) == 8
    assert len(held_out(texts[:30], 1e-9, 8)) == 3  # a tenth at most
    assert len(held_out(texts[:2], 1e-9, 8)) == 1
    assert not held_out(texts[:1], 1e-9, 8)
    assert not held_out(texts, 0.0, 8)


def test_split_does_not_depend_on_order() -> None:
    texts = [f"第{number}篇" for number in range(500)]
    assert held_out(texts, 0.01, 20) == held_out(texts[::-1], 0.01, 20)


def test_equal_texts_stay_together() -> None:
    texts = [f"第{number % 50}篇" for number in range(500)]
    split = ValidationSplit(0.1, 8)
    for text in texts:
        split.see(document_hash(text))
    sides: dict[str, set[bool]] = {}
    for text in texts:
        sides.setdefault(text, set()).add(document_hash(text) < split.threshold())
    assert all(len(side) == 1 for side in sides.values())


def test_small_sources_are_heard() -> None:
    sizes = Counter({"web": 1_000_000, "wiki": 10_000, "verse": 100})
    shares = {source: size**0.5 for source, size in sizes.items()}
    rates = sampling_rates(sizes, shares, 101_000, 1)
    assert rates["verse"] == 1.0
    taken = {source: rates[source] * size for source, size in sizes.items()}
    assert sum(taken.values()) == pytest.approx(101_000, rel=1e-6)
    assert taken["web"] / taken["wiki"] == pytest.approx(10, rel=0.02)
    assert set(sampling_rates(sizes, shares, 10**9, 1).values()) == {1.0}


def test_given_shares_repeat_what_is_small() -> None:
    sizes = Counter({"web": 1_000_000, "wiki": 10_000, "verse": 1000})
    rates = sampling_rates(sizes, {"web": 1, "wiki": 1, "verse": 1}, 60_000, 4)
    assert rates["verse"] == 4  # asked for 20 times its size
    assert rates["wiki"] * 10_000 == pytest.approx(28_000)  # and what that leaves
    assert rates["web"] * 1_000_000 == pytest.approx(28_000)
    assert sampling_rates(sizes, {"web": 1, "wiki": 0, "verse": 0}, 60_000, 4)["wiki"] == 0


def corpus() -> list[Document]:
    web = [Document(f"网{number}" * 50, "web") for number in range(2000)]
    return [*web, *(Document(f"诗{number}" * 50, "verse") for number in range(100))]


def test_sample_is_of_the_size_asked_for_and_has_every_source() -> None:
    documents = corpus()
    sample = stratified_sample(lambda: iter(documents), 60_000)
    assert 50_000 < sample.bytes < 70_000
    assert sample.documents_seen == 2100
    verse = sum(text.startswith("诗") for text in sample.texts) / len(sample.texts)
    assert 0.1 < verse < 0.3  # a square-root share: 1 of 1 + 20 ** 0.5


def test_sample_is_the_same_in_any_order_and_apart_from_what_is_held_out() -> None:
    documents = corpus()
    one = stratified_sample(lambda: iter(documents), 60_000)
    other = stratified_sample(lambda: reversed(documents), 60_000)
    assert sorted(one.texts) == sorted(other.texts)
    held = {text for texts in one.held_out.values() for text in texts}
    assert held
    assert not held & set(one.texts)


def test_one_book_does_not_write_the_vocabulary() -> None:
    documents = [Document("长" * 50_000, "web"), Document("短" * 10, "web")]
    sample = stratified_sample(lambda: iter(documents), 10**9)
    assert max(len(text) for texts in (sample.texts, *sample.held_out.values()) for text in texts) == LONGEST


def test_sources_of_single_documents_count_as_one() -> None:
    documents = [Document(f"网{number}" * 50, f"url{number}") for number in range(500)]
    sample = stratified_sample(lambda: iter(documents), 10**9)
    assert set(sample.held_out) == {OTHERS}


def test_shares_decide_what_the_sample_holds() -> None:
    documents = corpus()
    sample = stratified_sample(lambda: iter(documents), 30_000, {"web": 1, "verse": 2})
    verse = Counter(text for text in sample.texts if text.startswith("诗"))
    assert 0.6 < sum(verse.values()) / len(sample.texts) < 0.75
    assert set(verse.values()) <= {1, 2}
    assert not {text for texts in sample.held_out.values() for text in texts} & set(sample.texts)


def test_a_source_a_document_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_module, "MOST_SOURCES", 50)
    documents = [*corpus(), *(Document(f"页{number}" * 10, f"url{number}") for number in range(1000))]
    sample = stratified_sample(lambda: iter(documents), 10**9)
    assert set(sample.held_out) <= {"web", "verse", OTHERS}
    assert len(sample.texts) + sum(map(len, sample.held_out.values())) == 3100


def test_no_documents() -> None:
    with pytest.raises(ValueError, match="no documents"):
        stratified_sample(lambda: iter([]), 1000)
