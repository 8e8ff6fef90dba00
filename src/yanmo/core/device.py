"""What the machine computes on, in which dtype, and how fast it can be: chosen by looking and by measuring.

A CPU's feature flags do not say what pays. Of two Xeons that list avx512_bf16, the one with AMX multiplies
bf16 matrices ten times as fast as fp32, the one without it half as fast (bench/RESULTS.md); so the question is
put to the machine, once, with a matrix product of a few milliseconds.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache

import torch
import torch._functorch.config
import torch._inductor.config
from torch import nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(setting: str = "auto") -> torch.device:
    """`auto` (a GPU when there is one), `cpu` or `cuda` -> device. ValueError where it is not there."""
    if setting == "auto":
        setting = "cuda" if torch.cuda.is_available() else "cpu"
    if setting == "cuda" and not torch.cuda.is_available():
        raise ValueError("--train.device: cuda asked for, but torch sees no GPU; use cpu or auto")
    return torch.device(setting)


def choose_dtype(setting: str, device: torch.device) -> torch.dtype:
    """`auto`, `fp32`, `bf16` or `fp16` -> the dtype of activations.

    auto is bf16, except on a GPU older than Ampere, where it is fp16 (the loss is then scaled). On a CPU bf16
    halves the activations' memory; `product_dtype` sees to it that the products are not slower for it.
    """
    if setting != "auto":
        return DTYPES[setting]
    old_gpu = device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)
    return torch.float16 if old_gpu else torch.bfloat16


def matmul_flops(
    device: torch.device,
    dtype: torch.dtype,
    size: int,
    repeats: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Floating point operations a second of the best of `repeats` square matrix products.

    With `time.process_time` as the clock other load on a CPU does not count, and several threads add up.
    """
    # A generator of its own: a measurement must not move the random numbers of a run that resumes.
    draw = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(size, size, device=device, generator=draw).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    best = float("inf")
    for _ in range(1 + repeats):  # the first one also sets the library up
        _synchronize(device)
        start = clock()
        torch.mm(a, b, out=out)
        _synchronize(device)
        best = min(best, clock() - start)
    return 2 * size**3 / best


@cache
def peak_flops(device: torch.device) -> dict[str, float]:
    """Measured matrix-multiply peak by dtype name, in FLOP/s; MFU is a share of the largest.

    A second or less. The sizes are large enough to be limited by arithmetic and small enough to be quick.
    """
    size = 8192 if device.type == "cuda" else 1024
    names = ("fp32", "bf16", "fp16") if device.type == "cuda" else ("fp32", "bf16")
    return {name: matmul_flops(device, DTYPES[name], size) for name in names}


@cache
def _faster_than_fp32(dtype: torch.dtype) -> bool:
    def flops(dtype: torch.dtype) -> float:
        return matmul_flops(torch.device("cpu"), dtype, 512, repeats=5, clock=time.process_time)

    # The margin keeps noise from deciding: a resumed run must decide as the interrupted one did.
    return flops(dtype) > 1.2 * flops(torch.float32)


@torch.compiler.assume_constant_result  # a compiled graph holds the answer, not the measurement
def product_dtype(device_type: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype in which products of `dtype` matrices run fastest: `dtype`, or fp32 where a CPU is faster so.

    Half-precision tensors are then widened in the cache just before a product, so storage stays small, and
    sums are never less exact than asked for.
    """
    if device_type != "cpu" or dtype in (torch.float32, torch.float64):
        return dtype
    return dtype if _faster_than_fp32(dtype) else torch.float32


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` can work: on a CPU it needs a C++ compiler, on CUDA Triton."""
    if device.type == "cpu":
        return any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return torch.utils._triton.has_triton()


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compile the like-built blocks of a network: one compilation serves them all, in and out of the graph by name.

    Compiling the whole stack takes as many times longer as there are blocks and gains nothing on top.
    """
    # What can be had again from a block's saved tensors by elementwise work is not saved, even where a matrix
    # product wants it whole: the widened or normalised inputs are half of the activations.
    torch._functorch.config.ban_recompute_materialized_backward = False
    # Trust the CPU's feature flags. The probe compiles three programs and starts torch three times, in every run.
    torch._inductor.config.cpp.vec_isa_ok = True
    for block in blocks:
        block.compile(dynamic=False)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int | None:
    """Bytes that this process has taken at most: of the GPU's memory, or of the machine's; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
