"""The document steps on the real public corpora, where their samples lie beside the project.

By default at least 99 % of the characters stay, and cleaning what was cleaned changes nothing.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Row
from yanmo.text.files.sources import look
from yanmo.text.reading import find_format
from yanmo.text.step import run_steps
from yanmo.text.steps.kinds import Kind, kind_of_format
from yanmo.text.steps.rules import Rules, document_steps

DATA = Path(os.environ.get("YANMO_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "samples").is_dir(), reason=f"no real samples in {DATA} (YANMO_DATA)")
ROWS = 300
SETS = [
    "samples/2021-31_zh_head_0000_sample.jsonl",
    "samples/part-010205-a894b46e_sample.jsonl",
    "samples/563w_baidubaike_sample.json",
    "samples/wikipedia-cn-20230720-filtered_sample.json",
    "samples/firefly-train-1.1M_sample.jsonl",
    "samples/train_2M_CN_sample.json",
    "samples/train_3.5M_CN_sample.json",
    "samples/train-00000-of-00005-a1278ede4e8c5cdb_sample.parquet",
    "samples/medical_dialogue_gb18030.csv",
    "samples/oaast_sft_zh.json",
    "pretrain/tech_docs.jsonl.zst",
]


def sample(name: str) -> tuple[str, list[str]]:
    source = look(DATA / name)
    format = find_format(source, DOCUMENTS)
    rows = islice((row for row in read_rows(source) if isinstance(row, Row)), ROWS)
    texts = [DOCUMENTS[format].read(row.value) for row in rows if isinstance(row.value, dict)]
    return format, [text for text in texts if isinstance(text, str)]


def size(text: object) -> int:
    return len("".join(text.split())) if isinstance(text, str) else 0


@pytest.mark.parametrize("name", SETS)
def test_the_defaults_lose_next_to_nothing(name: str) -> None:
    format, texts = sample(name)
    steps = document_steps(Rules(), kind_of_format(format))
    cleaned = [run_steps(text, steps) for text in texts]
    assert sum(map(size, cleaned)) >= 0.99 * sum(map(size, texts))
    for text in cleaned:
        if isinstance(text, str):
            assert run_steps(text, steps) == text


@pytest.mark.parametrize(
    "name, kind, least, most",
    [
        (SETS[0], "web", 0.95, 1),
        (SETS[1], "web", 0.8, 0.95),
        (SETS[-1], "markdown", 0.999, 1),
        ("pretrain/classics_original.jsonl.zst", "verse", 0.995, 1),
    ],
)
def test_rows_that_a_kind_keeps(name: str, kind: Kind, least: float, most: float) -> None:
    """The web profile is for the web and strict; Markdown and verse lose nothing to theirs."""
    _, texts = sample(name)
    steps = document_steps(Rules(), kind)
    cleaned = [run_steps(text, steps) for text in texts]
    kept = [text for text in cleaned if isinstance(text, str)]
    assert least <= len(kept) / len(texts) <= most
    assert all(run_steps(text, steps) == text for text in kept)
