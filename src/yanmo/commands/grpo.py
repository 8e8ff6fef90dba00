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
from typing import TYPE_CHECKING

from yanmo.evaluate.questions import ReinforcementSettings, reinforcement_training
from yanmo.train.grpo_settings import GrpoSettings
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.evaluate.exam import Exam, Result
    from yanmo.model.transformer import Transformer


def grpo_defaults() -> TrainSettings:
    return reinforcement_training(steps=200, eval_every=20, save_every=100)


@dataclass(kw_only=True)
class Settings(ReinforcementSettings):
    grpo: GrpoSettings = field(default_factory=GrpoSettings)
    train: TrainSettings = field(default_factory=grpo_defaults)
    out: Path = Path("runs/grpo")


def main(settings: Settings) -> None:
    settings.check()
    hyper, rollout = settings.train, settings.rollout
    if rollout.group_size < 2:
        raise ValueError("--rollout.group-size: 1 answer has no others to be compared with; give at least 2")

    from functools import partial

    from yanmo.core.device import DTYPES
    from yanmo.core.run import open_run
    from yanmo.data.rollouts import pack_answers
    from yanmo.evaluate.exam import conclude, pass_rates, sit
    from yanmo.evaluate.questions import open_questions, open_tax, room_for_a_question
    from yanmo.model.checkpoint import load_model, stop_ids
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.fit import rows_at_once
    from yanmo.train.grpo import grpo_loss, with_advantages
    from yanmo.train.reference import start_log_probs
    from yanmo.train.rollouts import RolloutBatches
    from yanmo.train.stage import Stage, resolve, start_model, train

    tokenizer = load_tokenizer(settings.init)
    room = room_for_a_question(settings)
    resolved = resolve(hyper)
    stops = stop_ids(settings.init)
    with open_run(settings) as run:
        asked = open_questions(settings, tokenizer, room, resolved.device, run)
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
            batches_per_epoch=max(1, asked.per_epoch // settings.groups) * rollout.updates,
            validate=validate,
            samples=lambda model: [],
            score=score,
            enough=enough,
            live=source,
        )
        model = train(stage, run, settings.resume)
        after = sit(model, tokenizer, asked.exam, stops, rollout.max_new_tokens)
        divergence = source.divergence(model, asked.exam.prompts)
        distance = [["KL from the reference, nats a token", "0", f"{divergence:.4f}"]]
        conclude(run, asked.exam, asked.texts, before, after, distance, source.shares())
        run.report["after"]["kl"] = divergence
        run.report["bad_rewards"] = source.bad_rewards
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
