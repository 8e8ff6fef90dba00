"""Public conversation formats, and the rows that are no conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.conversations import CONVERSATIONS, PAIRS, checked, read_conversations
from yanmo.text.formats import check_name, recognise
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
    "conversation": (
        {"conversation_id": 1, "category": "x", "conversation": [{"human": "问", "assistant": "答"}] * 2},
        ["问", "答", "问", "答"],
    ),
    "alternating": ({"data": ["问：头疼怎么办？", "答：多休息。"]}, ["头疼怎么办？", "多休息。"]),
    "moss": (
        {
            "conversation_id": 1,
            "num_turns": 2,
            "chat": {
                "turn_1": {
                    "Human": "<|Human|>: 你好<eoh>\n",
                    "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
                    "Commands": "<|Commands|>: None<eoc>\n",
                    "Tool Responses": "<|Results|>: None<eor>\n",
                    "MOSS": "<|MOSS|>: 您好<eom>\n",
                },
                "turn_2": {"Human": "<|Human|>: 写 <eoh> 是什么<eoh>\n", "MOSS": "<|MOSS|>: 记号<eom>\n"},
                "turn_3": None,
            },
        },
        ["你好", "您好", "写 <eoh> 是什么", "记号"],
    ),
    "moss-002": (
        {"id": 0, "prefix": "x", "num_turns": 1, "plain_text": "[Human]: 问<eoh> [MOSS]: 答<eoa>"},
        ["问", "答"],
    ),
    "wanjuan-exam": (
        {
            "id": "x",
            "q_type": "单选题",
            "q_main": "1+1=?",
            **dict(
                zip(("option_a", "option_b", "option_c", "option_d", "option_e"), ("1", "2", "3", "4", ""), strict=True)
            ),
            "std_ans": "B",
            "answer": "B",
            "answer_detail": "一加一得二。",
            "grade": "小学",
            "major": "数学",
            "keypoint": "加法",
        },
        ["1+1=?\nA. 1\nB. 2\nC. 3\nD. 4", "答案：B\n解析：一加一得二。"],
    ),
    "choice": (
        {"subject": "天文", "question": "太阳是？", "A": "恒星", "B": "行星", "C": "卫星", "D": "彗星", "answer": "A"},
        ["太阳是？\nA. 恒星\nB. 行星\nC. 卫星\nD. 彗星", "答案：A"],
    ),
    "belle-chat": (
        {"instruction": "Human:你好\nAssistant:您好\nHuman:几点了？\nAssistant:", "input": "", "output": "三点"},
        ["你好", "您好", "几点了？", "三点"],
    ),
    "alpaca": ({"instruction": "翻译", "input": "你好", "output": "Hello"}, ["翻译\n你好", "Hello"]),
    "firefly": ({"kind": "NLI", "input": "问", "target": "答"}, ["问", "答"]),
    "zhihu": ({"INSTRUCTION": "问", "RESPONSE": "答", "SOURCE": "", "METADATA": ""}, ["问", "答"]),
    "instruction-response": ({"instruction": "问", "response": "答"}, ["问", "答"]),
    "prompt-response": ({"prompt": "问", "response": "答", "history": [["早", "好"]]}, ["早", "好", "问", "答"]),
    "prompt-completion": ({"prompt": "问", "completion": "答"}, ["问", "答"]),
    "webtext": ({"qid": 1, "title": "题", "desc": "述", "content": "答", "star": 3}, ["题\n述", "答"]),
    "baike-qa": (
        {"qid": "q", "category": "x", "title": "人为什么 ", "desc": "人为什么会饿？", "answer": "答"},
        ["人为什么会饿？", "答"],
    ),
    "medical": (
        {"department": "内科", "title": "头疼", "ask": "怎么办？", "answer": "休息"},
        ["头疼\n怎么办？", "休息"],
    ),
    "q-a": ({"history": [], "q": "问", "a": "答"}, ["问", "答"]),
    "问-答": (
        {"id": 1, "问": "问", "答": "答", "来源": "知乎", "元数据": {"回答明细": "", "扩展字段": "{}"}},
        ["问", "答"],
    ),
    **{
        f"{question}-{answer}": ({question: "问", answer: "答", "id": 1}, ["问", "答"])
        for question, answer in PAIRS
        if question not in "q问"
    },
}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_format_has_an_example() -> None:
    assert set(FORMATS) == set(CONVERSATIONS)


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path: Path, name: str) -> None:
    row, contents = FORMATS[name]
    assert recognise([row] * 3, "file", CONVERSATIONS) == name
    (place, messages), *_ = read_conversations([write(tmp_path / "a.jsonl", [row] * 3)])
    assert place == f"{tmp_path}/a.jsonl:1"
    assert isinstance(messages, list)
    assert [message["content"] for message in messages] == contents
    assert [message["role"] for message in messages] == [ROLES[n % 2] for n in range(len(contents))]


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"instruction": "问", "output": 3}, "wrong_type"),
        ({"instruction": "问", "output": ["答", "答"]}, "wrong_type"),
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
        {"conversations": [{"from": "oracle", "value": "x"}]},
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
    with pytest.raises(ValueError, match=r"a\.jsonl: .*frage, antwort.*question-answer lacks.*yanmo doctor") as caught:
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


def messages(name: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    read = CONVERSATIONS[name].read(row)
    assert isinstance(read, list), read
    result = checked(read)
    assert isinstance(result, list), result
    return [(message["role"], message["content"]) for message in result]


def test_tools_keep_their_place_in_the_exchange() -> None:
    """What the model calls is its own turn, what comes back is said to it, several results at once."""
    said = [("user", "济南天气？"), ("assistant", '{"name":"天气"}'), ("user", "晴"), ("assistant", "是晴天。")]
    sharegpt = [
        ("human", "济南天气？"),
        ("function_call", '{"name":"天气"}'),
        ("observation", "晴"),
        ("gpt", "是晴天。"),
    ]
    row: dict[str, Any] = {"conversations": [{"from": f, "value": v} for f, v in sharegpt], "system": "助理"}
    assert messages("sharegpt", row) == [("system", "助理"), *said]
    row["tools"] = '[{"name":"天气"}]'
    assert messages("sharegpt", row)[0] == ("system", '助理\n[{"name":"天气"}]')
    openai = [
        {"role": "system", "content": "助理"},
        {"role": "user", "content": [{"type": "text", "text": "济南天气？"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "天气"}}]},
        {"role": "tool", "content": "晴"},
        {"role": "tool", "content": "二十度"},
        {"role": "assistant", "content": "是晴天。"},
    ]
    expected = [("system", "助理"), *said[:2], ("user", "晴\n二十度"), said[3]]
    assert messages("messages", {"messages": openai}) == expected
    assert messages("messages", {"messages": openai, "system": "你是"})[0] == ("system", "你是\n助理")
    turn = {
        "Human": "<|Human|>: 济南天气？<eoh>",
        "Inner Thoughts": "<|Inner Thoughts|>: 要查<eot>",
        "Commands": '<|Commands|>: {"name":"天气"}<eoc>',
        "Tool Responses": "<|Results|>: 晴<eor>",
        "MOSS": "<|MOSS|>: 是晴天。<eom>",
    }
    moss = {"meta_instruction": "助理", "chat": {"turn_1": turn}}
    assert messages("moss", moss) == [("system", "助理"), said[0], ("assistant", '要查\n{"name":"天气"}'), *said[2:]]


def test_pictures_are_not_left_out_silently() -> None:
    turn = {"role": "user", "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "这是？"}]}
    drop = CONVERSATIONS["messages"].read({"messages": [turn]})
    assert isinstance(drop, Drop) and drop.reason == "not_text"


@pytest.mark.parametrize(
    "instruction, output, said",
    [
        ("人类：你好\n助手：您好\n人类：几点？\n助手：", "三点", ["你好", "您好", "几点？", "三点"]),
        ("Human: a\n\nAssistant: b\nc\n\nHuman: d", "e", ["a", "b\nc", "d", "e"]),
        ("", "人类：早\n助手：早", ["早", "早"]),
        ("人类：早\n助手：早", "", ["早", "早"]),
        ("写一段话，含 Human: 和 Assistant:", "好", ["写一段话，含 Human: 和 Assistant:", "好"]),
        (
            "Alice 是律师，Bob 是居民，写他们的对话",
            "Alice: 你好\nBob: 好",
            ["Alice 是律师，Bob 是居民，写他们的对话", "Alice: 你好\nBob: 好"],
        ),
    ],
)
def test_dialogues_in_one_string(instruction: str, output: str, said: list[str]) -> None:
    row = {"instruction": instruction, "input": "", "output": output}
    name = recognise([row], "file", CONVERSATIONS)
    assert [content for _, content in messages(name, row)] == said


@pytest.mark.parametrize(
    "history, said",
    [
        ("[['早', '您好']]", ["早", "您好"]),
        ('[["早", "您好"]]', ["早", "您好"]),
        ("[]", []),
        (["早", "您好"], ["早", "您好"]),
        ([{"role": "user", "content": "早"}, {"role": "assistant", "content": "您好"}], ["早", "您好"]),
    ],
)
def test_history_in_every_spelling(history: Any, said: list[str]) -> None:
    assert [text for _, text in messages("q-a", {"history": history, "q": "问", "a": "答"})] == [*said, "问", "答"]


def test_history_is_data_and_never_run(tmp_path: Path) -> None:
    """One source calls eval() on this column."""
    harm = tmp_path / "harm"
    for text in (f"__import__('pathlib').Path({str(harm)!r}).touch()", "[" * 100_000, "x" * 10, "[1, 2]"):
        drop = CONVERSATIONS["q-a"].read({"history": text, "q": "问", "a": "答"})
        assert isinstance(drop, Drop) and drop.reason == "wrong_type"
    assert not harm.exists()


def test_corpora_are_names_of_formats() -> None:
    assert check_name("belle-2m", CONVERSATIONS) == "alpaca"
    assert check_name("mnbvc-qa", CONVERSATIONS) == "问-答"
    with pytest.raises(ValueError, match="did you mean moss-003"):
        check_name("moss003", CONVERSATIONS)


def test_a_format_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"frage": "问", "antwort": "答"}])
    ((_, found),) = read_conversations([path], "question=frage,answer=antwort")
    assert found == [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]
    for wrong in ("question=frage", "question=frage,answer=", "question=a,answer=b,colour=c", "=", ","):
        with pytest.raises(ValueError, match=r"--format .*question=KEY,answer=KEY"):
            check_name(wrong, CONVERSATIONS)
