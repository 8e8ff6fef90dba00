"""Rollouts as PPO wants them: the critic looks at every answer, and scores become advantages and returns of tokens.

Beside what `RolloutBatches` keeps, checkpoints carry beta, which follows the KL divergence, and the running mean and
deviation of the scores. A rollout further from the reference than the cap is the last: batches end there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.model.labels import IGNORE
from yanmo.model.transformer import Transformer
from yanmo.train.actor_critic import ActorCritic
from yanmo.train.ppo_returns import (
    KlControl,
    RunningScores,
    explained_variance,
    generalised_advantages,
    shaped,
    token_rewards,
    whiten,
)
from yanmo.train.ppo_settings import PpoSettings
from yanmo.train.rollout_settings import RolloutSettings
from yanmo.train.rollouts import Batch, Environment, Pack, Rollout, RolloutBatches, in_parts

OWN = "ppo"
"""The name in checkpoints of what PPO remembers between two rollouts."""


@dataclass(frozen=True)
class Table:
    """Where the tokens of each answer stand in a packed batch: (B, T) columns to tables (N, A) and back."""

    answer: Tensor
    """(n,): the answer of each of the batch's n labels, in their order."""
    place: Tensor
    """(n,): which of the answer's tokens it is."""
    wanted: Tensor
    """(B, T): where there are labels."""
    mask: Tensor
    """(N, A)."""

    @classmethod
    def of(cls, batch: Batch, answers: int) -> Table:
        """By the column `answer`, the answer's number + 1. An answer lies whole in one row, in its order."""
        wanted = batch["labels"] != IGNORE
        answer = batch["answer"][wanted].long() - 1
        lengths = torch.bincount(answer, minlength=answers)
        order = answer.argsort(stable=True)
        place = torch.empty_like(answer)
        place[order] = torch.arange(len(answer)) - (lengths.cumsum(0) - lengths)[answer[order]]
        return cls(answer, place, wanted, torch.arange(int(lengths.max())) < lengths[:, None])

    def table(self, column: Tensor) -> Tensor:
        """(B, T) -> (N, A), 0 where an answer has no token."""
        result = column.new_zeros(self.mask.shape)
        result[self.answer, self.place] = column[self.wanted]
        return result

    def column(self, table: Tensor) -> Tensor:
        """(N, A) -> (B, T), 0 where there is no label."""
        result = table.new_zeros(self.wanted.shape)
        result[self.wanted] = table[self.answer, self.place]
        return result


class PpoBatches(RolloutBatches):
    """Minibatches with, beside `old` and `reference`, (B, T) float32 columns `values`, `advantages` and `returns`.

    Labels are those of the answers to learn from: not of those without a finite reward, nor, if so set, of those cut
    off. `stopped` says why the batches came to an end, if they did.
    """

    def __init__(
        self,
        ppo: PpoSettings,
        environment: Environment,
        settings: RolloutSettings,
        answers: int,
        seed: int,
        stop_ids: Collection[int],
        pack: Pack,
        reference: Callable[[Transformer, Batch], Tensor],
        rows: int,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """As `RolloutBatches`; rows: of a batch that the critic reads at once."""
        super().__init__(environment, settings, answers, seed, stop_ids, pack, self.with_advantages, reference, say)
        self.ppo, self.rows = ppo, rows
        self.control = KlControl(ppo.kl_weight, ppo.kl_target, ppo.kl_gain)
        self.running = RunningScores()
        self.stopped: str | None = None
        self._more: dict[str, float] = {}

    def __call__(self, start: int) -> Iterator[Batch]:
        for batch in super().__call__(start):
            if self.stopped:
                self.pending = {}
                return
            yield batch

    def with_advantages(self, rollout: Rollout, batch: Batch) -> Batch:
        assert isinstance(self.policy, ActorCritic)
        ppo, flat, policy = self.ppo, rollout.flat, self.policy
        with torch.no_grad():
            values = in_parts(policy.values, batch, self.rows, policy.lm_head.weight.device)
        at = Table.of(batch, len(flat))
        ended = torch.tensor([answer.ended for answer in flat])
        scores = shaped(ppo, rollout.rewards.flatten(), ended, self.running)
        learned = scores.isfinite()
        if self.settings.truncated == "mask":
            learned &= ended
        mask = at.mask & learned[:, None]
        log_ratios, values = at.table(batch["old"] - batch["reference"]), at.table(values * at.wanted)
        rewards = token_rewards(log_ratios, scores.nan_to_num(), at.mask, self.control.beta, ppo.kl_estimator)
        if ppo.whiten_rewards:
            rewards = whiten(rewards, mask, shift=False)
        advantages, returns = generalised_advantages(rewards, values, mask, ppo.gamma, ppo.gae_lambda)
        self._note(scores, log_ratios, values[mask], returns[mask])
        if ppo.whiten_advantages:
            advantages = whiten(advantages, mask)
        batch = {name: column for name, column in batch.items() if name != "count"}  # what counts are the tokens
        columns = {"values": values, "advantages": advantages, "returns": returns}
        return batch | {
            "labels": batch["labels"].where(at.column(mask), IGNORE),
            **{name: at.column(torch.where(mask, table, 0.0)) for name, table in columns.items()},
        }

    def _note(self, scores: Tensor, log_ratios: Tensor, values: Tensor, returns: Tensor) -> None:
        """Figures of the rollout, beta for the next, and whether it has gone too far."""
        kl = float(log_ratios.double().sum(1).mean())
        self._more = {
            "kl_answer": kl,
            "beta": self.control.beta,
            "score": float(scores.nanmean()),
            "value": float(values.mean()),
            "return": float(returns.mean()),
            "explained_variance": explained_variance(values, returns),
        }
        self.control.update(kl)
        if kl > self.ppo.kl_cap:
            self.stopped = f"KL to the reference is {kl:.1f} nats an answer, above --ppo.kl-cap {self.ppo.kl_cap:g}"

    def _observe(self, rollout: Rollout, batch: Batch) -> None:
        super()._observe(rollout, batch)
        self._figures.pop("kl", None)  # a token's; here it is an answer's that counts
        self._figures |= self._more

    def examine(self, model: Transformer, prompts: Sequence[list[int]]) -> dict[str, float]:
        """How far this policy is from the reference on what it answers to these prompts, and how sure it is."""
        answers = self.answer(model, prompts)
        batch = self.as_batch(model, prompts, answers)
        total = float((batch["old"] - batch["reference"])[batch["labels"] != IGNORE].double().sum())
        tokens = sum(len(answer.ids) for answer in answers)
        return {
            "kl_answer": total / len(answers),
            "kl": total / tokens,
            "entropy": sum(sum(answer.entropies) for answer in answers) / tokens,
        }

    # What `stage.Live` wants

    def watch(self) -> tuple[dict[str, float], dict[str, float]]:
        shown, more = super().watch()
        # A run that goes on in the middle of a rollout has no figures of it.
        return shown | {"kl": more["kl_answer"]} if more else shown, more

    def state(self) -> dict[str, Tensor]:
        running = self.running
        numbers = [self.control.beta, running.count, running.mean, running.squares, float(self.bad_rewards)]
        return super().state() | {OWN: torch.tensor(numbers, dtype=torch.float64)}

    def restore(self, state: dict[str, Tensor]) -> None:
        beta, count, mean, squares, bad = state[OWN].tolist()
        self.control.beta, self.running, self.bad_rewards = beta, RunningScores(count, mean, squares), int(bad)
        super().restore({name: tensor for name, tensor in state.items() if name != OWN})
