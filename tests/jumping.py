"""An event loop whose time jumps to the next timer when there is nothing else to do.

Servers that take minutes, and the limits that hold against them, are tried in a moment: sockets and threads
are waited for in real time, everything that only sleeps is not.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from tests.fakes import FakeClock

_T = TypeVar("_T")

#: Real seconds in which what was sent over a socket of this machine arrives.
_IN_TRANSIT_SECONDS = 0.002


class _JumpingSelector(selectors.DefaultSelector):
    loop: "JumpingLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self.loop.threads_at_work:
            return super().select(timeout)
        found = super().select(min(timeout, _IN_TRANSIT_SECONDS))
        if not found:
            self.loop.jumped += timeout
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self.jumped = 0.0
        self.threads_at_work = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the real time and all jumps."""
        return super().time() + self.jumped

    def run_in_executor(  # type: ignore[override]  # typeshed names the arguments in another way
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Run a function in a thread; time does not jump meanwhile."""
        self.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads_at_work -= 1


class LoopClock(FakeClock):
    """The app's clock on the loop's time."""

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """Return always the same."""
        return 0.5


def run_jumping(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on a loop whose time jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)
