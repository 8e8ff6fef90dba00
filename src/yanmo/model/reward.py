"""A reward model: the Transformer with one number per answer instead of a word per token.

The number is read off the last token of a conversation, the end of the answer, as `transformers`' sequence
classifiers do, so a directory with one label loads there as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from yanmo.model.adapter import attach_adapter, base_of, is_adapter
from yanmo.model.checkpoint import load_as
from yanmo.model.config import ModelConfig
from yanmo.model.linear import Linear
from yanmo.model.transformer import Transformer


class RewardModel(Transformer):
    """`score(model(input_ids))` (B, T, 1): the reward of what has been said up to each token."""

    ARCHITECTURE = "ForSequenceClassification"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.lm_head
        self.score = Linear(config.hidden_size, 1, bias=False)
        torch.nn.init.zeros_(self.score.weight)

    def tie_weights(self) -> None:
        """There is no head to tie."""

    def rewards(self, hidden: Tensor) -> Tensor:
        """hidden (..., hidden_size) -> (...,) fp32."""
        return self.score(hidden).squeeze(-1).float()


def load_reward_model(
    directory: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> RewardModel:
    """The reward model in a directory, ours or any one-label classifier's; or an adapter's, with its base.

    Raises ValueError, one line, if anything does not fit.
    """
    if is_adapter(directory):
        base = base_of(directory)
        model = reward_model_from(base, dtype, device)
        attach_adapter(model, base, directory, dtype)
        return model
    return load_as(RewardModel, directory, dtype, device)


def reward_model_from(
    directory: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> RewardModel:
    """A reward model with the body of the language model in `directory`; it gives 0 to everything."""
    source = load_as(Transformer, directory, dtype, device)
    model = RewardModel(source.config).to(device=source.lm_head.weight.device, dtype=source.lm_head.weight.dtype)
    model.model = source.model
    return model
