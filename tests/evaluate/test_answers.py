"""Answers judged by rule: what is right, what is a loop, how sure one can be, and whose mistake a bad file is."""

from pathlib import Path

import pytest

from yanmo.evaluate.answers import LOOP, Answer, Question, is_right, read_questions, score, scores, wilson


@pytest.mark.parametrize(
    ("answer", "accepted", "rivals", "right"),
    [
        ("它叫豆包，是林小满养的橘猫。", ["豆包"], ["点点"], True),
        ("它叫豆包，也叫点点。", ["豆包"], ["点点"], False),
        ("它叫点点。", ["豆包"], ["点点"], False),
        ("", ["豆包"], [], False),
        ("9加8等于17。", ["等于17"], [], True),
        ("9加8等于17。", ["等于1"], [], False),
        ("9加8等于17。", ["7"], [], False),
        ("答案是7。", ["7"], ["17"], True),
        ("生日在十一月。", ["一月"], ["十一月"], False),
        ("不客气。", ["不客气", "不用谢"], [], True),
        ("价钱是3.5元", ["3.5"], [], True),
    ],
)
def test_right_by_rule(answer: str, accepted: list[str], rivals: list[str], right: bool) -> None:
    assert is_right(answer, accepted, rivals) is right


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("一、二、三、四、五、六、七、八、九、十。", False),
        ("蜜蜂嗡嗡嗡嗡地叫。", False),
        ("我不知道，我不知道，我不知道。", False),
        ("我不知道，我不知道，我不知道，我不知道，", True),
        ("是" * 10, True),
        ("他住在桂花巷。他住在桂花巷。他住在桂花巷。他住在桂花巷。", True),
    ],
)
def test_loops(text: str, loops: bool) -> None:
    assert (LOOP.search(text) is not None) is loops


def test_wilson_interval() -> None:
    """Values of R's prop.test(8, 10, correct = FALSE) and the closed forms at the ends."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_scores_by_kind_and_ending() -> None:
    cat = Question([{"role": "user", "content": "？"}], ["猫"], kind="宠物", level="新说法")
    age = Question([{"role": "user", "content": "？"}], ["九岁"], kind="年龄", level="新搭配")
    said = [(cat, "猫", "stop"), (cat, "狗", "stop"), (age, "九岁", "stop"), (age, "是" * 60, "length")]
    result = scores([Answer(*one) for one in said])
    assert (result["right"], result["questions"], result["share"]) == (2, 4, 0.5)
    assert result["by_kind"]["宠物"]["share"] == 0.5 and set(result["by_level"]) == {"新说法", "新搭配"}
    assert (result["loop_rate"], result["cut_off_rate"]) == (0.25, 0.25)
    assert score([])["share"] == 0.0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"messages": [', "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"accepted": ["a"]}', '"messages"'),
        ('{"messages": ["你好"], "accepted": ["a"]}', '"messages"'),
        ('{"prompt": "你好"}', '"accepted"'),
        ('{"prompt": "你好", "accepted": []}', '"accepted"'),
        ('{"prompt": "你好", "accepted": ["a"], "rivals": "b"}', '"rivals"'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"prompt": "一加一", "accepted": ["二"]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=complaint) as error:
        read_questions(path)
    assert f"{path}:2" in str(error.value) and "\n" not in str(error.value)


def test_prompt_stands_for_messages(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"prompt": "一加一", "accepted": ["二"], "kind": "加减"}\n\n', encoding="utf-8")
    (question,) = read_questions(path)
    assert question == Question([{"role": "user", "content": "一加一"}], ["二"], [], "加减", "")


def test_an_empty_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").touch()
    with pytest.raises(ValueError, match="no questions"):
        read_questions(tmp_path / "questions.jsonl")
