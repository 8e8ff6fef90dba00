"""Public preference formats: every pair of a ranking, and no pair that teaches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.test_conversations import JSON, write
from yanmo.text.formats import recognise
from yanmo.text.preferences import PREFERENCES, Preference, checked_pair, read_preferences
from yanmo.text.step import Drop

USER, REPLY = ("user", "问"), ("assistant", "早")
EARLIER = [("user", "早"), REPLY]
Said = list[tuple[str, str]]


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


FORMATS: list[tuple[str, dict[str, Any], list[Said]]] = [
    ("preferences", {"messages": [turn("user", "问")], "chosen": "好", "rejected": "坏"}, [[USER]]),
    (
        "sharegpt-dpo",
        {
            "conversations": [{"from": "human", "value": "问"}],
            "chosen": {"from": "gpt", "value": "好"},
            "rejected": {"from": "gpt", "value": "坏"},
        },
        [[USER]],
    ),
    (
        "context-dpo",
        {
            "context": [{"role": "human", "text": "问"}],
            "chosen": {"role": "assistant", "text": "好"},
            "rejected": {"role": "assistant", "text": "坏"},
        },
        [[USER]],
    ),
    ("medical-reward", {"question": "问", "response_chosen": "好", "response_rejected": "坏"}, [[USER]]),
    ("prompt-chosen-rejected", {"prompt": "问", "chosen": "好", "rejected": "坏"}, [[USER]]),
    (
        "prompt-chosen-rejected",
        {
            "prompt": "问",
            "chosen": [turn("user", "问"), turn("assistant", "好")],
            "rejected": [turn("user", "问"), turn("assistant", "坏")],
        },
        [[USER]],
    ),
    (
        "prompt-chosen-rejected",
        {"prompt": [turn("user", "问")], "chosen": [turn("assistant", "好")], "rejected": [turn("assistant", "坏")]},
        [[USER]],
    ),
    ("prompt-chosen-reject", {"prompt": "问", "chosen": "好", "reject": "坏"}, [[USER]]),
    *(
        (f"{question}-chosen-{rejected}", {question: "问", "chosen": "好", rejected: "坏"}, [[USER]])
        for question in ("question", "query", "instruction", "input")
        for rejected in ("rejected", "reject")
    ),
    (
        "ranked",
        {"instruction": "问", "input": "", "output": ["好", "中", "坏"], "history": [["早", "早"]]},
        [[*EARLIER, USER]],
    ),
    ("ranked-prompt", {"prompt": "问", "output": ["好", "坏"], "history": ["早", "早"]}, [[*EARLIER, USER]]),
    ("hh-rlhf", {"chosen": "\n\nHuman: 问\n\nAssistant: 好", "rejected": "\n\nHuman: 问\n\nAssistant: 坏"}, [[USER]]),
]
FORMATS = [(name, row, [[*pairs[0], ("chosen", "好"), ("rejected", "坏")]]) for name, row, pairs in FORMATS]


def told(pair: Preference | Drop) -> Said:
    assert isinstance(pair, Preference), pair
    said = [(message["role"], message["content"]) for message in pair.messages]
    return [*said, ("chosen", pair.chosen), ("rejected", pair.rejected)]


def test_every_format_has_an_example() -> None:
    assert {name for name, _, _ in FORMATS} == set(PREFERENCES)


@pytest.mark.parametrize("name, row, pairs", FORMATS)
def test_formats(tmp_path: Path, name: str, row: dict[str, Any], pairs: list[Said]) -> None:
    assert recognise([row] * 3, "file", PREFERENCES) == name
    found = list(read_preferences([write(tmp_path / "a.jsonl", [row])]))
    assert {place for place, _ in found} == {f"{tmp_path}/a.jsonl:1"}
    expected = pairs[0]
    assert (expected if name != "ranked" else [*expected[:-1], ("rejected", "中")]) == told(found[0].pair)


def test_a_ranking_gives_all_its_pairs(tmp_path: Path) -> None:
    row = {"instruction": "问", "output": ["一", "二", "二", "四"]}
    found = [pair for _, pair in read_preferences([write(tmp_path / "a.jsonl", [row])])]
    pairs = [(pair.chosen, pair.rejected) for pair in found if isinstance(pair, Preference)]
    assert pairs == [("一", "二"), ("一", "二"), ("一", "四"), ("二", "四"), ("二", "四")]
    assert [pair.reason for pair in found if isinstance(pair, Drop)] == ["equal_answers"]


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"chosen": "同", "rejected": " 同 "}, "equal_answers"),
        ({"chosen": "", "rejected": "坏"}, "empty_assistant"),
        ({"chosen": "好", "rejected": " "}, "empty_rejected"),
        ({"chosen": "好", "rejected": None}, "empty_rejected"),
        ({"chosen": "好", "rejected": 3}, "wrong_type"),
        ({"chosen": "好", "rejected": "坏\ud83d"}, "lone_surrogate"),
        ({"chosen": [turn("user", "甲"), turn("assistant", "好")], "rejected": "坏"}, "different_questions"),
        ({"chosen": "好"}, "empty_rejected"),
    ],
)
def test_pairs_that_teach_nothing(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    good = {"prompt": "问", "chosen": "好", "rejected": "坏"}
    path = tmp_path / "a.jsonl"
    import json

    path.write_text("\n".join(json.dumps(r) for r in [good, good, {"prompt": "问", **row}]))
    *_, (place, pair) = read_preferences([path])
    assert isinstance(pair, Drop) and pair.reason == reason and place.endswith(":3")


def test_a_single_answer_is_no_comparison() -> None:
    drop = PREFERENCES["ranked"].read({"instruction": "问", "output": ["好"]})
    assert isinstance(drop, Drop) and drop.reason == "one_answer"


@given(st.sampled_from(sorted(PREFERENCES)), st.data())
def test_no_row_is_a_crash(name: str, data: st.DataObject) -> None:
    known = PREFERENCES[name]
    said = st.fixed_dictionaries({}, optional=dict.fromkeys(("role", "content", "from", "value"), JSON))
    value = JSON | st.lists(st.text(max_size=3), max_size=3) | st.lists(said, max_size=3) | said
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(known.columns, value)))
    assert known.fits(row) in (True, False)
    pairs = known.read(row)
    if isinstance(pairs, list):
        assert all(isinstance(checked_pair(pair), Preference | Drop) for pair in pairs)
