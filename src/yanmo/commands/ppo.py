"""A model that answers + somebody who scores answers -> a model whose answers score better: PPO.

yanmo ppo --init runs/sft --data prompts.jsonl --reward-model runs/reward
yanmo ppo --init runs/sft --task sorting:1-2 --train.steps 400
yanmo ppo --init runs/sft --task arithmetic --lora.rank 16 --train.lr 3e-4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from yanmo.core.settings import CommandSettings
from yanmo.evaluate.tax_settings import TaxSettings
from yanmo.model.lora_settings import LoraSettings
from yanmo.train.ppo_settings import PpoSettings
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from torch import Tensor

    from yanmo.core.run import Run
    from yanmo.evaluate.exam import Exam, Result
    from yanmo.evaluate.scored_prompts import Judge
    from yanmo.model.generate import Completion
    from yanmo.model.transformer import Transformer
    from yanmo.tokenizer.load import Tokenizer
    from yanmo.train.actor_critic import ActorCritic
    from yanmo.train.ppo_rollouts import PpoBatches
    from yanmo.train.rollouts import Answer, Batch, Environment

TASK_ROLLOUTS = 100
"""Of tasks, which never run out, an epoch is so many rollouts."""
SHOWN = 6
"""Answers to show before and after."""


def ppo_defaults() -> TrainSettings:
    """batch_size: answers of one rollout."""
    return TrainSettings(
        epochs=1.0,
        sequence_length=512,
        batch_size=128,
        optimizer="adamw",
        lr=1e-4,
        weight_decay=0.0,
        schedule="linear",
        warmup=0.05,
        min_lr_ratio=0.1,
        eval_every=80,
        save_every=80,
    )


def ppo_rollouts() -> RolloutSettings:
    """The critic, not other answers, says what was to be expected: many questions, an answer each."""
    return RolloutSettings(group_size=1, minibatches=4, epochs=2)


@dataclass(kw_only=True)
class Settings(CommandSettings):
    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep", "train.eval-every")

    init: Path
    """The model directory to start from, which is also the reference; or an adapter's, whose training goes on."""
    task: list[str] = field(default_factory=list)
    """Verifiable tasks, which ask and judge by themselves: NAME, NAME:LEVEL or NAME:FROM-TO."""
    data: list[Path] = field(default_factory=list)
    """Prompts: files with "messages" or "prompt", or .txt with a question a line; scored by --reward-model."""
    reward_model: Path | None = None
    """Directory of a reward model (`yanmo reward`) that scores the answers to --data; the critic starts from it."""
    contains: str | None = None
    """Instead of a reward model: 1 for an answer that contains this, else 0. A toy that shows whether it works."""
    held_out: int = 100
    """Questions kept to measure on (of --data at most a fifth)."""
    rollout: RolloutSettings = field(default_factory=ppo_rollouts)
    ppo: PpoSettings = field(default_factory=PpoSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    train: TrainSettings = field(default_factory=ppo_defaults)
    tax: TaxSettings = field(default_factory=TaxSettings)
    out: Path = Path("runs/ppo")

    def __post_init__(self) -> None:
        if bool(self.task) == bool(self.data):
            raise ValueError("give either --task, which asks and judges by itself, or --data with --reward-model")
        if self.data and (self.reward_model is None) == (self.contains is None):
            raise ValueError("--data: the answers need one judge, --reward-model DIR (or the toy --contains TEXT)")
        if self.task and (self.reward_model or self.contains):
            raise ValueError("--task: tasks judge by themselves; leave --reward-model and --contains out")


class Source(NamedTuple):
    """Who asks and who judges."""

    environment: Environment
    exam: Exam
    rollouts: int
    """That an epoch has."""


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.actor_critic import actor_critic_optimizers, load_actor_critic, save_actor_critic
    from yanmo.train.ppo import ppo_loss
    from yanmo.train.stage import Stage, start_model, train

    hyper, tokenizer = settings.train, load_tokenizer(settings.init)
    check_judge(settings, tokenizer)
    with open_run(settings) as run:
        source = tasks(settings, tokenizer) if settings.task else judged_prompts(settings, tokenizer, run)
        batches = rollouts(settings, tokenizer, source, run)
        before = measure(settings, tokenizer, source, batches, start_model(settings.init, settings.lora))

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            result, figures = measure(settings, tokenizer, source, batches, model)
            return {"reward": result.reward, **figures, "length": result.tokens, "loops": result.loops}

        def score(figures: dict[str, float]) -> float:
            """A checkpoint above the cap is better than none, no more."""
            return figures["reward"] if figures["kl_answer"] <= settings.ppo.kl_cap else -1e9

        stage = Stage(
            settings=hyper,
            build=lambda: start(settings),
            load=load_actor_critic,
            save=save_actor_critic,
            optimizers=lambda model, resolved: actor_critic_optimizers(model, resolved, settings.ppo.critic_lr_ratio),
            tokenizer=tokenizer,
            loss=ppo_loss(settings.ppo, settings.rollout.temperature),
            batches=batches,
            batches_per_epoch=source.rollouts * settings.rollout.updates,
            validate=validate,
            samples=lambda model: [],
            score=score,
            live=batches,
        )
        model = train(stage, run, settings.resume)
        conclude(settings, tokenizer, source, batches, before, model, run)


def check_judge(settings: Settings, tokenizer: Tokenizer) -> None:
    """Raises: ValueError: the reward model reads other tokens than the policy writes."""
    from yanmo.tokenizer.load import load_tokenizer

    judge = settings.reward_model
    if judge and load_tokenizer(judge).fingerprint != tokenizer.fingerprint:
        raise ValueError(
            f"--reward-model {judge}: it has another tokenizer than {settings.init}, so the two read different ids; "
            "train a reward model from this model or from one with its tokenizer: yanmo reward --init"
        )


def tasks(settings: Settings, tokenizer: Tokenizer) -> Source:
    """Tasks to train on, and problems of theirs that are never trained on."""
    from yanmo.evaluate.exam import Exam
    from yanmo.evaluate.tasks.catalogue import courses
    from yanmo.evaluate.tasks.curriculum import held_out
    from yanmo.evaluate.tasks.environment import TaskEnvironment, prompt_ids, reward

    chosen = courses(settings.task)
    asked = held_out(chosen, settings.held_out, settings.train.seed)
    prompts = [prompt_ids(tokenizer, each) for each in asked]
    room = longest_prompt(settings)
    if max(map(len, prompts)) > room:
        raise ValueError(
            f"--task: questions of up to {max(map(len, prompts))} tokens, and room for {room} beside an answer of "
            f"--rollout.max-new-tokens {settings.rollout.max_new_tokens}; lower it or raise --train.sequence-length"
        )

    def grade(completions: list[Completion]) -> list[float]:
        return [reward(tokenizer, each, as_answer(said)) for each, said in zip(asked, completions, strict=True)]

    questions = settings.train.batch_size // settings.rollout.group_size
    environment = TaskEnvironment(chosen, tokenizer, questions, settings.rollout.group_size, settings.train.seed)
    return Source(environment, Exam(prompts, grade, [f"{each.task} {each.level}" for each in asked]), TASK_ROLLOUTS)


def judged_prompts(settings: Settings, tokenizer: Tokenizer, run: Run) -> Source:
    """Prompts to train on and some to measure on, chosen by a hash of their ids."""
    import numpy as np
    import xxhash

    from yanmo.evaluate.exam import Exam
    from yanmo.evaluate.scored_prompts import PromptEnvironment

    every = read_prompts(settings, tokenizer, run)
    every.sort(key=lambda ids: xxhash.xxh3_64_intdigest(np.array(ids, np.uint32).tobytes()))
    kept = max(1, min(settings.held_out, len(every) // 5))
    prompts, training = every[:kept], every[kept:]
    run.report["prompts"] |= {"training": len(training), "held_out": kept}
    judge = judge_of(settings, tokenizer)

    def grade(completions: list[Completion]) -> list[float]:
        return judge(prompts, [as_answer(said) for said in completions])

    questions = settings.train.batch_size // settings.rollout.group_size
    environment = PromptEnvironment(training, judge, questions, settings.train.seed)
    exam = Exam(prompts, grade, ["prompts"] * kept, pass_mark=1.0 if settings.contains else None)
    return Source(environment, exam, -(-len(training) // questions))


def as_answer(completion: Completion) -> Answer:
    """A completion as judges want it; they look at its text and at whether it ended."""
    from yanmo.train.rollouts import Answer

    ended = completion.finish == "stop"
    return Answer([*completion.ids, -1] if ended else completion.ids, ended=ended)


def judge_of(settings: Settings, tokenizer: Tokenizer) -> Judge:
    from yanmo.core.device import DTYPES
    from yanmo.evaluate.scored_prompts import by_reward_model, by_text
    from yanmo.model.reward import load_reward_model
    from yanmo.train.stage import resolve

    if settings.contains is not None:
        return by_text(tokenizer, settings.contains)
    assert settings.reward_model is not None
    hyper = resolve(settings.train)
    model = load_reward_model(settings.reward_model, device=hyper.device)
    model.compute_dtype = DTYPES[hyper.dtype]
    return by_reward_model(model, tokenizer.turn_end_id)


def longest_prompt(settings: Settings) -> int:
    """Tokens a prompt may have: with the longest answer it must fit a row and every model's context."""
    from yanmo.model.checkpoint import load_config

    models = [settings.init, *([settings.reward_model] if settings.reward_model else [])]
    contexts = [load_config(model).max_position_embeddings for model in models]
    room = min(settings.train.sequence_length, *contexts) - settings.rollout.max_new_tokens
    if room < 1:
        raise ValueError(
            f"--rollout.max-new-tokens: {settings.rollout.max_new_tokens} leaves no room for a question in rows of "
            f"{settings.train.sequence_length} (--train.sequence-length) and contexts of {min(contexts)}"
        )
    return room


def read_prompts(settings: Settings, tokenizer: Tokenizer, run: Run) -> list[list[int]]:
    """The questions of --data, each once; what is broken, said twice or too long is counted.

    Raises: ValueError: a row holds no prompt; fewer than two prompts are left.
    """
    from yanmo.commands.generate import encode
    from yanmo.text.files.readers import Broken, Damage, read_rows
    from yanmo.text.files.sources import look

    room, found = longest_prompt(settings), dict[tuple[int, ...], None]()
    counts = {"read": 0, "broken": 0, "said twice": 0, "no room for an answer": 0}
    for path in settings.data:
        source = look(path, txt_documents="line")
        damage = Damage(source)
        for row in read_rows(source):
            broken = isinstance(row, Broken)
            damage.add(1, [(row.number, row.drop)] if isinstance(row, Broken) else [])
            counts["read"] += 1
            counts["broken"] += broken
            if isinstance(row, Broken):
                continue
            ids = tuple(encode(row.value, True, tokenizer, source.place(row.number)).ids)
            if len(ids) > room:
                counts["no room for an answer"] += 1
            elif ids in found:
                counts["said twice"] += 1
            else:
                found[ids] = None
        Damage.check_all([damage])
    run.report["prompts"] = counts
    left_out = ", ".join(f"{number:,} {why}" for why, number in counts.items() if number and why != "read")
    run.say(f"{len(found):,} prompts of {counts['read']:,} rows; left out: {left_out or 'none'}")
    if len(found) < 2:
        raise ValueError(f"--data: {len(found)} prompts to train on ({left_out or 'none were given'}); give some more")
    return [list(ids) for ids in found]


def rollouts(settings: Settings, tokenizer: Tokenizer, source: Source, run: Run) -> PpoBatches:
    from yanmo.data.rollouts import pack_answers
    from yanmo.model.checkpoint import stop_ids
    from yanmo.train.fit import rows_at_once
    from yanmo.train.ppo_rollouts import PpoBatches
    from yanmo.train.stage import resolve

    hyper = resolve(settings.train)
    return PpoBatches(
        settings.ppo,
        source.environment,
        settings.rollout,
        hyper.batch_size,
        hyper.seed,
        stop_ids(settings.init),
        lambda examples, columns: pack_answers(examples, columns, tokenizer.pad_id, hyper.sequence_length),
        reference_of(settings),
        rows_at_once(hyper),
        run.say,
    )


def reference_of(settings: Settings) -> Callable[[Transformer, Batch], Tensor]:
    """The start model's log-probabilities: of the policy without its new adapters, or of a frozen copy."""
    import torch

    from yanmo.core.device import DTYPES
    from yanmo.model.checkpoint import load_model
    from yanmo.model.lora import adapters_off
    from yanmo.train.fit import rows_at_once
    from yanmo.train.rollouts import in_parts, token_log_probs
    from yanmo.train.stage import resolve

    hyper, temperature = resolve(settings.train), settings.rollout.temperature
    rows, device = rows_at_once(hyper), torch.device(hyper.device)

    def of(model: Transformer, batch: Batch) -> Tensor:
        return in_parts(lambda part: token_log_probs(model, part, temperature), batch, rows, device)

    def without_adapters(policy: Transformer, batch: Batch) -> Tensor:
        with adapters_off(policy):
            return of(policy, batch)

    if settings.lora.rank:
        return without_adapters
    frozen = load_model(settings.init, device=device).eval()
    frozen.compute_dtype = DTYPES[hyper.dtype]
    return lambda policy, batch: of(frozen, batch)


def start(settings: Settings) -> ActorCritic:
    """The policy and a critic: the reward model, or the policy's own body with a new score, which gives 0."""
    from yanmo.model.checkpoint import load_model
    from yanmo.model.lora import merge
    from yanmo.model.reward import RewardModel, load_reward_model
    from yanmo.train.actor_critic import ActorCritic
    from yanmo.train.stage import start_model

    if settings.reward_model:
        critic = load_reward_model(settings.reward_model)
        merge(critic)
    else:
        body = load_model(settings.init)
        merge(body)
        critic = RewardModel(body.config)
        critic.model = body.model
    return ActorCritic(start_model(settings.init, settings.lora), critic)


def measure(
    settings: Settings, tokenizer: Tokenizer, source: Source, batches: PpoBatches, model: Transformer
) -> tuple[Result, dict[str, float]]:
    """Greedy answers to the held-out questions, and how far sampled ones are from the reference."""
    from yanmo.core.device import DTYPES
    from yanmo.evaluate.exam import sit
    from yanmo.train.stage import resolve

    hyper = resolve(settings.train)
    model.to(hyper.device)
    model.compute_dtype = DTYPES[hyper.dtype]
    result = sit(model, tokenizer, source.exam, batches.stop_ids, settings.rollout.max_new_tokens)
    figures = batches.examine(model, source.exam.prompts)
    if source.exam.pass_mark is not None:
        passed = result.passed(source.exam.pass_mark)
        figures = {"right": sum(passed) / len(passed), **figures}
    return result, figures


def conclude(
    settings: Settings,
    tokenizer: Tokenizer,
    source: Source,
    batches: PpoBatches,
    before: tuple[Result, dict[str, float]],
    model: Transformer,
    run: Run,
) -> None:
    """The table of before and after, where the time went, and what has become worse."""
    from yanmo.evaluate.exam import as_report, comparison, degradations, shown

    after, figures = measure(settings, tokenizer, source, batches, model)
    rows: list[list[Any]] = comparison(source.exam, before[0], after)
    words = {"kl_answer": "KL to the reference, nats an answer", "kl_token": "nats a token", "entropy": "entropy, nats"}
    rows += [[word, f"{before[1][name]:.3f}", f"{figures[name]:.3f}"] for name, word in words.items()]
    run.table("before and after", ["", "before", "after"], rows)
    texts = [tokenizer.decode(prompt) for prompt in source.exam.prompts]
    run.table("answers", ["question", "before", "after"], shown(texts, before[0], after, SHOWN))
    shares = batches.shares()
    run.say("time: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    worse = degradations(before[0], after)
    for line in worse:
        run.say(f"warning: {line}")
    if batches.stopped:
        run.say(f"stopped: {batches.stopped}; the best checkpoint below it is kept")
        run.report["stopped"] = batches.stopped
    run.report["ppo"] = {
        "before": as_report(source.exam, before[0]) | before[1],
        "after": as_report(source.exam, after) | figures,
        "shares": shares,
        "bad_rewards": batches.bad_rewards,
        "beta": batches.control.beta,
        "degraded": worse,
    }
