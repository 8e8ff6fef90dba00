"""`yanmo clean`: what goes in comes out, as a document or with a reason, whatever the workers and the interruptions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from yanmo.cli import run
from yanmo.commands import clean
from yanmo.core.files import read_json, read_jsonl

TEXT = "从前有一座山，山里有一座庙，庙里有一个老和尚。"


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def han(rng: random.Random, length: int) -> str:
    return "".join(chr(rng.randrange(0x4E00, 0x5600)) for _ in range(length))


def documents(out: Path) -> list[dict[str, Any]]:
    return [row for part in sorted(out.glob("part-*.jsonl.zst")) for row in read_jsonl(part)]


def removed(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {file.name.split(".")[0]: list(read_jsonl(file)) for file in sorted((out / "removed").iterdir())}


def contents(out: Path) -> dict[str, bytes]:
    """All files but those that tell of the run itself (they hold times)."""
    files = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(p.relative_to(out)): p.read_bytes() for p in files if p.name not in ("run.toml", "report.json")}


def corpus(folder: Path) -> Path:
    """Five files in five layouts with every reason for removal."""
    folder.mkdir()
    rng = random.Random(0)

    def text() -> str:
        return han(rng, rng.randrange(20, 400))

    rows = [{"text": text()} for _ in range(400)]
    write(folder / "a.jsonl", rows + rows[100:200] + [{"text": "短"}, {"text": 5}, {"text": "English only, sorry."}])
    (folder / "b.jsonl").write_bytes(b"\n".join(json.dumps(row).encode() for row in rows[:50]) + b'\n{"text": "cut')
    (folder / "c.json").write_text(json.dumps([{"title": text(), "content": text()} for _ in range(100)]))
    (folder / "d.csv").write_text("question,answer\n" + "".join(f"{text()},{text()}\n" for _ in range(100)))
    (folder / "e.txt").write_text("\n".join(text() for _ in range(300)))
    return folder


def test_rows_in_are_documents_plus_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = corpus(tmp_path / "in"), tmp_path / "out"
    assert run(["clean", "--inputs", str(folder), "--out", str(out)]) == 0
    report, kept, gone = read_json(out / "report.json"), documents(out), removed(out)
    assert {name: source["rows"] for name, source in report["sources"].items()} == {
        "a.jsonl": 503,
        "b.jsonl": 51,
        "c.json": 100,
        "d.csv": 100,
        "e.txt": report["sources"]["e.txt"]["documents"],
    }
    assert report["removed"] == {"duplicate": 150, "few_han": 1, "invalid_json": 1, "too_short": 1, "wrong_type": 1}
    assert {reason: len(rows) for reason, rows in gone.items()} == report["removed"]
    assert report["rows"] == len(kept) + sum(map(len, gone.values()))
    assert gone["invalid_json"][0]["place"] == f"{folder}/b.jsonl:51"
    assert gone["invalid_json"][0]["text"] == '{"text": "cut'
    assert gone["wrong_type"] == [
        {"text": '{"text":5}', "place": f"{folder}/a.jsonl:502", "detail": "'text' is int, not text"}
    ]
    assert [row["place"] for row in gone["duplicate"][:2]] == [f"{folder}/a.jsonl:{n}" for n in (401, 402)]
    assert gone["duplicate"][0]["detail"] == f"of {folder}/a.jsonl:101"
    assert len({row["id"] for row in kept}) == len(kept)
    assert all(set(row) == {"text", "source", "id"} for row in kept)
    assert [row["source"] for row in kept] == sorted(row["source"] for row in kept)
    screen = "".join(capsys.readouterr().out.split())
    assert "duplicate" in screen and "b.jsonl:1brokenrows" in screen


ROW = st.one_of(
    st.builds(lambda text: json.dumps({"text": text}).encode(), st.text("中文字a ，\n\u200b", max_size=12)),
    st.sampled_from([b'{"text": 1}', b'{"x": 1}', b"[]", b"{", b"\xff\xff", b'{"text": "\\ud800"}', b"", b" "]),
    st.binary(max_size=20).filter(lambda data: b"\n" not in data),
)


@hypothesis(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, max_size=30))
def test_conservation_for_any_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("any")
    good = [json.dumps({"text": f"第{n}个好文档，不会丢失。"}).encode() for n in range(31)]
    (folder / "a.jsonl").write_bytes(b"\n".join(good + rows))
    clean.main(clean.Settings(inputs=[folder / "a.jsonl"], out=folder / "out", min_chars=3))
    report = read_json(folder / "out" / "report.json")
    seen = sum(bool(row.strip()) for row in good + rows)
    assert seen == report["rows"] == len(documents(folder / "out")) + sum(map(len, removed(folder / "out").values()))


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    for workers in (1, 2, 3):
        clean.main(clean.Settings(inputs=[folder], out=tmp_path / f"{workers}", workers=workers))
    assert len(contents(tmp_path / "1")) > 5
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "3")


def test_parts_are_bounded_and_numbered(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = [{"text": han(rng, 9000)} for _ in range(200)]
    path = write(tmp_path / "a.jsonl", rows)
    clean.main(clean.Settings(inputs=[path], out=tmp_path / "out", part_mb=1))
    parts = sorted(part.name for part in (tmp_path / "out").glob("part-*"))
    assert parts == [f"part-{n:05}.jsonl.zst" for n in range(len(parts))] and len(parts) >= 5
    assert [row["text"] for row in documents(tmp_path / "out")] == [row["text"] for row in rows]


def test_cleaning_twice_is_cleaning_once(tmp_path: Path) -> None:
    clean.main(clean.Settings(inputs=[corpus(tmp_path / "in")], out=tmp_path / "once"))
    clean.main(clean.Settings(inputs=[tmp_path / "once"], out=tmp_path / "twice"))
    assert documents(tmp_path / "once") == documents(tmp_path / "twice")


def test_near_duplicates_name_the_document_that_they_repeat(tmp_path: Path) -> None:
    rng = random.Random(0)
    first = [han(rng, 300) for _ in range(50)]
    changed = [text[:150] + "改" + text[151:] for text in first]
    path = write(tmp_path / "a.jsonl", [{"text": text} for text in first + changed])
    for duplicates, count in (("near", 50), ("exact", 100)):
        clean.main(clean.Settings(inputs=[path], out=tmp_path / duplicates, duplicates=duplicates))
        assert len(documents(tmp_path / duplicates)) == count
    gone = removed(tmp_path / "near")["near_duplicate"]
    assert [(row["place"], row["detail"][:-2]) for row in gone] == [
        (f"{path}:{51 + n}", f"of {path}:{1 + n}, Jaccard 0.") for n in range(50)
    ]


def test_duplicates_only_where_they_are_not_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": TEXT}, {"text": TEXT.replace("，", ",\u3000")}])
    clean.main(clean.Settings(inputs=[path], out=tmp_path / "a"))
    clean.main(clean.Settings(inputs=[path], out=tmp_path / "b", duplicates="none"))
    assert [row["id"] for row in documents(tmp_path / "a")] == ["a.jsonl:1"]
    assert len(documents(tmp_path / "b")) == 2


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no rows"),
        (b'{"text": "a"}\n', "nothing is left of 1 rows: too_short 1"),
        (b'{"text": "\xff"}\n{"text": "\xff"}\n' + json.dumps({"text": TEXT}).encode(), "2 of the first 3 rows"),
        (b'{"frage": "?"}\n', "unknown format with the keys frage"),
    ],
)
def test_one_clear_line(tmp_path: Path, data: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    assert run(["clean", "--inputs", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--inputs", "{}/nowhere"], "nowhere"),
        (["--inputs", "{}/in", "--out", "{}/in/out"], "--out"),
        (["--inputs", "{}/in", "--out", "{}"], "--out"),
        (["--inputs", "{}/in", "--format", "alpacca"], "--format alpacca: no such format"),
        (["--inputs", "{}/in", "--min-han", "3"], "--min-han"),
        (["--inputs", "{}/in", "--min-chars", "9", "--max-chars", "3"], "--max-chars 3"),
        (["--inputs", "{}/in", "--workers", "-1"], "--workers"),
        (["--inputs", "{}/in", "--near-jaccard", "0.2"], "--near-jaccard 0.2"),
        (["--inputs", "{}/in", "--cluster.ranks", "0"], "--cluster.ranks 0"),
        (["--inputs", "{}/in", "--encoding", "latin1"], "--encoding"),
    ],
)
def test_mistakes(tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", [{"text": TEXT}])
    out = [] if "--out" in flags else ["--out", str(tmp_path / "out")]
    assert run(["clean", *(flag.format(tmp_path) for flag in flags), *out]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_help_begins_with_the_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["clean", "--help"]) == 0
    assert next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  --")).startswith(
        "  --inputs"
    )


def test_resume_after_a_finished_run_does_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": TEXT}])
    arguments = ["clean", "--inputs", str(path), "--out", str(tmp_path / "out")]
    assert run(arguments) == 0
    before = (tmp_path / "out" / "report.json").stat().st_mtime_ns
    assert run(arguments) == 2
    assert run([*arguments, "--resume"]) == 0
    assert read_json(tmp_path / "out" / "report.json")["documents"] == 1
    assert (tmp_path / "out" / "part-00000.jsonl.zst").stat().st_mtime_ns < before
    assert not (tmp_path / "out" / "shards").exists()


def test_what_gives_a_test_away_is_removed_with_its_place(tmp_path: Path) -> None:
    question = "下列四座城市之中，哪一座城市在长江和汉江的交汇之处？"
    exam, corpus = tmp_path / "exam.jsonl", tmp_path / "corpus.jsonl"
    exam.write_text(json.dumps({"question": question, "A": "武汉", "answer": "A"}, ensure_ascii=False) + "\n")
    texts = ["今天天气很好，我们一起去公园里散步。", f"网友问：{question}答案是武汉。", "另外一篇没有关系的短文章。"]
    corpus.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
    out = tmp_path / "out"
    assert run(["clean", "--inputs", str(corpus), "--decontaminate", str(exam), "--out", str(out)]) == 0
    (gone,) = read_jsonl(out / "removed" / "contaminated.jsonl.zst")
    assert gone["place"].endswith("corpus.jsonl:2") and "exam.jsonl:1" in gone["detail"]
    assert [row["text"] for row in read_jsonl(out / "part-00000.jsonl.zst")] == [texts[0], texts[2]]
