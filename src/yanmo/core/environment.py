"""What the environment must say before torch is loaded, and the restart that makes it so.

The C library's allocator: by default glibc hands every large block back to the kernel, which clears its pages one
by one at the next allocation; a training step allocates and frees gigabytes. Kept blocks in huge pages are worth 3
to 17 % of a step (bench/RESULTS.md).

OpenMP's threads: by default a thread that waits for the others keeps its core busy for milliseconds. Beside any other
work that core is what the others need: two training runs on two cores came almost to a halt. A thread that waits for
some 50 microseconds and then sleeps is as fast alone and shares fairly (docs/log.md).

Both are read when a process starts, so a command that trains or generates starts itself anew with them.
"""

from __future__ import annotations

import os
import platform
import sys

TUNABLES = ":".join(
    f"glibc.malloc.{setting}"
    for setting in ("mmap_max=0", "trim_threshold=17179869184", "top_pad=67108864", "hugetlb=1")
)
"""https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html"""
WANTED = {"GLIBC_TUNABLES": TUNABLES, "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000"}


def restart_for_tensors() -> None:
    """Replace this process by itself under `WANTED`, once; elsewhere than on Linux with glibc do nothing.

    What the user has set is left alone. Call it first thing, before any thread or output.
    """
    missing = {name: value for name, value in WANTED.items() if name not in os.environ}
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or not missing:
        return
    os.environ.update(missing)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
