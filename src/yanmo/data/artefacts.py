"""What else than text lies on a disk: models, adapters, tokenizers, token shards, output directories, raw ids.

Each is recognised by its files, checked for being whole without being loaded, and answered with what it is good for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.core.files import read_json
from yanmo.core.settings import PROVENANCE, read_toml
from yanmo.data.shards import META, open_shards
from yanmo.model.config import ModelConfig
from yanmo.tokenizer.foreign import open_any
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.source import tokenizer_file

BIN_SAMPLE = 1 << 20
"""Ids of a raw token file that are looked at."""
LARGE = 40_000
"""Entries above which a small model spends most of its parameters on the vocabulary."""
SAFETENSORS = "*.safetensors"
TOKENIZER_SUFFIXES = (".model", ".tiktoken")
NEXT_OF_RUN = {
    "clean": "yanmo tokenizer --inputs {path} --out runs/tokenizer",
    "tokenizer": "yanmo pack --inputs runs/clean --tokenizer {path} --out runs/pack",
    "pack": "yanmo pretrain --data {path} --out runs/pretrain",
}


@dataclass
class Artefact:
    """What it is, its facts as (name, value), what is wrong with it, and the command to use next."""

    kind: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    """Opened, for its report."""


def identify(path: Path, thorough: bool = False) -> Artefact | None:
    """What `path` is, or None if it is none of these: text, perhaps. thorough: read token shards to the last byte."""
    kinds: tuple[tuple[bool, Callable[[Path], Artefact]], ...]
    if path.is_dir():
        kinds = (
            ((path / META).is_file(), partial(_shards, thorough=thorough)),
            ((path / "adapter_config.json").is_file(), _adapter),
            ((path / "config.json").is_file(), _model),
            (any(path.glob("pytorch_model*.bin")), _pickled),
            (_has_tokenizer(path), _tokenizer),
            ((path / "run.toml").is_file(), _run),
        )
    else:
        kinds = (
            (path.suffix == ".bin", _token_ids),
            (path.suffix in TOKENIZER_SUFFIXES or path.name == "tokenizer.json", _tokenizer),
            (path.suffix == ".safetensors", _tensors),
            (path.suffix in (".pth", ".pt", ".ckpt", ".pkl"), _pickled),
            (path.suffix == ".toml", _settings),
        )
    found = next((read for fits, read in kinds if fits), None)
    return found(path) if found else None


def _has_tokenizer(path: Path) -> bool:
    return (path / "tokenizer.json").is_file() or any(any(path.glob(f"*{suffix}")) for suffix in TOKENIZER_SUFFIXES)


# Models


def _model(path: Path) -> Artefact:
    result = Artefact("model directory")
    table = read_json(path / "config.json")
    config = None
    try:
        config = ModelConfig.from_hf(table)
    except ValueError as error:
        result.problems.append(f"config.json: {error}")
    if config is not None:
        shape = f"{config.num_hidden_layers} layers of width {config.hidden_size}, {config.vocab_size:,} entries"
        result.facts += [
            ("architecture", f"{config.model_type}: {shape}, context {config.max_position_embeddings:,}"),
            ("parameters", f"{config.parameter_count():,}"),
        ]
    _check_weights(path, config, result)
    if _has_tokenizer(path):
        tokenizer = _opened(path, result)
        if tokenizer is not None:
            result.facts.append(("tokenizer", f"{tokenizer.vocab_size:,} entries"))
            if config is not None and tokenizer.vocab_size > config.vocab_size:
                result.problems.append(
                    f"the tokenizer has {tokenizer.vocab_size:,} entries, the model {config.vocab_size:,} rows for them"
                )
    else:
        result.problems.append("no tokenizer in it; copy tokenizer.json and tokenizer_config.json there")
    result.facts += _run_facts(path)
    steps = sorted(path.glob("state/step-*"))
    if steps:
        result.facts.append(("checkpoints", f"{len(steps)}, the newest {steps[-1].name}: training can be resumed"))
    result.next = [
        f"yanmo chat --model {path}",
        f"yanmo sft --init {path} --data CONVERSATIONS --out runs/sft",
    ]
    return result


def _check_weights(path: Path, config: ModelConfig | None, result: Artefact) -> None:
    """Every weights file whole, every file of the index there, as many numbers as config.json says."""
    files = sorted(path.glob(SAFETENSORS))
    index = path / "model.safetensors.index.json"
    if index.is_file():
        named = set(read_json(index).get("weight_map", {}).values())
        result.problems += [
            f"{name} is missing (the index names it)" for name in sorted(named - {f.name for f in files})
        ]
    if not files:
        result.problems.append("no weights (model.safetensors)")
        return
    numbers, dtypes = 0, set()
    for file in files:
        tensors = _header(file, result)
        numbers += sum(int(np.prod(tensor["shape"], dtype=np.int64)) for tensor in tensors.values())
        dtypes |= {tensor["dtype"] for tensor in tensors.values()}
    size = sum(file.stat().st_size for file in files)
    result.facts.append(
        ("weights", f"{size / 1e6:,.1f} MB in {len(files)} file{'s'[: len(files) > 1]}, {', '.join(sorted(dtypes))}")
    )
    if config is not None and numbers and numbers != config.parameter_count() and not result.problems:
        tied = config.vocab_size * config.hidden_size
        if numbers - config.parameter_count() != tied:
            result.problems.append(
                f"the weights hold {numbers:,} numbers, config.json says {config.parameter_count():,}"
            )


def _header(file: Path, result: Artefact) -> dict[str, Any]:
    """The tensors a safetensors file says it holds (https://github.com/huggingface/safetensors, "Format")."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            result.problems.append(f"{file.name}: cut off within its header ({size:,} bytes)")
            return {}
        try:
            tensors = json.loads(stream.read(length))
        except ValueError:
            result.problems.append(f"{file.name}: no safetensors header")
            return {}
    tensors.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    if 8 + length + end != size:
        result.problems.append(f"{file.name}: {size:,} bytes, its header says {8 + length + end:,}; copy it again")
    return tensors


def _tensors(path: Path) -> Artefact:
    result = Artefact("weights of a model (safetensors)")
    tensors = _header(path, result)
    result.facts.append(("tensors", f"{len(tensors):,}"))
    result.next = [f"yanmo doctor {path.parent}"]
    return result


def _pickled(path: Path) -> Artefact:
    return Artefact(
        "pickled weights",
        problems=[
            f"{path}: a pickle can run any code when it is loaded, so Yanmo does not; save the weights as safetensors "
            "where you trust them"
        ],
    )


def _adapter(path: Path) -> Artefact:
    table = read_json(path / "adapter_config.json")
    result = Artefact("adapter directory (LoRA)")
    base = table.get("base_model_name_or_path")
    result.facts = [("base model", str(base)), ("rank", f"{table.get('r')}, alpha {table.get('lora_alpha')}")]
    weights = path / "adapter_model.safetensors"
    if weights.is_file():
        result.facts.append(("tensors", f"{len(_header(weights, result)):,}"))
    else:
        result.problems.append("no adapter_model.safetensors")
    if base and not Path(base).exists():
        result.facts.append(("note", f"{base} is not on this machine; the adapter needs it"))
    result.next = [f"yanmo merge --adapter {path} --out runs/merged"]
    return result


# Tokenizers


def _tokenizer(path: Path) -> Artefact:
    file = tokenizer_file(path)
    kind = {".model": "SentencePiece model", ".tiktoken": "tiktoken ranks"}.get(file.suffix, "Hugging Face tokenizer")
    result = Artefact(f"tokenizer ({kind})")
    tokenizer = result.tokenizer = _opened(path, result)
    if tokenizer is None:
        return result
    result.facts = [("vocabulary", f"{tokenizer.vocab_size:,} entries"), ("fingerprint", tokenizer.fingerprint)]
    result.facts += _run_facts(path)
    ours = (path / "tokenizer_config.json").is_file() and "chat_template" in tokenizer.config
    if file.name == "tokenizer.json":
        folder = file.parent
        result.facts.append(("chat template", "in it" if ours else "none in tokenizer_config.json"))
        result.next = [f"yanmo pack --inputs runs/clean --tokenizer {folder} --out runs/pack"]
    if tokenizer.vocab_size > LARGE:
        result.next.append(f"yanmo trim --source {path} --vocab-size 32768 --out runs/trimmed")
    elif file.name != "tokenizer.json":
        result.next.append(f"yanmo trim --source {path} --keep all --out runs/tokenizer")
    return result


def _opened(path: Path, result: Artefact) -> Tokenizer | None:
    try:
        return open_any(path)
    except ValueError as error:
        result.problems.append(f"{error}")
        return None


# Token shards and raw ids


def _shards(path: Path, thorough: bool) -> Artefact:
    result = Artefact("token shards")
    try:
        shards = open_shards(path)
        tokenizer = shards.tokenizer()
        if thorough:
            shards.verify()
    except ValueError as error:
        result.problems.append(f"{error}")
        return result
    meta = shards.meta
    for name, split in meta.splits().items():
        result.facts.append(
            (name, f"{split.tokens:,} tokens, {split.documents:,} documents, {split.characters:,} characters")
        )
    result.facts += [("ids", f"{meta.dtype}, vocabulary of {meta.vocab_size:,}, end token {meta.end_id}")]
    result.facts.append(("tokenizer", f"in it, fingerprint {tokenizer.fingerprint}"))
    result.next = [f"yanmo pretrain --data {path} --out runs/pretrain"]
    return result


def _token_ids(path: Path) -> Artefact:
    """Ids without a header: uint16 as baby-llama2 and Matelike write them, or uint32."""
    size = path.stat().st_size
    if (path.parent / META).is_file():
        return Artefact("a file of token shards", next=[f"yanmo doctor {path.parent}"])
    result = Artefact("raw token ids")
    if size == 0 or size % 2:
        result.problems.append(f"{size:,} bytes are no whole number of uint16 ids; this is no token file, or cut off")
        return result
    ids = np.fromfile(path, "<u2", BIN_SAMPLE)
    wide = size % 4 == 0 and len(ids) >= 2 and float((ids[1::2] < 16).mean()) > 0.99
    if wide:
        ids = np.fromfile(path, "<u4", BIN_SAMPLE)
    values, counts = np.unique(ids, return_counts=True)
    often = ", ".join(f"{values[i]} ({counts[i] / len(ids):.1%})" for i in np.argsort(-counts, kind="stable")[:5])
    result.facts = [
        ("ids", f"{size // (4 if wide else 2):,} as uint{32 if wide else 16}"),
        ("looked at", f"the first {len(ids):,}: {len(values):,} different, {int(ids.min())} to {int(ids.max())}"),
        ("most frequent", often),
        ("note", "no text and no tokenizer in it: the one that made it must be named, and its vocabulary be larger"),
    ]
    if len(values) > 60_000 or (len(values) < 16 and len(ids) > 1000):
        result.problems.append("the ids are spread like random bytes or hardly differ: probably no token file")
        return result
    pack = f"yanmo pack --inputs {path} --tokenizer DIR --out runs/pack"
    result.next = [
        pack,
        f"{pack} --end-id 2   (where another id than the tokenizer's ends a document; baby-llama2's is 2)",
    ]
    return result


# Output directories and settings


def _run(path: Path) -> Artefact:
    command = _command(path)
    result = Artefact(f"output directory of `yanmo {command}`", _run_facts(path))
    if command == "clean":
        result.kind = "documents, cleaned by Yanmo"
        result.facts.append(("parts", f"{len(list(path.glob('part-*')))}"))
    if not (path / "report.json").is_file():
        result.problems.append(f"not finished; go on with: yanmo {command} {path / 'run.toml'} --resume")
    elif command in NEXT_OF_RUN:
        result.next = [NEXT_OF_RUN[command].format(path=path)]
    return result


def _run_facts(path: Path) -> list[tuple[str, str]]:
    """When and how an output directory was made, and what its report counts."""
    if not (path / "run.toml").is_file():
        return []
    made = read_toml(path / "run.toml").get(PROVENANCE, {})
    facts = [("made by", f"yanmo {made.get('command')} {made.get('yanmo')}, {made.get('started')}")]
    if (path / "report.json").is_file():
        report = read_json(path / "report.json")
        counts = {name: value for name, value in report.items() if isinstance(value, int) and value is not True}
        if counts:
            facts.append(("report", ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in counts.items())))
    return facts


def _command(path: Path) -> str:
    return str(read_toml(path / "run.toml").get(PROVENANCE, {}).get("command", "?"))


def _settings(path: Path) -> Artefact:
    table = read_toml(path)
    command = table.get(PROVENANCE, {}).get("command")
    if command:
        return Artefact(f"settings of `yanmo {command}`", next=[f"yanmo {command} {path} --out NEW"])
    return Artefact(f"settings: {', '.join(table)}", next=[f"yanmo run {path}"])
