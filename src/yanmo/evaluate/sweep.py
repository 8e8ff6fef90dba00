"""Which size of vocabulary: tiny models of equal parameters and equal compute, judged on the same held-out text.

A larger vocabulary makes texts shorter, but takes parameters from the body of the model and has rarer tokens to
learn. No figure of the tokenizer alone says where that stops to pay, nor does a loss per token, as tokens stand for
different amounts of text. So each size gets a model with the same number of parameters (the body narrows as the
tables grow; depth stays, since a block more or less is too coarse a step in a model of four), the same
floating-point operations of training, the same documents to train on, and is judged by bits a character on the same
held-out documents. It is `yanmo pretrain` as it comes, only small.

The best size grows with the model (Tao et al. 2024, https://arxiv.org/abs/2407.13623), because the tables' share
falls: what wins here is a lower bound for a larger model, and `parameters` is best set near one's own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo.core.files import read_json
from yanmo.model.config import ModelConfig

LAYERS = 4
HEAD = 32
"""Width of a head; as many as together come nearest the model's width."""
WIDTH_STEP = 8
FFN = 8 / 3
"""Width of the feed-forward layer over the model's, as near as equal parameters allow."""
FFN_STEP = 8
CONTEXT = 256
BATCH = 16
BYTES_A_TOKEN = 5
"""At most, over a corpus: so much text is sampled for each token that a trial trains on."""
HELD_OUT = 300_000
"""Characters that every model is judged on."""


@dataclass(kw_only=True)
class TrialSettings:
    """The tiny models of a sweep."""

    parameters: int = 5_000_000
    """Parameters of each size's model, tables included. Near your own model's is best, but dearer."""
    tokens: int = 500_000
    """Tokens that the smallest vocabulary's model trains on; the others get the same floating-point operations."""
    seeds: list[int] = field(default_factory=lambda: [1])
    """Train each model once for every seed; the spread tells what of a difference is chance."""

    def __post_init__(self) -> None:
        if self.parameters < 1 or self.tokens < BATCH * CONTEXT:
            raise ValueError(f"--trial: parameters must be above 0, and tokens at least {BATCH * CONTEXT:,}")
        if not self.seeds:
            raise ValueError("--trial.seeds: give at least one")


def shape(parameters: int, vocab_size: int) -> ModelConfig:
    """The model of about `parameters` (0.5 % away at most) for a vocabulary: what the tables leave is its body.

    Raises: ValueError: the tables leave no body.
    """
    rows = -(-vocab_size // 64) * 64
    shapes = []
    for hidden in range(HEAD, 4096, WIDTH_STEP):
        left = parameters - _config(rows, hidden, 0).parameter_count()
        ffn = round(left / (3 * LAYERS * hidden * FFN_STEP)) * FFN_STEP
        config = _config(rows, hidden, ffn)
        if ffn >= hidden and abs(config.parameter_count() / parameters - 1) < 0.005:
            shapes.append((abs(math.log(ffn / hidden / FFN)), config))
    if not shapes:
        least = _config(rows, HEAD, HEAD).parameter_count()
        raise ValueError(
            f"--trial.parameters {parameters:,}: too few (or too odd a number) for a vocabulary of {vocab_size:,}, "
            f"whose smallest model has {least:,}"
        )
    return min(shapes, key=lambda pair: pair[0])[1]


def _config(rows: int, hidden: int, ffn: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=rows,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=LAYERS,
        num_attention_heads=round(hidden / HEAD),
        head_dim=HEAD,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
    )


@dataclass(frozen=True)
class Trial:
    """One size: its model, and how many steps are the operations that all sizes get."""

    vocab_size: int
    config: ModelConfig
    steps: int

    @property
    def tokens(self) -> int:
        return self.steps * BATCH * CONTEXT


def plan(sizes: Sequence[int], settings: TrialSettings) -> list[Trial]:
    """The trials, smallest vocabulary first. Raises: ValueError: a size is given twice, or has no model."""
    if len(set(sizes)) != len(sizes):
        raise ValueError("--sweep: the same size is given twice")
    configs = {size: shape(settings.parameters, size) for size in sorted(sizes)}
    step = {size: config.flops(BATCH * CONTEXT, BATCH * CONTEXT, CONTEXT) for size, config in configs.items()}
    budget = settings.tokens / (BATCH * CONTEXT) * step[min(sizes)]
    return [Trial(size, config, max(1, round(budget / step[size]))) for size, config in configs.items()]


def text_needed(trials: Sequence[Trial]) -> int:
    """Bytes of text in which no trial sees a document twice."""
    return max(trial.tokens for trial in trials) * BYTES_A_TOKEN


def held_out(texts: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """(source, text) from all sources in turns, `HELD_OUT` characters and the rest of the last text."""
    taken = 0
    for place in range(max(map(len, texts.values()), default=0)):
        for source in sorted(texts):
            if place < len(texts[source]) and taken < HELD_OUT:
                taken += len(texts[source][place])
                yield source, texts[source][place]


def recipe(
    trials: Sequence[Trial], seeds: Sequence[int], documents: Path, held_out: Path, tokenizer: Mapping[str, Any]
) -> dict[str, Any]:
    """The sweep as a recipe (`yanmo run`): stages that are finished are skipped when it is done again."""
    stages: dict[str, Any] = {}
    for trial in trials:
        size, config = trial.vocab_size, trial.config
        stages[f"tokenizer-{size}"] = {
            "command": "tokenizer",
            "inputs": [str(documents)],
            "vocab-size": size,
            **tokenizer,
        }
        stages[f"pack-{size}"] = {
            "command": "pack",
            "inputs": [str(documents)],
            "tokenizer": f"{{tokenizer-{size}}}",
            "val-fraction": 0.0,
            "val-documents": 0,
        }
        for seed in seeds:
            stages[f"pretrain-{size}-{seed}"] = {
                "command": "pretrain",
                "data": f"{{pack-{size}}}",
                "model": {
                    "vocab-size": config.vocab_size,
                    "hidden-size": config.hidden_size,
                    "intermediate-size": config.ffn_size,
                    "num-hidden-layers": config.num_hidden_layers,
                    "num-attention-heads": config.num_attention_heads,
                    "head-dim": HEAD,
                },
                "train": {"steps": trial.steps, "batch-size": BATCH, "sequence-length": CONTEXT, "seed": seed},
                "samples": [],
            }
            stages[f"evaluate-{size}-{seed}"] = {
                "command": "evaluate",
                "model": f"{{pretrain-{size}-{seed}}}",
                "suite": ["likelihood"],
                "data": [str(held_out)],
            }
    return stages


def outcome(trials: Sequence[Trial], seeds: Sequence[int], out: Path) -> list[dict[str, Any]]:
    """What the finished stages in `out` say of each size; the first row is the best."""
    rows = []
    for trial in trials:
        size, config = trial.vocab_size, trial.config
        packed = read_json(out / f"pack-{size}" / "report.json")["train"]
        judged = [read_json(out / f"evaluate-{size}-{seed}" / "report.json")["likelihood"] for seed in seeds]
        bits = [result["bits_per_character"] for result in judged]
        characters = packed["characters"] / packed["tokens"]
        rows.append(
            {
                "vocab_size": size,
                "hidden_size": config.hidden_size,
                "intermediate_size": config.ffn_size,
                "parameters": config.parameter_count(),
                "in_tables": round(2 * config.vocab_size * config.hidden_size / config.parameter_count(), 4),
                "tokens": trial.tokens,
                "training_characters": round(trial.tokens * characters),
                "epochs": round(trial.tokens / packed["tokens"], 4),
                "held_out_characters": judged[0]["characters"],
                "held_out_characters_per_token": round(judged[0]["characters"] / judged[0]["tokens"], 4),
                "bits_per_character": statistics.mean(bits),
                "spread": max(bits) - min(bits),
            }
        )
    return sorted(rows, key=lambda row: (row["bits_per_character"], row["vocab_size"]))
