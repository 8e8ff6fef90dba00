"""Training steps on one CPU core: Yanmo and its peers side by side, in turns, on the same shapes and data.

    python bench/train_step.py [--litgpt-python PYTHON] [--rounds 3] [--core 1] [--only NAME ...]

Every contestant is a process of its own, bound to the same core, that builds the same 28.6M Llama (512 wide,
8 layers, 8 heads, FFN 1376, vocabulary 6,400, tied), takes random tokens (8 rows of 512), and does forward,
backward, clipping at 1.0 and a fused AdamW step. After its warm-up each does one step a round, in turns, so that
what else the machine does meets them alike. Rates are tokens per CPU-second of the process, so other load matters
little. MFU is against the largest matrix product rate measured here before and after. Compiled contestants run once
with an empty compilation cache (cold) and are then started again (cached); warm-up is the CPU time of the first step,
compilers included, less that of a usual step. Peers that are not installed are named and skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VOCAB, WIDTH, LAYERS, HEADS, FFN, ROWS, TOKENS = 6400, 512, 8, 8, 1376, 8, 512
STEP_TOKENS = ROWS * TOKENS
MATRICES = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * FFN) + VOCAB * WIDTH
FLOPS = 6 * MATRICES + 6 * LAYERS * WIDTH * TOKENS
"""Model floating point operations a token: products forward and backward, and the causal half of attention."""


@dataclass(frozen=True)
class Contestant:
    name: str
    build: str
    bf16: bool = True
    compile: bool = False
    allocator: bool = False
    rows_at_once: int = ROWS
    """Gradients of so many rows are added up to the step's; the result is the same."""


CONTESTANTS = [
    Contestant("litgpt, bf16 autocast, eager, as shipped", "litgpt"),
    Contestant("litgpt, fp32, eager, as shipped", "litgpt", bf16=False),
    Contestant("transformers, bf16 autocast, eager, as shipped", "transformers"),
    Contestant("transformers, fp32, eager, as shipped", "transformers", bf16=False),
    Contestant("transformers, bf16 autocast, compiled, our allocator", "transformers", compile=True, allocator=True),
    Contestant("transformers, fp32, compiled, our allocator", "transformers", bf16=False, compile=True, allocator=True),
    Contestant("yanmo, bf16, eager, our allocator, 4 rows at once", "yanmo", allocator=True, rows_at_once=4),
    Contestant("yanmo, bf16, compiled, our allocator", "yanmo", compile=True, allocator=True),
    Contestant(
        "yanmo, bf16, compiled, our allocator, 4 rows at once", "yanmo", compile=True, allocator=True, rows_at_once=4
    ),
]


# What runs in a contestant's process.

Loss = Callable[[Any, Any], Any]
"""Token ids and labels, both (rows, T), to the mean loss."""


def build_yanmo(contestant: Contestant) -> tuple[Any, Loss]:
    import torch

    from yanmo.core.device import compile_blocks
    from yanmo.model.config import ModelConfig
    from yanmo.model.transformer import Transformer
    from yanmo.train.losses import next_token_loss

    config = ModelConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=TOKENS,
        tie_word_embeddings=True,
        qk_norm=False,
        qkv_bias=False,
    )
    model = Transformer(config)
    model.compute_dtype = torch.bfloat16 if contestant.bf16 else None
    if contestant.compile:
        compile_blocks(model.model.layers)
    positions = torch.arange(TOKENS).expand(contestant.rows_at_once, -1)
    one_document = torch.zeros(contestant.rows_at_once, TOKENS, dtype=torch.int32)

    def loss(inputs: Any, labels: Any) -> Any:
        batch = {"input_ids": inputs, "labels": labels, "position_ids": positions, "segments": one_document}
        return next_token_loss(model, batch)[0] / labels.numel()

    return model, loss


def build_transformers(contestant: Contestant) -> tuple[Any, Loss]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=WIDTH,
            intermediate_size=FFN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=TOKENS,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )
    forward = torch.compile(model) if contestant.compile else model

    def loss(inputs: Any, labels: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=contestant.bf16):
            return forward(input_ids=inputs, labels=labels, shift_labels=labels).loss

    return model, loss


def build_litgpt(contestant: Contestant) -> tuple[Any, Loss]:
    import torch
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    model = GPT(
        Config(
            block_size=TOKENS,
            vocab_size=VOCAB,
            padded_vocab_size=VOCAB,
            n_layer=LAYERS,
            n_head=HEADS,
            n_embd=WIDTH,
            intermediate_size=FFN,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            mlp_class_name="LLaMAMLP",
        )
    )
    model.lm_head.weight = model.transformer.wte.weight
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.02)

    def loss(inputs: Any, labels: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=contestant.bf16):
            return chunked_cross_entropy(model(inputs), labels)

    return model, loss


def serve(contestant: Contestant) -> None:
    """Do one step for every line on stdin and answer with its cost."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = torch.randint(VOCAB, (ROWS, TOKENS + 1))
    build = {"yanmo": build_yanmo, "transformers": build_transformers, "litgpt": build_litgpt}[contestant.build]
    inputs, labels = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    model, loss = build(contestant)
    assert sum(p.numel() for p in model.parameters()) == MATRICES + (2 * LAYERS + 1) * WIDTH
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step_loss(first: int) -> float:
        rows = slice(first, first + contestant.rows_at_once)
        value = loss(inputs[rows], labels[rows]) * (contestant.rows_at_once / ROWS)
        value.backward()
        return float(value.detach())

    for _ in sys.stdin:
        wall, own, children = time.perf_counter(), time.process_time(), _children_seconds()
        value = sum(step_loss(rows) for rows in range(0, ROWS, contestant.rows_at_once))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        answer = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - own,
            "children": _children_seconds() - children,
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "loss": value,
        }
        print(json.dumps(answer), flush=True)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# What runs in the parent.


class Process:
    """A contestant at work."""

    def __init__(self, contestant: Contestant, python: str, cache: str):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache}
        environment.pop("GLIBC_TUNABLES", None)
        if contestant.allocator:
            from yanmo.core.environment import TUNABLES

            environment["GLIBC_TUNABLES"] = TUNABLES
        self.contestant = contestant
        self.steps: list[dict[str, float]] = []
        self.cold: dict[str, float] | None = None
        command = [python, __file__, "--serve", str(CONTESTANTS.index(contestant))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def step(self) -> dict[str, float]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self.contestant.name}: died")
        self.steps.append(json.loads(line))
        return self.steps[-1]

    def stop(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def start(contestant: Contestant, python: str, cache: str) -> Process | None:
    """Warm a contestant up; a compiled one twice, with the cache empty and filled. None if it is not installed."""
    module = contestant.build
    probe = [python, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"]
    if subprocess.run(probe, check=False).returncode:
        print(f"skipped: {contestant.name} ({module} is not installed)")
        return None
    cold = None
    if contestant.compile:
        with_empty_cache = Process(contestant, python, cache)
        cold = with_empty_cache.step()
        with_empty_cache.stop()
    process = Process(contestant, python, cache)
    process.cold = cold
    process.step()
    print(f"warm: {contestant.name}", flush=True)
    return process


def matmul_peaks() -> dict[str, float]:
    import torch

    from yanmo.core.device import matmul_flops

    torch.set_num_threads(1)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {
        name: matmul_flops(torch.device("cpu"), dtype, 1024, repeats=20, clock=time.process_time)
        for name, dtype in dtypes.items()
    }


def table(processes: list[Process], peaks: dict[str, float]) -> str:
    header = (
        "| contestant | tok/CPU-s best | median | of bf16 peak | MFU | peak RSS GB | warm-up cold | cached | loss |"
    )
    lines = [header, "|---|---|---|---|---|---|---|---|---|"]
    for process in processes:
        timed = [step["cpu"] for step in process.steps[1:]]
        best, median = STEP_TOKENS / min(timed), STEP_TOKENS / statistics.median(timed)
        shares = [f"{best * FLOPS / peak:.0%}" for peak in (peaks["bf16"], max(peaks.values()))]
        usual = statistics.median(timed)

        def warm_up(first: dict[str, float] | None, usual: float = usual) -> str:
            return "–" if first is None else f"{first['cpu'] + first['children'] - usual:.1f} s"

        cached = process.steps[0] if process.contestant.compile else None
        cells = [
            process.contestant.name,
            f"{best:.0f}",
            f"{median:.0f}",
            *shares,
            f"{process.steps[-1]['rss'] / 1e9:.2f}",
            warm_up(process.cold),
            warm_up(cached),
            f"{process.steps[-1]['loss']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="timed steps of each contestant")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    parser.add_argument("--litgpt-python", default=sys.executable, help="an interpreter that has litgpt")
    parser.add_argument("--only", nargs="*", default=[], help="contestants whose names contain one of these")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        return serve(CONTESTANTS[options.serve])
    os.sched_setaffinity(0, {options.core})
    before = matmul_peaks()
    chosen = [c for c in CONTESTANTS if not options.only or any(part in c.name for part in options.only)]
    processes: list[Process] = []
    with tempfile.TemporaryDirectory() as cache:
        try:
            for number, contestant in enumerate(chosen):
                python = options.litgpt_python if contestant.build == "litgpt" else sys.executable
                if process := start(contestant, python, os.path.join(cache, str(number))):
                    processes.append(process)
            for _ in range(options.rounds):
                for process in processes:
                    process.step()
        finally:
            for process in processes:
                process.stop()
    after = matmul_peaks()
    peaks = {name: max(before[name], after[name]) for name in before}
    load = os.getloadavg()[0]
    print(f"\n{time.strftime('%Y-%m-%d')}, {processor()}, one core; load of the machine {load:.1f}")
    print("matrix products: " + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    print(f"{FLOPS / 1e6:.1f} MFLOP a token, {STEP_TOKENS} tokens a step, {options.rounds} timed steps each\n")
    print(table(processes, peaks))


def processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        fields = dict(line.split(":", 1) for line in lines.read().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        flags = fields.get("flags", "").split()
        known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
        model = f"family {fields.get('cpu family')} model {fields.get('model')}"
        return f"{fields.get('model name')} ({model}; {', '.join(known)})"
    return platform.processor()


if __name__ == "__main__":
    main()
