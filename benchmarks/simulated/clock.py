"""Simulated time: it passes by the processor time of this process and by jumps over what only waits."""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")

#: When the simulated time begins.
BEGIN = datetime(2026, 1, 31, tzinfo=UTC)


class _JumpingSelector(selectors.DefaultSelector):
    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and for no time: the simulation would never end")
        self.loop.jumped += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps. Nothing in it may use a socket or a thread.

    Other processes on the machine have no say in its time: work costs the processor time that it takes.
    """

    def __init__(self) -> None:
        self.jumped = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the processor time of this process and all jumps, in seconds."""
        return time.process_time() + self.jumped


class LoopClock:
    """The app's clock (the port ``Clock``) on the loop's time."""

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """Return always the same, so that two runs are alike."""
        return 0.5


def utc_now() -> datetime:
    """Return the simulated time of day."""
    return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)
