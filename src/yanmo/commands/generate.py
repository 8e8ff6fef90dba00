"""A model + a file of prompts -> completions.jsonl, written as they come; an interrupted run goes on with --resume.

yanmo generate --model runs/sft --prompts questions.jsonl --temperature 0
yanmo generate --model runs/pretrain --prompts beginnings.txt --max-new-tokens 200 --top-p 0.9
yanmo generate --model runs/sft --conversations chats.jsonl --out runs/rejected      (preferences for dpo and reward)

Rows with "messages" are answered through the chat template. Rows with "prompt", and lines of a .txt file, are
continued as they stand; with --chat they are answered as a user's question. Of conversations, the last answers are
taken for right and the model's own for wrong: preferences.jsonl, without pairs that say nothing.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from yanmo.core.settings import CommandSettings
from yanmo.model.sampling_settings import SamplingSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.tokenizer.load import Tokenizer

COMPLETIONS, PREFERENCES = "completions.jsonl", "preferences.jsonl"
MANY = 50_000
"""Prompts that the time needed is projected to."""


@dataclass(kw_only=True)
class Settings(SamplingSettings, CommandSettings):
    out: Path = Path("runs/generate")
    """The directory to write: completions.jsonl, one row a prompt, in the order of the prompts; of conversations also
    preferences.jsonl."""
    model: Path
    """The model directory."""
    prompts: Path | None = None
    """.jsonl, .json, .csv or .parquet with "messages" or "prompt", or .txt with a prompt a line."""
    conversations: list[Path] = field(default_factory=list)
    """Instead of prompts: conversations in any of the public formats (files or folders), of which the last answer is
    given anew, for preferences."""
    format: str = "auto"
    """Name of the conversations' format; auto looks."""
    similar: float = 0.9
    """Conversations: a pair whose answers have at least this share of their letters in common is left out."""
    chat: bool = False
    """Put "prompt" rows into the chat template as a user's question instead of continuing them."""
    batch_size: int = 32
    """Prompts answered at once."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Numbers to compute with; auto is what the machine decodes fastest in."""
    device: str = "auto"
    """auto takes a GPU when there is one; cpu, cuda."""


class Prompt(NamedTuple):
    row: dict[str, Any]
    """What comes back in completions.jsonl: "prompt" or "messages"."""
    ids: list[int]
    answer: str = ""
    """The right one, of a conversation."""


def main(settings: Settings) -> None:
    settings.validate()
    if settings.batch_size < 1:
        raise ValueError(f"--batch-size {settings.batch_size}: must be at least 1")
    if bool(settings.conversations) == (settings.prompts is not None):
        raise ValueError("give either --prompts, to be completed, or --conversations, to be answered anew")
    if not 0 < settings.similar <= 1:
        raise ValueError(f"--similar: {settings.similar} must be above 0 and at most 1")
    from yanmo.core.device import DTYPES, choose_device
    from yanmo.core.run import open_run
    from yanmo.model.checkpoint import load_model, stop_ids
    from yanmo.model.decoding import decoding_dtype, for_decoding
    from yanmo.tokenizer.load import load_tokenizer

    with open_run(settings) as run:
        if run.finished_before:
            run.say(f"{settings.out}: already complete")
            return
        device = choose_device(settings.device)
        auto = settings.dtype == "auto"
        dtype = decoding_dtype(device, settings.batch_size) if auto else DTYPES[settings.dtype]
        model = for_decoding(load_model(settings.model, dtype, device))
        tokenizer = load_tokenizer(settings.model)
        read = read_conversations if settings.conversations else read_prompts
        prompts = list(read(settings, tokenizer, model.config.max_position_embeddings, run))
        complete_all(model, tokenizer, prompts, settings, stop_ids(settings.model), run)
        if settings.conversations:
            write_preferences(prompts, settings.similar, run)


def read_prompts(settings: Settings, tokenizer: Tokenizer, context: int, run: Run) -> Iterator[Prompt]:
    """The prompts of the file; broken rows are counted and named.

    Raises: ValueError: a row holds no prompt, or one that fills the context; most rows are broken; none is there.
    """
    from yanmo.text.files.damage import Damage
    from yanmo.text.files.readers import read_rows
    from yanmo.text.files.rows import Broken
    from yanmo.text.files.sources import look

    assert settings.prompts is not None
    source = look(settings.prompts, txt_documents="line")
    damage, count = Damage(source), 0
    for row in read_rows(source):
        damage.add(1, [(row.number, row.drop)] if isinstance(row, Broken) else [])
        if isinstance(row, Broken):
            continue
        place = source.place(row.number)
        prompt = encode(row.value, settings.chat, tokenizer, place)
        if not prompt.ids:
            raise ValueError(f"{place}: the prompt is empty")
        if len(prompt.ids) >= context:
            raise ValueError(f"{place}: {len(prompt.ids)} tokens, the model's context is {context}; shorten it")
        count += 1
        yield prompt
    Damage.check_all([damage])
    if damage.broken:
        run.say(f"warning: {damage.broken} broken rows left out: {', '.join(damage.first)}")
    if not count:
        raise ValueError(f"--prompts {settings.prompts}: no prompts in it")


def read_conversations(settings: Settings, tokenizer: Tokenizer, context: int, run: Run) -> Iterator[Prompt]:
    """Conversations up to their last answers; what is none, or leaves no room for an answer, is counted.

    Raises: ValueError: a file is of no known format or mostly broken; no conversation is left.
    """
    from yanmo.text import conversations
    from yanmo.text.step import Drop
    from yanmo.tokenizer.chat import render

    left_out: Counter[str] = Counter()
    count = 0
    for row in conversations.read_conversations(settings.conversations, settings.format):
        if isinstance(row.messages, Drop):
            left_out[row.messages.reason] += 1
            continue
        *question, answer = row.messages
        prompt, _ = render(tokenizer, question, add_generation_prompt=True)
        if len(prompt) >= context:
            left_out["question_fills_the_context"] += 1
            continue
        count += 1
        yield Prompt({"messages": question}, prompt, answer["content"])
    run.report["conversations"] = {"read": count + sum(left_out.values()), "left_out": dict(left_out)}
    run.say(f"{count:,} conversations; left out: {reasons(left_out)}")
    if not count:
        raise ValueError(f"--conversations: none is left to answer ({reasons(left_out)})")


def reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in counts.items()) or "none"


def encode(value: dict[str, Any] | str, chat: bool, tokenizer: Tokenizer, place: str) -> Prompt:
    """A row of the prompts file as ids, by the rule in this file's first lines."""
    from yanmo.tokenizer.chat import render

    row: dict[str, Any] = {"prompt": value} if isinstance(value, str) else value
    messages = row.get("messages")
    if messages is not None:
        if not _are_messages(messages):
            raise ValueError(f'{place}: "messages" must be a list of {{"role", "content"}} that ends with a user turn')
        return Prompt({"messages": messages}, render(tokenizer, messages, add_generation_prompt=True)[0])
    prompt = row.get("prompt")
    if not isinstance(prompt, str):
        raise ValueError(f'{place}: needs "prompt" (text) or "messages"')
    if chat:
        question = [{"role": "user", "content": prompt}]
        return Prompt({"prompt": prompt}, render(tokenizer, question, add_generation_prompt=True)[0])
    return Prompt({"prompt": prompt}, tokenizer.encode(prompt))


def _are_messages(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and isinstance(turn.get("content"), str) and "role" in turn for turn in value)
        and value[-1]["role"] == "user"
    )


def complete_all(
    model: Any, tokenizer: Tokenizer, prompts: list[Prompt], settings: Settings, stop_ids: list[int], run: Run
) -> None:
    """Answer batch by batch; each batch is appended whole and flushed to the disk."""
    import orjson

    from yanmo.core.files import read_jsonl
    from yanmo.model.generate import generate
    from yanmo.model.streaming import text_of

    path = run.path / COMPLETIONS
    done = whole_rows(path, settings.batch_size, len(prompts))
    started = time.monotonic()
    with open(path, "ab") as out, run.progress("generate", len(prompts), "prompts") as bar:
        bar.advance(done)
        for start in range(done, len(prompts), settings.batch_size):
            batch = prompts[start : start + settings.batch_size]
            completions = generate(model, [prompt.ids for prompt in batch], settings, stop_ids, first_row=start)
            for prompt, completion in zip(batch, completions, strict=True):
                text = text_of(completion.ids, tokenizer.token_bytes)
                if settings.chat or "messages" in prompt.row:
                    text = text.strip()  # some templates put a space between the speaker and what is said
                row = {**prompt.row, "completion": text, "finish": completion.finish, "tokens": len(completion.ids)}
                out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            out.flush()
            os.fsync(out.fileno())
            bar.advance(len(batch))
    say_speed(len(prompts) - done, time.monotonic() - started, run)
    finishes: Counter[str] = Counter()
    tokens = 0
    for row in read_jsonl(path):
        finishes[row["finish"]] += 1
        tokens += row["tokens"]
    run.report |= {"prompts": len(prompts), "resumed_at": done, "tokens": tokens, "finish": dict(finishes)}


def say_speed(prompts: int, seconds: float, run: Run) -> None:
    """Prompts a second, and what that means for a whole data set."""
    if prompts:
        rate = prompts / seconds
        hours = MANY / rate / 3600
        words = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
        run.report |= {"prompts_per_second": round(rate, 3), f"hours_for_{MANY}": round(hours, 3)}
        run.say(f"{rate:.1f} prompts a second: {MANY:,} would take {words}")


def write_preferences(prompts: list[Prompt], similar: float, run: Run) -> None:
    """The right answers and the model's own, as pairs; all at once, when every completion is there."""
    from yanmo.core.files import read_jsonl, write_jsonl
    from yanmo.data.rejected import preferences

    left_out: Counter[str] = Counter()
    answered = (
        (prompt.row["messages"], prompt.answer, row["completion"])
        for prompt, row in zip(prompts, read_jsonl(run.path / COMPLETIONS), strict=True)
    )
    count = 0
    with write_jsonl(run.path / PREFERENCES) as out:
        for pair in preferences(answered, similar, left_out):
            out.write(pair._asdict())
            count += 1
    run.report["preferences"] = {"pairs": count, "left_out": dict(left_out)}
    run.say(f"{run.path / PREFERENCES}: {count:,} pairs; left out: {reasons(left_out)}")


def whole_rows(path: Path, batch_size: int, total: int) -> int:
    """Rows of an earlier run that stand; what follows them is cut off.

    Only whole batches stand: in bfloat16 a row depends a little on how many others it is computed with, and a
    resumed run must write the bytes that an undisturbed one would have written.
    """
    if not path.exists():
        return 0
    lines = path.read_bytes().split(b"\n")[:-1]
    rows = min(len(lines) if len(lines) == total else len(lines) // batch_size * batch_size, total)
    with open(path, "r+b") as file:
        file.truncate(sum(len(line) + 1 for line in lines[:rows]))
    return rows
