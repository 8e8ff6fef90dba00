"""Model directories: Hugging Face's own, so that `transformers` loads them without our code and we load theirs.

`config.json` in both dialects, `model.safetensors` (in the weights' dtype; a tied head is not stored twice),
`generation_config.json`, and the tokenizer's files. Every file is whole or absent. Nothing is ever unpickled.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from yanmo.core.files import atomic_open, read_json, write_json
from yanmo.model.adapter import attach_adapter, base_of, is_adapter, save_adapter
from yanmo.model.config import ARCHITECTURES, ModelConfig
from yanmo.model.tensors import load_tensors, save_tensors
from yanmo.model.transformer import Transformer

M = TypeVar("M", bound=Transformer)
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
PADDING_ROWS = 1024
"""Embedding rows beyond the tokenizer that pass as padding to a round number (Qwen2.5 has 399 of them)."""


def save_model(directory: Path, model: Transformer, tokenizer_dir: Path | None = None) -> None:
    """Write a model directory, or, of a model with adapters, an adapter directory.

    Existing files of the same names are replaced one by one, each atomically.
    Raises ValueError if the tokenizer in `tokenizer_dir` does not fit the model.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = model.config.to_hf(str(model.model.norm.weight.dtype).removeprefix("torch.")) | architecture(model)
    generation: dict[str, Any] = {}
    if tokenizer_dir is not None:
        check_tokenizer(tokenizer_dir, model.config.vocab_size)
        copy_tokenizer(tokenizer_dir, directory)
        stops, pad = stop_and_pad_ids(tokenizer_dir)
        generation |= {"eos_token_id": stops, "pad_token_id": pad}
        config |= {"bos_token_id": None, "eos_token_id": stops[0], "pad_token_id": pad}
    write_json(directory / "generation_config.json", generation)
    if model.lora is not None:
        save_adapter(directory, model)
        return
    weights = model.state_dict()
    if model.config.tie_word_embeddings:
        weights.pop(HEAD, None)
    save_tensors(directory / WEIGHTS, weights)
    write_json(directory / "config.json", config)


def architecture(model: Transformer) -> dict[str, Any]:
    """What `config.json` says of a model that is not a language model."""
    if model.ARCHITECTURE == Transformer.ARCHITECTURE:
        return {}
    name = ARCHITECTURES[model.config.model_type].replace(Transformer.ARCHITECTURE, model.ARCHITECTURE)
    return {"architectures": [name], "id2label": {"0": "reward"}, "label2id": {"reward": 0}}


def load_model(directory: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Transformer:
    """The language model of a Llama, Qwen2 or Qwen3 directory, ours or anybody's, whole or sharded; or of an adapter
    directory, which is its base with the adapter on it.

    dtype: cast the weights to it; None keeps the file's. Raises ValueError, one line, if anything does not fit.
    """
    if is_adapter(directory):
        base = base_of(directory)
        model = load_model(base, dtype, device)
        attach_adapter(model, base, directory, dtype)
        return model
    return load_as(Transformer, directory, dtype, device)


def load_as(kind: type[M], directory: Path, dtype: torch.dtype | None, device: torch.device | str) -> M:
    """The model of a directory, which must be one of this kind."""
    config = load_config(directory)
    check_kind(directory, kind)
    weights = _load_weights(directory, dtype, device)
    with torch.device("meta"):
        model = kind(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        # transformers stores no tied head, other writers do: it is the embedding either way.
        weights.pop(HEAD, None)
        if HEAD in expected and EMBEDDING in weights:
            weights[HEAD] = weights[EMBEDDING]
    _check_names(directory, expected, weights)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    if (directory / "tokenizer.json").exists():
        check_tokenizer(directory, config.vocab_size)
    return model


def check_kind(directory: Path, kind: type[Transformer]) -> None:
    """Raises ValueError if `config.json` names another kind of model; old ones name none."""
    (name, *_) = read_json(directory / "config.json").get("architectures") or [kind.ARCHITECTURE]
    if not name.endswith(kind.ARCHITECTURE):
        wanted = "a language model" if kind is Transformer else "a reward model"
        raise ValueError(f"{directory}: a {name}, where {wanted} (...{kind.ARCHITECTURE}) is needed")


def load_config(directory: Path) -> ModelConfig:
    """Raises ValueError naming the file if it is missing, broken or of another family."""
    if is_adapter(directory):
        return load_config(base_of(directory))
    path = directory / "config.json"
    if not path.is_file():
        raise ValueError(f"{directory}: not a model directory (no config.json)")
    table = read_json(path)
    if not isinstance(table, dict):
        raise ValueError(f"{path}: not a JSON object")
    try:
        return ModelConfig.from_hf(table)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _load_weights(directory: Path, dtype: torch.dtype | None, device: torch.device | str) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for path in _weight_files(directory):
        weights |= load_tensors(path, dtype, device)[0]
    # Old checkpoints carry the rotary frequencies; they follow from the config.
    return {name: tensor for name, tensor in weights.items() if not name.endswith("rotary_emb.inv_freq")}


def _weight_files(directory: Path) -> list[Path]:
    index = directory / INDEX
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if not index.is_file():
        raise ValueError(f"{directory}: no {WEIGHTS} (nor its index); pickled weights (.bin, .pth) are refused")
    shards = sorted(set(read_json(index)["weight_map"].values()))
    paths = [directory / Path(shard).name for shard in shards]
    if absent := [path.name for path in paths if not path.is_file()]:
        raise ValueError(f"{index}: {', '.join(absent)} missing")
    return paths


def _check_names(directory: Path, expected: dict[str, torch.Size], found: dict[str, Tensor]) -> None:
    complaints = []
    if missing := sorted(expected.keys() - found.keys()):
        complaints.append(f"missing {_some(missing)}")
    if unexpected := sorted(found.keys() - expected.keys()):
        complaints.append(f"unexpected {_some(unexpected)}")
    wrong = [
        f"{name} is {tuple(found[name].shape)} where config.json says {tuple(shape)}"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    if wrong:
        complaints.append(_some(wrong))
    if complaints:
        raise ValueError(f"{directory}: weights do not fit config.json: {'; '.join(complaints)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def check_tokenizer(directory: Path, rows: int) -> None:
    """Raises ValueError if an id of the tokenizer in `directory` has no row, or far too many rows no id."""
    size = max(_token_ids(directory).values()) + 1
    if size > rows or rows - size >= PADDING_ROWS:
        raise ValueError(
            f"{directory}: the tokenizer has {size} ids but the model {rows} embedding rows (vocab_size): "
            "they do not belong together"
        )


def stop_ids(directory: Path) -> list[int]:
    """The ids that end an answer of the model in `directory`: its generation config's, else its tokenizer's."""
    path = directory / "generation_config.json"
    given = read_json(path).get("eos_token_id") if path.is_file() else None
    if given is None:
        return stop_and_pad_ids(directory)[0]
    return given if isinstance(given, list) else [given]


def stop_and_pad_ids(directory: Path) -> tuple[list[int], int | None]:
    """A tokenizer's end ids, the chat's turn end before the document end, and its padding id.

    Raises ValueError if the tokenizer has no end token: generation with it could not stop.
    """
    table, ids = read_json(directory / "tokenizer_config.json"), _token_ids(directory)
    stops = [_token_text(table.get("eos_token")), "<|im_end|>", "<|endoftext|>"]
    ends = list(dict.fromkeys(ids[stop] for stop in stops if stop in ids))
    if not ends:
        raise ValueError(f"{directory / 'tokenizer_config.json'}: no eos_token, so a model could never stop")
    return ends, ids.get(_token_text(table.get("pad_token")) or "")


def _token_text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


def _token_ids(directory: Path) -> dict[str, int]:
    path = directory / "tokenizer.json"
    table = read_json(path)
    vocabulary = table["model"]["vocab"]
    if not isinstance(vocabulary, dict):  # a Unigram model lists [piece, score]
        vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
    return vocabulary | {token["content"]: token["id"] for token in table["added_tokens"]}


def copy_tokenizer(source: Path, directory: Path) -> None:
    """Carry the tokenizer's files along, so that a model directory is complete in itself."""
    if source.resolve() == directory.resolve():
        return
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            with open(source / name, "rb") as original, atomic_open(directory / name) as copy:
                shutil.copyfileobj(original, copy)
