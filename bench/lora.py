"""What an adapter saves: training steps of the whole model and of LoRA, in turns, on one CPU core.

    python bench/lora.py [--rounds 5]

Every contestant is a process of its own with the same Qwen3 shape (the demo's, 192 x 4, and 512 x 4), the same random
tokens and Yanmo's own step. CPU milliseconds a step are the smallest of the rounds. Memory is what the process takes at
most beyond what it had before the model: weights, gradients, optimizer and activations. The share of the floating point
operations is the model's own count: a frozen matrix needs no gradient, a third of its work; attention, the head's
softmax and the adapters' own products remain.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {
    "192 x 4, vocabulary 4,096": {"hidden": 192, "ffn": 576, "layers": 4, "heads": 3, "vocab": 4096},
    "512 x 4, vocabulary 6,400": {"hidden": 512, "ffn": 1376, "layers": 4, "heads": 8, "vocab": 6400},
}
CONTESTANTS = {
    "full, muon": (0, "muon"),
    "full, adamw": (0, "adamw"),
    "LoRA 16, muon": (16, "muon"),
    "LoRA 16, adamw": (16, "adamw"),
}
ROWS, TOKENS = 4, 256


def worker(shape: dict[str, int], rank: int, optimizer: str) -> None:
    """One step for every line that comes in; answers with its CPU seconds, at the end with memory and work."""
    import torch

    from yanmo.model.checkpoint import load_model, save_model
    from yanmo.model.config import ModelConfig
    from yanmo.model.lora import add_adapters
    from yanmo.model.lora_settings import LoraSettings
    from yanmo.model.transformer import Transformer
    from yanmo.train.fit import train_step
    from yanmo.train.losses import next_token_loss
    from yanmo.train.optimizers import build_optimizers
    from yanmo.train.settings import TrainSettings
    from yanmo.train.state import Progress

    torch.set_num_threads(1)
    config = ModelConfig(
        vocab_size=shape["vocab"], hidden_size=shape["hidden"], intermediate_size=shape["ffn"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["heads"],
        max_position_embeddings=TOKENS, tie_word_embeddings=False,
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as directory:
        save_model(Path(directory), Transformer(config))
        model = load_model(Path(directory))
    model.compute_dtype = torch.float32
    if rank:
        add_adapters(model, LoraSettings(rank=rank), Path())
    settings = TrainSettings(
        optimizer=optimizer, sequence_length=TOKENS, batch_size=ROWS, device="cpu", dtype="fp32", lr=1e-3
    )  # type: ignore[arg-type]
    optimizers = build_optimizers(model, settings)
    ids = torch.randint(0, shape["vocab"], (ROWS, TOKENS + 1), generator=torch.Generator().manual_seed(0))
    batch = {
        "input_ids": ids[:, :-1],
        "labels": ids[:, 1:],
        "position_ids": torch.arange(TOKENS).expand(ROWS, -1),
        "segments": torch.zeros(ROWS, TOKENS, dtype=torch.int32),
    }
    for _ in sys.stdin:
        start = time.process_time()
        train_step(model, next_token_loss, batch, optimizers, settings, Progress())
        print(json.dumps(time.process_time() - start), flush=True)
    print(
        json.dumps(
            {
                "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
                "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
                "work": config.flops(ROWS * TOKENS, ROWS * TOKENS, TOKENS, rank > 0),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=3)
    arguments = parser.parse_args()
    if arguments.worker:
        shape, rank, optimizer = arguments.worker
        worker(SHAPES[shape], int(rank), optimizer)
        return
    for shape in SHAPES:
        processes = {
            name: subprocess.Popen(
                [sys.executable, __file__, "--worker", shape, str(rank), optimizer],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, (rank, optimizer) in CONTESTANTS.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in processes}
        for turn in range(arguments.rounds + 1):
            for name, process in processes.items():
                assert process.stdin and process.stdout
                print(file=process.stdin, flush=True)
                taken = json.loads(process.stdout.readline())
                if turn:  # the first warms up
                    seconds[name].append(taken)
        print(f"\n{shape}, {ROWS} rows of {TOKENS}\n")
        print("| | trained | CPU ms a step | of full, adamw | of its work | memory, MB |\n|---|---|---|---|---|---|")
        ends = {name: json.loads(process.communicate()[0]) for name, process in processes.items()}
        base, work = min(seconds["full, adamw"]), ends["full, adamw"]["work"]
        for name, end in ends.items():
            own = min(seconds[name])
            print(
                f"| {name} | {end['trained'] / 1e6:.2f} M | {own * 1000:.0f} | {own / base:.2f} "
                f"| {end['work'] / work:.2f} | {end['memory']:.0f} |"
            )


if __name__ == "__main__":
    main()
