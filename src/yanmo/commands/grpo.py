"""A model that answers + questions whose answers can be judged -> a model that answers them better: GRPO.

yanmo grpo --init runs/sft --task sorting counting:1-2
yanmo grpo --init runs/sft --task idioms --lora.rank 16 --grpo.variant gspo
yanmo grpo --init runs/sft --prompts questions.jsonl --reward-model runs/reward --grpo.kl 0.05

A model that never gives a right answer has nothing to learn from: `yanmo tasks` writes examples for a short `yanmo sft`
before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from yanmo.core.settings import CommandSettings
from yanmo.evaluate.questions import QuestionSettings
from yanmo.evaluate.tax_settings import TaxSettings
from yanmo.model.lora_settings import LoraSettings
from yanmo.train.grpo_settings import GrpoSettings
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.evaluate.exam import Exam, Result
    from yanmo.model.transformer import Transformer
    from yanmo.train.rollouts import RolloutBatches

SHOWN = 6
"""Held-out questions whose answers are shown at the end."""


def grpo_defaults() -> TrainSettings:
    return TrainSettings(
        steps=200,
        sequence_length=256,
        batch_size=128,
        optimizer="adamw",
        lr=1e-4,
        weight_decay=0.0,
        schedule="linear",
        warmup=0.05,
        eval_every=20,
        save_every=100,
    )


@dataclass(kw_only=True)
class Settings(QuestionSettings, CommandSettings):
    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep")

    init: Path
    """The model directory to start from, which is also the reference; or an adapter's, whose training goes on."""
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    grpo: GrpoSettings = field(default_factory=GrpoSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    train: TrainSettings = field(default_factory=grpo_defaults)
    """--train.batch-size counts answers here."""
    tax: TaxSettings = field(default_factory=TaxSettings)
    out: Path = Path("runs/grpo")


def main(settings: Settings) -> None:
    settings.check()
    hyper, rollout = settings.train, settings.rollout
    if rollout.group_size < 2:
        raise ValueError("--rollout.group-size: 1 answer has no others to be compared with; give at least 2")
    if hyper.batch_size % rollout.group_size:
        raise ValueError(
            f"--train.batch-size: {hyper.batch_size} answers are no whole number of groups; "
            f"--rollout.group-size is {rollout.group_size}"
        )

    from functools import partial

    from yanmo.core.device import DTYPES
    from yanmo.core.run import open_run
    from yanmo.data.rollouts import pack_answers
    from yanmo.evaluate.exam import pass_rates, sit
    from yanmo.evaluate.questions import open_questions, open_tax
    from yanmo.model.checkpoint import load_config, load_model, stop_ids
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.fit import rows_at_once
    from yanmo.train.grpo import grpo_loss, with_advantages
    from yanmo.train.reference import start_log_probs
    from yanmo.train.rollouts import RolloutBatches
    from yanmo.train.stage import Stage, resolve, start_model, train

    tokenizer = load_tokenizer(settings.init)
    models = [settings.init, *([settings.reward_model] if settings.reward_model else [])]
    context = min(hyper.sequence_length, *(load_config(model).max_position_embeddings for model in models))
    room = context - rollout.max_new_tokens
    if room < 1:
        raise ValueError(
            f"--rollout.max-new-tokens: {rollout.max_new_tokens} leaves no room for a question in the {context} tokens "
            "that --train.sequence-length and the models' contexts allow"
        )
    resolved = resolve(hyper)
    stops = stop_ids(settings.init)
    with open_run(settings) as run:
        groups = hyper.batch_size // rollout.group_size
        asked = open_questions(settings, tokenizer, room, groups, rollout.group_size, hyper.seed, resolved.device, run)
        tax = open_tax(settings, settings.tax, settings.init, tokenizer, hyper, run)
        start = load_model(settings.init, device=resolved.device).eval().requires_grad_(False)
        start.compute_dtype = DTYPES[resolved.dtype]
        before = sit(start, tokenizer, asked.exam, stops, rollout.max_new_tokens)
        announce(run, asked.exam, before)
        source = RolloutBatches(
            environment=asked.environment,
            settings=rollout,
            answers=hyper.batch_size,
            seed=hyper.seed,
            stop_ids=stops,
            pack=partial(pack_answers, pad_id=tokenizer.pad_id, sequence_length=hyper.sequence_length),
            prepare=with_advantages(settings.grpo, rollout),
            reference=start_log_probs(start, settings.lora, rollout.temperature, rows_at_once(resolved)),
            say=run.say,
        )

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            result = sit(model, tokenizer, asked.exam, stops, rollout.max_new_tokens)
            figures = {"reward": result.reward, "length": result.tokens, "loops": result.loops}
            if asked.exam.pass_mark is not None:
                rates = pass_rates(asked.exam, result)
                figures = {"pass": rates["all"][0] / rates["all"][1], **figures}
            return figures | {"kl": source.divergence(model, asked.exam.prompts)} | (tax.watch(model) if tax else {})

        def score(figures: dict[str, float]) -> float:
            """Above the cap a checkpoint is better than none, no more; beyond a limit of the tax it loses."""
            if figures["kl"] > settings.grpo.kl_cap:
                return -1e9 - figures["kl"]
            return figures.get("pass", figures["reward"]) - (tax.penalty(figures) if tax else 0.0)

        def enough(figures: dict[str, float]) -> str | None:
            if figures["kl"] <= settings.grpo.kl_cap:
                return None
            return f"KL from the reference is {figures['kl']:.3f} nats a token, --grpo.kl-cap {settings.grpo.kl_cap}"

        stage = Stage(
            settings=hyper,
            build=lambda: start_model(settings.init, settings.lora),
            tokenizer=tokenizer,
            loss=grpo_loss(settings.grpo, rollout.temperature),
            batches=source,
            batches_per_epoch=max(1, asked.per_epoch // groups) * rollout.updates,
            validate=validate,
            samples=lambda model: [],
            score=score,
            enough=enough,
            live=source,
        )
        model = train(stage, run, settings.resume)
        after = sit(model, tokenizer, asked.exam, stops, rollout.max_new_tokens)
        conclude(run, source, asked.exam, asked.texts, before, after, source.divergence(model, asked.exam.prompts))
        if tax:
            tax.conclude(model)


def announce(run: Run, exam: Exam, before: Result) -> None:
    """How good the model is to begin with; groups that are all wrong teach nothing."""
    if exam.pass_mark is None:
        run.say(f"before: mean reward {before.reward:.3f} on {len(exam.prompts)} held-out questions")
        return
    right = sum(before.passed(exam.pass_mark))
    run.say(f"before: {right} of {len(exam.prompts)} held-out questions right, mean reward {before.reward:.3f}")
    if not any(before.rewards):
        run.say(
            "warning: not one answer earns anything, so there may be nothing to learn from; a short `yanmo sft` on "
            "what `yanmo tasks` writes teaches a model the form of an answer"
        )


def conclude(
    run: Run,
    source: RolloutBatches,
    exam: Exam,
    questions: list[str],
    before: Result,
    after: Result,
    divergence: float,
) -> None:
    """The table of before and after, where the time went, and what has become worse."""
    from yanmo.evaluate.exam import as_report, comparison, degradations, shown

    worse = degradations(before, after)
    shares = source.shares()
    run.report |= {
        "before": as_report(exam, before),
        "after": as_report(exam, after) | {"kl": divergence},
        "degraded": worse,
        "time_shares": shares,
        "bad_rewards": source.bad_rewards,
    }
    rows = [*comparison(exam, before, after), ["KL from the reference, nats a token", "0", f"{divergence:.4f}"]]
    run.table("held-out questions", ["what", "before", "after"], rows)
    run.table("answers", ["question", "before", "after"], shown(questions, before, after, SHOWN))
    run.say("time: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    run.say(f"degraded: {'; '.join(worse)}" if worse else "nothing measured here has become clearly worse")
