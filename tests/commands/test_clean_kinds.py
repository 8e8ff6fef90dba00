"""`clean` by kind of source: the web profile, a list of words, a classifier trained on examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.text.steps.test_classifier import BAD as BAD_WORDS
from tests.text.steps.test_classifier import GOOD as GOOD_WORDS
from tests.text.steps.test_classifier import texts
from tests.text.web_rows import BAD, GOOD
from yanmo.commands import clean
from yanmo.core.files import read_json, read_jsonl, write_jsonl


def rows(path: Path, documents: list[str]) -> Path:
    with write_jsonl(path) as file:
        for text in documents:
            file.write({"text": text})
    return path


def documents(out: Path) -> list[str]:
    return [row["text"] for part in sorted(out.glob("part-*")) for row in read_jsonl(part)]


def test_the_web(tmp_path: Path) -> None:
    path = rows(tmp_path / "page.jsonl", [text for pair in zip(GOOD, BAD, strict=True) for text in pair])
    clean.main(clean.Settings(inputs=[path], kind="web", out=tmp_path / "out"))
    report = read_json(tmp_path / "out" / "report.json")
    assert report["rows"] == 40 == report["documents"] + sum(report["removed"].values())
    assert len(set(documents(tmp_path / "out")) & set(GOOD)) >= 18
    assert report["documents"] <= 22
    clean.main(clean.Settings(inputs=sorted((tmp_path / "out").glob("part-*")), kind="web", out=tmp_path / "again"))
    assert documents(tmp_path / "again") == documents(tmp_path / "out")


def test_a_classifier_of_ones_own(tmp_path: Path) -> None:
    good, bad = texts(GOOD_WORDS, 1), texts(BAD_WORDS, 2)
    unseen = texts(GOOD_WORDS, 3, 20) + texts(BAD_WORDS, 4, 20)
    settings = clean.Settings(
        inputs=[rows(tmp_path / "unseen.jsonl", unseen)],
        good_examples=[rows(tmp_path / "good.jsonl", good)],
        bad_examples=[rows(tmp_path / "bad.jsonl", bad)],
        duplicates="none",
        out=tmp_path / "out",
    )
    clean.main(settings)
    report = read_json(tmp_path / "out" / "report.json")
    assert report["quality_accuracy"] > 0.95
    assert 18 <= report["documents"] <= 22
    assert 18 <= report["removed"]["low_quality"] <= 22
    again = clean.Settings(
        inputs=settings.inputs,
        quality_model=tmp_path / "out" / "quality.safetensors",
        duplicates="none",
        out=tmp_path / "again",
    )
    clean.main(again)
    assert documents(again.out) == documents(settings.out)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"good_examples": 3, "bad_examples": 60}, "--good-examples: 3 documents; give at least 50"),
        ({"good_examples": 3}, "needs both"),
        ({"blocklist": "空"}, "no words"),
    ],
)
def test_mistakes(tmp_path: Path, changed: dict[str, int | str], message: str) -> None:
    given: dict[str, object] = {}
    for name, value in changed.items():
        if isinstance(value, int):
            given[name] = [rows(tmp_path / f"{name}.jsonl", [f"第{n}篇例文，写得很好。" for n in range(value)])]
        else:
            given[name] = tmp_path / name
            (tmp_path / name).write_text("# 还没有词\n", "utf-8")
    settings = clean.Settings(inputs=[rows(tmp_path / "a.jsonl", GOOD)], out=tmp_path / "out", **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        clean.main(settings)
