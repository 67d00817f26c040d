"""Ctrl-C and its kin as a question asked at safe points.

An exception out of a signal handler could come between a child's start and its registration, and the child
would be lost.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Ctrl-C, an orderly end asked for by another process, and a terminal that was closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """The user asked to stop."""


class Interruption:
    """Whether a signal has asked to stop."""

    def __init__(self) -> None:
        # A plain attribute: a signal handler that takes a lock, as Event.set does, can block its own thread.
        self._requested = False

    def request(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask to stop; also usable as a signal handler."""
        self._requested = True

    def check(self) -> None:
        """:raises Interrupted: stopping was asked for."""
        if self._requested:
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait. :raises Interrupted: stopping was asked for, at most a fifth of a second ago."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check()
            time.sleep(min(0.2, left))
        self.check()


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Turn signals into an :class:`Interruption`; puts the former handlers back at the end."""
    asked = Interruption()
    former = {number: signal.signal(number, asked.request) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
