"""Parts of a model that stay as they are: `--train.freeze embed_tokens layers.0-3`.

A frozen tensor has no gradient, so no optimizer knows it and it keeps its bits; where the first layers are frozen,
the backward pass ends above them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from yanmo.model.transformer import Transformer

LAYERS = re.compile(r"layers\.(\d+)-(\d+)(.*)")
ROOT = "model."
"""What `transformers` puts before the names of everything but the head."""


def freeze(model: Transformer, names: Sequence[str]) -> None:
    """Freeze the parameters whose names begin with one of `names` (whole parts of them; without `model.`).

    Raises: ValueError: a name fits no trainable parameter, nothing is left to train, or the model has adapters.
    """
    if names and model.lora is not None:
        raise ValueError("--train.freeze: with adapters the model is frozen anyway; --lora.targets says where they are")
    trained = {name.removeprefix(ROOT): p for name, p in model.named_parameters() if p.requires_grad}
    for name in names:
        wanted = [(*expanded.split("."),) for expanded in expand(name)]
        for part in wanted:
            found = [own for own in trained if (*own.split("."),)[: len(part)] == part]
            if not found:
                raise ValueError(f"--train.freeze: no {'.'.join(part)!r} is trained here; there are {known(trained)}")
            for own in found:
                trained[own].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in trained.values()):
        raise ValueError("--train.freeze: nothing is left to train")


def expand(name: str) -> list[str]:
    """layers.0-3.mlp -> layers.0.mlp, ..., layers.3.mlp; other names are themselves."""
    match = LAYERS.fullmatch(name.removeprefix(ROOT))
    if match is None:
        return [name.removeprefix(ROOT)]
    return [f"layers.{number}{match[3]}" for number in range(int(match[1]), int(match[2]) + 1)]


def known(names: Iterable[str]) -> str:
    """The parts of a model, and what a layer has: embed_tokens layers.0-7 norm lm_head, with .self_attn .mlp ..."""
    parts = [name.split(".") for name in names]
    numbers = [int(part[1]) for part in parts if part[0] == "layers"]
    heads = dict.fromkeys(f"layers.{min(numbers)}-{max(numbers)}" if part[0] == "layers" else part[0] for part in parts)
    inside = dict.fromkeys(f".{part[2]}" for part in parts if part[0] == "layers")
    return " ".join(heads) + (f"; of a layer {' '.join(inside)}" if inside else "")
