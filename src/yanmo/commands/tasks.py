"""Verifiable tasks -> a list of them, or examples with right answers, for a short `sft` before `grpo`.

yanmo tasks                                                          (lists tasks and levels with an example of each)
yanmo tasks --task sorting:1-2 counting --count 300 --out runs/primer
yanmo sft --init runs/sft --data runs/primer/conversations.jsonl --out runs/primed
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from yanmo.core.settings import CommandSettings
from yanmo.evaluate.tasks.catalogue import TASKS, courses

CONVERSATIONS = "conversations.jsonl"


@dataclass(kw_only=True)
class Settings(CommandSettings):
    task: list[str] = field(default_factory=list)
    """Tasks, with levels if not all are meant: `sorting counting:1-2 idioms:3`. None: list what there is."""
    count: int = 300
    """Examples of each task, evenly over its levels; never one of the problems that are held out for tests."""
    seed: int = 1
    """Same seed, same examples."""
    out: Path = Path("runs/tasks")
    """The directory to write: conversations.jsonl."""


def main(settings: Settings) -> None:
    if not settings.task:
        show()
        return
    if settings.count < 1:
        raise ValueError(f"--count: {settings.count} must be at least 1")
    from yanmo.core.files import write_jsonl
    from yanmo.core.run import open_run

    chosen = courses(settings.task)
    with open_run(settings) as run:
        if run.finished_before:
            run.say(f"{settings.out}: already complete")
            return
        with write_jsonl(run.path / CONVERSATIONS) as out:
            for course in chosen:
                generator = random.Random(f"examples {course.task.name} {settings.seed}")
                for number in range(settings.count):
                    level = course.levels()[number % len(course.levels())]
                    problem = course.task.draw(generator, level, test=False)
                    turns = [("user", problem.question), ("assistant", problem.solution)]
                    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
                    out.write(row | {"task": course.task.name, "level": level})
        run.report["examples"] = {course.task.name: settings.count for course in chosen}
        run.say(f"{len(chosen) * settings.count} examples: {run.path / CONVERSATIONS}")


def show() -> None:
    table = Table("task:level", "question", "a right answer", title="tasks", title_justify="left")
    for name, task in TASKS.items():
        for level in range(1, task.levels + 1):
            problem = task.draw(random.Random(f"{name} {level}"), level, test=False)
            table.add_row(f"{name}:{level}", problem.question, problem.solution)
    Console(highlight=False).print(table)
