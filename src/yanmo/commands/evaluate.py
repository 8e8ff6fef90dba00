"""A model -> scores: a table on the screen, `report.json`, and every answer in `answers.jsonl`.

yanmo evaluate --model runs/sft --suite answers --questions questions.jsonl
yanmo evaluate --model runs/pretrain --suite likelihood --data held-out.jsonl.zst
yanmo evaluate --model runs/pretrain --suite likelihood --data runs/pack      (its validation split)
yanmo evaluate --model runs/full runs/lora --suite answers --questions questions.jsonl      (side by side)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanmo.core.settings import CommandSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.model.transformer import Transformer
    from yanmo.tokenizer.load import Tokenizer


ANSWERS = "answers.jsonl"
TRAINING = {
    "parameters": "parameters",
    "trained_parameters": "trained of them",
    "steps": "training steps",
    "training_time": "training time",
    "peak_memory_mb": "training memory, MB",
}
"""Figures of a training run's report that belong beside what came of it."""


@dataclass(kw_only=True)
class Settings(CommandSettings):
    model: list[Path]
    """The model directory; several are scored one after the other and shown side by side."""
    suite: list[str]
    """What to measure: likelihood (needs --data), answers (needs --questions)."""
    data: list[Path] = field(default_factory=list)
    """likelihood: held-out documents (directories that `yanmo clean` wrote, or .jsonl[.zst] files whose rows have
    "text"), or one directory of token shards, of which the validation split is scored."""
    questions: Path | None = None
    """answers: JSON lines of {"messages" or "prompt", "accepted", "rivals", "kind", "level"}."""
    max_new_tokens: int = 64
    """answers: an answer is cut off after so many tokens."""
    batch_size: int = 64
    """answers: how many questions are answered at once."""
    show: int = 8
    """answers: how many answers to show, wrong ones first."""
    device: str = "auto"
    """auto takes a GPU when there is one; cpu, cuda."""
    out: Path = Path("runs/evaluate")


def main(settings: Settings) -> None:
    for name in settings.suite:
        if name not in SUITES:
            raise ValueError(f"--suite: no suite is called {name!r}; known are {', '.join(SUITES)}")
        needed = SUITES[name].needs
        if not getattr(settings, needed):
            raise ValueError(f"--suite {name} needs --{needed}; --help says what that is")

    from yanmo.core.run import open_run

    with open_run(settings) as run:
        if len(settings.model) == 1:
            run.report |= measure(settings, settings.model[0], ANSWERS, run)
            return
        results = {}
        for number, path in enumerate(settings.model, 1):
            run.say(f"\n{path}")
            results[str(path)] = measure(settings, path, f"answers-{number}.jsonl", run) | {"training": training(path)}
        run.report["models"] = results
        side_by_side(results, run)


def measure(settings: Settings, path: Path, answers_file: str, run: Run) -> dict[str, Any]:
    """All suites on one model."""
    from yanmo.core.device import choose_device
    from yanmo.model.checkpoint import load_model
    from yanmo.tokenizer.load import load_tokenizer

    tokenizer = load_tokenizer(path)
    model = load_model(path, device=choose_device(settings.device)).eval()
    return {name: SUITES[name].measure(settings, model, tokenizer, answers_file, run) for name in settings.suite}


def training(path: Path) -> dict[str, Any]:
    """What training the model cost, as its own run says; empty where no run of ours made it."""
    from yanmo.core.files import read_json

    report = read_json(path / "report.json") if (path / "report.json").is_file() else {}
    return {name: report[name] for name in TRAINING if report.get(name) is not None}


def side_by_side(results: dict[str, dict[str, Any]], run: Run) -> None:
    """A row a figure, a column a model."""
    figures = {name: dict(_figures(result)) for name, result in results.items()}
    words = dict.fromkeys(word for own in figures.values() for word in own)
    rows = [[word, *(own.get(word, "") for own in figures.values())] for word in words]
    names = [Path(name).name for name in results]
    run.table("side by side", ["", *(names if len(set(names)) == len(names) else results)], rows)


def _figures(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is worth comparing of one model's results, with its name."""
    if answers := result.get("answers"):
        low, high = answers["interval"]
        yield "right answers", f"{answers['right']}/{answers['questions']} = {answers['share']:.1%}"
        yield "95 % interval", f"{low:.1%} to {high:.1%}"
        yield "answers in a loop", f"{answers['loop_rate']:.1%}"
        yield "answers cut off", f"{answers['cut_off_rate']:.1%}"
    if likelihood := result.get("likelihood"):
        yield "bits/character", f"{likelihood['bits_per_character']:.4f}"
        yield "nats/token", f"{likelihood['nats_per_token']:.4f}"
    for name, value in result["training"].items():
        yield TRAINING[name], f"{value:,}" if isinstance(value, int) else str(value)


def measure_likelihood(
    settings: Settings, model: Transformer, tokenizer: Tokenizer, answers_file: str, run: Run
) -> dict[str, Any]:
    from yanmo.evaluate.likelihood import likelihood, token_documents

    with run.progress("likelihood", None, "tokens") as bar:
        result = likelihood(model, tokenizer, token_documents(settings.data, tokenizer), bar.advance)
    if not result.tokens:
        raise ValueError(f"--data {' '.join(map(str, settings.data))}: no documents in it")
    figures = result.figures()
    run.table("likelihood", ["figure", "value"], [[name.replace("_", " "), value] for name, value in figures.items()])
    return figures


def measure_answers(
    settings: Settings, model: Transformer, tokenizer: Tokenizer, answers_file: str, run: Run
) -> dict[str, Any]:
    from yanmo.core.files import write_jsonl
    from yanmo.evaluate.answers import answer_all, read_questions, scores

    assert settings.questions is not None
    questions = read_questions(settings.questions)
    with run.progress("answers", len(questions), "questions") as bar:
        answers = answer_all(model, tokenizer, questions, settings.max_new_tokens, settings.batch_size, bar.advance)
    with write_jsonl(run.path / answers_file) as out:
        for answer in answers:
            out.write(answer.row())
    result = scores(answers)
    show_scores(result, run)
    chosen = sorted(answers, key=lambda answer: answer.right)[: settings.show]
    if chosen:
        rows = [["✓" if a.right else "✗", a.question.messages[-1]["content"], a.text] for a in chosen]
        run.table("answers, wrong ones first", ["", "question", "answer"], rows)
    return result


def show_scores(result: dict[str, Any], run: Run) -> None:
    """Shares right with their intervals, by level and by kind, the worst first and the perfect ones as one line."""

    def line(name: str, part: dict[str, Any]) -> list[str]:
        low, high = part["interval"]
        return [name, f"{part['right']}/{part['questions']}", f"{part['share']:.1%}", f"{low:.1%} to {high:.1%}"]

    kinds = sorted(result["by_kind"].items(), key=lambda item: item[1]["share"])
    perfect = sum(part["share"] == 1 for _, part in kinds)
    shown = kinds if perfect < 2 else kinds[:-perfect]
    rows = [line(name, part) for name, part in [*result["by_level"].items(), *shown]]
    if len(shown) < len(kinds):
        rows.append([f"{perfect} more kinds", "all", "100.0%", ""])
    run.table("answers by rule", ["what", "right", "share", "95 % interval"], [*rows, line("all", result)])
    run.say(
        f"answers in a loop: {result['loop_rate']:.1%}   cut off: {result['cut_off_rate']:.1%}   "
        f"mean length: {result['mean_characters']:.1f} characters"
    )


@dataclass(frozen=True)
class Suite:
    needs: str
    """The setting without which there is nothing to measure."""
    measure: Callable[[Settings, Transformer, Tokenizer, str, Run], dict[str, Any]]
    """(settings, model, tokenizer, name of the file for answers, run) -> what the report says."""


SUITES = {
    "likelihood": Suite("data", measure_likelihood),
    "answers": Suite("questions", measure_answers),
}
