"""Real samples of public formats: rows, characters kept, and CPU time beside Python's own parsers.

    python bench/formats.py SAMPLES_DIR

Characters are those that are not white space, of every text field of every row; "kept" is what is in the text that
`clean` gets. Beside it stands what the rules of the projects keep from which these samples are known; the rules are
written here after their descriptions, one line each. Reading is timed in CPU seconds, in turns, the best of five;
the peers only parse.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.conversations import find_format
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Row
from yanmo.text.files.sources import look
from yanmo.text.steps.normalise import normalise

Fields = Callable[[dict[str, Any]], Iterable[str]]


def fields(*keys: str) -> Fields:
    return lambda row: (row[key] or "" for key in keys)


def baike(row: dict[str, Any]) -> Iterable[str]:
    yield from (row["title"], row["summary"] or "")
    for section in row["sections"]:
        yield from (section["title"] or "", section["content"] or "")


def first_section(row: dict[str, Any]) -> Sequence[str]:
    return [section["content"] or "" for section in row["sections"][:1]]


def up_to_512(row: dict[str, Any]) -> Sequence[str]:
    return [row["text"]] if len(row["text"]) <= 512 else []


def short_pairs(row: dict[str, Any]) -> Sequence[str]:
    question, answer = row["instruction"] + row["input"], row["output"]
    return [question, answer] if 10 <= len(question) <= 256 and 5 <= len(answer) <= 256 else []


def said(row: dict[str, Any]) -> Sequence[str]:
    return [turn["value"] for turn in row["conversations"]]


def two_turns(row: dict[str, Any]) -> Sequence[str]:
    return said(row) if len(row["conversations"]) == 2 else []


def with_history(row: dict[str, Any]) -> Iterable[str]:
    yield from (row["instruction"], row["input"], row["output"])
    for pair in row["history"]:
        yield from pair


SAMPLES: list[tuple[str, Fields, str, Fields | None]] = [
    ("563w_baidubaike_sample.json", baike, "the first section (baby-llama2)", first_section),
    ("2021-31_zh_head_0000_sample.jsonl", fields("text"), "rows up to 512 characters (Matelike)", up_to_512),
    (
        "train_2M_CN_sample.json",
        fields("instruction", "input", "output"),
        "10-256 and 5-256 (baby-llama2)",
        short_pairs,
    ),
    ("train_3.5M_CN_sample.json", said, "dialogues of two turns (MINI_LLM)", two_turns),
    ("wikipedia-cn-20230720-filtered_sample.json", fields("completion"), "", None),
    ("part-010205-a894b46e_sample.jsonl", fields("content"), "", None),
    ("baike_qa_train_sample.json", fields("title", "desc", "answer"), "", None),
    ("firefly-train-1.1M_sample.jsonl", fields("input", "target"), "", None),
    ("oaast_sft_zh.json", with_history, "the last turn (no history)", fields("instruction", "input", "output")),
    ("train-00000-of-00005-a1278ede4e8c5cdb_sample.parquet", fields("INSTRUCTION", "RESPONSE"), "", None),
    ("medical_dialogue_gb18030.csv", fields("title", "ask", "answer"), "", None),
]


def characters(texts: Iterable[str]) -> int:
    return sum(len("".join(text.split())) for text in texts)


def kept(path: Path, given: Fields, rule: Fields | None) -> tuple[str, int, float, float | None]:
    """The format, rows, our share of the characters and the rule's."""
    source = look(path)
    format = find_format(source, DOCUMENTS)
    rows = total = ours = theirs = 0
    for row in read_rows(source):
        assert isinstance(row, Row) and isinstance(row.value, dict), row
        text = normalise(str(DOCUMENTS[format].read(row.value)))
        rows += 1
        total += characters(given(row.value))
        ours += characters([str(text)])
        theirs += characters(rule(row.value)) if rule else 0
    return format, rows, ours / total, theirs / total if rule else None


def peer(path: Path) -> int:
    """Rows by Python's own parsers, as the source projects use them."""
    if path.suffix == ".csv":
        return sum(1 for _ in csv.DictReader(io.StringIO(path.read_text("gb18030"))))
    if path.read_bytes()[:1] == b"[":
        return len(json.loads(path.read_text("utf-8")))
    with open(path, encoding="utf-8") as lines:
        return sum(1 for line in lines if json.loads(line))


def cpu(work: Callable[[Path], int], path: Path) -> float:
    start = time.process_time()
    work(path)
    return time.process_time() - start


def main() -> None:
    folder = Path(sys.argv[1])
    print("| sample | format | rows | characters kept | by the rule | rule |\n|---|---|---|---|---|---|")
    for name, given, title, rule in SAMPLES:
        format, rows, ours, theirs = kept(folder / name, given, rule)
        print(f"| {name} | {format} | {rows:,} | {ours:.1%} | {'' if theirs is None else f'{theirs:.1%}'} | {title} |")
    print("\n| sample | MB | ours, MB/s | Python's parser, MB/s | ratio |\n|---|---|---|---|---|")
    for name, *_ in SAMPLES:
        path = folder / name
        if path.suffix == ".parquet":
            continue
        turns = [(cpu(lambda p: sum(1 for _ in read_rows(look(p))), path), cpu(peer, path)) for _ in range(5)]
        mine, theirs = (min(times) for times in zip(*turns, strict=True))
        size = path.stat().st_size / 1e6
        print(f"| {name} | {size:.1f} | {size / mine:.0f} | {size / theirs:.0f} | {theirs / mine:.2f} |")


if __name__ == "__main__":
    main()
