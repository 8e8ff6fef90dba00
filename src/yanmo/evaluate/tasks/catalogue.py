"""All tasks by name, and how a user names those that are wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from yanmo.evaluate.tasks.curriculum import Course
from yanmo.evaluate.tasks.forms import ACROSTIC, JSON, LENGTH, RHYME
from yanmo.evaluate.tasks.numbers import ARITHMETIC, COUNTING, SORTING
from yanmo.evaluate.tasks.words import ANTONYM, IDIOM

TASKS = {task.name: task for task in (ARITHMETIC, SORTING, COUNTING, LENGTH, ACROSTIC, RHYME, JSON, ANTONYM, IDIOM)}


def courses(names: Sequence[str]) -> list[Course]:
    """`sorting`, `sorting:2` or `sorting:1-3` -> the tasks with their levels.

    Raises: ValueError: there is no such task or level, or a task is named twice.
    """
    found: dict[str, Course] = {}
    for text in names:
        match = re.fullmatch(r"([a-z]+)(?::(\d+)(?:-(\d+))?)?", text)
        name = match[1] if match else text
        if match is None or name not in TASKS:
            raise ValueError(
                f"--task: no task is called {text!r}; there are {', '.join(TASKS)} (with levels: sorting:1-3)"
            )
        task = TASKS[name]
        low = int(match[2] or 1)
        high = int(match[3] or match[2] or task.levels)
        if not 1 <= low <= high <= task.levels:
            raise ValueError(f"--task {text}: {name} has the levels 1 to {task.levels}")
        if name in found:
            raise ValueError(f"--task: {name} is named twice")
        found[name] = Course(task, low, high)
    if not found:
        raise ValueError(f"--task: names no task; there are {', '.join(TASKS)}")
    return list(found.values())
