"""The learning rate as a function of the step: data, not state, so a resumed run needs nothing but its step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from yanmo.train.settings import TrainSettings


@dataclass(frozen=True)
class Schedule:
    """Multiplier of every learning rate: a linear warm-up times a decay.

    `decay_start` is the first step below the peak: warm-up's end for cosine and linear, later for wsd (Hu et al.
    2024, arXiv:2404.06395), never for constant.
    """

    kind: str
    warmup_steps: int
    decay_start: int
    total_steps: int
    floor: float
    peak: float = 1.0

    def __call__(self, step: int) -> float:
        """Multiplier at `step` (0-based). The last step's is just above `floor`, never wasted on exactly 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / (self.warmup_steps + 1)
        if step < self.decay_start or self.kind == "constant":
            return self.peak
        done = (step + 1 - self.decay_start) / (self.total_steps + 1 - self.decay_start)
        falling = (1 + math.cos(math.pi * done)) / 2 if self.kind == "cosine" else 1 - done
        return self.floor + (self.peak - self.floor) * falling


def make_schedule(settings: TrainSettings, total_steps: int) -> Schedule:
    warmup = _steps(settings.warmup, total_steps)
    decay_start = warmup
    if settings.schedule == "wsd":
        decay_start = max(warmup, total_steps - _steps(settings.decay, total_steps))
    return Schedule(settings.schedule, warmup, decay_start, total_steps, settings.min_lr_ratio)


def finishing(start: int, peak: float, total_steps: int, floor: float) -> Schedule:
    """The annealing of a trunk from its step `start`, where its multiplier was `peak`."""
    return Schedule("wsd", 0, start, total_steps, min(floor, peak), peak)


def _steps(amount: float, total: int) -> int:
    return round(amount * total) if amount < 1 else round(amount)
