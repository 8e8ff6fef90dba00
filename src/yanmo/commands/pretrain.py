"""Token shards -> a base model (a Hugging Face directory), by next-token prediction.

yanmo pretrain --data runs/pack --model.hidden-size 512 --model.num-hidden-layers 8 --train.steps 5000
yanmo pretrain --data runs/pack --out runs/pretrain --resume
yanmo pretrain --data runs/pack --init runs/trunk --finish --train.steps 500 --out runs/finished
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from yanmo.core.settings import CommandSettings
from yanmo.model.config import ModelConfig
from yanmo.train.settings import TrainSettings

if TYPE_CHECKING:
    from yanmo.model.transformer import Transformer
    from yanmo.tokenizer.load import Tokenizer


@dataclass(kw_only=True)
class Settings(CommandSettings):
    MAY_CHANGE: ClassVar = ("train.steps", "train.epochs", "train.save-every", "train.keep", "train.eval-every")

    data: Path
    """Token shards from `yanmo pack`."""
    init: Path | None = None
    """A model directory to go on from (its weights; the model settings below are then its own)."""
    finish: bool = False
    """Anneal the trunk in --init, a run or one of its checkpoints, to a learning rate of 0: its optimizer state and
    place in the data are taken over, --train.steps more steps are done here, and the trunk itself stays as it is."""
    model: ModelConfig = field(
        # Untied: 0.19 nats a token better after 250,000 tokens (docs/log.md).
        default_factory=lambda: ModelConfig(vocab_size=0, max_position_embeddings=0, tie_word_embeddings=False)
    )
    train: TrainSettings = field(default_factory=TrainSettings)
    samples: list[str] = field(default_factory=lambda: ["从前", "中国的", "今天天气", "人工智能是", "春天来了，"])
    """Prompts that the finished model continues for show."""
    zero_init: bool = True
    """Start every block as the identity (output projections zero), as in muP (arXiv:2203.03466)."""
    out: Path = Path("runs/pretrain")


def main(settings: Settings) -> None:
    from yanmo.core.run import open_run
    from yanmo.data.batches import PackedBatches, sequential
    from yanmo.data.shards import open_shards
    from yanmo.train.losses import next_token_loss
    from yanmo.train.samples import continuations
    from yanmo.train.stage import Stage, train
    from yanmo.train.validation import first_targets, validation_loss

    if settings.finish and settings.init is None:
        raise ValueError("--finish: say which trunk to anneal with --init DIR")
    with open_run(settings) as run:
        shards, hyper = open_shards(settings.data), settings.train
        tokenizer = shards.tokenizer()
        batches = PackedBatches(shards.train, hyper.sequence_length, hyper.batch_size, hyper.seed, tokenizer.end_id)

        def validate(model: Transformer, targets: int, rows: int) -> dict[str, float]:
            if len(shards.val) < 2:
                return {}
            held_out = sequential(shards.val, hyper.sequence_length, hyper.batch_size, tokenizer.end_id)
            return validation_loss(model, tokenizer, first_targets(held_out, targets), rows)

        stage = Stage(
            settings=hyper,
            build=lambda: first_model(settings, tokenizer),
            tokenizer=tokenizer,
            loss=next_token_loss,
            batches=batches,
            batches_per_epoch=batches.batches_per_epoch,
            validate=validate,
            samples=lambda model: continuations(model, tokenizer, settings.samples),
            finish=settings.init if settings.finish else None,
        )
        train(stage, run, settings.resume)


def first_model(settings: Settings, tokenizer: Tokenizer) -> Transformer:
    """The model of step 0: --init's, or a fresh one whose vocabulary and context fit the data."""
    from yanmo.model.checkpoint import load_model
    from yanmo.model.transformer import Transformer, zero_residual_projections
    from yanmo.tokenizer.load import load_tokenizer

    if settings.init is not None:
        if load_tokenizer(settings.init).fingerprint != tokenizer.fingerprint:
            raise ValueError(
                f"--init {settings.init} and --data {settings.data} have different tokenizers; "
                f"pack the documents with --tokenizer {settings.init}"
            )
        return load_model(settings.init)
    config, rows = settings.model, tokenizer.vocab_size
    if config.vocab_size == 0:
        config = replace(config, vocab_size=-(-rows // 64) * 64)
    if config.max_position_embeddings == 0:
        config = replace(config, max_position_embeddings=settings.train.sequence_length)
    if config.vocab_size < rows:
        raise ValueError(f"--model.vocab-size: {config.vocab_size} is below the tokenizer's {rows} entries")
    if config.max_position_embeddings < settings.train.sequence_length:
        raise ValueError(
            f"--train.sequence-length: {settings.train.sequence_length} is above "
            f"--model.max-position-embeddings ({config.max_position_embeddings}); lower it or raise the other"
        )
    model = Transformer(config)
    if settings.zero_init:
        zero_residual_projections(model)
    return model
