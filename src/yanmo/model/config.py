"""The shape of a model: the numbers of `config.json`, their names in Hugging Face's words, and what they imply.

Three families are one architecture with two switches: Llama has neither (https://arxiv.org/abs/2307.09288),
Qwen2 adds biases to the query, key and value projections (https://arxiv.org/abs/2407.10671), Qwen3 normalises
each query and key head instead (https://arxiv.org/abs/2505.09388). No torch: settings are read before it loads.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only Transformer. What is None follows from the rest: `ffn_size`, `kv_heads`, `head_size`."""

    vocab_size: int = 6400
    """Rows of the embedding; 0 takes the tokenizer's size, rounded up to a multiple of 64 (fastest)."""
    hidden_size: int = 512
    """Width of the residual stream. Multiples of 256 survive every export."""
    intermediate_size: int | None = None
    """Width of the feed-forward layer; by default 8/3 hidden-size, rounded up to 256 (below 256: to 32)."""
    num_hidden_layers: int = 8
    """Number of blocks."""
    num_attention_heads: int = 8
    """Query heads of a block."""
    num_key_value_heads: int | None = None
    """Key and value heads (grouped-query attention); by default as many as query heads."""
    head_dim: int | None = None
    """Width of one head; by default hidden-size / num-attention-heads."""
    max_position_embeddings: int = 1024
    """Longest context in tokens; `yanmo pretrain` reads 0 as --train.sequence-length."""
    rope_theta: float = 10000.0
    """Base of the rotary position frequencies."""
    rms_norm_eps: float = 1e-6
    """Added to the mean square in every RMSNorm."""
    hidden_act: Literal["silu", "relu2"] = "silu"
    """Activation of the feed-forward gate: silu (SwiGLU) or relu2, the square of ReLU."""
    tie_word_embeddings: bool = True
    """Use the embedding as output head too. Untied costs vocab-size x hidden-size parameters more."""
    qkv_bias: bool = False
    """Biases on the query, key and value projections (the Qwen2 family)."""
    qk_norm: bool = True
    """RMSNorm on each query and key head (the Qwen3 family)."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights; a block's output projections divide it by sqrt(2 x layers)."""

    @property
    def ffn_size(self) -> int:
        if self.intermediate_size is not None:
            return self.intermediate_size
        multiple = 256 if self.hidden_size >= 256 else 32
        return -(-8 * self.hidden_size // (3 * multiple)) * multiple

    @property
    def kv_heads(self) -> int:
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads if self.head_dim is None else self.head_dim

    @property
    def model_type(self) -> str:
        """The family's name in `config.json`."""
        return "qwen3" if self.qk_norm else "qwen2" if self.qkv_bias else "llama"

    def validate(self) -> ModelConfig:
        """Returns itself. Raises ValueError, naming the setting, for a shape that cannot be built."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"model.{field.name.replace('_', '-')}: {value} must be above 0")
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"model.hidden-size {self.hidden_size} is not divisible by model.num-attention-heads "
                f"{self.num_attention_heads}: change one, or set model.head-dim"
            )
        if self.head_size % 2:
            raise ValueError(f"model.head-dim: {self.head_size} is odd; rotary positions turn pairs")
        if self.num_attention_heads % self.kv_heads:
            raise ValueError(
                f"model.num-attention-heads {self.num_attention_heads} is not divisible by "
                f"model.num-key-value-heads {self.kv_heads}"
            )
        if self.qkv_bias and self.qk_norm:
            raise ValueError("model.qkv-bias (qwen2) and model.qk-norm (qwen3): no family has both")
        if self.hidden_act not in ("silu", "relu2"):
            raise ValueError(f"model.hidden-act: {self.hidden_act!r} is not one of silu, relu2")
        return self

    def parameter_count(self) -> int:
        """Trainable numbers, a tied head counted once."""
        queries, keys = self.num_attention_heads * self.head_size, self.kv_heads * self.head_size
        attention = self.hidden_size * (2 * queries + 2 * keys)
        attention += (queries + 2 * keys) * self.qkv_bias + 2 * self.head_size * self.qk_norm
        block = attention + 3 * self.hidden_size * self.ffn_size + 2 * self.hidden_size
        tables = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return tables + self.num_hidden_layers * block + self.hidden_size

    def flops(self, tokens: int, targets: int, length: int, frozen: bool = False) -> int:
        """Floating-point operations of training on `tokens` in rows of `length`, of which `targets` have a label.

        6 a matrix weight and token, 4 if the weights are `frozen` under adapters, and attention's two products over
        the causal half (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1); the head only works for
        targets.
        """
        queries, keys = self.num_attention_heads * self.head_size, self.kv_heads * self.head_size
        block = self.hidden_size * (2 * queries + 2 * keys + 3 * self.ffn_size) + queries * length
        return (4 if frozen else 6) * (
            tokens * self.num_hidden_layers * block + targets * self.vocab_size * self.hidden_size
        )

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """`config.json` in both dialects: transformers 4 reads `rope_theta` and `torch_dtype`, 5 the others."""
        self.validate()
        family: dict[str, Any] = {}
        if self.model_type == "llama":
            family = {"attention_bias": False, "mlp_bias": False, "pretraining_tp": 1}
        elif self.model_type == "qwen2":
            family = {"use_sliding_window": False}
        else:
            family = {"attention_bias": False, "use_sliding_window": False}
        return {
            "architectures": [ARCHITECTURES[self.model_type]],
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.ffn_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rope_theta": self.rope_theta,
            "rope_scaling": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rms_norm_eps": self.rms_norm_eps,
            "hidden_act": self.hidden_act,
            "tie_word_embeddings": self.tie_word_embeddings,
            "initializer_range": self.initializer_range,
            "attention_dropout": 0.0,
            "use_cache": True,
            "torch_dtype": dtype,
            "dtype": dtype,
            **family,
        }

    @classmethod
    def from_hf(cls, table: dict[str, Any]) -> ModelConfig:
        """The config of a Hugging Face Llama, Qwen2 or Qwen3 directory, in either dialect.

        Raises ValueError for another family and for features this Transformer lacks: better than wrong logits.
        """
        family = table.get("model_type")
        if family not in ARCHITECTURES:
            raise ValueError(f"model_type {family!r} is not one of {', '.join(ARCHITECTURES)}")
        for name in ("attention_bias", "mlp_bias", "use_sliding_window"):
            if table.get(name):
                raise ValueError(f"{name}: true is not supported for {family} models")
        sizes = ("vocab_size", "hidden_size", "intermediate_size")
        required = (*sizes, "num_hidden_layers", "num_attention_heads")
        if absent := [name for name in required if name not in table]:
            raise ValueError(f"no {', '.join(absent)} given")
        # The values transformers assumes when an old directory leaves them out.
        defaults: dict[str, Any] = {
            "num_key_value_heads": None,
            "head_dim": 128 if family == "qwen3" else None,
            "max_position_embeddings": 2048 if family == "llama" else 32768,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "initializer_range": 0.02,
        }
        given = {name: table[name] for name in required} | {
            name: table.get(name, default) for name, default in defaults.items()
        }
        if wrong := [name for name, value in given.items() if isinstance(value, str) and name != "hidden_act"]:
            raise ValueError(f"{wrong[0]}: {given[wrong[0]]!r} is not a number")
        return cls(
            **given, rope_theta=_rope_theta(table), qkv_bias=family == "qwen2", qk_norm=family == "qwen3"
        ).validate()


def _rope_theta(table: dict[str, Any]) -> float:
    theta = table.get("rope_theta", 10000.0)
    for name in ("rope_scaling", "rope_parameters"):
        rope = table.get(name) or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ValueError(f"{name} of type {kind!r} is not supported, only plain rotary positions")
        theta = rope.get("rope_theta", theta)
    return float(theta)
