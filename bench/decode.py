"""Decoding speed on one core, side by side with transformers' `generate`, the same weights and prompts.

    python bench/decode.py [--rounds 5] [--core 0]

The 28.6M Llama of the small Chinese models (512 x 8, 8 heads, FFN 1376, vocabulary 6,400), greedy, prompts of 32
tokens: one stream for 256 tokens and 32 streams for 128. The contenders take turns in one process and each figure
is the best round's CPU time of the one thread, since other work on the machine only ever slows a round down.
Prints a markdown table for bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from yanmo.core.device import product_dtype
from yanmo.model.config import ModelConfig
from yanmo.model.decoding import decoding_dtype, for_decoding
from yanmo.model.generate import generate
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.transformer import Transformer

PROMPT = 32
SHAPE = ModelConfig(
    vocab_size=6400, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, intermediate_size=1376,
    max_position_embeddings=512, qk_norm=False,
)  # fmt: skip

Answers = list[list[int]]
Contender = Callable[[list[list[int]], int], Answers]


def ours(model: Transformer) -> Contender:
    def run(prompts: list[list[int]], tokens: int) -> Answers:
        settings = SamplingSettings(temperature=0, max_new_tokens=tokens)
        return [completion.ids for completion in generate(model, prompts, settings, ())]

    return run


def theirs(model: Transformer) -> Contender:
    table = model.config.to_hf()
    table.pop("model_type")
    peer = transformers.LlamaForCausalLM(transformers.LlamaConfig(**table)).eval()
    peer.load_state_dict(model.state_dict())
    peer = peer.to(torch.bfloat16)
    peer.generation_config.pad_token_id = 0

    @torch.inference_mode()
    def run(prompts: list[list[int]], tokens: int) -> Answers:
        ids = torch.tensor(prompts)
        output = peer.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, eos_token_id=None
        )
        return output[:, PROMPT:].tolist()

    return run


def race(contenders: dict[str, Contender], streams: int, tokens: int, rounds: int) -> None:
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, SHAPE.vocab_size, (streams, PROMPT), generator=generator).tolist()
    best = dict.fromkeys(contenders, float("inf"))
    answers: dict[str, Answers] = {}
    for contender in contenders.values():
        contender(prompts, 8)
    for _ in range(rounds):
        for name, contender in contenders.items():
            start = time.process_time()
            answers[name] = contender(prompts, tokens)
            best[name] = min(best[name], time.process_time() - start)
    first, *_ = best
    for name, seconds in best.items():
        # bfloat16 rounds differently in another order of operations: later tokens may differ, early ones hardly.
        same = sum(a[:8] == b[:8] for a, b in zip(answers[name], answers[first], strict=True))
        rate, ratio = streams * tokens / seconds, best[first] / seconds
        print(f"| {streams} | {name} | {1e3 * seconds / tokens:.2f} | {rate:.0f} | {ratio:.2f} | {same}/{streams} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(SHAPE).eval()
    flags = Path("/proc/cpuinfo").read_text()
    features = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    machine = platform.processor() or platform.machine()
    print(f"{machine} ({' '.join(features)}), one core, load {os.getloadavg()[0]:.1f};")
    print(f"torch {torch.__version__}, transformers {transformers.__version__};", end=" ")
    print(f"products fastest in {product_dtype('cpu', torch.bfloat16)}\n".replace("torch.", ""))
    print("| streams | | CPU ms a step | tokens/s | times | first 8 tokens equal |")
    print("|---|---|---|---|---|---|")
    for streams, tokens in ((1, 256), (32, 128)):
        contenders = {"transformers generate, bf16": theirs(model)}
        for dtype in dict.fromkeys((torch.bfloat16, decoding_dtype(torch.device("cpu"), streams))):
            name = str(dtype).removeprefix("torch.")
            contenders[f"yanmo, {name}"] = ours(for_decoding(_cast(model, dtype)))
        race(contenders, streams, tokens, arguments.rounds)


def _cast(model: Transformer, dtype: torch.dtype) -> Transformer:
    copy = Transformer(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.to(dtype)


if __name__ == "__main__":
    main()
