"""A model that answers + questions whose answers can be judged -> a model that answers them better: PPO.

yanmo ppo --init runs/sft --prompts questions.jsonl --reward-model runs/reward
yanmo ppo --init runs/sft --task sorting:1-2 counting
yanmo ppo --init runs/sft --task idioms --lora.rank 16 --ppo.kl-target 2

What it costs elsewhere is measured before, after and in between (`--tax.*`), on --data too if that is given.
Beside the policy trains a critic, which learns what to expect, so one answer to a question is enough; `grpo` compares
several answers instead and needs half the memory. The critic is kept in critic/ of the output directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yanmo.evaluate.questions import ReinforcementSettings, reinforcement_training
from yanmo.model.lora_settings import LoraSettings
from yanmo.train.ppo_settings import PpoSettings
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.model.transformer import Transformer
    from yanmo.train.actor_critic import ActorCritic

DISTANCES = {
    "kl_answer": "KL from the reference, nats an answer",
    "kl": "  a token",
    "entropy": "entropy, nats a token",
}


def ppo_defaults() -> TrainSettings:
    return reinforcement_training(steps=400, eval_every=40, save_every=80)


def rollout_defaults() -> RolloutSettings:
    """What to expect is known by the critic, not from other answers: as many questions as answers."""
    return RolloutSettings(group_size=1, minibatches=2, epochs=2)


@dataclass(kw_only=True)
class Settings(ReinforcementSettings):
    rollout: RolloutSettings = field(default_factory=rollout_defaults)
    ppo: PpoSettings = field(default_factory=PpoSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    """Of the policy; the critic is trained whole."""
    train: TrainSettings = field(default_factory=ppo_defaults)
    out: Path = Path("runs/ppo")


def main(settings: Settings) -> None:
    settings.check()
    hyper, rollout = settings.train, settings.rollout

    from functools import partial

    from yanmo.core.device import DTYPES
    from yanmo.core.run import open_run
    from yanmo.data.rollouts import pack_answers
    from yanmo.evaluate.exam import conclude, sit
    from yanmo.evaluate.questions import open_questions, open_tax, room_for_a_question
    from yanmo.model.checkpoint import load_model, stop_ids
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.actor_critic import actor_critic_optimizers, load_actor_critic, save_actor_critic
    from yanmo.train.fit import rows_at_once
    from yanmo.train.ppo import ppo_loss
    from yanmo.train.ppo_rollouts import PpoBatches
    from yanmo.train.reference import start_log_probs
    from yanmo.train.stage import Stage, resolve, train

    tokenizer, resolved, stops = load_tokenizer(settings.init), resolve(hyper), stop_ids(settings.init)
    room = room_for_a_question(settings)
    with open_run(settings) as run:
        asked = open_questions(settings, tokenizer, room, resolved.device, run)
        tax = open_tax(settings, settings.tax, settings.init, tokenizer, hyper, run)
        start = load_model(settings.init, device=resolved.device).eval().requires_grad_(False)
        start.compute_dtype = DTYPES[resolved.dtype]
        source = PpoBatches(
            settings.ppo,
            asked.environment,
            rollout,
            hyper.batch_size,
            hyper.seed,
            stops,
            partial(pack_answers, pad_id=tokenizer.pad_id, sequence_length=hyper.sequence_length),
            start_log_probs(start, settings.lora, rollout.temperature, rows_at_once(resolved)),
            rows_at_once(resolved),
            run.say,
        )
        exam = asked.exam
        before = sit(start, tokenizer, exam, stops, rollout.max_new_tokens), source.examine(start, exam.prompts)
        run.say(f"before: mean reward {before[0].reward:.3f} on {len(exam.prompts)} held-out questions")

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            result = sit(model, tokenizer, exam, stops, rollout.max_new_tokens)
            figures = {"reward": result.reward, **source.examine(model, exam.prompts), "length": result.tokens}
            figures |= {"loops": result.loops, **(tax.watch(model) if tax else {})}
            if exam.pass_mark is None:
                return figures
            passed = result.passed(exam.pass_mark)
            return {"pass": sum(passed) / len(passed), **figures}

        def score(figures: dict[str, float]) -> float:
            """Above the cap a checkpoint is better than none, no more; beyond a limit of the tax it loses."""
            if figures["kl_answer"] > settings.ppo.kl_cap:
                return -1e9 - figures["kl_answer"]
            return figures.get("pass", figures["reward"]) - (tax.penalty(figures) if tax else 0.0)

        stage = Stage(
            settings=hyper,
            build=lambda: begin(settings),
            load=load_actor_critic,
            save=save_actor_critic,
            optimizers=partial(actor_critic_optimizers, critic_lr_ratio=settings.ppo.critic_lr_ratio),
            tokenizer=tokenizer,
            loss=ppo_loss(settings.ppo, rollout.temperature),
            batches=source,
            batches_per_epoch=max(1, asked.per_epoch // settings.groups) * rollout.updates,
            validate=validate,
            samples=lambda model: [],
            score=score,
            live=source,
        )
        model = train(stage, run, settings.resume)
        after = sit(model, tokenizer, exam, stops, rollout.max_new_tokens), source.examine(model, exam.prompts)
        (old, far), (new, further) = before, after
        distances = [[words, f"{far[name]:.3f}", f"{further[name]:.3f}"] for name, words in DISTANCES.items()]
        conclude(run, exam, asked.texts, old, new, distances, source.shares())
        run.report["before"] |= far
        run.report["after"] |= further
        run.report |= {"bad_rewards": source.bad_rewards, "beta": source.control.beta}
        if source.stopped:
            run.say(f"stopped early: {source.stopped}")
            run.report["stopped"] = source.stopped
        if tax:
            tax.conclude(model)


def begin(settings: Settings) -> ActorCritic:
    """The policy, and its critic: the reward model, or the policy's own body with a new score, which gives 0."""
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
