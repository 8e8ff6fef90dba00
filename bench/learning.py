"""How many tokens a recipe needs: our default against the seeds' AdamW recipe, equal text, tokenizer and body.

    python bench/learning.py --shards runs/real-small/pack --tokens 500_000 --recipes ours seed
    python bench/learning.py --shards ... --recipes ours,tied ours,silu --seeds 1 2 3

One core, one process a run; prints a markdown table: tokens, validation nats a token, bits a byte, CPU seconds.
`seed` is the four systems' common recipe (Llama, tied, SwiGLU, AdamW 3e-4, warm-up 1.25 %, cosine to 1e-5,
betas 0.9/0.95, weight decay 0.1, std 0.02). `ours` is `yanmo pretrain` as it comes; a comma and a setting after
it changes that one setting (`ours,model.tie-word-embeddings=true`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from yanmo.commands.pretrain import Settings, first_model
from yanmo.core.run import Run, processor
from yanmo.core.settings import build, flatten, to_dict
from yanmo.data.batches import PackedBatches, sequential
from yanmo.data.shards import open_shards
from yanmo.train.fit import Hooks, fit
from yanmo.train.losses import next_token_loss
from yanmo.train.optimizers import build_optimizers
from yanmo.train.schedule import make_schedule
from yanmo.train.state import Progress
from yanmo.train.validation import first_targets, validation_loss

BODY = {
    "model.hidden-size": 256,
    "model.num-hidden-layers": 4,
    "model.num-attention-heads": 4,
    "model.intermediate-size": 704,
    "train.sequence-length": 256,
    "train.batch-size": 16,
    "train.dtype": "fp32",
    "train.device": "cpu",
    "train.log-every": 1_000_000,
}
"""A body small enough for a run of minutes on one core."""
SEED_RECIPE = {
    "zero-init": False,
    "model.qk-norm": False,
    "model.tie-word-embeddings": True,
    "model.hidden-act": "silu",
    "train.optimizer": "adamw",
    "train.lr": 3e-4,
    "train.schedule": "cosine",
    "train.warmup": 0.0125,
    "train.min-lr-ratio": 1 / 30,
    "train.weight-decay": 0.1,
}
VALIDATION_TOKENS = 131_072


def settings_of(recipe: str, shards: Path, tokens: int, seed: int) -> Settings:
    base, *changes = recipe.split(",")
    values = BODY | (SEED_RECIPE if base == "seed" else {})
    values |= dict(change.split("=", 1) for change in changes)
    steps = tokens // (int(values["train.batch-size"]) * int(values["train.sequence-length"]))
    values |= {"data": str(shards), "train.steps": steps, "train.seed": seed}
    return build(Settings, values)


def measure(settings: Settings) -> dict[str, float]:
    shards, hyper = open_shards(settings.data), settings.train
    tokenizer = shards.tokenizer()
    torch.manual_seed(hyper.seed)
    model = first_model(settings, tokenizer)
    batches = PackedBatches(shards.train, hyper.sequence_length, hyper.batch_size, 1, tokenizer.end_id)
    rows = sequential(shards.val, hyper.sequence_length, hyper.batch_size, tokenizer.end_id)
    held_out = list(first_targets(rows, VALIDATION_TOKENS))
    started = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory), "pretrain")
        run.console.quiet = True
        fit(
            model,
            next_token_loss,
            batches,
            build_optimizers(model, hyper),
            make_schedule(hyper, hyper.steps or 1),
            hyper,
            Progress(),
            Hooks(lambda last: {}, lambda progress: None),
            run,
        )
        run.close()
    seconds = time.process_time() - started
    figures = validation_loss(model, tokenizer, held_out, rows=16)
    return {
        "tokens": run.report["tokens"],
        "nats": figures["nats_per_token"],
        "bits_per_byte": figures["bits_per_byte"],
        "cpu_seconds": seconds,
        "parameters": model.config.parameter_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["ours", "seed"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[500_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--json", type=Path, help="append each run's figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, one thread, torch {torch.__version__}\n")
    print("| recipe | tokens | nats/token (spread) | bits/byte | CPU s | parameters |\n|---|---|---|---|---|---|")
    for tokens in arguments.tokens:
        for recipe in arguments.recipes:
            results = []
            for seed in arguments.seeds:
                settings = settings_of(recipe, arguments.shards, tokens, seed)
                results.append(measure(settings))
                if arguments.json:
                    record = {"recipe": recipe, "seed": seed, **results[-1], "settings": flatten(to_dict(settings))}
                    with open(arguments.json, "a", encoding="utf-8") as lines:
                        lines.write(json.dumps(record) + "\n")
            nats = [result["nats"] for result in results]
            spread = f" ({min(nats):.3f} to {max(nats):.3f})" if len(nats) > 1 else ""
            mean = {key: statistics.mean(result[key] for result in results) for key in results[0]}
            print(
                f"| {recipe} | {mean['tokens']:,.0f} | {mean['nats']:.4f}{spread} | {mean['bits_per_byte']:.4f} "
                f"| {mean['cpu_seconds']:.0f} | {mean['parameters'] / 1e6:.2f} M |"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
