"""The whole road in a few minutes on two CPU cores: clean, tokenizer, pack, pretrain, sft, dpo, evaluate.

The text is a small town that the package makes up itself: people with trades, homes, animals and friends, told in
portraits, stories, letters and talk. The model that comes out answers questions about the town that it was never asked
in training, and says so when it does not know. Needs no network; the same seed gives the same town.

    yanmo demo
    yanmo demo --out runs/other --seed 7
    yanmo demo --set pretrain.train.epochs=4
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from yanmo.core.settings import CommandSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run

SHOWN = (
    "两步", "追问", "比年龄", "不认识的人", "没人说过的事", "职业", "宠物名", "谁做", "哪里买",
    "节日习俗", "加减", "闲谈",
)  # fmt: skip
"""The kinds of questions that the last table shows one of."""


@dataclass(kw_only=True)
class Settings(CommandSettings):
    RERUN: ClassVar = True

    seed: int = 0
    """Which town; another seed gives other people, trades and friends."""
    characters: int = 1_500_000
    """Size of the corpus."""
    conversations: int = 10_000
    """How many conversations to fine-tune on."""
    preferences: int = 800
    """How many pairs of answers to learn from which is liked better."""
    questions_per_kind: int = 8
    """Test questions of every kind, for each way in which a question can be new."""
    set: list[str] = field(default_factory=list)
    """Changes to the recipe (yanmo/demo/recipe.toml), each as STAGE.SETTING=VALUE."""
    out: Path = Path("runs/demo")
    """Where everything goes; finished stages are skipped when the demo is started again."""


def main(settings: Settings) -> None:
    import tomllib

    from yanmo.commands.run import run_recipe
    from yanmo.core.run import duration, open_run

    started = time.monotonic()
    with open_run(replace(settings, resume=not settings.overwrite)) as run:
        world = settings.out / "world"
        run.report["world"] = make_world(settings, world, run)
        source = files("yanmo.demo").joinpath("recipe.toml").read_text(encoding="utf-8")
        recipe = tomllib.loads(source.replace("{world}", world.as_posix()))
        run.report["stages"] = run_recipe(recipe, settings.out, settings.set, run.say, "the demo's recipe")
        run.report["answers"] = conclude(settings.out, run)
        run.say(f"The whole road took {duration(time.monotonic() - started)}.")


def make_world(settings: Settings, folder: Path, run: Run) -> dict[str, Any]:
    """Write the town's texts and say what they are; returns their counts."""
    from yanmo.demo.corpus import build_corpus, majority, write_corpus

    corpus = build_corpus(
        settings.seed, settings.characters, settings.conversations, settings.preferences, settings.questions_per_kind
    )
    counts = write_corpus(corpus, folder, settings.seed)
    guess = majority(corpus.questions)
    run.say(
        f"墨溪镇: {counts['people']} people and {counts['facts']} facts that no other text knows.\n"
        f"{counts['characters']:,} characters in {counts['documents']:,} documents ({counts['dirty']} of them dirt "
        f"to be cleaned out), {counts['conversations']:,} conversations, {counts['preferences']:,} preferences,\n"
        f"{counts['questions']} test questions, none of which stands in the training data "
        f"(best guess by kind alone: {guess:.0%} right)."
    )
    run.say(f"One document:\n\n{excerpt(corpus.documents)}\n")
    return {**counts, "majority_share": guess}


def excerpt(documents: list[str]) -> str:
    """A story of a length that fits a screen."""
    stories = (text for text in documents if text.startswith(("走丢的", "赶集", "下雨天")) and len(text) <= 180)
    return next(stories, documents[0])


def conclude(out: Path, run: Run) -> dict[str, Any]:
    """Sample answers with ✓ and ✗, the score, and what to do next; returns the score."""
    from yanmo.core.files import read_json, read_jsonl

    aligned = read_json(out / "dpo" / "report.json")
    result = read_json(out / "evaluate" / "report.json")["answers"]
    rows = list(read_jsonl(out / "evaluate" / "answers.jsonl"))
    shown = [next(row for row in rows if row["kind"] == kind) for kind in SHOWN]
    low, high = result["interval"]
    run.say("")
    run.table(
        "墨溪镇: questions that training never saw",
        ["", "question", "answer"],
        [["✓" if row["right"] else "✗", dialogue(row["messages"]), row["answer"]] for row in shown],
    )
    before, after = (aligned["tax"][when]["mean_characters"] for when in ("before", "after"))
    run.say(
        f"Liked better was the answer that says more: after DPO the model leans to that one in "
        f"{aligned['validation']['accuracy']:.0%} of the pairs it never saw,\n"
        f"and its answers are {after:.1f} characters long, {before:.1f} before.\n"
        f"{result['right']} of {result['questions']} right: {result['share']:.1%} (95 % interval {low:.1%} to "
        f"{high:.1%}), {result['loop_rate']:.1%} of the answers in a loop.\n"
        f"All answers: {out / 'evaluate' / 'answers.jsonl'}\n"
        f"Loss curves: {', '.join(str(out / stage / 'loss.png') for stage in ('pretrain', 'sft', 'dpo'))}\n"
        f"Talk to it:  yanmo chat --model {out / 'dpo'}"
    )
    return {key: result[key] for key in ("right", "questions", "share", "interval", "loop_rate", "by_level")}


def dialogue(messages: list[dict[str, str]]) -> str:
    """A question with what was said before it."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n".join(f"{'问' if m['role'] == 'user' else '答'}：{m['content']}" for m in messages)
