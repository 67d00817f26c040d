"""Simulated time: it passes by the processor time of this process and by jumps over what only waits."""

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")

#: When the simulated time begins: tomorrow. SQLite fills columns of an INSERT in by the machine's clock, and
#: what was inserted must be due.
BEGIN = datetime.now(UTC) + timedelta(days=1)


class _JumpingSelector(selectors.DefaultSelector):
    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and for no time: the simulation would never end")
        self.loop.waited += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps. Nothing in it may use a socket or a thread.

    Other processes on the machine have no say in its time: work costs the processor time that it takes.
    """

    def __init__(self) -> None:
        #: seconds in which nothing was to do, and those that :func:`spend` has let pass
        self.waited = self.spent = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the processor time of this process and all jumps, in seconds."""
        return time.process_time() + self.waited + self.spent


def spend(seconds: float) -> None:
    """Let processor time pass that something takes in Azure and not here; negative: the other way round."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, SimulatedLoop):
        loop.spent += seconds


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


def processor_seconds() -> float:
    """Return the processor time that the app has taken so far: the simulated servers' is not in it."""
    loop = asyncio.get_running_loop()
    return loop.time() - loop.waited if isinstance(loop, SimulatedLoop) else time.process_time()


@contextmanager
def for_free() -> Iterator[None]:
    """Let the work of a simulated server cost the app no time."""
    began = time.process_time()
    try:
        yield
    finally:
        spend(began - time.process_time())


def utc_now() -> datetime:
    """Return the simulated time of day."""
    return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)
