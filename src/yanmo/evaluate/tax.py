"""The alignment tax: what a run that aligns a model cost, measured before and after and watched in between.

Learning what is liked better is easy for a small model, and forgetting the rest is easier. So every such run measures
the same things on the model it starts from and on the one it ends with: how likely general text is (bits a
character), whether answers to fixed questions run in circles, end by themselves and vary, how far the model has gone
from its start, and, where they are given, what a reward model prefers and how many answers are right. The cheap ones
are measured at every validation too: what goes beyond its limit counts against a checkpoint, so the run ends with
one that stays within them where there is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yanmo.core import device as hardware
from yanmo.core.run import Run, number
from yanmo.data.conversations import ConversationBatches
from yanmo.data.preferences import PreferenceBatches
from yanmo.data.rows import PackedRows, flatten
from yanmo.evaluate.answers import Answer, Question, answer_all, read_questions
from yanmo.evaluate.likelihood import likelihood, token_documents
from yanmo.evaluate.tax_settings import TaxSettings
from yanmo.model.checkpoint import load_model
from yanmo.model.decoding import for_decoding
from yanmo.model.generate import generate
from yanmo.model.labels import IGNORE
from yanmo.model.reward import load_reward_model
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer
from yanmo.text.preferences import Preference
from yanmo.tokenizer.chat import Message, render, template_of
from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.train.head import label_log_probs
from yanmo.train.reward import pair_scores
from yanmo.train.settings import TrainSettings
from yanmo.train.stage import resolve
from yanmo.train.validation import first_targets, validation_loss

OWN_QUESTIONS = 32
"""Held-out questions of the run's own data that are asked."""
BATCH = 64
"""Questions answered at once."""
RESAMPLES = 2000
"""Of the bootstrap."""
SHOWN = 5
"""Answers to show side by side."""
LONGEST = 60
"""Characters of them."""

WORDS = {
    "bits_per_character": "held-out loss, bits/character",
    "loop_rate": "answers in a loop",
    "ended_rate": "answers that end by themselves",
    "distinct_2": "different pairs of characters",
    "mean_characters": "characters an answer",
    "right": "right answers",
}
SHARES = ("loop_rate", "ended_rate", "distinct_2", "right")


@dataclass(frozen=True)
class State:
    """A model as measured."""

    figures: dict[str, float]
    answers: list[Answer]
    """To the fixed questions, greedy."""


class Tax:
    """What the model in `start` is like, and how another compares.

    held_out: conversations of the run's own that it does not train on; the answers' loss counts where --tax.data names
    no text. prompts: questions of its own, each a list of messages that ends with the user's.
    Raises: ValueError: the reward model reads other tokens; a question fills the context.
    """

    def __init__(
        self,
        settings: TaxSettings,
        start: Path,
        tokenizer: Tokenizer,
        hyper: TrainSettings,
        run: Run,
        held_out: Sequence[Sequence[Message]] = (),
        prompts: Sequence[Sequence[Message]] = (),
    ) -> None:
        self.settings, self.start, self.tokenizer, self.run = settings, start, tokenizer, run
        self.hyper = resolve(hyper)
        self.held_out = held_out
        if settings.reward_model and load_tokenizer(settings.reward_model).fingerprint != tokenizer.fingerprint:
            raise ValueError(
                f"--tax.reward-model {settings.reward_model}: made with another tokenizer than {start}, so its scores "
                "of these answers would mean nothing; train one from the same model"
            )
        model = self.start_model()
        self.context = model.config.max_position_embeddings
        self.prompts = [*self.fitting(fixed_questions(settings.prompts)), *self.fitting(prompts)[:OWN_QUESTIONS]]
        self.before = self.measure(model)

    def start_model(self) -> Transformer:
        model = load_model(self.start, device=self.hyper.device)
        model.compute_dtype = hardware.DTYPES[self.hyper.dtype]
        return model

    def fitting(self, prompts: Sequence[Sequence[Message]]) -> list[list[Message]]:
        """Those that leave room for an answer."""
        return [
            list(messages)
            for messages in prompts
            if len(render(self.tokenizer, messages, add_generation_prompt=True)[0]) < self.context
        ]

    @cached_property
    def documents(self) -> list[list[int]]:
        """The first --tax.tokens of general text."""
        kept: list[list[int]] = []
        left = self.settings.tokens
        for ids in token_documents(self.settings.data, self.tokenizer) if self.settings.data else ():
            kept.append(ids[:left])
            left -= len(kept[-1])
            if left <= 0:
                break
        return kept

    @cached_property
    def conversations(self) -> ConversationBatches | None:
        length = min(self.hyper.sequence_length, self.context)
        return ConversationBatches(self.held_out, self.tokenizer, length, 1, 0) if self.held_out else None

    def watch(self, model: Transformer) -> dict[str, float]:
        """The cheap figures, for a validation, with the distance from the start and the ratio of lengths to it."""
        figures = self.measure(model, whole=False).figures
        if self.prompts:
            figures["kl_per_token"] = self.kl(model)
            figures["length_ratio"] = figures["mean_characters"] / max(self.before.figures["mean_characters"], 1.0)
        return figures

    def measure(self, model: Transformer, whole: bool = True) -> State:
        """whole: the test by rule too."""
        with inference(model):
            figures = self.loss(model)
            answers = self.answer(model, [Question(list(map(dict, prompt)), []) for prompt in self.prompts])
            figures |= answer_figures(answers)
            if whole and self.settings.questions:
                rights = [answer.right for answer in self.answer(model, read_questions(self.settings.questions))]
                figures["right"] = sum(rights) / len(rights)
        return State(figures, answers)

    def answer(self, model: Transformer, questions: Sequence[Question]) -> list[Answer]:
        return answer_all(model, self.tokenizer, questions, self.settings.max_new_tokens, BATCH)

    def loss(self, model: Transformer) -> dict[str, float]:
        """Held-out loss; {} where there is nothing to measure it on."""
        if self.documents:
            figures = likelihood(model, self.tokenizer, self.documents).figures()
        elif self.conversations:
            batches = first_targets(self.conversations.sequential(), self.settings.tokens)
            figures = validation_loss(model, self.tokenizer, batches, 1)
        else:
            return {}
        return {"bits_per_character": figures["bits_per_character"]}

    def excess(self, figures: dict[str, float]) -> dict[str, tuple[float, str]]:
        """Figures beyond their limits: by how many times the limit, and what to say."""
        before, limits, found = self.before.figures, self.settings, {}

        def check(name: str, change: float, limit: float, said: str) -> None:
            if change > limit:
                found[name] = ((change - limit) / max(limit, 1e-3), said)

        if "bits_per_character" in figures:
            rise = figures["bits_per_character"] / before["bits_per_character"] - 1
            check("bits_per_character", rise, limits.loss_rise,
                  f"the held-out loss rose by {rise:.1%} (--tax.loss-rise {limits.loss_rise:g})")  # fmt: skip
        if "loop_rate" in figures:
            rise = figures["loop_rate"] - before["loop_rate"]
            check("loop_rate", rise, limits.loop_rise,
                  f"{figures['loop_rate']:.0%} of the answers run in circles, {before['loop_rate']:.0%} did at the "
                  f"start (--tax.loop-rise {limits.loop_rise:g})")  # fmt: skip
        if "right" in figures:
            drop = before["right"] - figures["right"]
            check("right", drop, limits.accuracy_drop,
                  f"{drop:.1%} fewer answers are right (--tax.accuracy-drop {limits.accuracy_drop:g})")  # fmt: skip
        if "kl_per_token" in figures:
            gone = figures["kl_per_token"]
            check("kl_per_token", gone, limits.kl,
                  f"the model is {gone:.2f} nats a token away from its start (--tax.kl {limits.kl:g})")  # fmt: skip
        return found

    def penalty(self, figures: dict[str, float]) -> float:
        """0 within all limits; what a checkpoint's score should lose beyond them."""
        return sum(times for times, _ in self.excess(figures).values())

    def looping(self, figures: dict[str, float]) -> str | None:
        """Why to stop: answers have begun to run in circles."""
        return self.excess(figures).get("loop_rate", (0.0, None))[1]

    def conclude(self, model: Transformer) -> None:
        """The model that the run ended with, beside its start: a table, report.json, and a clear line."""
        after = self.measure(model)
        figures = dict(after.figures)
        report: dict[str, Any] = {"before": self.before.figures, "prompts": len(self.prompts)}
        rows = [self.row(name, figures) for name in WORDS if name in figures]
        if self.prompts:
            figures["kl_per_token"] = self.kl(model)
            rows.append(["distance from the start, nats/token", "", f"{figures['kl_per_token']:.3f}", ""])
        if self.settings.reward_model and self.prompts:
            report["win_rate"] = won = self.win_rate(after.answers)
            low, high = won["interval"]
            words = f"{won['share']:.1%} ({low:.1%} to {high:.1%})"
            rows.append(["preferred to the answers before", "", words, ""])
        exceeded = self.excess(figures)
        self.run.report["tax"] = report | {"after": figures, "exceeded": list(exceeded)}
        self.run.table("before and after", ["", "before", "after", "change"], rows)
        self.show(after)
        for _, said in exceeded.values():
            self.run.say(f"warning: {said}")
        if exceeded:
            self.run.say(
                f"think twice before you prefer this model to {self.start}; a lower --train.lr, or more checkpoints to "
                "choose from (--train.eval-every), may do better"
            )
        else:
            self.run.say("all of it within the limits")

    def row(self, name: str, figures: dict[str, float]) -> list[str]:
        before, after = self.before.figures[name], figures[name]
        if name in SHARES:
            return [WORDS[name], f"{before:.1%}", f"{after:.1%}", f"{after - before:+.1%}"]
        return [WORDS[name], number(before), number(after), f"{after / before - 1:+.1%}" if before else ""]

    def show(self, after: State) -> None:
        """A few answers that have changed."""
        pairs = zip(self.before.answers, after.answers, strict=True)
        changed = [(old, new) for old, new in reversed(list(pairs)) if old.text != new.text]
        shown = ((old.question.messages[-1]["content"], old.text, new.text) for old, new in changed[:SHOWN])
        rows = [[text if len(text) <= LONGEST else f"{text[:LONGEST]} …" for text in row] for row in shown]
        if rows:
            self.run.table(f"{len(changed)} of {len(self.prompts)} answers changed", ["asked", "before", "after"], rows)

    def kl(self, model: Transformer) -> float:
        """KL(model, start) a token of answers sampled from the model: Schulman's k3, exp(d) - 1 - d with d the start's
        log-probability less the model's, unbiased and never negative (http://joschu.net/blog/kl-approx.html)."""
        template = template_of(self.tokenizer)
        prompts = [template.render(messages, add_generation_prompt=True)[0] for messages in self.prompts]
        settings = SamplingSettings(max_new_tokens=self.settings.max_new_tokens)
        sampled = []
        twin = for_decoding(model)
        for start in range(0, len(prompts), BATCH):
            part = prompts[start : start + BATCH]
            for prompt, completion in zip(part, generate(twin, part, settings, template.stop_ids, start), strict=True):
                answer = completion.ids + [template.end_id] * (completion.finish == "stop")
                sampled.append((prompt + answer, [False] * len(prompt) + [True] * len(answer)))
        packed = PackedRows(flatten(sampled), self.tokenizer.pad_id, self.context, 1, 0)
        before = self.start_model()
        total, count = 0.0, 0
        with inference(model), inference(before):
            for batch in packed.sequential():
                placed = {name: tensor.to(self.hyper.device) for name, tensor in batch.items()}
                wanted = placed["labels"] != IGNORE
                own, starts = (
                    label_log_probs(
                        each(placed["input_ids"], placed["position_ids"], placed["segments"]),
                        each.lm_head.weight,
                        placed["labels"],
                    )[wanted].double()
                    for each in (model, before)
                )
                ratio = starts - own
                total += float((torch.expm1(ratio) - ratio).sum())
                count += int(wanted.sum())
        return total / max(count, 1)

    def win_rate(self, after: list[Answer]) -> dict[str, Any]:
        """How often the reward model scores the answer after above the one before (a tie is half), with a 95 %
        interval by the bootstrap over questions (Efron 1979)."""
        assert self.settings.reward_model is not None
        pairs = [
            Preference(prompt, new.text, old.text)  # type: ignore[arg-type]
            for prompt, new, old in zip(self.prompts, after, self.before.answers, strict=True)
        ]
        judge = load_reward_model(self.settings.reward_model, device=self.hyper.device)
        context = min(self.context, judge.config.max_position_embeddings)
        packed = PreferenceBatches(pairs, self.tokenizer, 2 * context, 1, 0, context, scored=True)
        with inference(judge):
            scores = torch.cat(
                [
                    pair_scores(judge, {name: tensor.to(self.hyper.device) for name, tensor in batch.items()})
                    for batch in packed.sequential()
                ]
            )
        new, old = scores.double().cpu().numpy().T
        wins = (new > old) + 0.5 * (new == old)
        return {
            "share": float(wins.mean()),
            "interval": bootstrap(wins),
            "reward_before": float(old.mean()),
            "reward_after": float(new.mean()),
            "questions": len(wins),
        }


def bootstrap(values: np.ndarray) -> list[float]:
    """The 95 % interval of a mean: the middle 95 % of the means of samples drawn from the values with replacement."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(1), [2.5, 97.5])
    return [float(low), float(high)]


def answer_figures(answers: Sequence[Answer]) -> dict[str, float]:
    """How answers end and vary.

    distinct_2: different pairs of neighbouring characters over all pairs of all answers (Li et al. 2016,
    https://arxiv.org/abs/1510.03055); longer answers have fewer, whatever they say.
    """
    if not answers:
        return {}
    pairs = [text[place : place + 2] for text in (answer.text for answer in answers) for place in range(len(text) - 1)]
    return {
        "loop_rate": sum(answer.loops for answer in answers) / len(answers),
        "ended_rate": sum(answer.finish == "stop" for answer in answers) / len(answers),
        "distinct_2": len(set(pairs)) / max(len(pairs), 1),
        "mean_characters": sum(len(answer.text) for answer in answers) / len(answers),
    }


def fixed_questions(path: Path | None) -> list[list[Message]]:
    """The lines of a file, or of ours, each as a user's question."""
    source = path or files("yanmo.evaluate").joinpath("questions.txt")
    lines = source.read_text(encoding="utf-8").splitlines()
    return [[{"role": "user", "content": line.strip()}] for line in lines if line.strip()]


@contextlib.contextmanager
def inference(model: Transformer) -> Iterator[None]:
    """Within the block: no dropout, no gradients, and no compiling for shapes that training never has."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.train(training)
