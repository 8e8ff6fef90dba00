"""Write a tokenizer directory that `transformers` (4 and 5), llama.cpp converters and we read alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tokenizers

from yanmo.core.files import atomic_write, write_json
from yanmo.tokenizer.chat import JINJA
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.special import DOCUMENT_END, PAD, TURN_END, TURN_START


def save_tokenizer(tokenizer: tokenizers.Tokenizer, directory: Path, special: Mapping[str, str] | None = None) -> None:
    """`tokenizer.json`, `tokenizer_config.json` and the chat template, the last also as a file of its own.

    The configured end is that of a turn, where a chat model stops; documents end with `<|endoftext|>`.
    special: control tokens to name beside ours, such as `unk_token` and `bos_token`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        # The name both transformers 4 and 5 know; what 5 writes itself, 4 cannot load.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN_END,
        "pad_token": PAD,
        "additional_special_tokens": [DOCUMENT_END, TURN_START],
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": JINJA,
        **(special or {}),
    }
    atomic_write(directory / "tokenizer.json", tokenizer.to_str(pretty=True))
    write_json(directory / "tokenizer_config.json", config)
    atomic_write(directory / "chat_template.jinja", JINJA)


def save_configured(tokenizer: Tokenizer, directory: Path) -> None:
    """The tokenizer's directory with the configuration that it has now, as after `chat.with_template`."""
    tokenizer.copy_to(directory)
    write_json(directory / "tokenizer_config.json", tokenizer.config)
    atomic_write(directory / "chat_template.jinja", tokenizer.config["chat_template"])
