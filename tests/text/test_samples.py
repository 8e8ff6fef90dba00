"""The real public formats, where their samples lie beside the project: row counts exact, no text lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.conversations import find_format, read_conversations
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Row
from yanmo.text.files.sources import look
from yanmo.text.preferences import Preference, read_preferences
from yanmo.text.steps.normalise import normalise

DATA = Path(os.environ.get("YANMO_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "samples").is_dir(), reason=f"no real samples in {DATA} (YANMO_DATA)")

DOCUMENT_SETS = [
    ("samples/563w_baidubaike_sample.json", 1000, "baidubaike", ("title", "summary", "sections")),
    ("samples/wikipedia-cn-20230720-filtered_sample.json", 250, "wiki-cn", ("completion",)),
    ("samples/2021-31_zh_head_0000_sample.jsonl", 1000, "text", ("text",)),
    ("samples/part-010205-a894b46e_sample.jsonl", 1000, "content", ("content",)),
    ("samples/baike_qa_train_sample.json", 1000, "baike-qa", ("answer",)),
    ("samples/firefly-train-1.1M_sample.jsonl", 1000, "firefly", ("input", "target")),
    ("samples/train_2M_CN_sample.json", 1000, "alpaca", ("instruction", "input", "output")),
    ("samples/train_3.5M_CN_sample.json", 1000, "sharegpt", ("conversations",)),
    ("samples/oaast_sft_zh.json", 689, "alpaca", ("instruction", "input", "output", "history")),
    ("samples/self_cognition.json", 80, "alpaca", ("instruction", "input", "output")),
    ("samples/train-00000-of-00005-a1278ede4e8c5cdb_sample.parquet", 1000, "zhihu", ("INSTRUCTION", "RESPONSE")),
    ("samples/chatlm_my_train_dataset_3k.parquet", 3000, "prompt-response", ("prompt", "response")),
    ("samples/medical_dialogue_gb18030.csv", 7644, "medical", ("answer",)),
    ("samples/chatlm_my_valid_dataset_1k.parquet", 1000, "prompt-response", ("prompt", "response")),
    ("samples/chatlm_my_test_dataset_2k.parquet", 2000, "prompt-response", ("prompt", "response")),
    ("pretrain/tech_docs.jsonl.zst", 1356, "text", ("text",)),
    ("sft/medical_qa.jsonl.zst", 8279, "alpaca", ("instruction", "input", "output")),
    ("sft/multi_turn_sharegpt.jsonl.zst", 1000, "sharegpt", ("conversations",)),
    ("preference/pairs.jsonl.zst", 1118, "prompt-chosen-rejected", ("prompt", "chosen")),
    ("eval/cmmlu_dev.jsonl.zst", 335, "choice", ("question", "A", "B", "C", "D", "answer")),
]


def characters(value: object) -> int:
    if isinstance(value, str):
        return len("".join(value.split()))
    if isinstance(value, dict):
        return sum(characters(part) for key, part in value.items() if key not in ("from", "role"))
    return sum(map(characters, value)) if isinstance(value, list) else 0


@pytest.mark.parametrize("name, rows, format, keys", DOCUMENT_SETS)
def test_every_row_and_every_character(name: str, rows: int, format: str, keys: tuple[str, ...]) -> None:
    source = look(DATA / name)
    assert find_format(source, DOCUMENTS) == format
    given = kept = seen = 0
    for row in read_rows(source):
        assert isinstance(row, Row) and isinstance(row.value, dict)
        seen += 1
        text = DOCUMENTS[format].read(row.value)
        assert isinstance(text, str)
        text = normalise(text)
        given += sum(characters(row.value[key]) for key in keys)
        kept += characters(text)
        if format == "baidubaike":
            assert str(text).startswith(normalise(row.value["title"]))
    assert seen == rows
    assert kept >= 0.999 * given  # what is missing is a title that its text repeats


@pytest.mark.parametrize(
    "name, rows, rejected",
    [
        ("sft/alpaca_zh.jsonl.zst", 20_075, 10),
        ("sft/medical_qa.jsonl.zst", 8_279, 0),
        ("sft/multi_turn_sharegpt.jsonl.zst", 1_000, 6),
        ("samples/train_3.5M_CN_sample.json", 1_000, 0),
        ("samples/medical_dialogue_gb18030.csv", 7_644, 0),
        ("samples/oaast_sft_zh.json", 689, 0),
    ],
)
def test_conversations(name: str, rows: int, rejected: int) -> None:
    """Rejected are answers and questions that are really empty."""
    found = list(read_conversations([DATA / name]))
    assert len(found) == rows
    assert sum(not isinstance(row.messages, list) for row in found) == rejected


def test_every_pair_of_the_ranked_answers() -> None:
    """775 rankings of k answers give the sum of k (k - 1) / 2 pairs; six rankings hold an answer twice."""
    pairs = [pair for _, pair in read_preferences([DATA / "samples/oaast_rm_zh.json"])]
    assert len(pairs) == 1809
    assert sum(isinstance(pair, Preference) for pair in pairs) == 1809 - 6


def test_preference_pairs() -> None:
    pairs = [pair for _, pair in read_preferences([DATA / "preference/pairs.jsonl.zst"])]
    assert len(pairs) == 1118
    assert [pair.reason for pair in pairs if not isinstance(pair, Preference)] == ["equal_answers"]
