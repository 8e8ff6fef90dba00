"""Policy and critic as one model for the one loop: `model(...)` is the policy, `model.values(batch)` the critic.

The critic is a model of its own, a reward model's architecture read at every token, not a second head on the policy's
body: so learning what to expect cannot change what the policy says, the policy may be an adapter, and the critic can
start as the reward model. Without one it starts from the policy's own body.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.reward import RewardModel, load_reward_model
from yanmo.model.transformer import Transformer
from yanmo.train.optimizers import build_optimizers
from yanmo.train.settings import TrainSettings

CRITIC = "critic"
"""The directory, beside the policy's files, of the critic: a one-label classifier."""


class ActorCritic(Transformer):
    """The policy itself, with its critic beside it: the policy's parameters keep their names."""

    def __init__(self, policy: Transformer, critic: RewardModel) -> None:
        nn.Module.__init__(self)
        self.config, self.lora, self.base = policy.config, policy.lora, policy.base
        self.model, self.lm_head = policy.model, policy.lm_head
        self.critic = critic
        self.compute_dtype = policy.compute_dtype

    def values(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, T) fp32: what is still to come, expected before the label of each place is said."""
        self.critic.compute_dtype = self.compute_dtype
        return self.critic.rewards(self.critic(batch["input_ids"], batch["position_ids"], batch["segments"]))

    def policy(self) -> Transformer:
        """The policy alone, the same parameters."""
        with torch.device("meta"):
            policy = Transformer(self.config)
        policy.model, policy.lm_head = self.model, self.lm_head
        policy.lora, policy.base, policy.compute_dtype = self.lora, self.base, self.compute_dtype
        return policy


def save_actor_critic(directory: Path, model: Transformer, tokenizer: Path | None) -> None:
    """The policy as a model or adapter directory, the critic in `critic/` below it."""
    assert isinstance(model, ActorCritic)
    save_model(directory, model.policy(), tokenizer)
    save_model(directory / CRITIC, model.critic, tokenizer)


def load_actor_critic(directory: Path) -> ActorCritic:
    return ActorCritic(load_model(directory), load_reward_model(directory / CRITIC))


def actor_critic_optimizers(
    model: Transformer, settings: TrainSettings, critic_lr_ratio: float
) -> list[torch.optim.Optimizer]:
    """Optimizers of both, the critic's with its own learning rate; the loop steps them together."""
    assert isinstance(model, ActorCritic)
    for_critic = replace(settings, lr=settings.lr * critic_lr_ratio)
    return [*build_optimizers(model.policy(), settings), *build_optimizers(model.critic, for_critic)]
