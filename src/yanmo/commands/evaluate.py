"""A model -> scores: a table on the screen, `report.json`, and every answer in `answers.jsonl`.

yanmo evaluate --model runs/sft --suite answers --questions questions.jsonl
yanmo evaluate --model runs/pretrain --suite likelihood --data held-out.jsonl.zst
yanmo evaluate --model runs/pretrain --suite likelihood --data runs/pack      (its validation split)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanmo.core.settings import CommandSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.model.transformer import Transformer
    from yanmo.tokenizer.load import Tokenizer


@dataclass(kw_only=True)
class Settings(CommandSettings):
    model: Path
    """The model directory."""
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

    from yanmo.core.device import choose_device
    from yanmo.core.run import open_run
    from yanmo.model.checkpoint import load_model
    from yanmo.tokenizer.load import load_tokenizer

    with open_run(settings) as run:
        tokenizer = load_tokenizer(settings.model)
        model = load_model(settings.model, device=choose_device(settings.device)).eval()
        for name in settings.suite:
            run.report[name] = SUITES[name].measure(settings, model, tokenizer, run)


def measure_likelihood(settings: Settings, model: Transformer, tokenizer: Tokenizer, run: Run) -> dict[str, Any]:
    from yanmo.evaluate.likelihood import likelihood, token_documents

    with run.progress("likelihood", None, "tokens") as bar:
        result = likelihood(model, tokenizer, token_documents(settings.data, tokenizer), bar.advance)
    if not result.tokens:
        raise ValueError(f"--data {' '.join(map(str, settings.data))}: no documents in it")
    figures = result.figures()
    run.table("likelihood", ["figure", "value"], [[name.replace("_", " "), value] for name, value in figures.items()])
    return figures


def measure_answers(settings: Settings, model: Transformer, tokenizer: Tokenizer, run: Run) -> dict[str, Any]:
    from yanmo.core.files import write_jsonl
    from yanmo.evaluate.answers import answer_all, read_questions, scores

    assert settings.questions is not None
    questions = read_questions(settings.questions)
    with run.progress("answers", len(questions), "questions") as bar:
        answers = answer_all(model, tokenizer, questions, settings.max_new_tokens, settings.batch_size, bar.advance)
    with write_jsonl(run.path / "answers.jsonl") as out:
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
    measure: Callable[[Settings, Transformer, Tokenizer, Run], dict[str, Any]]


SUITES = {
    "likelihood": Suite("data", measure_likelihood),
    "answers": Suite("questions", measure_answers),
}
