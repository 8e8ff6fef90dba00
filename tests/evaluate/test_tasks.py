"""Every task's own solution is right, and what is not an answer earns nothing: each way around a rule is tried."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.evaluate.tasks.catalogue import TASKS, courses
from yanmo.evaluate.tasks.curriculum import OPENS, Asked, Course, Curriculum, held_out
from yanmo.evaluate.tasks.environment import TaskEnvironment, reward
from yanmo.evaluate.tasks.forms import LINES, rhyme, rhyme_of, rhymes
from yanmo.evaluate.tasks.numbers import columns
from yanmo.evaluate.tasks.problem import Problem, Task
from yanmo.evaluate.tasks.words import ANTONYMS, IDIOMS
from yanmo.tokenizer.load import Tokenizer

ALL = [(name, level) for name, task in TASKS.items() for level in range(1, task.levels + 1)]


def problems(name: str, level: int, count: int = 30, test: bool = False) -> list[Problem]:
    generator = random.Random(f"{name} {level}")
    return [TASKS[name].draw(generator, level, test) for _ in range(count)]


def problem(name: str, level: int, seed: int = 0) -> Problem:
    return TASKS[name].draw(random.Random(seed), level, test=False)


@pytest.mark.parametrize(("name", "level"), ALL)
def test_solutions_pass_and_hacks_do_not(name: str, level: int) -> None:
    every = problems(name, level)
    for one in every:
        assert one.check(one.solution) == 1.0, one
        assert one.check(f"先想一想。答案：{one.solution}") == 1.0, "working is free"
        for hack in (
            "",
            "。",
            "答案：",
            one.question,
            one.question[:-1],
            "春" * 40,
            "0123456789",
            "是的" * 20,
            "{}",
            "[]",
        ):
            assert one.check(hack) == 0.0, (one, hack)
        others = [other.solution for other in every if other.solution.split("：")[-1] != one.solution.split("：")[-1]]
        assert one.check(" ".join([one.solution, *others])) <= 0.5, (one, "naming everything")
        bare = one.solution.rpartition("答案：")[2]
        assert one.check(bare) == 1 and one.check(bare + bare) < 1, (one, "said twice")


@pytest.mark.parametrize(("name", "level"), ALL)
def test_one_answer_does_not_fit_all(name: str, level: int) -> None:
    every = problems(name, level, 60)
    best = max(sum(one.check(other.solution) == 1 for one in every) / len(every) for other in every[:20])
    assert best <= 0.35, f"one and the same answer is right {best:.0%} of the time"


@pytest.mark.parametrize(("name", "level"), ALL)
def test_problems_are_many_deterministic_and_split(name: str, level: int) -> None:
    assert [one.question for one in problems(name, level)] == [one.question for one in problems(name, level)]
    training, test = ({one.key for one in problems(name, level, 80, side)} for side in (False, True))
    assert not training & test
    assert len(training) >= 20 and len(test) >= 5


@given(st.text(max_size=40), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_reward_from_0_to_1(text: str, seed: int) -> None:
    for name, level in ALL:
        one = problem(name, level, seed % 7)
        assert 0 <= one.check(text) <= 1


def test_partial_credit_is_for_progress_only() -> None:
    one = next(p for p in problems("sorting", 2) if "从小到大" in p.question)
    numbers = one.solution.split("、")
    right_then_wrong = "、".join([numbers[0], numbers[1], numbers[3], numbers[2]])
    assert one.check(right_then_wrong) == 0.25
    assert one.check("、".join(numbers[:3])) == 0 and one.check("、".join([*numbers, numbers[-1]])) == 0
    asked = one.question.removeprefix("把").split("从")[0]
    assert one.check(asked) == 0, "the order of the question"
    one = problem("json", 2)
    pairs = json.loads(one.solution)
    first = next(iter(pairs))
    assert one.check(json.dumps({first: pairs[first]})) == pytest.approx(1 / 6)
    assert one.check(json.dumps({**pairs, "别的": 1})) == 0
    assert one.check(f'{{"{first}": 1, {one.solution[1:]}') == 0, "a key given twice"
    one = problem("acrostic", 3)
    lines = one.solution.rstrip("。").split("，")
    assert one.check("，".join([*lines[:3], "不知道呀"])) == pytest.approx(3 / 8)
    assert one.check("，".join([lines[0]] * 4)) == 0, "the same line again"


@pytest.mark.parametrize("level", [1, 2])
def test_exact_length_wants_a_sentence_of_its_own(level: int) -> None:
    one = problem("length", level)
    word = one.key.split()[0]
    assert one.check(word) == 0
    assert one.check(word + "好" * 20) == 0
    assert one.check(word * 3) == 0
    assert one.check("要有" + word + "不算标点正好几个字") == 0, "the question's own words"


def test_columns_show_what_is_carried() -> None:
    assert columns(37, 45, minus=False) == "个位7+5=12，进1；十位3+4+1=8；"
    assert columns(52, 37, minus=True) == "个位12-7=5，借1；十位5-3-1=1；"
    for one in problems("arithmetic", 3):
        assert one.check("答案：" + one.solution.rpartition("答案：")[2] + "0") == 0


def test_several_idioms_may_fit() -> None:
    assert len(set(IDIOMS)) == len(IDIOMS) and all(len(idiom) == 4 for idiom in IDIOMS)
    assert len({word for pair in ANTONYMS[0] for word in pair}) > 100


def test_rhymes() -> None:
    table = rhymes()
    assert len(table) == 3755
    assert rhyme_of("东") == rhyme_of("风") == rhyme_of("行") and rhyme_of("山") == rhyme_of("天") == rhyme_of("元")
    assert rhyme_of("之") != rhyme_of("西") and rhyme_of("绿") == rhyme_of("西")
    assert rhyme("灯火照东墙", "竹影上西窗") and not rhyme("灯火照东墙", "小桥在东墙")
    assert all(len(line) == 5 and line[-1] in table for line in LINES) and len(set(LINES)) == len(LINES)


def test_courses_as_a_user_names_them() -> None:
    found = courses(["sorting:2-3", "idioms", "counting:1"])
    assert [(course.task.name, course.low, course.high) for course in found] == [
        ("sorting", 2, 3),
        ("idioms", 1, 3),
        ("counting", 1, 1),
    ]
    for wrong in ("sort", "sorting:9", "sorting:3-2", "sorting:x", "排序"):
        with pytest.raises(ValueError, match="--task"):
            courses([wrong])
    with pytest.raises(ValueError, match="twice"):
        courses(["sorting:1", "sorting:2"])


def learner(course: Course, skill: dict[int, float], rounds: int, group: int = 8) -> Curriculum:
    """A curriculum that asks somebody whose pass rates are `skill`."""
    curriculum, generator = Curriculum([course], group, seed=0), random.Random(0)
    for number in range(rounds):
        asked = curriculum.draw(number, 8)
        rewards = [[float(generator.random() < skill[one.level]) for _ in range(group)] for one in asked]
        curriculum.hear(asked, rewards)
    return curriculum


def test_the_curriculum_asks_where_groups_are_mixed() -> None:
    course = courses(["sorting:1-4"])[0]
    beginner = learner(course, {1: 0.1, 2: 0, 3: 0, 4: 0}, 30)
    assert set(beginner.chances(course)) == {1}, "nothing opens before the first level is passed half of the time"
    advanced = learner(course, {1: 1, 2: 0.99, 3: 0.6, 4: 0.2}, 60)
    chances = advanced.chances(course)
    assert set(chances) == {1, 2, 3, 4} and advanced.rates["sorting", 3] > OPENS
    assert chances[3] + chances[4] > 5 * chances[1]
    levels = [one.level for number in range(100, 130) for one in advanced.draw(number, 8)]
    assert sum(level >= 3 for level in levels) > 0.7 * len(levels)


def test_the_curriculum_is_a_function_of_seed_number_and_rates() -> None:
    course = courses(["sorting:1-4"])[0]
    one, other = learner(course, dict.fromkeys(range(1, 5), 0.7), 10), Curriculum([course], 8, seed=0)
    assert one.draw(10, 8) != other.draw(10, 8)
    other.rates = dict(one.rates)
    assert [asked.problem.question for asked in one.draw(10, 8)] == [
        asked.problem.question for asked in other.draw(10, 8)
    ]


def test_the_exam_is_never_asked_in_training() -> None:
    chosen = courses(["sorting:1", "antonyms"])
    exam = held_out(chosen, 40, seed=1)
    assert all(asked.problem.held_out for asked in exam)
    assert len({asked.problem.question for asked in exam}) == len(exam) > 50
    asked = {one.problem.key for number in range(60) for one in Curriculum(chosen, 8, 1).draw(number, 8)}
    assert not asked & {one.problem.key for one in exam}


def test_a_task_without_problems_is_our_mistake() -> None:
    same = Task("same", "", 1, lambda generator, level: Problem("一", "一", lambda answer: 0.0, "一"))
    with pytest.raises(AssertionError, match="no problem"):
        [same.draw(random.Random(0), 1, test) for test in (False, True)]


def test_an_environment_goes_on_where_it_was(tokenizer: Tokenizer) -> None:
    def environment() -> TaskEnvironment:
        return TaskEnvironment(courses(["sorting:1-3", "json"]), tokenizer, questions=6, group_size=2, seed=1)

    first, second = environment(), environment()
    for number in range(4):
        first.ask(number)
        answers = [[said(tokenizer, asked.problem.solution), said(tokenizer, "不")] for asked in first.asked]
        assert first.judge([], answers) == [[1.0, 0.0]] * 6
    assert first.figures()["pass"] == 0.5 and first.figures()["pass/json/1"] == 0.5
    second.restore(first.state())
    assert second.ask(4) == first.ask(4)
    assert [one.level for one in second.asked] == [one.level for one in first.asked]


def test_an_answer_that_does_not_end_earns_nothing(tokenizer: Tokenizer) -> None:
    asked = Asked(problem("sorting", 1), "sorting", 1)
    answer = said(tokenizer, asked.problem.solution)
    assert reward(tokenizer, asked, answer) == 1
    answer.ended = False
    assert reward(tokenizer, asked, answer) == 0


@dataclass
class Said:
    said: list[int]
    ended: bool = True


def said(tokenizer: Tokenizer, text: str) -> Said:
    return Said(tokenizer.encode(text))
