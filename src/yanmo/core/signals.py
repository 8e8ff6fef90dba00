"""How a command ends early: Ctrl-C and SIGTERM (finish the step, save, then stop), or a failure of its own.

The exit codes are the shell's: 130 after SIGINT, 143 after SIGTERM (docs/architecture.md, the contract).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt it is no error, so no `except Exception` may swallow it."""


class Failure(Exception):
    """The work itself failed (a loss that stays NaN, a disk that stays full): one line, exit code 1."""


def raise_on_sigterm() -> None:
    """From now on SIGTERM unwinds the program like Ctrl-C does, so that files are closed and removed."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, handler)


class Stop:
    """Whether somebody asked to stop, and how."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def leave(self) -> None:
        """End the program the way the signal asked, now that everything is saved."""
        raise KeyboardInterrupt if self.number == signal.SIGINT else Terminated


@contextlib.contextmanager
def deferred() -> Iterator[Stop]:
    """Inside the block the first SIGINT or SIGTERM only sets the flag; the second one ends at once."""
    stop = Stop()

    def handler(number: int, frame: FrameType | None) -> None:
        if stop:
            sys.exit(128 + number)
        stop.number = number

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
