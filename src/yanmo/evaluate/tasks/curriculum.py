"""Which task at which level to ask next: where a group of answers is likely to be neither all right nor all wrong.

Answers that are all right, or all wrong, teach nothing: their advantages are zero. With a pass rate p a group of G
answers is mixed with probability 1 - p^G - (1 - p)^G, so levels are drawn in proportion to that, from running pass
rates. A level opens when the one below is passed half of the time; a level never asked counts as passed as often as
half the one below. (DAPO samples until enough groups are mixed instead, which throws away what it sampled.)
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from yanmo.evaluate.tasks.problem import Problem, Task

OPENS = 0.5
"""The pass rate at which the next level opens."""
MEMORY = 0.9
"""What a running pass rate keeps of itself for every group that is judged."""
FLOOR = 0.05
"""No open level's chance falls below this: what was learned stays watched."""


class Course(NamedTuple):
    """A task and the levels it may be asked at."""

    task: Task
    low: int
    high: int

    def levels(self) -> range:
        return range(self.low, self.high + 1)


class Asked(NamedTuple):
    problem: Problem
    task: str
    level: int


class Curriculum:
    """`draw` is a function of (seed, number) and of the pass rates so far, which are all there is to save."""

    def __init__(self, courses: Sequence[Course], group_size: int, seed: int) -> None:
        self.courses, self.group_size, self.seed = courses, group_size, seed
        self.rates: dict[tuple[str, int], float] = {}
        """(task, level) -> running pass rate, of those that were asked."""

    def draw(self, number: int, count: int) -> list[Asked]:
        """`count` problems to train on, the tasks in turns."""
        generator = random.Random(f"{self.seed} {number}")
        asked = []
        for place in range(count):
            course = self.courses[(number * count + place) % len(self.courses)]
            chances = self.chances(course)
            (level,) = generator.choices(list(chances), list(chances.values()))
            asked.append(Asked(course.task.draw(generator, level, test=False), course.task.name, level))
        return asked

    def chances(self, course: Course) -> dict[int, float]:
        """Level -> weight, of the levels that are open."""
        chances: dict[int, float] = {}
        below = 1.0
        for level in course.levels():
            rate = self.rates.get((course.task.name, level), below / 2)
            chances[level] = FLOOR + 1 - rate**self.group_size - (1 - rate) ** self.group_size
            if rate < OPENS:
                break
            below = rate
        return chances

    def hear(self, asked: Iterable[Asked], rewards: Iterable[Sequence[float]]) -> None:
        """Groups of rewards for what was asked."""
        for (_, task, level), group in zip(asked, rewards, strict=True):
            passed = sum(reward == 1 for reward in group) / len(group)
            before = self.rates.get((task, level))
            self.rates[task, level] = passed if before is None else MEMORY * before + (1 - MEMORY) * passed

    def figures(self) -> dict[str, float]:
        """Running pass rates by task and level, such as `pass/sorting/2`."""
        return {f"pass/{task}/{level}": rate for (task, level), rate in sorted(self.rates.items())}


def held_out(courses: Sequence[Course], count: int, seed: int) -> list[Asked]:
    """`count` different problems of every task that no curriculum asks, evenly over its levels; fewer if there are no
    more."""
    chosen: list[Asked] = []
    for course in courses:
        found: dict[str, Asked] = {}
        generators = {level: random.Random(f"test {course.task.name} {level} {seed}") for level in course.levels()}
        for place in range(20 * count):
            level = course.levels()[place % len(course.levels())]
            problem = course.task.draw(generators[level], level, test=True)
            found.setdefault(problem.question, Asked(problem, course.task.name, level))
            if len(found) == count:
                break
        chosen += found.values()
    return chosen
