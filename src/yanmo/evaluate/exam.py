"""An exam: held-out questions that a policy answers greedily, before learning and after it.

What is rewarded gets better and nothing else. So beside how many answers are right stands how long they are, how many
run in circles and how many do not end; what becomes of everything else is `tax.py`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yanmo.core.run import Run
from yanmo.evaluate.answers import LOOP, wilson
from yanmo.model.decoding import for_decoding
from yanmo.model.generate import Completion, generate
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.streaming import text_of
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.load import Tokenizer

AT_ONCE = 128
SHOWN = 6
"""Held-out questions whose answers are shown at the end."""
RATE_RISE = 0.05
"""So much more of the answers in a loop, or cut off, is a degradation."""


@dataclass(frozen=True)
class Exam:
    """Prompts, and how the answers to all of them are graded."""

    prompts: list[list[int]]
    grade: Callable[[list[Completion]], list[float]]
    """A reward each."""
    groups: list[str]
    """What each prompt belongs to, such as its task and level; empty where there is none."""
    pass_mark: float | None = 1.0
    """The reward from which an answer is right; none where rewards can only be compared with each other."""


@dataclass(frozen=True)
class Result:
    rewards: list[float]
    texts: list[str]
    tokens: float
    """Mean length of an answer."""
    loops: float
    """Share of the answers that run in circles."""
    cut_off: float
    """Share that does not end by itself."""

    def passed(self, mark: float) -> list[bool]:
        return [reward >= mark for reward in self.rewards]

    @property
    def reward(self) -> float:
        return sum(self.rewards) / len(self.rewards)


def sit(
    model: Transformer,
    tokenizer: Tokenizer,
    exam: Exam,
    stop_ids: Collection[int],
    max_new_tokens: int,
) -> Result:
    """The model's greedy answers, graded."""
    twin = for_decoding(model)
    settings = SamplingSettings(temperature=0.0, max_new_tokens=max_new_tokens)
    completions = [
        completion
        for start in range(0, len(exam.prompts), AT_ONCE)
        for completion in generate(twin, exam.prompts[start : start + AT_ONCE], settings, stop_ids)
    ]
    texts = [text_of(completion.ids, tokenizer.token_bytes) for completion in completions]
    count = len(completions)
    return Result(
        rewards=exam.grade(completions),
        texts=texts,
        tokens=sum(len(completion.ids) for completion in completions) / count,
        loops=sum(LOOP.search(text) is not None for text in texts) / count,
        cut_off=sum(completion.finish == "length" for completion in completions) / count,
    )


def pass_rates(exam: Exam, result: Result) -> dict[str, tuple[int, int]]:
    """Right answers and questions of every group, in the order of the questions, and of `all`."""
    assert exam.pass_mark is not None
    counts: dict[str, tuple[int, int]] = {}
    for group, right in zip(exam.groups, result.passed(exam.pass_mark), strict=True):
        for name in (group, "all"):
            before = counts.get(name, (0, 0))
            counts[name] = before[0] + right, before[1] + 1
    return counts | {"all": counts.pop("all")}


def wins(before: Result, after: Result) -> tuple[int, int]:
    """Questions answered with a higher reward than before, and those answered with another one."""
    pairs = list(zip(before.rewards, after.rewards, strict=True))
    return sum(new > old for old, new in pairs), sum(new != old for old, new in pairs)


def comparison(exam: Exam, before: Result, after: Result) -> list[list[str]]:
    """Rows of what, before, after; shares with their 95 % intervals (Wilson)."""
    rows = []
    if exam.pass_mark is not None:
        old, new = pass_rates(exam, before), pass_rates(exam, after)
        rows += [[f"right: {name}", share(*old[name]), share(*new[name])] for name in new]
    else:
        rows.append(["win rate over before", "", share(*wins(before, after))])
    rows += [
        ["mean reward", f"{before.reward:.3f}", f"{after.reward:.3f}"],
        ["mean length, tokens", f"{before.tokens:.1f}", f"{after.tokens:.1f}"],
        ["answers in a loop", f"{before.loops:.1%}", f"{after.loops:.1%}"],
        ["answers cut off", f"{before.cut_off:.1%}", f"{after.cut_off:.1%}"],
    ]
    return rows


def share(right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"{right / max(1, count):.1%} ({low:.1%} to {high:.1%}, {count})"


def degradations(before: Result, after: Result) -> list[str]:
    """What has become clearly worse, in words."""
    found = []
    if after.reward < before.reward:
        found.append(f"the mean reward fell from {before.reward:.3f} to {after.reward:.3f}")
    for what, old, new in (("in a loop", before.loops, after.loops), ("cut off", before.cut_off, after.cut_off)):
        if new > old + RATE_RISE:
            found.append(f"answers {what} rose from {old:.1%} to {new:.1%}")
    return found


def as_report(exam: Exam, result: Result) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "reward": result.reward,
        "tokens": result.tokens,
        "loops": result.loops,
        "cut_off": result.cut_off,
    }
    if exam.pass_mark is not None:
        figures["right"] = {
            name: {"right": right, "questions": count, "interval": list(wilson(right, count))}
            for name, (right, count) in pass_rates(exam, result).items()
        }
    return figures


def shown(prompts: Sequence[str], before: Result, after: Result, count: int) -> list[list[str]]:
    """Rows of question, answer before, answer after, spread evenly over the exam."""
    places = range(0, len(prompts), max(1, len(prompts) // count))[:count] if count else range(0)
    return [[prompts[place], before.texts[place], after.texts[place]] for place in places]


def conclude(
    run: Run,
    exam: Exam,
    questions: Sequence[str],
    before: Result,
    after: Result,
    more: list[list[str]],
    shares: Mapping[str, float],
) -> None:
    """The table of before and after (`more` are further rows of it), answers, where the time went, and what has become
    worse; on the screen and in the report."""
    worse = degradations(before, after)
    run.table("held-out questions", ["what", "before", "after"], [*comparison(exam, before, after), *more])
    run.table("answers", ["question", "before", "after"], shown(questions, before, after, SHOWN))
    run.say("time: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    run.say(f"degraded: {'; '.join(worse)}" if worse else "nothing measured here has become clearly worse")
    run.report |= {
        "before": as_report(exam, before),
        "after": as_report(exam, after),
        "degraded": worse,
        "time_shares": dict(shares),
    }
