"""What reinforcement learning asks and who judges, for `grpo` and `ppo`: settings, and what comes of them.

Either verifiable tasks, judged by rule, or a file's prompts, judged by a reward model. Nothing here loads torch
before `open_questions` does, so that help is instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import orjson
import xxhash

from yanmo.core.files import iter_lines, open_binary
from yanmo.core.run import Run
from yanmo.core.settings import CommandSettings
from yanmo.evaluate.tax_settings import TaxSettings
from yanmo.model.lora_settings import LoraSettings
from yanmo.tokenizer.chat import ROLES, template_of
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.evaluate.exam import Exam
    from yanmo.evaluate.tax import Tax
    from yanmo.model.generate import Completion
    from yanmo.model.reward import RewardModel
    from yanmo.tokenizer.load import Tokenizer
    from yanmo.train.rollouts import Environment


@dataclass(kw_only=True)
class QuestionSettings:
    task: list[str] = field(default_factory=list)
    """Verifiable tasks to ask, such as `sorting counting:1-2 idioms:3` (levels after the colon, all by default); `yanmo
    tasks` lists them."""
    prompts: Path | None = None
    """Instead of tasks: a file whose rows have "prompt" (a user's question) or "messages"; needs --reward-model."""
    reward_model: Path | None = None
    """What judges answers to --prompts: a directory that `yanmo reward` wrote, with this model's tokenizer."""
    whiten: bool = False
    """Reward model: bring the scores of every sampling to mean 0 and deviation 1."""
    questions: int = 100
    """Questions held out to measure progress on: so many of each task (which training never asks), or of --prompts (at
    most a fifth)."""
    data: list[Path] = field(default_factory=list)
    """Text that says what learning costs elsewhere: documents, conversations or a directory of token shards (of which
    the validation split), whose bits a character are measured before and after."""

    def check(self) -> None:
        """Raises: ValueError: neither tasks nor prompts, or prompts without a judge."""
        if bool(self.task) == (self.prompts is not None):
            raise ValueError("--task: name tasks to learn (`yanmo tasks` lists them), or give --prompts, not both")
        if (self.prompts is None) != (self.reward_model is None):
            raise ValueError("--reward-model: prompts need a reward model that judges, and only prompts do")
        if self.questions < 1:
            raise ValueError(f"--questions: {self.questions} must be at least 1")


@dataclass(kw_only=True)
class ReinforcementSettings(QuestionSettings, CommandSettings):
    """What `grpo` and `ppo` have in common."""

    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep")

    init: Path
    """The model directory to start from, which is also the reference; or an adapter's, whose training goes on."""
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    """--train.batch-size counts answers here."""
    tax: TaxSettings = field(default_factory=TaxSettings)

    def check(self) -> None:
        """Raises: ValueError: the answers of a step are no whole number of groups, or see `QuestionSettings`."""
        super().check()
        if self.train.batch_size % self.rollout.group_size:
            raise ValueError(
                f"--train.batch-size: {self.train.batch_size} answers are no whole number of groups; "
                f"--rollout.group-size is {self.rollout.group_size}"
            )

    @property
    def groups(self) -> int:
        """Questions asked at a time."""
        return self.train.batch_size // self.rollout.group_size


def reinforcement_training(steps: int, eval_every: int, save_every: int) -> TrainSettings:
    return TrainSettings(
        steps=steps,
        sequence_length=256,
        batch_size=128,
        optimizer="adamw",
        lr=1e-4,
        weight_decay=0.0,
        schedule="linear",
        warmup=0.05,
        eval_every=eval_every,
        save_every=save_every,
    )


def room_for_a_question(settings: ReinforcementSettings) -> int:
    """Tokens that a question may have beside the answer, in a row and in the contexts of policy and judge.

    Raises: ValueError: none.
    """
    from yanmo.model.checkpoint import load_config

    models = [settings.init, *([settings.reward_model] if settings.reward_model else [])]
    context = min(settings.train.sequence_length, *(load_config(model).max_position_embeddings for model in models))
    if context <= settings.rollout.max_new_tokens:
        raise ValueError(
            f"--rollout.max-new-tokens: {settings.rollout.max_new_tokens} leaves no room for a question in the "
            f"{context} tokens that --train.sequence-length and the models' contexts allow"
        )
    return context - settings.rollout.max_new_tokens


class Questions(NamedTuple):
    environment: Environment
    exam: Exam
    """Held-out questions."""
    texts: list[str]
    """The exam's questions as people read them."""
    per_epoch: int
    """Different questions to train on, where their number is known; else 0."""


def open_questions(
    settings: ReinforcementSettings, tokenizer: Tokenizer, room: int, device: str, run: Run
) -> Questions:
    """What to ask. room: tokens that a prompt may have.

    Raises: ValueError: an unknown task, a reward model with another tokenizer, no prompt that leaves room.
    """
    seed = settings.train.seed
    if settings.task:
        return ask_tasks(settings, tokenizer, room, settings.groups, settings.rollout.group_size, seed)
    return ask_prompts(settings, tokenizer, room, settings.groups, seed, device, run)


def ask_tasks(
    settings: QuestionSettings, tokenizer: Tokenizer, room: int, questions: int, group_size: int, seed: int
) -> Questions:
    from yanmo.evaluate.exam import Exam
    from yanmo.evaluate.tasks.catalogue import courses
    from yanmo.evaluate.tasks.curriculum import held_out
    from yanmo.evaluate.tasks.environment import TaskEnvironment, prompt_ids
    from yanmo.model.streaming import text_of

    chosen = courses(settings.task)
    asked = held_out(chosen, settings.questions, seed)
    prompts = [prompt_ids(tokenizer, one) for one in asked]
    longest = max(range(len(prompts)), key=lambda number: len(prompts[number]))
    check_room(len(prompts[longest]), room, f"--task {asked[longest].task}:{asked[longest].level}")

    def grade(completions: list[Completion]) -> list[float]:
        return [
            one.problem.check(text_of(completion.ids, tokenizer.token_bytes)) if completion.finish == "stop" else 0.0
            for one, completion in zip(asked, completions, strict=True)
        ]

    exam = Exam(prompts, grade, [f"{one.task}, level {one.level}" for one in asked])
    environment = TaskEnvironment(chosen, tokenizer, questions, group_size, seed)
    return Questions(environment, exam, [one.problem.question for one in asked], 0)


def check_room(length: int, room: int, what: str) -> None:
    if length > room:
        raise ValueError(
            f"{what}: a question has {length} tokens, a row has room for {room} beside the answer; "
            "raise --train.sequence-length or lower --rollout.max-new-tokens"
        )


def ask_prompts(
    settings: QuestionSettings, tokenizer: Tokenizer, room: int, questions: int, seed: int, device: str, run: Run
) -> Questions:
    from yanmo.evaluate.exam import Exam
    from yanmo.evaluate.judge import Judge, scores

    assert settings.prompts is not None and settings.reward_model is not None
    model = open_judge(settings.reward_model, tokenizer, device)
    found = read_prompts(settings.prompts, tokenizer, room, run)
    held = min(settings.questions, max(1, len(found) // 5))
    by_hash = sorted(found, key=lambda prompt: xxhash.xxh3_64_intdigest(prompt.text.encode()))
    test, training = by_hash[:held], by_hash[held:]
    if not training:
        raise ValueError(f"--prompts {settings.prompts}: {len(found)} prompts are too few to hold one out")

    end = template_of(tokenizer).end_id

    def grade(completions: list[Completion]) -> list[float]:
        texts = [
            prompt.ids + completion.ids + ([end] if completion.finish == "stop" else [])
            for prompt, completion in zip(test, completions, strict=True)
        ]
        return scores(model, texts).tolist()

    exam = Exam([prompt.ids for prompt in test], grade, [""] * len(test), pass_mark=None)
    ids = [prompt.ids for prompt in training]
    judge = Judge(ids, model, questions, seed, end, settings.whiten)
    return Questions(judge, exam, [prompt.text for prompt in test], len(training))


def open_judge(directory: Path, tokenizer: Tokenizer, device: str) -> RewardModel:
    """The reward model. Raises: ValueError: it is none, or reads with another tokenizer."""
    from yanmo.model.reward import load_reward_model
    from yanmo.tokenizer.load import load_tokenizer

    if load_tokenizer(directory).fingerprint != tokenizer.fingerprint:
        raise ValueError(
            f"--reward-model {directory}: it has another tokenizer than the model; train one from the same model"
        )
    return load_reward_model(directory, device=device)


class Prompt(NamedTuple):
    text: str
    ids: list[int]


def read_prompts(path: Path, tokenizer: Tokenizer, room: int, run: Run) -> list[Prompt]:
    """The prompts of a file; what is broken, empty or too long is counted and left out.

    Raises: ValueError: none is left.
    """
    from yanmo.text.files.readers import read_rows
    from yanmo.text.files.rows import Broken
    from yanmo.text.files.sources import look
    from yanmo.tokenizer.chat import render

    found: list[Prompt] = []
    left_out: dict[str, int] = {}
    for row in read_rows(look(path, txt_documents="line")):
        messages = None if isinstance(row, Broken) else messages_of(row.value)
        if messages is None:
            left_out["without a question"] = left_out.get("without a question", 0) + 1
            continue
        ids, _ = render(tokenizer, messages, add_generation_prompt=True)
        if len(ids) > room:
            left_out["too long"] = left_out.get("too long", 0) + 1
            continue
        found.append(Prompt(messages[-1]["content"], ids))
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    if not found:
        raise ValueError(
            f"--prompts {path}: no prompt left ({reasons or 'it is empty'}); a row has room for {room} tokens"
        )
    run.say(f"{len(found):,} prompts; left out: {reasons or 'none'}")
    run.report["prompts"] = {"kept": len(found), "left_out": left_out}
    return found


def messages_of(value: object) -> list[dict[str, str]] | None:
    """The conversation that a row of a prompts file asks to be answered."""
    if isinstance(value, str) and value.strip():
        return [{"role": "user", "content": value}]
    if not isinstance(value, dict):
        return None
    messages, prompt = value.get("messages"), value.get("prompt")
    if isinstance(prompt, str) and prompt.strip():
        return [{"role": "user", "content": prompt}]
    if not isinstance(messages, list) or not messages:
        return None
    if not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in messages):
        return None
    if any(turn.get("role") not in ROLES for turn in messages):
        return None
    return messages if messages[-1]["role"] == "user" else None


def open_tax(
    settings: QuestionSettings, tax: TaxSettings, init: Path, tokenizer: Tokenizer, train: TrainSettings, run: Run
) -> Tax | None:
    """What learning costs elsewhere; `data` is text, or conversations, that must stay likely. None if not wanted."""
    from yanmo.evaluate.tax import Tax
    from yanmo.text.conversations import read_conversations

    if not tax.measure:
        return None
    if not settings.data or not are_conversations(settings.data[0]):
        return Tax(replace(tax, data=tax.data or settings.data), init, tokenizer, train, run)
    rows = (row.messages for row in read_conversations(settings.data, "auto"))
    conversations = [messages for messages in rows if isinstance(messages, list)]
    return Tax(tax, init, tokenizer, train, run, conversations)


def are_conversations(path: Path) -> bool:
    """Whether this is no documents: those have "text", and lie in .jsonl files or in directories that we wrote."""
    if path.is_dir():
        return False
    with open_binary(path) as stream:
        first = next(iter(iter_lines(stream)), b"")
    try:
        row = orjson.loads(first)
    except orjson.JSONDecodeError:
        return True
    return not (isinstance(row, dict) and "text" in row)
