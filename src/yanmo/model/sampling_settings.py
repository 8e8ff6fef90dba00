"""How to choose tokens, as settings; apart from the code that does it because that needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(kw_only=True)
class SamplingSettings:
    """Decoding settings; the defaults are plain sampling from the model's own distribution."""

    max_new_tokens: int = 256
    """Longest answer in tokens."""
    temperature: float = 1.0
    """Divides the logits: below 1 favours the likeliest tokens, 0 always takes the likeliest (greedy)."""
    top_k: int = 0
    """Choose among the k likeliest tokens only; 0 is off."""
    top_p: float = 1.0
    """Choose among the fewest likeliest tokens that have this probability together; 1 is off."""
    min_p: float = 0.0
    """Choose among tokens at least this many times as likely as the likeliest; 0 is off."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that prompt or answer already hold less likely; 1 is off."""
    no_repeat_ngram: int = 0
    """Never say the same sequence of so many tokens twice, the prompt's included; 0 is off."""
    num_beams: int = 1
    """Above 1: beam search for the answer of highest mean log-probability; needs temperature 0."""
    seed: int = 0
    """Same seed, same prompts: same answers, whatever the batch size."""

    def validate(self) -> Self:
        """Returns itself. Raises ValueError naming the setting that makes no sense."""
        bounds = {
            "max_new_tokens": (1, None), "temperature": (0, None), "top_k": (0, None), "top_p": (0, 1),
            "min_p": (0, 1), "repetition_penalty": (0, None), "no_repeat_ngram": (0, None),
            "num_beams": (1, None),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not value >= low or (high is not None and value > high):
                limit = f"at least {low}" if high is None else f"between {low} and {high}"
                raise ValueError(f"--{name.replace('_', '-')}: {value} must be {limit}")
        for name in ("top_p", "repetition_penalty"):
            if getattr(self, name) == 0:
                raise ValueError(f"--{name.replace('_', '-')}: 0 would leave no token; 1 turns the rule off")
        if self.num_beams > 1 and self.temperature:
            raise ValueError("--num-beams: beam search does not sample; add --temperature 0")
        return self
