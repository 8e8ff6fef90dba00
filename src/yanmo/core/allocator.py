"""glibc's memory allocator, told to keep what it has. Free speed for training and generation on a CPU.

By default glibc gives every large block back to the kernel when it is freed and asks for it anew, page by page,
at the next step. Keeping the blocks makes whole training steps faster without a change to the numbers
(bench/RESULTS.md has how much). The setting is read before Python starts, hence the process starts itself once more.
"""

from __future__ import annotations

import os
import platform
import sys

TUNABLES = {
    "glibc.malloc.mmap_threshold": 4 << 30,
    "glibc.malloc.trim_threshold": 16 << 30,
    "glibc.malloc.hugetlb": 1,
}
COMMANDS = ("demo", "run", "pretrain", "sft", "generate", "evaluate", "chat")
"""Commands that move large tensors."""


def restart_with_tuned_allocator(arguments: list[str]) -> None:
    """Replace this process by the same command under the setting; returns when there is nothing to gain."""
    if not arguments or arguments[0] not in COMMANDS or {"-h", "--help"} & set(arguments):
        return
    if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ:
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(f"{name}={value}" for name, value in TUNABLES.items())
    os.execv(sys.executable, [sys.executable, "-m", "yanmo", *arguments])
