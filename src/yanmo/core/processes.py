"""Work in several processes whose results come back in order, so that their number cannot show in the output."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from yanmo.core.signals import Failure

T = TypeVar("T")


def core_count() -> int:
    """Cores this process may use: a container or `taskset` may give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(tasks: Iterable[Callable[[], T]], workers: int, prepare: Callable[[], None] | None = None) -> Iterator[T]:
    """The results of the tasks in their order, computed by `workers` processes, a few tasks ahead.

    With one worker the tasks run here. `prepare` runs once in each process before its first task.
    Raises: Failure: a process died.
    """
    if workers == 1:
        if prepare is not None:
            prepare()
        yield from (task() for task in tasks)
        return
    # spawn: a fork copies the locks of other threads (a progress bar's, the tokenizer library's) as they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(prepare,)) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise Failure("a worker process died, most likely for want of memory; try fewer --workers") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(prepare: Callable[[], None] | None) -> None:
    """Ctrl-C reaches every process of a terminal, but the parent alone decides; and a worker dies with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if prepare is not None:
        prepare()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
