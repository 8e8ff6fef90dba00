"""A base model + conversations -> a model that answers: supervised fine-tuning on the assistant's turns.

yanmo sft --init runs/pretrain --data chats.jsonl --train.epochs 2
yanmo sft --init runs/pretrain --data chats.jsonl --lora.rank 16      (an adapter, PEFT's format)
yanmo sft --init runs/pretrain --data chats.jsonl --show 3      (prints what is trained, trains nothing)
yanmo sft --init runs/sft --data medical.jsonl --replay runs/pack      (some of the old text, against forgetting)
yanmo sft --init runs/sft --data self_cognition.json --persona NAME=小墨 AUTHOR=研墨
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
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
from yanmo.tokenizer.layouts import Name
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.core.run import Run
    from yanmo.data.conversations import ConversationBatches, ConversationCounts
    from yanmo.data.replay import ReplayBatches, ReplayText
    from yanmo.model.transformer import Transformer
    from yanmo.tokenizer.load import Tokenizer

TOKENIZER = "tokenizer"
"""In the output directory: the tokenizer with the chat template that --template asked for."""


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
    template: Name | None = None
    """Chat template to teach; none: the model's own, at first ChatML. What each looks like: yanmo.tokenizer.layouts.
    It is kept with the model, so chat, generate, evaluate, dpo and reward need not be told."""
    persona: list[str] = field(default_factory=list)
    """Values for placeholders in the conversations, NAME=VALUE each: NAME=小墨 fills <NAME>, {name} and {{name}}."""
    replay: list[Path] = field(default_factory=list)
    """Pretraining text to go on reading, against forgetting: a directory of token shards, or documents."""
    replay_share: float = 0.1
    """Share of each step's rows that are replayed text."""
    general: list[Path] = field(default_factory=list)
    """Held-out text to measure forgetting on, before and after: documents, or a directory of token shards (its
    validation split). None: what --replay holds out."""
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
    from yanmo.data.replay import open_text
    from yanmo.evaluate.forgetting import Forgetting
    from yanmo.model.checkpoint import load_config, load_model
    from yanmo.tokenizer.chat import with_template
    from yanmo.tokenizer.load import load_tokenizer
    from yanmo.tokenizer.save import save_configured
    from yanmo.train.losses import next_token_loss
    from yanmo.train.samples import answers
    from yanmo.train.stage import Stage, start_model, train
    from yanmo.train.validation import first_targets, validation_loss

    hyper, tokenizer = settings.train, load_tokenizer(settings.init)
    check(settings, load_config(settings.init).max_position_embeddings)
    if settings.template:
        tokenizer = with_template(tokenizer, settings.template)

    def batches(conversations: list[list[Message]]) -> ConversationBatches:
        return ConversationBatches(
            conversations, tokenizer, hyper.sequence_length, hyper.batch_size, hyper.seed, settings.cut_answers
        )

    if settings.show:
        show(batches(first_conversations(settings)), settings.show)
        return
    with open_run(settings) as run:
        if settings.template:
            save_configured(tokenizer, run.path / TOKENIZER)
            tokenizer = load_tokenizer(run.path / TOKENIZER)
        training, held_out, rejected = split(settings, run.say)
        packed = batches(training)
        validation = batches(held_out) if held_out else None
        run.report["conversations"] = {
            "read": len(training) + len(held_out) + sum(rejected.values()),
            "rejected": dict(rejected),
            "training": asdict(packed.counts),
            "validation": asdict(validation.counts) if validation else None,
        }
        say_counts(run, packed.counts, len(held_out), rejected)
        text = open_text(settings.replay, tokenizer) if settings.replay else None
        mixed = replayed(settings, packed, text, tokenizer, run) if text else packed
        general = general_documents(settings, text, tokenizer)
        if settings.lora.rank and not settings.lora.modules_to_save:
            warn_of_an_unknown_end(settings, packed, run)
        forgetting = None
        if general:
            forgetting = Forgetting(load_model(settings.init), tokenizer, general, hyper, run)

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            if validation is None:
                return {}
            return validation_loss(model, tokenizer, first_targets(validation.sequential(), targets), rows)

        stage = Stage(
            settings=hyper,
            build=lambda: start_model(settings.init, settings.lora),
            tokenizer=tokenizer,
            loss=next_token_loss,
            batches=mixed,
            batches_per_epoch=mixed.batches_per_epoch,
            validate=validate,
            samples=lambda model: answers(model, tokenizer, settings.samples),
        )
        model = train(stage, run, settings.resume)
        if forgetting:
            forgetting.report(model)


def check(settings: Settings, context: int) -> None:
    """Raises: ValueError: a row is longer than the model's context, or the replay leaves no row of conversations."""
    length, rows, share = settings.train.sequence_length, settings.train.batch_size, settings.replay_share
    if length > context:
        raise ValueError(f"--train.sequence-length: {length} is above the model's context, {context}")
    if settings.replay and not 0 < share * rows <= rows - 1:
        raise ValueError(f"--replay-share {share}: must be above 0 and leave a row of {rows} (--train.batch-size) over")


def first_conversations(settings: Settings) -> list[list[Message]]:
    """Enough of them to show some."""
    from yanmo.data.persona import Persona

    persona = Persona(settings.persona)
    rows = itertools.islice(read_conversations(settings.data, settings.format), 20 * settings.show)
    return [persona.fill(row.messages) for row in rows if isinstance(row.messages, list)]


def replayed(
    settings: Settings, conversations: ConversationBatches, text: ReplayText, tokenizer: Tokenizer, run: Run
) -> ReplayBatches:
    """The conversations with rows of text among them."""
    from yanmo.data.batches import PackedBatches
    from yanmo.data.replay import ReplayBatches

    hyper = settings.train
    rows = PackedBatches(text.training, hyper.sequence_length, hyper.batch_size, hyper.seed, tokenizer.end_id)
    run.say(f"{settings.replay_share:.0%} of every step's rows are text, replayed from {rows.rows:,} rows of it")
    return ReplayBatches(conversations, rows, settings.replay_share)


def general_documents(settings: Settings, text: ReplayText | None, tokenizer: Tokenizer) -> Iterator[list[int]] | None:
    """Held-out text to measure forgetting on, as token ids; None where there is none."""
    from yanmo.evaluate.likelihood import stream_documents, token_documents

    if settings.general:
        return token_documents(settings.general, tokenizer)
    return stream_documents(text.held_out, tokenizer.end_id) if text else None


def warn_of_an_unknown_end(settings: Settings, packed: ConversationBatches, run: Run) -> None:
    """Say so if the base never met the token that ends an answer: its row of the head is frozen beside adapters."""
    import math

    import torch

    from yanmo.model.checkpoint import load_model
    from yanmo.tokenizer.chat import template_of
    from yanmo.train.head import token_losses

    model, end_id = load_model(settings.init).eval(), template_of(packed.tokenizer).end_id
    batch = {name: tensor[:4] for name, tensor in packed.batch(0).items()}
    with torch.inference_mode():
        hidden = model(batch["input_ids"], batch["position_ids"], batch["segments"])
        nats = token_losses(hidden, model.lm_head.weight, batch["labels"])[batch["labels"] == end_id]
    if len(nats) and float(nats.mean()) > math.log(model.config.vocab_size):
        tables = "embed_tokens" if model.config.tie_word_embeddings else "embed_tokens lm_head"
        run.say(
            f"warning: to {settings.init} the end of an answer is less likely than a token by chance "
            f"({float(nats.mean()):.1f} nats): it has not learned to chat, and adapters alone teach it by half; "
            f"--lora.modules-to-save {tables} trains those too"
        )


def split(
    settings: Settings, say: Callable[[str], None] = print
) -> tuple[list[list[Message]], list[list[Message]], Counter[str]]:
    """Conversations to train on, those held out (by a hash of their text, so that a copy never parts from its
    original), and how many were rejected for which reason."""
    from yanmo.data.persona import Persona

    training: list[list[Message]] = []
    held_out: list[list[Message]] = []
    rejected: Counter[str] = Counter()
    persona = Persona(settings.persona)
    for row in read_conversations(settings.data, settings.format):
        if isinstance(row.messages, Drop):
            rejected[row.messages.reason] += 1
            continue
        messages = persona.fill(row.messages)
        draw = xxhash.xxh3_64_intdigest(orjson.dumps(messages)) / 2**64
        (held_out if draw < settings.val_fraction else training).append(messages)
    persona.check()
    if persona.open:
        say(f"warning: {persona.open} conversations say <NAME> or the like; --persona NAME=... AUTHOR=... fills it")
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
