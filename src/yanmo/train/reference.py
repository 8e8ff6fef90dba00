"""The reference's log-probabilities, what an aligned policy is compared with: computed once for answers that are known
beforehand, and for each rollout in reinforcement learning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from yanmo.core.run import Run
from yanmo.model.lora import adapters_off
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.transformer import Transformer
from yanmo.train.preference import Batch, answer_log_probs
from yanmo.train.rollouts import in_parts, token_log_probs


@torch.no_grad()
def reference_log_probs(
    model: Transformer, batches: Iterable[tuple[np.ndarray, Batch]], answers: int, run: Run
) -> np.ndarray:
    """(answers,) float32: the log-probability of every answer under `model`.

    batches: numbers of the answers (rows, answers of a row), -1 where there is none, with their batch.
    """
    device = model.lm_head.weight.device
    result = np.zeros(answers, np.float32)
    with run.progress("reference", answers, "answers") as bar:
        for numbers, batch in batches:
            placed = {name: tensor.to(device) for name, tensor in batch.items()}
            log_probs, _ = answer_log_probs(model, placed, numbers.shape[1])
            there = numbers >= 0
            result[numbers[there]] = log_probs.float().cpu().numpy()[there]
            bar.advance(int(there.sum()))
    return result


def start_log_probs(
    start: Transformer, lora: LoraSettings, temperature: float, rows: int
) -> Callable[[Transformer, Batch], Tensor]:
    """(policy, batch) -> (B, T): log-probabilities of the labels under `start`, `rows` rows at a time.

    With new adapters `start` is the policy without them. It is not, and is asked itself, where an adapter is trained
    further, where modules are trained whole beside the adapters, or where the policy has none (it is `start`, say).
    """
    switchable = bool(lora.rank) and not lora.modules_to_save

    def log_probs(policy: Transformer, batch: Batch) -> Tensor:
        model = policy if switchable and policy.lora is not None else start
        device = model.lm_head.weight.device
        off = adapters_off(model) if model is policy else contextlib.nullcontext()
        with off:
            return in_parts(lambda part: token_log_probs(model, part, temperature), batch, rows, device)

    return log_probs
