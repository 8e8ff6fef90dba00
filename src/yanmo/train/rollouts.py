"""Rollouts: what the policy of this moment answers, judged, as a source of batches for the one loop.

Reinforcement learning differs from the other stages only in where its batches come from:

    environment asks -> the live policy answers, a group to each question -> the environment judges
    -> answers packed into rows, with what the loss needs riding along -> minibatches

Questions and random draws are functions of (seed, number of the rollout), and the policy is the one that the
checkpoint holds; so a run that goes on from a checkpoint samples the very same answers. Where one rollout serves
several updates, those still to come lie in the checkpoint. Sampling uses the decoding engine on a twin of the live
weights (`for_decoding`), which costs about as much as copying them; nothing is read from the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from yanmo.core.signals import Failure
from yanmo.model.decoding import for_decoding
from yanmo.model.generate import stream
from yanmo.model.labels import IGNORE
from yanmo.model.sampling import Sampler
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer
from yanmo.train.head import label_log_probs
from yanmo.train.rollout_settings import RolloutSettings

Batch = dict[str, Tensor]
Example = tuple[list[int], list[bool]]
Pack = Callable[[Sequence[Example], Mapping[str, Sequence[Sequence[float]]]], Batch]
"""Examples of (ids, whether each is trained), and columns of one number for every trained token of every example ->
the packed batch, every column a (B, T) float32 tensor that is 0 where there is no label, and `count` (B,)."""


@dataclass
class Answer:
    """What the policy said, token by token."""

    ids: list[int] = field(default_factory=list)
    """The end token included, if it came."""
    log_probs: list[float] = field(default_factory=list)
    """Of every token, under the distribution it was drawn from."""
    entropies: list[float] = field(default_factory=list)
    """Of that distribution, in nats."""
    ended: bool = False
    """By itself, not by the limit."""

    @property
    def said(self) -> list[int]:
        """Ids without the end token."""
        return self.ids[:-1] if self.ended else self.ids


@dataclass
class Rollout:
    """P questions, G answers to each. Answer i in the order of the groups is `answers[i // G][i % G]`."""

    number: int
    prompts: list[list[int]]
    answers: list[list[Answer]]
    rewards: Tensor
    """(P, G) float64: the environment's, shaped by length if settings say so; NaN where it had none."""

    @property
    def flat(self) -> list[Answer]:
        return [answer for group in self.answers for answer in group]


class Environment(Protocol):
    """Asks and judges; may learn what to ask from how it was answered."""

    def ask(self, number: int) -> list[list[int]]:
        """The prompts of rollout `number`, as ids."""

    def judge(self, prompts: list[list[int]], answers: list[list[Answer]]) -> list[list[float]]:
        """A reward for each answer to what was asked last; NaN if there is none."""

    def figures(self) -> dict[str, float]:
        """What there is to log of the newest rollout."""

    def state(self) -> dict[str, Tensor]:
        """What it has learned, to lie in checkpoints."""

    def restore(self, state: dict[str, Tensor]) -> None: ...


class Recorder(Sampler):
    """A sampler that remembers how likely each token was, and how sure the policy."""

    def __init__(
        self, settings: SamplingSettings, prompts: Sequence[Sequence[int]], vocab_size: int, first_row: int
    ) -> None:
        super().__init__(settings, prompts, vocab_size, first_row)
        self.rows = list(range(len(prompts)))
        self.log_probs: list[list[float]] = [[] for _ in prompts]
        self.entropies: list[list[float]] = [[] for _ in prompts]

    def __call__(self, logits: Tensor) -> list[int]:
        tokens = super().__call__(logits)
        log_probs = (logits.float() / self.settings.temperature).log_softmax(-1)
        chosen = log_probs[torch.arange(len(tokens)), tokens].tolist()
        entropies = -(log_probs.exp() * log_probs).sum(-1)
        for row, log_prob, entropy in zip(self.rows, chosen, entropies.tolist(), strict=True):
            self.log_probs[row].append(log_prob)
            self.entropies[row].append(entropy)
        return tokens

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self.rows = [self.rows[row] for row in rows]


def sample_answers(
    policy: Transformer,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    stop_ids: Collection[int],
    first_row: int = 0,
) -> list[Answer]:
    """An answer to each of the prompts, of which some may be the same. policy: a twin for decoding.

    Plain sampling only: with top-p and the like the log-probabilities would not be those of the draws.
    """
    assert settings.top_p == 1 and not settings.top_k and not settings.min_p and settings.repetition_penalty == 1
    with torch.inference_mode():
        recorder = Recorder(settings, prompts, policy.config.vocab_size, first_row)
    ids: list[list[int]] = [[] for _ in prompts]
    for row, token in stream(policy, prompts, settings, stop_ids, first_row, recorder):
        ids[row].append(token)
    return [
        Answer(said, log_probs, entropies, said[-1] in stop_ids)
        for said, log_probs, entropies in zip(ids, recorder.log_probs, recorder.entropies, strict=True)
    ]


def token_log_probs(model: Transformer, batch: Batch, temperature: float = 1.0) -> Tensor:
    """(B, T): the log-probability of every label at this temperature, with gradient; 0 where there is none."""
    hidden = model(batch["input_ids"], batch["position_ids"], batch["segments"])
    return label_log_probs(hidden / temperature, model.lm_head.weight, batch["labels"])


@torch.no_grad()
def in_parts(compute: Callable[[Batch], Tensor], batch: Batch, rows: int, device: torch.device) -> Tensor:
    """`compute` of the whole batch, `rows` rows at a time on `device`, and the result back."""
    parts = range(0, len(batch["labels"]), rows)
    placed = ({name: tensor[start : start + rows].to(device) for name, tensor in batch.items()} for start in parts)
    return torch.cat([compute(part).float().cpu() for part in placed])


def per_answer(values: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sums of values (B, T) over the labels of each answer, and the numbers of labels: both (B, answers of a row)."""
    segments = batch["segments"].long()
    wanted = (batch["labels"] != IGNORE).to(values.dtype)
    empty = values.new_zeros(len(values), int(segments.max()) + 1)
    return empty.scatter_add(1, segments, values * wanted), empty.scatter_add(1, segments, wanted)


class RolloutBatches:
    """`batches(start)` samples, judges and yields minibatches for ever (`yanmo.train.fit.Batches`, `stage.Live`).

    A batch holds what packed rows have, `count` (B,) answers of each row, and (B, T) float32 columns:
        old         log-probability of the token under the policy that said it
        reference   the same under the reference, 0 without one
        answer      number of the answer within the rollout + 1
    and whatever `prepare` adds: `prepare(rollout, batch)` gets all of a rollout's rows at once, before they are
    divided into minibatches by rows.
    """

    def __init__(
        self,
        environment: Environment,
        settings: RolloutSettings,
        answers: int,
        seed: int,
        stop_ids: Collection[int],
        pack: Pack,
        prepare: Callable[[Rollout, Batch], Batch],
        reference: Callable[[Transformer, Batch], Tensor] | None,
        say: Callable[[str], None] = lambda line: None,
    ):
        """answers: of one rollout. reference: (policy, batch) -> (B, T) the reference's log-probabilities.

        Raises: ValueError: `answers` are not whole groups.
        """
        if answers % settings.group_size:
            raise ValueError(
                f"--train.batch-size: {answers} answers are no whole number of groups; "
                f"--rollout.group-size is {settings.group_size}"
            )
        self.environment, self.settings, self.seed, self.stop_ids = environment, settings, seed, frozenset(stop_ids)
        self.answers = answers
        self.pack, self.prepare, self.reference, self.say = pack, prepare, reference, say
        self.policy: Transformer | None = None
        self.pending: dict[int, Batch] = {}
        """Batches still to come of the newest rollout, by their number."""
        self.bad_rewards = 0
        self.seconds = {"rollout": 0.0, "scoring": 0.0, "training": 0.0}
        self._handed_out = time.perf_counter()
        self._figures: dict[str, float] = {}

    def __call__(self, start: int) -> Iterator[Batch]:
        for number in itertools.count(start):
            if number not in self.pending:
                rollout = number // self.settings.updates
                assert number == rollout * self.settings.updates, "the checkpoint lacks the batches of this rollout"
                self.pending = dict(enumerate(self.sample(rollout), number))
            batch = self.pending.pop(number)
            self._handed_out = time.perf_counter()
            yield batch

    def sample(self, number: int) -> list[Batch]:
        """The minibatches of rollout `number`, in the order of their use."""
        rollout = self.roll_out(number)
        assert self.policy is not None
        with self.clock("scoring"):
            asked = [prompt for prompt in rollout.prompts for _ in range(self.settings.group_size)]
            batch = self.prepare(rollout, self.as_batch(self.policy, asked, rollout.flat))
        self._observe(rollout, batch)
        return [part for epoch in range(self.settings.epochs) for part in self.divide(batch, number, epoch)]

    def roll_out(self, number: int) -> Rollout:
        assert self.policy is not None, "attach a model first"
        group, answers = self.settings.group_size, self.answers
        prompts = self.environment.ask(number)
        assert len(prompts) * group == answers
        with self.clock("rollout"):
            flat = self.answer(self.policy, [prompt for prompt in prompts for _ in range(group)], number * answers)
        groups = [flat[start : start + group] for start in range(0, answers, group)]
        with self.clock("scoring"):
            rewards = torch.tensor(self.environment.judge(prompts, groups), dtype=torch.float64)
        self._check_rewards(number, rewards)
        return Rollout(number, prompts, groups, rewards + self._overlong(groups))

    def answer(self, policy: Transformer, prompts: Sequence[Sequence[int]], first_row: int = 0) -> list[Answer]:
        """What this policy says to the prompts, as in training."""
        sampling = SamplingSettings(
            max_new_tokens=self.settings.max_new_tokens, temperature=self.settings.temperature, seed=self.seed
        )
        return sample_answers(for_decoding(policy), prompts, sampling, self.stop_ids, first_row)

    def divergence(self, policy: Transformer, prompts: Sequence[list[int]]) -> float:
        """KL divergence of this policy from the reference on its answers to these prompts (`sampled_kl`)."""
        return sampled_kl(self.as_batch(policy, prompts, self.answer(policy, prompts)))

    def _check_rewards(self, number: int, rewards: Tensor) -> None:
        """Answers without a finite reward are learned nothing from, counted and told of once.

        Raises: Failure: no answer has one.
        """
        bad = int((~rewards.isfinite()).sum())
        if bad == rewards.numel():
            raise Failure(f"rollout {number}: not one reward is a finite number; what judges the answers is broken")
        if bad and not self.bad_rewards:
            self.say(f"warning: rollout {number}: {bad} of {rewards.numel()} rewards are not finite; left out")
        self.bad_rewards += bad
        rewards[~rewards.isfinite()] = math.nan

    def _overlong(self, groups: list[list[Answer]]) -> Tensor:
        """DAPO's soft overlong punishment (https://arxiv.org/abs/2503.14476, eq. 13): 0 down to -1, (P, G)."""
        lengths = torch.tensor([[len(answer.ids) for answer in group] for group in groups], dtype=torch.float64)
        buffer = self.settings.overlong_buffer
        if not buffer:
            return torch.zeros_like(lengths)
        return -((lengths - (self.settings.max_new_tokens - buffer)) / buffer).clamp(0, 1)

    def as_batch(self, policy: Transformer, prompts: Sequence[list[int]], answers: Sequence[Answer]) -> Batch:
        """All answers, each to its prompt, packed, with `old`, `answer` and `reference`."""
        examples = [
            (prompt + answer.ids, [False] * len(prompt) + [True] * len(answer.ids))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        batch = self.pack(
            examples,
            {
                "old": [answer.log_probs for answer in answers],
                "answer": [[index + 1.0] * len(answer.ids) for index, answer in enumerate(answers)],
            },
        )
        batch["reference"] = torch.zeros_like(batch["old"])
        if self.reference:
            batch["reference"] = self.reference(policy, batch)
        return batch

    def divide(self, batch: Batch, number: int, epoch: int) -> list[Batch]:
        """The rows of a rollout dealt out anew to the minibatches of an epoch."""
        if self.settings.minibatches == 1:
            return [batch]
        rows = len(batch["labels"])
        generator = random.Random(f"{self.seed}:{number}:{epoch}")
        order = torch.tensor(generator.sample(range(rows), rows))
        parts = [part for part in order.tensor_split(self.settings.minibatches) if len(part)]
        parts += [parts[-1]] * (self.settings.minibatches - len(parts))  # fewer rows than minibatches
        return [{name: tensor[part] for name, tensor in batch.items()} for part in parts]

    @contextlib.contextmanager
    def clock(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - began

    def shares(self) -> dict[str, float]:
        """Of the time that learning took so far: sampling, scoring (judge and reference), and the updates."""
        total = max(1e-9, sum(self.seconds.values()))
        return {name: seconds / total for name, seconds in self.seconds.items()}

    def _observe(self, rollout: Rollout, batch: Batch) -> None:
        answers, rewards = rollout.flat, rollout.rewards
        tokens = sum(len(answer.ids) for answer in answers)
        spread = rewards.nan_to_num().amax(1) - rewards.nan_to_num().amin(1)
        self._figures = {
            "reward": float(rewards.nanmean()),
            "length": tokens / len(answers),
            "entropy": sum(sum(answer.entropies) for answer in answers) / tokens,
            "cut_off": sum(not answer.ended for answer in answers) / len(answers),
            "flat_groups": float((spread == 0).double().mean()),
            "bad_rewards": float(self.bad_rewards),
        }
        if self.reference:
            self._figures["kl"] = sampled_kl(batch)
        self._figures |= self.environment.figures()

    # What `stage.Live` wants

    def attach(self, model: Transformer) -> None:
        self.policy = model

    def watch(self) -> tuple[dict[str, float], dict[str, float]]:
        self.seconds["training"] += time.perf_counter() - self._handed_out  # the update has just been made
        shares = self.shares()
        shown = {name: self._figures[name] for name in ("reward", "pass", "kl") if name in self._figures}
        return shown | {name: round(share, 2) for name, share in shares.items()}, self._figures

    def state(self) -> dict[str, Tensor]:
        pending = {
            # Two epochs may use one batch, and a file of tensors holds no two that share their memory.
            f"batch.{number}.{name}": tensor.clone()
            for number, batch in self.pending.items()
            for name, tensor in batch.items()
        }
        environment = {f"environment.{name}": tensor for name, tensor in self.environment.state().items()}
        return pending | environment

    def restore(self, state: dict[str, Tensor]) -> None:
        self.pending = {}
        environment = {}
        for name, tensor in state.items():
            kind, _, rest = name.partition(".")
            if kind == "batch":
                number, _, column = rest.partition(".")
                self.pending.setdefault(int(number), {})[column] = tensor
            else:
                environment[rest] = tensor
        self.environment.restore(environment)


def sampled_kl(batch: Batch) -> float:
    """KL divergence of the policy that said the answers from the reference, in nats a token, estimated on them.

    r - 1 - log r with r = reference / policy: unbiased and never negative ("k3", http://joschu.net/blog/kl-approx.html).
    """
    wanted = batch["labels"] != IGNORE
    log_ratio = (batch["reference"] - batch["old"])[wanted].double()
    return float((log_ratio.exp() - 1 - log_ratio).mean())
