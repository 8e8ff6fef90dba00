"""Talk to a model in the terminal.

yanmo chat --model runs/sft
yanmo chat --model runs/pretrain --base      (continues what you write; for models without SFT)

Ctrl-C stops an answer, /clear forgets the conversation, /exit or Ctrl-D leaves. A conversation that outgrows the
context loses its oldest exchanges, whole ones only. Lines can be piped in: then only answers are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yanmo.model.sampling_settings import SamplingSettings

if TYPE_CHECKING:
    from yanmo.model.transformer import Transformer
    from yanmo.tokenizer.chat import Message
    from yanmo.tokenizer.load import Tokenizer

HELP = "/clear forgets the conversation, /exit leaves, Ctrl-C stops an answer"


@dataclass(kw_only=True)
class Settings(SamplingSettings):
    model: Path
    """The model directory."""
    system: str = ""
    """A system message to begin with."""
    base: bool = False
    """Continue the text as it stands, without the chat template: for base models."""
    temperature: float = 0.7
    top_p: float = 0.9
    repetition_penalty: float = 1.1
    device: str = "auto"
    """auto takes a GPU when there is one; cpu, cuda."""


def main(settings: Settings) -> None:
    settings.validate()
    if settings.num_beams > 1:
        raise ValueError("--num-beams: beam search cannot stream; use `yanmo generate`")
    from yanmo.core.device import choose_device
    from yanmo.model.checkpoint import load_model, stop_ids
    from yanmo.model.decoding import decoding_dtype, for_decoding
    from yanmo.tokenizer.load import load_tokenizer

    device = choose_device(settings.device)
    model = for_decoding(load_model(settings.model, decoding_dtype(device, 1), device))
    speaker = Speaker(model, load_tokenizer(settings.model), settings, stop_ids(settings.model))
    converse(speaker, settings)


class Speaker:
    """A model with its tokenizer: prompt ids in, text out as it is made."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, settings: Settings, stop_ids: list[int]) -> None:
        self.model, self.tokenizer, self.settings, self.stop_ids = model, tokenizer, settings, stop_ids
        self.context = model.config.max_position_embeddings
        self.turns = 0

    def say(self, ids: list[int]) -> Iterator[str]:
        from yanmo.model.generate import stream
        from yanmo.model.streaming import TextStream

        text = TextStream(self.tokenizer.token_bytes)
        self.turns += 1  # a number of its own for every answer, so that asking again may be answered differently
        begun = self.settings.base  # some chat templates begin an answer with a space
        for _, token in stream(self.model, [ids], self.settings, self.stop_ids, first_row=self.turns):
            if token not in self.stop_ids and (piece := text.push(token)):
                piece = piece if begun else piece.lstrip()
                begun = begun or bool(piece)
                yield piece

    def prompt(self, messages: list[Message]) -> tuple[list[int], list[Message]]:
        """Ids for the next answer and the messages they hold: whole old exchanges go until an answer has room.

        Raises: ValueError: the last exchange alone is too long.
        """
        from yanmo.tokenizer.chat import oldest_exchange, render

        room = min(self.settings.max_new_tokens, self.context // 4)
        while True:
            ids, _ = render(self.tokenizer, messages, add_generation_prompt=True)
            if len(ids) + room <= self.context:
                return ids, messages
            oldest = oldest_exchange(messages)
            if oldest is not None:
                messages = messages[: oldest.start] + messages[oldest.stop :]
            elif len(ids) < self.context:
                return ids, messages
            else:
                raise ValueError(f"{len(ids)} tokens, the model's context is {self.context}: say it shorter")

    def plain(self, text: str) -> list[int]:
        """Raises: ValueError: the text alone fills the context."""
        ids = self.tokenizer.encode(text)
        if len(ids) >= self.context:
            raise ValueError(f"{len(ids)} tokens, the model's context is {self.context}: give less")
        return ids


def converse(speaker: Speaker, settings: Settings) -> None:
    """Read lines, print answers, until the input ends."""
    start: list[Message] = [{"role": "system", "content": settings.system}] if settings.system else []
    messages = list(start)
    interactive = sys.stdin.isatty()
    if interactive:
        print(HELP)
    while (line := read_line("你：" if interactive else "")) is not None:
        match line.strip():
            case "":
                continue
            case "/exit":
                return
            case "/clear":
                messages = list(start)
                speaker.turns = 0
            case command if command.startswith("/"):
                print(f"{command}: not known; {HELP}")
            case text:
                try:
                    if settings.base:
                        show(speaker.say(speaker.plain(line)), line)
                    else:
                        messages = answer(speaker, [*messages, {"role": "user", "content": text}])
                except ValueError as error:  # too long a line is no reason to end the conversation
                    print(f"({error})", flush=True)


def answer(speaker: Speaker, messages: list[Message]) -> list[Message]:
    """Show the answer; the conversation with it (what was said of it, if it was stopped)."""
    ids, messages = speaker.prompt(messages)
    said = show(speaker.say(ids), "")
    return [*messages, {"role": "assistant", "content": said}]


def show(pieces: Iterator[str], begin: str) -> str:
    """Print pieces as they come; Ctrl-C ends the answer. Returns what was said after `begin`."""
    said = ""
    print(begin, end="", flush=True)
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
            said += piece
    except KeyboardInterrupt:
        print(" …", end="")
    print(flush=True)
    return said


def read_line(prompt: str) -> str | None:
    """The next line; None at the end of the input. Ctrl-C here only starts a new line."""
    while True:
        try:
            return input(prompt)
        except EOFError:
            return None
        except KeyboardInterrupt:
            print("  (/exit leaves)")
