"""Personas: every way of writing a placeholder, spaces that suit the value, and names that are nowhere."""

from __future__ import annotations

import pytest

from yanmo.data.persona import Persona


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("我是 <NAME>，由 <AUTHOR> 开发。", "我是小墨，由Yanmo Lab 开发。".replace("由Y", "由 Y")),
        ("我是{name}，由{{author}}开发", "我是小墨，由Yanmo Lab开发"),
        ("I am <NAME>, by <Author>.", "I am 小墨, by Yanmo Lab."),
        ("<names> {nam} <NAME", "<names> {nam} <NAME"),
        ("{{ name }}", "{{ name }}"),
    ],
)
def test_placeholders(text: str, filled: str) -> None:
    persona = Persona(["NAME=小墨", "author=Yanmo Lab"])
    (message,) = persona.fill([{"role": "assistant", "content": text}])
    assert message == {"role": "assistant", "content": filled}


def test_values_are_text_not_patterns() -> None:
    (message,) = Persona([r"NAME=\1 a=b <NAME>"]).fill([{"role": "user", "content": "{name}"}])
    assert message["content"] == r"\1 a=b <NAME>"


def test_what_is_nowhere_and_what_is_left_open() -> None:
    persona = Persona(["NAME=小墨", "AUTOR=研墨"])
    persona.fill([{"role": "user", "content": "你是谁"}, {"role": "assistant", "content": "<NAME>，<AUTHOR>所做"}])
    assert persona.open == 1
    with pytest.raises(ValueError, match="--persona AUTOR: no conversation has <AUTOR>"):
        persona.check()
    with pytest.raises(ValueError, match="must be NAME=VALUE"):
        Persona(["小墨"])
