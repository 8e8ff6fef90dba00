"""Personas: self-cognition data with placeholders, made one's own.

    {"instruction": "你是谁？", "output": "我是 <NAME>，由 <AUTHOR> 开发。"}      --persona NAME=小墨 AUTHOR=研墨

`<NAME>`, `{name}` and `{{name}}` are the same placeholder. A space between it and Chinese, which some sets put
there, goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

USUAL = re.compile(r"<(?:NAME|AUTHOR)>|\{\{?(?:name|author)\}?\}", re.IGNORECASE)
"""What public self-cognition sets leave open."""
HAN = r"[\u4e00-\u9fff，。！？：；、]"


class Persona:
    """Values for placeholders: `NAME=小墨` each.

    Raises: ValueError: one is not of this form.
    """

    def __init__(self, values: Sequence[str]) -> None:
        self.values: dict[str, str] = {}
        for value in values:
            name, equals, text = value.partition("=")
            if not (name.strip() and equals and text.strip()):
                raise ValueError(f"--persona {value}: must be NAME=VALUE, such as NAME=小墨")
            self.values[name.strip()] = text.strip()
        self._patterns = {name: _placeholder(name, value) for name, value in self.values.items()}
        self.found: set[str] = set()
        """Names whose placeholder has been met."""
        self.open = 0
        """Conversations with a usual placeholder that nothing fills."""

    def fill(self, messages: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
        filled = [{**message, "content": self._text(message["content"])} for message in messages]
        self.open += any(USUAL.search(message["content"]) for message in filled)
        return filled

    def _text(self, text: str) -> str:
        for name, pattern in self._patterns.items():
            text, count = pattern.subn(lambda _, name=name: self.values[name], text)  # type: ignore[misc]
            if count:
                self.found.add(name)
        return text

    def check(self) -> None:
        """After all conversations. Raises: ValueError: a placeholder is nowhere."""
        for name in self.values.keys() - self.found:
            raise ValueError(f"--persona {name}: no conversation has <{name}> or {{{name}}} in it")


def _placeholder(name: str, value: str) -> re.Pattern[str]:
    """The placeholder; for a Chinese value with the spaces that part it from Chinese."""
    placeholder = rf"(?:<{re.escape(name)}>|\{{\{{?{re.escape(name)}\}}?\}})"
    if re.fullmatch(HAN, value[0]) and re.fullmatch(HAN, value[-1]):
        placeholder = rf"(?:(?<={HAN}) )?{placeholder}(?: (?={HAN}))?"
    return re.compile(placeholder, re.IGNORECASE)
