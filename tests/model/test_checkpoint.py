"""Model directories go to transformers and back unchanged; what does not fit is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.model.conftest import FAMILIES, random_ids, tiny
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.transformer import Transformer


def logits(model: Transformer) -> torch.Tensor:
    with torch.no_grad():
        return model.lm_head(model(random_ids(2, 16)))


def write_tokenizer(directory: Path, size: int = 90) -> Path:
    directory.mkdir()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    vocabulary = {token: number for number, token in enumerate([*special, *map(str, range(size - 4))])}
    added = [{"id": number, "content": token, "special": True} for number, token in enumerate(special)]
    table = {"model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "added_tokens": added}
    (directory / "tokenizer.json").write_text(json.dumps(table))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(names))
    return directory


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_and_transformers(family: str, tied: bool, tmp_path: Path) -> None:
    model = tiny(family, tie_word_embeddings=tied, num_key_value_heads=2, rope_theta=777.0)
    save_model(tmp_path, model)
    assert ("lm_head.weight" in load_file(tmp_path / "model.safetensors")) is not tied
    again = load_model(tmp_path)
    assert again.config.to_hf() == model.config.to_hf()
    assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
    assert torch.equal(logits(again), logits(model))
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    with torch.no_grad():
        torch.testing.assert_close(theirs(random_ids(2, 16)).logits, logits(model), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shard", ["40KB", "10GB"])
def test_loads_what_transformers_writes(shard: str, tmp_path: Path) -> None:
    model = tiny("qwen3", num_key_value_heads=2)
    save_model(tmp_path / "ours", model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=shard)
    assert (tmp_path / "theirs/model.safetensors.index.json").exists() is (shard == "40KB")
    assert torch.equal(logits(load_model(tmp_path / "theirs")), logits(model))


def test_dtype(tmp_path: Path) -> None:
    save_model(tmp_path / "wide", tiny())
    narrow = load_model(tmp_path / "wide", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in narrow.parameters()} == {torch.bfloat16}
    save_model(tmp_path / "narrow", narrow)
    assert json.loads((tmp_path / "narrow/config.json").read_text())["dtype"] == "bfloat16"
    assert load_model(tmp_path / "narrow").model.norm.weight.dtype == torch.bfloat16


def test_files(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    save_model(tmp_path / "model", tiny(), tokenizer)
    names = {path.name for path in (tmp_path / "model").iterdir()}
    written = {"config.json", "generation_config.json", "model.safetensors"}
    assert names == written | {"tokenizer.json", "tokenizer_config.json"}
    generation = json.loads((tmp_path / "model/generation_config.json").read_text())
    assert generation == {"eos_token_id": [2, 0], "pad_token_id": 3}
    with safetensors.safe_open(tmp_path / "model/model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    save_model(tmp_path / "model", load_model(tmp_path / "model"), tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == names


@pytest.mark.parametrize("size", [97, 5000])
def test_tokenizer_of_another_model(size: int, tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer", size)
    with pytest.raises(ValueError, match=f"{size} ids.* 96 embedding rows"):
        save_model(tmp_path / "model", tiny(), tokenizer)
    assert not (tmp_path / "model/config.json").exists()
    save_model(tmp_path / "model", tiny())
    for path in tokenizer.iterdir():
        path.rename(tmp_path / "model" / path.name)
    with pytest.raises(ValueError, match=f"{size} ids.* 96 embedding rows"):
        load_model(tmp_path / "model")


def drop(name: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        del weights[name]
        save_file(weights, directory / "model.safetensors")

    return change


def add(name: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        save_file(weights | {name: torch.zeros(2)}, directory / "model.safetensors")

    return change


def configure(**changes: object) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        table = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps(table | changes))

    return change


def cut(name: str, size: int) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / name).write_bytes((directory / name).read_bytes()[:size])

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


@pytest.mark.parametrize(("change", "words"), [
    (drop("model.layers.1.mlp.up_proj.weight"), ("missing model.layers.1.mlp.up_proj.weight",)),
    (add("model.layers.7.extra"), ("unexpected model.layers.7.extra",)),
    (configure(num_hidden_layers=3), ("missing model.layers.2", "and 6 more")),
    (configure(intermediate_size=64), ("(48, 32)", "(64, 32)", "mlp.gate_proj")),
    (configure(model_type="mamba"), ("config.json", "mamba")),
    (configure(hidden_size="big"), ("config.json",)),
    (cut("config.json", 40), ("config.json", "JSON")),
    (cut("model.safetensors", 4), ("model.safetensors", "broken")),
    (cut("model.safetensors", 5000), ("model.safetensors", "broken")),
    (remove("model.safetensors"), ("no model.safetensors",)),
    (remove("config.json"), ("not a model directory",)),
])  # fmt: skip
def test_broken_directories_give_one_clear_line(
    change: Callable[[Path], None], words: tuple[str, ...], tmp_path: Path
) -> None:
    save_model(tmp_path, tiny())
    change(tmp_path)
    with pytest.raises(ValueError) as caught:
        load_model(tmp_path)
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message, message


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save_model(tmp_path, tiny())
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    table = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"model-00002-of-00002\.safetensors missing"):
        load_model(tmp_path)
