"""Models, tokenizers, shards and raw ids: recognised, and found damaged where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from yanmo.data.artefacts import identify
from yanmo.model.checkpoint import save_model
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    directory = tmp_path_factory.mktemp("model")
    config = ModelConfig(vocab_size=512, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


def test_a_whole_model(model_dir: Path) -> None:
    found = identify(model_dir)
    assert found is not None and found.kind == "model directory" and not found.problems
    assert any("yanmo sft" in line for line in found.next)


@pytest.mark.parametrize(
    "damage, words",
    [
        (
            lambda path: (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:-10]),
            "header says",
        ),
        (lambda path: (path / "model.safetensors").write_bytes(b"abc"), "cut off"),
        (lambda path: (path / "model.safetensors").unlink(), "no weights"),
        (lambda path: (path / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda path: (path / "config.json").write_text('{"model_type": "gpt2"}'), "gpt2"),
        (lambda path: (path / "config.json").write_text("{"), "not valid JSON"),
    ],
)
def test_what_is_wrong_with_a_model(tmp_path: Path, model_dir: Path, damage: object, words: str) -> None:
    path = tmp_path / "model"
    shutil.copytree(model_dir, path)
    damage(path)  # type: ignore[operator]
    if words == "not valid JSON":
        with pytest.raises(ValueError, match=words):
            identify(path)
        return
    found = identify(path)
    assert found is not None and any(words in problem for problem in found.problems), found


def test_tokenizers_and_shards(tmp_path: Path, tokenizer_dir: Path, shards_dir: Path) -> None:
    found = identify(tokenizer_dir)
    assert found is not None and found.kind.startswith("tokenizer") and found.tokenizer is not None
    found = identify(shards_dir)
    assert found is not None and found.kind == "token shards" and not found.problems
    assert "yanmo pretrain --data" in found.next[0]
    shutil.copytree(shards_dir, tmp_path / "cut")
    file = next((tmp_path / "cut").glob("train-*.bin"))
    file.write_bytes(file.read_bytes()[:-2])
    found = identify(tmp_path / "cut")
    assert found is not None and found.problems and not found.next


def test_raw_token_ids(tmp_path: Path) -> None:
    """baby-llama2's .bin: uint16 ids and nothing else."""
    ids = np.random.default_rng(0).zipf(1.3, 50_000).clip(0, 64_793)
    for dtype in ("<u2", "<u4"):
        ids.astype(dtype).tofile(tmp_path / "a.bin")
        found = identify(tmp_path / "a.bin")
        assert found is not None and not found.problems
        assert found.facts[0] == ("ids", f"50,000 as uint{8 * int(dtype[-1])}")
        assert found.next[0] == f"yanmo pack --inputs {tmp_path}/a.bin --tokenizer DIR --out runs/pack"
    (tmp_path / "b.bin").write_bytes(b"abc")
    np.random.default_rng(0).integers(0, 65536, 500_000).astype("<u2").tofile(tmp_path / "c.bin")
    for name in ("b.bin", "c.bin"):
        found = identify(tmp_path / name)
        assert found is not None and found.problems and not found.next


def test_text_is_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    assert identify(tmp_path / "a.jsonl") is None and identify(tmp_path) is None


def test_adapters_pickles_and_settings(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        f'{{"base_model_name_or_path": "{tmp_path}", "r": 8, "lora_alpha": 16}}'
    )
    found = identify(adapter)
    assert found is not None and found.kind.startswith("adapter") and "adapter_model" in found.problems[0]
    header = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    (adapter / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    found = identify(adapter)
    assert (
        found is not None
        and not found.problems
        and found.next == [f"yanmo merge --adapter {adapter} --out runs/merged"]
    )
    (tmp_path / "a.pth").write_bytes(b"x")
    found = identify(tmp_path / "a.pth")
    assert found is not None and "safetensors" in found.problems[0]
    (tmp_path / "recipe.toml").write_text("[clean]\n[pack]\n")
    found = identify(tmp_path / "recipe.toml")
    assert found is not None and found.kind == "settings: clean, pack" and found.next[0].startswith("yanmo run")


def test_an_output_directory_says_how_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('[provenance]\ncommand = "clean"\nyanmo = "0.1"\n')
    found = identify(tmp_path)
    assert found is not None and "--resume" in found.problems[0] and not found.next
    (tmp_path / "report.json").write_text('{"rows": 3, "finished": true}')
    found = identify(tmp_path)
    assert found is not None and found.kind.startswith("documents") and found.next[0].startswith("yanmo tokenizer")
    assert ("report", "rows 3") in found.facts
