"""How to train: the settings that every training command shares. No torch here, so help is instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(kw_only=True)
class TrainSettings:
    """Defaults are for pretraining; other stages override what differs."""

    steps: int | None = None
    """Optimizer steps; none means as many as --train.epochs asks for."""
    epochs: float = 1.0
    """Passes over the data when --train.steps is not given."""
    sequence_length: int = 512
    """Tokens in a row; documents are packed into rows without padding and do not see each other."""
    batch_size: int = 16
    """Sequences a step, over all devices; does not depend on how many there are."""
    micro_batch_size: int | None = None
    """Sequences that go through the model at once; none: 1,024 tokens on a CPU, 16,384 on a GPU. Changes memory and
    speed, not the result."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: Muon for the matrices and AdamW for embedding, head and norms; adamw: AdamW for everything."""
    lr: float = 0.006
    """Peak learning rate of the matrices, in AdamW's scale for both optimizers."""
    embedding_lr_ratio: float = 10.0
    """Embedding's learning rate over --train.lr (muon only)."""
    head_lr_ratio: float = 0.5
    """Output head's learning rate over --train.lr (muon only); an embedding tied to it counts as head."""
    norm_lr_ratio: float = 0.5
    """Learning rate of norm weights and biases over --train.lr (muon only)."""
    adapter_lr_ratio: float = 5.0
    """Learning rate of low-rank adapters over --train.lr: what suits whole weights is too little for them."""
    weight_decay: float = 0.1
    """Decoupled weight decay of the matrices; embedding, norms and biases have none."""
    momentum: float = 0.95
    """Muon's Nesterov momentum."""
    beta1: float = 0.9
    """AdamW's decay of the gradient's mean."""
    beta2: float = 0.95
    """AdamW's decay of the gradient's square."""
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "wsd"
    """wsd: warm-up, stable, then a linear decay over the last --train.decay; constant: a trunk that
    `pretrain --finish` anneals later."""
    warmup: float = 0.02
    """Share of the steps in which the learning rate rises linearly from 0 (below 1), or steps (1 and above)."""
    decay: float = 0.5
    """wsd: share of the steps that decay (below 1), or steps (1 and above)."""
    min_lr_ratio: float = 0.0
    """Learning rate at the end over the peak."""
    freeze: list[str] = field(default_factory=list)
    """Parts that stay as they are, by how their names begin: embed_tokens, layers.0, layers.0-3, layers.2.mlp."""
    clip: float = 1.0
    """Global gradient norm above which gradients are scaled down; 0 never clips."""
    seed: int = 1
    """Initial weights and data order."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What the matrix products run in; the weights themselves are always kept in fp32. auto: bf16 where the
    processor has it in hardware."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    compile: bool | None = None
    """torch.compile of one block, shared by all; none: where a compiler is at hand and the run is long enough
    to pay for it."""
    save_every: int = 500
    """Steps between checkpoints; the last step is always saved. 0: only at the end."""
    keep: int = 2
    """Checkpoints kept; older ones are removed after a newer one is safely on the disk."""
    eval_every: int = 250
    """Steps between validations; 0: only at the end."""
    eval_tokens: int = 65_536
    """Validation tokens scored each time; the last validation scores up to eight times as many."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""

    def __post_init__(self) -> None:
        positive = ("sequence_length", "batch_size", "lr", "keep", "log_every", "epochs")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(f"--train.{name.replace('_', '-')}: {getattr(self, name)} must be above 0")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--train.steps: {self.steps} must be at least 1")
        if self.micro_batch_size is not None and not 1 <= self.micro_batch_size <= self.batch_size:
            raise ValueError(
                f"--train.micro-batch-size: {self.micro_batch_size} must be 1 to --train.batch-size ({self.batch_size})"
            )
