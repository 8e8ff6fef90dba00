"""What this machine has for training a language model, what each thing is good for, and what to do where it lacks.

torch is asked in a process of its own: a broken installation must be reported, not crash the report.
"""

from __future__ import annotations

import importlib.metadata
import json
import locale
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from yanmo.core.fonts import chinese_fonts
from yanmo.core.processes import core_count

GIGABYTE = 1e9
PYTHONS = ((3, 11), (3, 13))
ENOUGH_MEMORY, ENOUGH_DISK = 4 * GIGABYTE, 10 * GIGABYTE
PROBE = """
import json, time
from yanmo.core.device import can_compile, matmul_flops, DTYPES
import torch
facts = {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": [], "threads": torch.get_num_threads()}
for number in range(torch.cuda.device_count()):
    properties = torch.cuda.get_device_properties(number)
    facts["gpus"].append([properties.name, properties.total_memory, list(torch.cuda.get_device_capability(number))])
device = torch.device("cuda" if facts["gpus"] else "cpu")
facts["compile"] = can_compile(device)
size = 4096 if facts["gpus"] else 512
facts["flops"] = {name: matmul_flops(device, DTYPES[name], size) for name in ("fp32", "bf16")}
facts["mps"] = torch.backends.mps.is_available()
print(json.dumps(facts))
"""


class Fact(NamedTuple):
    """`good`: True as it should be, None worth knowing, False something to do."""

    name: str
    found: str
    good: bool | None
    meaning: str


def machine_facts(folder: Path) -> list[Fact]:
    """Everything about this machine, `folder` being where one works."""
    return [_python(), *_torch(), _cores(), _memory(), _disk(folder), _compiler(), _fonts(), _terminal()]


def _python() -> Fact:
    good = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    meaning = "supported" if good else "Yanmo is tested on 3.11 to 3.13; make an environment with one of them"
    return Fact("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", good, meaning)


def _torch() -> list[Fact]:
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [Fact("torch", reason, False, "training needs it: pip install --force-reinstall torch")]
    facts = json.loads(probe.stdout)
    wanted = requirement("torch")
    good = within(facts["torch"], wanted)
    meaning = f"tested range {wanted}" if good else f'outside the tested range: pip install "torch{wanted}"'
    return [Fact("torch", facts["torch"], good, meaning), _gpu(facts), _precision(facts)]


def requirement(library: str) -> str:
    """The versions of a library that Yanmo declares, as in ">=2.11,<2.14"."""
    for line in importlib.metadata.requires("yanmo") or []:
        if found := re.match(rf"{library}\s*([<>=!~].*?)\s*(;|$)", line):
            return found[1]
    return ""


def within(version: str, wanted: str) -> bool:
    """Whether a version lies in a range of the form ">=2.11,<2.14"."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:2]]

    low, high = re.search(r">=([\d.]+)", wanted), re.search(r"<([\d.]+)", wanted)
    return (not low or numbers(version) >= numbers(low[1])) and (not high or numbers(version) < numbers(high[1]))


def _gpu(facts: dict[str, Any]) -> Fact:
    if facts["gpus"]:
        names = ", ".join(f"{name} with {memory / GIGABYTE:.0f} GB" for name, memory, _ in facts["gpus"])
        old = any(capability < [8, 0] for *_, capability in facts["gpus"])
        meaning = "fp16 with loss scaling (older than Ampere)" if old else "bf16; --train.device auto takes it"
        return Fact("GPU", names, True, meaning)
    if shutil.which("nvidia-smi"):
        return Fact(
            "GPU",
            "nvidia-smi is there, torch sees none",
            False,
            f"torch was built {'for CUDA ' + facts['cuda'] if facts['cuda'] else 'without CUDA'}; install the build "
            "that fits the driver",
        )
    found = "Apple's, which Yanmo does not train on" if facts["mps"] else "none"
    return Fact("GPU", found, None, "10 to 30 million parameters train on a CPU (yanmo demo); more wants a GPU")


def _precision(facts: dict[str, Any]) -> Fact:
    flops: dict[str, float] = facts["flops"]
    found = ", ".join(f"{name} {value / 1e9:,.0f} GFLOP/s" for name, value in flops.items())
    fast = flops["bf16"] > 1.2 * flops["fp32"]
    meaning = "bf16 is computed as such" if fast else "bf16 saves memory; products run in fp32, which is faster here"
    return Fact("precision", f"{found} (measured)", None, meaning)


def _cores() -> Fact:
    cores, all_cores = core_count(), os.cpu_count() or 1
    found = f"{cores} for this process" + (f" of {all_cores}" if all_cores > cores else "")
    return Fact("cores", found, None, "clean, tokenizer and pack use all; --workers takes fewer")


def _memory() -> Fact:
    total, free = memory()
    if not total:
        return Fact("memory", "unknown", None, "this system does not say")
    good = total >= ENOUGH_MEMORY
    meaning = (
        "clean, tokenizer and pack stay under 2 GB" if good else "little: --workers 1, and small --train.batch-size"
    )
    return Fact("memory", f"{total / GIGABYTE:.1f} GB, {free / GIGABYTE:.1f} free", good, meaning)


def memory() -> tuple[int, int]:
    """Bytes of memory in all and free, within a container's limit; (0, 0) where the system does not say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0, 0
    table = Path("/proc/meminfo")
    if table.is_file() and (found := re.search(r"MemAvailable:\s+(\d+)", table.read_text())):
        free = int(found[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        total = min(total, int(text))
    return total, min(total, free)


def _disk(folder: Path) -> Fact:
    free = shutil.disk_usage(folder).free
    good = free >= ENOUGH_DISK
    meaning = "for runs/: shards and checkpoints" if good else "little: give --out on another disk"
    return Fact("disk", f"{free / GIGABYTE:,.0f} GB free in {folder.resolve()}", good, meaning)


def _compiler() -> Fact:
    found = next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)
    if found:
        return Fact(
            "compiler", found, True, "torch.compile can work on the CPU; training uses it where the run is long enough"
        )
    return Fact("compiler", "none", None, "for torch.compile on a CPU: apt install g++, or Xcode's tools; optional")


def _fonts() -> Fact:
    names = chinese_fonts()
    if names:
        return Fact("fonts", ", ".join(names[:3]), True, "plots can show Chinese")
    return Fact(
        "fonts", "none with Chinese", None, "plots show boxes for Chinese: apt install fonts-noto-cjk; optional"
    )


def _terminal() -> Fact:
    encoding, preferred = sys.stdout.encoding or "unknown", locale.getpreferredencoding(False)
    size = shutil.get_terminal_size()
    found = f"{encoding}, locale {preferred}, {size.columns} columns"
    good = encoding.lower().replace("-", "") == "utf8"
    return Fact("terminal", found, good, "Chinese is shown as it is" if good else "set PYTHONUTF8=1 (or LANG=C.UTF-8)")
