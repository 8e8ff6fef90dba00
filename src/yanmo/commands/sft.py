"""A base model + conversations -> a model that answers: supervised fine-tuning on the assistant's turns.

yanmo sft --init runs/pretrain --data chats.jsonl --train.epochs 2
yanmo sft --init runs/pretrain --data chats.jsonl --lora.rank 16 --train.optimizer adamw     (an adapter, PEFT's format)
yanmo sft --init runs/pretrain --data chats.jsonl --show 3      (prints what is trained, trains nothing)
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import orjson
import xxhash
from rich.console import Console
from rich.text import Text

from yanmo.core.settings import CommandSettings
from yanmo.model.lora_settings import LoraSettings
from yanmo.text.conversations import Message, read_conversations
from yanmo.text.step import Drop
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.data.conversations import ConversationBatches, ConversationCounts
    from yanmo.model.transformer import Transformer


def sft_defaults() -> TrainSettings:
    """Gentler than pretraining: the weights are good already."""
    return TrainSettings(epochs=2.0, lr=0.001, embedding_lr_ratio=1.0, weight_decay=0.0, schedule="linear", warmup=0.05)


@dataclass(kw_only=True)
class Settings(CommandSettings):
    MAY_CHANGE: ClassVar = ("train.save-every", "train.keep", "train.eval-every")

    init: Path
    """The model directory to start from, or an adapter's, whose training goes on."""
    data: list[Path]
    """Conversations: files or folders in any of the public formats (messages, alpaca, BELLE, ShareGPT, ...)."""
    format: str = "auto"
    """Name of the conversations' format; auto looks."""
    val_fraction: float = 0.02
    """Share of the conversations held out to validate on."""
    cut_answers: bool = False
    """Cut an answer that alone is longer than a row, without an end token after the cut, instead of leaving the
    conversation out."""
    show: int = 0
    """Print this many rendered conversations with the trained tokens in colour, and stop."""
    lora: LoraSettings = field(default_factory=LoraSettings)
    train: TrainSettings = field(default_factory=sft_defaults)
    samples: list[str] = field(default_factory=lambda: ["你好", "你是谁？", "请介绍一下你自己。", "一年有几个季节？"])
    """Questions that the finished model answers for show."""
    out: Path = Path("runs/sft")


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run
    from yanmo.data.conversations import ConversationBatches
    from yanmo.model.checkpoint import load_config
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.train.losses import next_token_loss
    from yanmo.train.samples import answers
    from yanmo.train.stage import Stage, start_model, train
    from yanmo.train.validation import first_targets, validation_loss

    hyper, tokenizer = settings.train, load_tokenizer(settings.init)
    context = load_config(settings.init).max_position_embeddings
    if hyper.sequence_length > context:
        raise ValueError(f"--train.sequence-length: {hyper.sequence_length} is above the model's context, {context}")

    def batches(conversations: list[list[Message]]) -> ConversationBatches:
        return ConversationBatches(
            conversations, tokenizer, hyper.sequence_length, hyper.batch_size, hyper.seed, settings.cut_answers
        )

    if settings.show:
        rows = itertools.islice(read_conversations(settings.data, settings.format), 20 * settings.show)
        show(batches([row.messages for row in rows if isinstance(row.messages, list)]), settings.show)
        return
    with open_run(settings) as run:
        training, held_out, rejected = split(settings)
        packed = batches(training)
        validation = batches(held_out) if held_out else None
        run.report["conversations"] = {
            "read": len(training) + len(held_out) + sum(rejected.values()),
            "rejected": dict(rejected),
            "training": asdict(packed.counts),
            "validation": asdict(validation.counts) if validation else None,
        }
        say_counts(run, packed.counts, len(held_out), rejected)

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            if validation is None:
                return {}
            return validation_loss(model, tokenizer, first_targets(validation.sequential(), targets), rows)

        stage = Stage(
            settings=hyper,
            build=lambda: start_model(settings.init, settings.lora),
            tokenizer=tokenizer,
            loss=next_token_loss,
            batches=packed,
            batches_per_epoch=packed.batches_per_epoch,
            validate=validate,
            samples=lambda model: answers(model, tokenizer, settings.samples),
        )
        train(stage, run, settings.resume)


def split(settings: Settings) -> tuple[list[list[Message]], list[list[Message]], Counter[str]]:
    """Conversations to train on, those held out (by a hash of their text, so that a copy never parts from its
    original), and how many were rejected for which reason."""
    training: list[list[Message]] = []
    held_out: list[list[Message]] = []
    rejected: Counter[str] = Counter()
    for row in read_conversations(settings.data, settings.format):
        if isinstance(row.messages, Drop):
            rejected[row.messages.reason] += 1
            continue
        draw = xxhash.xxh3_64_intdigest(orjson.dumps(row.messages)) / 2**64
        (held_out if draw < settings.val_fraction else training).append(row.messages)
    return training, held_out, rejected


def say_counts(run: Run, counts: ConversationCounts, held_out: int, rejected: Counter[str]) -> None:
    reasons = rejected + Counter(counts.dropped)
    run.say(
        f"{counts.kept:,} conversations to train on ({counts.tokens:,} tokens, {counts.trained_tokens:,} trained) "
        f"in {counts.rows:,} rows, {counts.padding_share:.1%} padding; {held_out:,} held out; "
        f"{counts.shortened:,} without their oldest turns; "
        f"left out: {', '.join(f'{number:,} {reason}' for reason, number in reasons.items()) or 'none'}"
    )


def show(packed: ConversationBatches, count: int) -> None:
    """The X-ray: conversations as the model sees them, what it is trained to say in green."""
    console = Console(highlight=False)
    for number, pieces in enumerate(packed.show(count), 1):
        console.rule(f"conversation {number}")
        line = Text()
        for piece, trained in pieces:
            line.append(piece, style="bold green" if trained else "dim")
        console.print(line)
    console.print(Text.assemble(("green: trained", "bold green"), "   ", ("dim: only read", "dim")))
