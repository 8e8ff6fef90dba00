"""Public conversation formats, and the rows that are no conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.conversations import CONVERSATIONS, checked, read_conversations
from yanmo.text.formats import recognise
from yanmo.text.step import Drop

ROLES = ("user", "assistant")
FORMATS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "messages": (
        {"messages": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]},
        ["问", "答"],
    ),
    "sharegpt": (
        {"id": "1", "conversations": [{"from": f, "value": v} for f, v in (("human", "问"), ("gpt", "答")) * 2]},
        ["问", "答", "问", "答"],
    ),
    "alpaca": ({"instruction": "翻译", "input": "你好", "output": "Hello"}, ["翻译\n你好", "Hello"]),
    "firefly": ({"kind": "NLI", "input": "问", "target": "答"}, ["问", "答"]),
    "zhihu": ({"INSTRUCTION": "问", "RESPONSE": "答", "SOURCE": "", "METADATA": ""}, ["问", "答"]),
    "instruction-response": ({"instruction": "问", "response": "答"}, ["问", "答"]),
    "prompt-response": ({"prompt": "问", "response": "答", "history": [["早", "好"]]}, ["早", "好", "问", "答"]),
    "prompt-completion": ({"prompt": "问", "completion": "答"}, ["问", "答"]),
    "question-answer": ({"question": "问", "answer": "答"}, ["问", "答"]),
    "q-a": ({"history": [], "q": "问", "a": "答"}, ["问", "答"]),
    "webtext": ({"qid": 1, "title": "题", "desc": "述", "content": "答", "star": 3}, ["题\n述", "答"]),
    "baike-qa": (
        {"qid": "q", "title": "人为什么 ", "desc": "人为什么会饿？", "answer": "答"},
        ["人为什么会饿？", "答"],
    ),
    "medical": (
        {"department": "内科", "title": "头疼", "ask": "怎么办？", "answer": "休息"},
        ["头疼\n怎么办？", "休息"],
    ),
}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_format_has_an_example() -> None:
    assert set(FORMATS) == set(CONVERSATIONS)


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path: Path, name: str) -> None:
    row, contents = FORMATS[name]
    assert recognise([row], "file", CONVERSATIONS) == name
    ((place, messages),) = read_conversations([write(tmp_path / "a.jsonl", [row])])
    assert place == f"{tmp_path}/a.jsonl:1"
    assert isinstance(messages, list)
    assert [message["content"] for message in messages] == contents
    assert [message["role"] for message in messages] == [ROLES[n % 2] for n in range(len(contents))]


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"instruction": "问", "output": 3}, "wrong_type"),
        ({"instruction": "问", "output": ["答"]}, "wrong_type"),
        ({"instruction": "问"}, "missing_field"),
        ({"instruction": "问", "output": ""}, "empty_assistant"),
        ({"instruction": "问", "output": None}, "empty_assistant"),
        ({"instruction": " \u200b", "output": "答"}, "empty_user"),
        ({"instruction": "问", "output": "半个\ud83d"}, "lone_surrogate"),
        ({"instruction": "问", "output": "答", "history": [["早"]]}, "wrong_type"),
        ({"instruction": "问", "output": "答", "history": 7}, "wrong_type"),
        ({"instruction": "问", "output": "答", "system": 7}, "wrong_type"),
    ],
)
def test_rows_that_are_rejected(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, [{"instruction": "好", "output": "好"}] * 2 + [row])))
    good, _, bad = read_conversations([path])
    assert isinstance(good.messages, list)
    assert isinstance(bad.messages, Drop) and bad.messages.reason == reason
    assert bad.place.endswith("a.jsonl:3")


def conversation(roles: str) -> list[dict[str, str]]:
    names = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": names[role], "content": f"{n}"} for n, role in enumerate(roles)]


@pytest.mark.parametrize("roles", ["ua", "uaua", "sua", "suaua"])
def test_what_a_conversation_is(roles: str) -> None:
    assert checked(conversation(roles)) == conversation(roles)


@pytest.mark.parametrize("roles", ["au", "uuaa", "uaa", "usa", "aua", "ssua", "sa"])
def test_roles_out_of_order(roles: str) -> None:
    result = checked(conversation(roles))
    assert isinstance(result, Drop) and result.reason == "roles_out_of_order"


def test_an_unanswered_last_question_is_cut_off() -> None:
    assert checked(conversation("uau")) == conversation("ua")
    for roles in ("", "u", "s", "su"):
        result = checked(conversation(roles))
        assert isinstance(result, Drop) and result.reason == "no_answer"


def test_unknown_roles_and_wrong_turns(tmp_path: Path) -> None:
    good = {"conversations": [{"from": "human", "value": "问"}, {"from": "gpt", "value": "答"}]}
    bad = [
        {"conversations": [{"from": "tool", "value": "x"}]},
        {"conversations": "问答"},
        {"conversations": ["问", "答"]},
        {"conversations": [{"from": "human"}]},
        {"conversations": [{"from": 1, "value": "x"}]},
    ]
    rows = list(read_conversations([write(tmp_path / "a.jsonl", [good] * 6 + bad)]))
    reasons = [row.messages.reason for row in rows[6:] if isinstance(row.messages, Drop)]
    assert reasons == ["unknown_role", "wrong_type", "wrong_type", "missing_field", "wrong_type"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(CONVERSATIONS)), st.data())
def test_no_row_is_a_crash(name: str, data: st.DataObject) -> None:
    known = CONVERSATIONS[name]
    turn = st.fixed_dictionaries({}, optional=dict.fromkeys(("role", "content", "from", "value"), JSON))
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(known.columns, JSON | st.lists(turn, max_size=3))))
    messages = known.read(row)
    if isinstance(messages, list):
        result = checked(messages)
        assert isinstance(result, Drop) or all(message["content"].strip() for message in result)


def test_an_unknown_format_lists_keys_and_formats(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"frage": "?", "antwort": "!"}])
    with pytest.raises(ValueError, match=r"a\.jsonl: .*frage, antwort.*alpaca: instruction, output") as caught:
        list(read_conversations([path]))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="--format alpac"):
        list(read_conversations([path], "alpac"))


def test_broken_rows_empty_files_and_mostly_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"q": "a", "a": "b"}\n{"q": \n{"q": "c", "a": "d"}\n')
    assert [isinstance(row.messages, list) for row in read_conversations([path])] == [True, False, True]
    path.write_bytes(b'{"q": "a", "a": "b"}\n{"q": \n{"q"\n')
    with pytest.raises(ValueError, match="2 of the first 3 rows are broken"):
        list(read_conversations([path]))
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="no rows"):
        list(read_conversations([path]))
