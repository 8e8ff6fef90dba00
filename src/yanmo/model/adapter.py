"""Adapter directories: PEFT's own, so that `peft` loads ours and we load theirs.

`adapter_config.json` says what is adapted and where the base lies, `adapter_model.safetensors` holds the adapters
and the modules trained whole. The header of ours also names the base by the hash of its weights, so that an adapter
is never put onto another model of the same shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo.core.files import fingerprint, read_json, write_json
from yanmo.model.lora import add_adapters
from yanmo.model.lora_settings import LoraSettings
from yanmo.model.tensors import load_tensors, save_tensors
from yanmo.model.transformer import Transformer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What PEFT puts before every parameter's name."""
HEAD = "lm_head.weight"
BASE = "yanmo.base"
"""The header's key for the fingerprint of the base's weights."""
TASKS = {"ForCausalLM": "CAUSAL_LM", "ForSequenceClassification": "SEQ_CLS"}
"""PEFT's word for what stands on top of the blocks."""
UNSUPPORTED = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layer_replication",
    "trainable_token_indices",
)


def is_adapter(directory: Path) -> bool:
    return (directory / CONFIG).is_file()


def is_reward(directory: Path) -> bool:
    """Whether an adapter directory is a reward model's."""
    return read_json(directory / CONFIG).get("task_type") == TASKS["ForSequenceClassification"]


def base_of(directory: Path) -> Path:
    """The base model's directory of an adapter.

    Raises: ValueError: it is not there.
    """
    base = read_json(directory / CONFIG).get("base_model_name_or_path")
    if not base or not Path(base).is_dir():
        raise ValueError(
            f"{directory / CONFIG}: its base model {base!r} is not a directory here; write the right one there as "
            "base_model_name_or_path"
        )
    return Path(base)


def save_adapter(directory: Path, model: Transformer) -> None:
    """Write the adapters that `model` carries and what was trained whole beside them."""
    assert model.lora is not None and model.base is not None
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors[PREFIX + (f"{name}.weight" if ".lora_" in name else name)] = parameter
    embedding = model.model.embed_tokens.weight
    tied = model.config.tie_word_embeddings and "lm_head" in dict(model.named_children())
    if tied and embedding.requires_grad:
        tensors[PREFIX + HEAD] = embedding.clone()  # PEFT wants a tied head beside its embedding
    save_tensors(directory / WEIGHTS, tensors, {BASE: weights_fingerprint(model.base)})
    write_json(directory / CONFIG, to_peft(model.lora, model.base, tied, TASKS[model.ARCHITECTURE]))


def to_peft(settings: LoraSettings, base: Path, tied: bool, task: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": task,
        "base_model_name_or_path": str(base.resolve()),
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "use_rslora": settings.rslora,
        "target_modules": sorted(settings.targets),
        "modules_to_save": settings.modules_to_save or None,
        # A tied head that is trained must stay the embedding; PEFT unties it unless it is told.
        "ensure_weight_tying": tied and bool(settings.modules_to_save),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def from_peft(path: Path) -> LoraSettings:
    """The settings in an `adapter_config.json`. Raises: ValueError: a kind of adapter that Yanmo does not know."""
    table = read_json(path)
    if table.get("peft_type") != "LORA":
        raise ValueError(f"{path}: peft_type {table.get('peft_type')!r}: only LORA is known")
    if known := [name for name in UNSUPPORTED if table.get(name)]:
        raise ValueError(f"{path}: {known[0]} is not supported; merge the adapter with peft first")
    if table.get("bias", "none") != "none":
        raise ValueError(f"{path}: bias {table['bias']!r} is not supported; merge the adapter with peft first")
    targets = table.get("target_modules")
    if not isinstance(targets, list):
        raise ValueError(f"{path}: target_modules {targets!r}: only a list of names is supported")
    return LoraSettings(
        rank=table["r"],
        alpha=table["lora_alpha"],
        dropout=table.get("lora_dropout", 0.0),
        targets=targets,
        rslora=table.get("use_rslora", False),
        modules_to_save=table.get("modules_to_save") or [],
    )


def attach_adapter(model: Transformer, base: Path, directory: Path, dtype: torch.dtype | None) -> None:
    """Put the adapter in `directory` onto `model`, which was loaded from `base`.

    Raises: ValueError: the adapter is of another base, or its tensors are not those that its config promises.
    """
    tensors, header = load_tensors(directory / WEIGHTS, dtype, model.model.norm.weight.device)
    if BASE in header and header[BASE] != weights_fingerprint(base):
        raise ValueError(f"{directory}: trained on other weights than those in {base}; they have changed since")
    try:
        add_adapters(model, from_peft(directory / CONFIG), base)
    except ValueError as error:
        raise ValueError(f"{directory / CONFIG}: {error}") from None
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    found = {name.removesuffix(".weight") if ".lora_" in name else name: tensor for name, tensor in found.items()}
    if model.config.tie_word_embeddings:
        found.pop(HEAD, None)
    if odd := sorted(trained.keys() ^ found.keys()):
        raise ValueError(f"{directory / WEIGHTS}: {odd[0]} is missing or not wanted; the adapter is of another model")
    for name, parameter in trained.items():
        if parameter.shape != found[name].shape:
            shapes = f"{tuple(found[name].shape)} where {base} needs {tuple(parameter.shape)}"
            raise ValueError(f"{directory / WEIGHTS}: {name} is {shapes}; the adapter is of another model")
        parameter.data = found[name]


def weights_fingerprint(directory: Path) -> str:
    """xxh3-128 over the weight files of a model directory."""
    return " ".join(fingerprint(path) for path in sorted(directory.glob("model*.safetensors")))
