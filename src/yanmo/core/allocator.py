"""The C library's allocator, set up for tensors: a block that was freed stays with the process, in huge pages.

By default glibc hands every large block back to the kernel, which clears its pages one by one at the next
allocation; a training step allocates and frees gigabytes. The settings below are read when a process starts, so
a training command on a CPU starts itself anew with them. They are worth 3 to 17 % of a step (bench/RESULTS.md).
No torch here: this has to happen before torch is loaded, or loading it would be paid twice.
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


def restart_with_tensor_allocator() -> None:
    """Replace this process by itself with `TUNABLES`, once; elsewhere than on Linux with glibc do nothing.

    GLIBC_TUNABLES that the user has set are left alone. Call it first thing, before any thread or output.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ:
        return
    os.environ["GLIBC_TUNABLES"] = TUNABLES
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
