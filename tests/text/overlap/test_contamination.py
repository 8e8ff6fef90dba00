from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import orjson
import pytest

from yanmo.text.overlap.contamination import Contamination, segments_of
from yanmo.text.step import Drop
from yanmo.text.steps.rules import Rules, batch_check

QUESTION = "砚台以端溪所产为上品，下列哪一项不是判断石质的依据"
EXAM = {
    "subject": "craft",
    "question": QUESTION,
    "A": "呵气成云",
    "B": "叩之无声",
    "C": "价格高低",
    "D": "细润如玉",
    "answer": "C",
}
PROSE = "清晨的集市上人声鼎沸，卖豆腐的老人把担子放在桥头，慢慢地揭开盖布，热气一下子涌了出来。"


def load(tmp_path: Path, *rows: Any) -> Contamination:
    path = tmp_path / "test.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return Contamination.load([path])


def hidden(question: str) -> str:
    return f"{PROSE}\n{question}\n{PROSE[::-1]}"


@pytest.mark.parametrize(
    "planted",
    [
        QUESTION,
        "砚台以端溪所产为上品，下列哪一",  # 14 letters of it
        "硯台以端溪所產為上品。下列哪一項不是「判斷石質」的依據？",
        "砚台 以端溪所产\n为上品－－下列哪一项，不是判断石质的依据",
    ],
)
def test_a_planted_question_is_found_in_any_dress(tmp_path: Path, planted: str) -> None:
    contamination = load(tmp_path, {"text": "无关的一行文字，只是为了占住第一行的位置"}, EXAM)
    found = contamination.find(hidden(planted))
    assert found is not None and found.reason == "contaminated"
    assert found.detail.startswith("test.jsonl:2: ")
    assert contamination.find(PROSE) is None


def test_the_detail_shows_what_is_shared(tmp_path: Path) -> None:
    found = load(tmp_path, EXAM).find(f"{PROSE}砚台，以端溪所产为上品：\n下列哪些不是。{PROSE}")
    assert found == Drop("contaminated", "test.jsonl:1: 砚台，以端溪所产为上品： 下列哪")


def test_twelve_letters_are_not_enough(tmp_path: Path) -> None:
    contamination = load(tmp_path, EXAM)
    assert contamination.find(hidden("砚台以端溪所产为上品下列")) is None
    assert contamination.find(hidden("砚台以端溪所产为上品下列哪")) is not None


def test_letters_of_two_documents_are_no_run(tmp_path: Path) -> None:
    assert load(tmp_path, EXAM).find_all([PROSE + QUESTION[:10], QUESTION[10:17] + PROSE]) == [None, None]


@pytest.mark.parametrize(
    "rest",
    [
        {"A": "松烟和油烟各取其半加胶调和而成", "B": "甲"},
        {"option_a": "松烟和油烟各取其半加胶调和而成", "option_b": "甲"},
        {"choices": ["松烟和油烟各取其半加胶调和而成", "甲"]},
        {"options": {"A": "松烟和油烟各取其半加胶调和而成", "B": "甲"}},
    ],
)
def test_short_questions_count_with_their_choices(tmp_path: Path, rest: dict[str, Any]) -> None:
    contamination = load(tmp_path, {"question": "墨的原料是", **rest})
    assert contamination.find(hidden("墨的原料是（）\nA. 松烟和油烟各取其半加胶调和而成\nB. 甲")) is not None
    assert contamination.find(hidden("墨的原料是石油")) is None, "five letters that anybody may write"
    assert contamination.find(hidden("松烟和油烟各取其半加胶调和而成")) is None, "a choice alone"


@pytest.mark.parametrize(
    "question", ["文房四宝之首指的是什么", "求$x^2+3x-4=0$的两个根之差", "Who made the first ink stone?"]
)
def test_questions_without_a_run_that_counts_count_as_a_whole(tmp_path: Path, question: str) -> None:
    contamination = load(tmp_path, {"question": question, "answer": "3"})
    assert contamination.find(hidden(question)) is not None
    assert contamination.find(hidden(question[: len(question) // 2])) is None


def test_quotations_stand_where_they_come_from(tmp_path: Path) -> None:
    verse = "落霞与孤鹜齐飞，秋水共长天一色"
    contamination = load(tmp_path, {"question": f"“{verse}”一句写的是哪一个季节的傍晚景色", "A": "春", "B": "秋"})
    assert contamination.find(hidden(f"{verse}。渔舟唱晚")) is None
    assert contamination.find(hidden(f"{verse}一句写的是哪一个季节")) is not None
    only = load(tmp_path, {"question": f"“{verse}”"})
    assert only.find(hidden(verse)) is not None, "there is nothing else to know it by"


def test_phrasing_that_questions_share_does_not_count(tmp_path: Path) -> None:
    phrase = "下列各项关于此物的说法之中完全正确的一项是"
    contamination = load(tmp_path, *({"question": f"{subject}：{phrase}"} for subject in "笔墨纸砚镇"))
    assert contamination.find(hidden(phrase)) is None
    assert contamination.find(hidden(f"墨：{phrase}")) is not None
    few = load(tmp_path, *({"question": f"{subject}：{phrase}"} for subject in "笔墨纸砚砚砚"))
    assert few.find(hidden(phrase)) is not None, "four different questions"


def test_a_short_question_that_others_contain_does_not_count(tmp_path: Path) -> None:
    phrase = "下列说法错误的是"
    rows = [{"question": phrase}, *({"question": f"关于{subject}，{phrase}"} for subject in ("毛笔", "松墨", "宣纸"))]
    assert load(tmp_path, *rows).find(hidden(phrase)) is not None
    contamination = load(tmp_path, *rows, {"question": f"关于端砚，{phrase}"})
    assert contamination.find(hidden(phrase)) is None
    assert contamination.find(hidden(f"关于毛笔{phrase}")) is not None


@pytest.mark.parametrize("trivial", ["哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈", "12345678901234567890", "GradientBoostingTree"])
def test_trivial_runs_do_not_count(tmp_path: Path, trivial: str) -> None:
    contamination = load(tmp_path, {"question": f"{trivial}这一串字符在课文里面表示的意思是什么呢"})
    assert contamination.find(hidden(trivial)) is None
    assert contamination.find(hidden(f"{trivial}这一串字符在课文里面表示的意思是")) is not None


def test_every_text_field_counts(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "messages": [{"role": "user", "content": QUESTION}],
        "notes": {"source": "磨墨如病夫执笔如壮士这一句出自何人之口"},
    }
    contamination = load(tmp_path, row)
    assert contamination.find(hidden(QUESTION)) is not None
    assert contamination.find(hidden(row["notes"]["source"])) is not None
    assert [part.text for segment in segments_of(row) for part in segment][:2] == ["user", QUESTION]


def test_many_documents_are_judged_as_each_alone(tmp_path: Path) -> None:
    contamination = load(tmp_path, EXAM)
    documents = [PROSE * n + (QUESTION if n % 7 == 3 else "") + PROSE for n in range(60)] + ["", QUESTION * 4000]
    found = contamination.find_all(documents)
    assert found == [contamination.find(document) for document in documents]
    assert [n for n, drop in enumerate(found) if drop] == [*range(3, 60, 7), 61]


def test_it_goes_to_other_processes(tmp_path: Path) -> None:
    contamination = pickle.loads(pickle.dumps(load(tmp_path, EXAM)))
    assert contamination.find(hidden(QUESTION)) is not None


def test_as_clean_asks(tmp_path: Path) -> None:
    known = load(tmp_path, EXAM)
    rules = Rules(decontaminate=[tmp_path])
    rules.check()
    check = batch_check(rules)
    assert check is not None and batch_check(Rules()) is None
    assert check([PROSE, hidden(QUESTION)]) == [None, known.find(hidden(QUESTION))]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no question"),
        (b'{"a": "\xe5\x92\x8c"}\n', "no question"),
        (b'{"question": "abc\n', r"test\.jsonl:1: .*not all"),
    ],
)
def test_a_test_that_cannot_be_looked_for_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "test.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Contamination.load([tmp_path / "test.jsonl"])
    with pytest.raises(ValueError, match="no such file"):
        Rules(decontaminate=[tmp_path / "missing.jsonl"]).check()
