"""Shapes: the parameter counts of the sources, both dialects of config.json, one clear line for a mistake."""

import dataclasses
import subprocess
import sys

import pytest

from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer

BABY = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 1376}
LLAMA = {"qk_norm": False}
SEEDS = {
    "003": (26.88, LLAMA | BABY | {"vocab_size": 6400, "num_attention_heads": 16, "num_key_value_heads": 8,
                                   "intermediate_size": 1408}),
    "004": (58.48, LLAMA | BABY | {"vocab_size": 64793}),
    "004 small vocabulary": (36.12, LLAMA | BABY | {"vocab_size": 21131}),
    "001": (91.30, LLAMA | {"vocab_size": 35207, "hidden_size": 768, "intermediate_size": 1668,
                            "num_hidden_layers": 6, "num_attention_heads": 8, "tie_word_embeddings": False}),
    "004 large": (218.16, LLAMA | {"vocab_size": 64793, "hidden_size": 1024, "intermediate_size": 2752,
                                   "num_hidden_layers": 12, "num_attention_heads": 8}),
    # Its config says 11008: w1 and w2 are the two halves of 5504.
    "000": (1432.0, LLAMA | {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5504,
                             "num_hidden_layers": 16, "num_attention_heads": 16, "qkv_bias": True,
                             "tie_word_embeddings": False}),
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_parameter_counts_of_the_sources(seed: str) -> None:
    millions, shape = SEEDS[seed]
    count = ModelConfig(**shape).parameter_count() / 1e6
    assert round(count, 1 if millions > 1000 else 2) == millions


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"qk_norm": False},
        {"qk_norm": False, "qkv_bias": True},
        {"num_key_value_heads": 2, "tie_word_embeddings": False, "head_dim": 24},
    ],
)
def test_count_is_what_is_built(changes: dict) -> None:
    config = ModelConfig(vocab_size=100, hidden_size=64, num_hidden_layers=2, **changes)
    model = Transformer(config)
    assert config.parameter_count() == sum(parameter.numel() for parameter in model.parameters())


def test_hf_round_trip_and_both_dialects() -> None:
    config = ModelConfig(hidden_size=128, rope_theta=5e4, num_key_value_heads=4, hidden_act="relu2")
    table = config.to_hf("bfloat16")
    resolved = dataclasses.replace(config, intermediate_size=config.ffn_size, head_dim=config.head_size)
    assert ModelConfig.from_hf(table) == resolved
    old = {key: value for key, value in table.items() if key not in ("rope_parameters", "dtype")}
    new = {key: value for key, value in table.items() if key not in ("rope_theta", "torch_dtype")}
    assert ModelConfig.from_hf(old) == ModelConfig.from_hf(new) == resolved
    assert table["torch_dtype"] == table["dtype"] == "bfloat16"


@pytest.mark.parametrize(("changes", "words"), [
    ({"hidden_size": 100}, ("hidden-size 100", "num-attention-heads 8")),
    ({"num_key_value_heads": 3}, ("num-attention-heads 8", "num-key-value-heads 3")),
    ({"vocab_size": 0}, ("vocab-size", "0")),
    ({"qkv_bias": True}, ("qkv-bias", "qk-norm")),
    ({"head_dim": 7}, ("head-dim", "7")),
    ({"hidden_act": "gelu"}, ("hidden-act", "gelu")),
])  # fmt: skip
def test_impossible_shapes_name_the_setting(changes: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        ModelConfig(**changes).validate()
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message


@pytest.mark.parametrize(("changes", "word"), [
    ({"model_type": "gpt2"}, "gpt2"),
    ({"attention_bias": True}, "attention_bias"),
    ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
    ({"use_sliding_window": True}, "use_sliding_window"),
])  # fmt: skip
def test_foreign_features_are_refused(changes: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ModelConfig.from_hf(ModelConfig().to_hf() | changes)


def test_config_needs_no_torch() -> None:
    program = "import sys, yanmo.model.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_flops_of_the_seeds_shape() -> None:
    """184.0 million a token where every token is a target (bench/RESULTS.md); the head is 19.7 of them."""
    config = ModelConfig(
        vocab_size=6400, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, intermediate_size=1376
    )
    assert config.flops(1, 1, 512) == pytest.approx(184.0e6, rel=1e-3)
    assert config.flops(1, 1, 512) - config.flops(1, 0, 512) == 6 * 6400 * 512
