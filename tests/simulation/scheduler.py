"""A scheduler by which a test decides which task, parked at an I/O boundary, continues next."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

#: Iterations of the loop between two boundaries: a task needs only a few (gather, semaphore, timeout).
_TURNS = 16


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose timers go by the schedule's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        super().__init__()

    def time(self) -> float:
        return self._now()

    @property
    def is_idle(self) -> bool:
        """Whether nothing would happen now: no callback is ready and no timer is due."""
        if self._ready:  # type: ignore[attr-defined]  # asyncio has no public name for it
            return False
        timers = self._scheduled  # type: ignore[attr-defined]
        return not timers or timers[0].when() > self.time() + self._clock_resolution  # type: ignore[attr-defined]


class Scheduler:
    """Parks every task at its boundaries and frees them one at a time.

    :param now: the schedule's time in seconds, by which the app's time limits are over.
    :param wait: lets a moment pass, since every task waits for a time limit.
    """

    def __init__(self, now: Callable[[], float], wait: Callable[[], None]) -> None:
        self.loop = _Loop(now)
        self._wait = wait
        self.tasks: list[asyncio.Task[Any]] = []
        self._parked: list[asyncio.Future[None]] = []
        self._aside: list[asyncio.Future[None]] = []

    async def boundary(self) -> None:
        """Wait here, just before or after an effect, until the test advances this task."""
        future: asyncio.Future[None] = self.loop.create_future()
        self._parked.append(future)
        try:
            await future
        finally:
            for futures in (self._parked, self._aside):  # a time limit may have ended the wait
                if future in futures:
                    futures.remove(future)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a task and run it to its first boundary."""
        self.tasks.append(self.loop.create_task(work))
        self._settle()

    def advance(self, which: int) -> None:
        """Run one parked task to its next boundary."""
        if self._parked:
            self._parked.pop(which % len(self._parked)).set_result(None)
            self._settle()

    def crash(self, which: int) -> None:
        """End one task where it is, as if its process were killed."""
        if self.tasks:
            self.tasks[which % len(self.tasks)].cancel()
            self._settle()

    def crash_all(self) -> None:
        """End all tasks where they are, as if the machine were lost."""
        for task in list(self.tasks):
            task.cancel()
        self._settle()

    def set_aside(self) -> None:
        """Leave every task where it is parked, whatever becomes of the others."""
        self._aside += self._parked
        self._parked.clear()

    def bring_back(self) -> None:
        """Let the tasks go on that were set aside."""
        self._parked += self._aside
        self._aside.clear()

    def finish(self) -> None:
        """Run every task to its end, but those set aside."""
        for _ in range(100_000):
            if len(self.tasks) <= len(self._aside):
                return
            if not self._parked:
                self._wait()
            self.advance(0)
            self._settle()
        raise AssertionError("the tasks do not come to an end")

    def close(self) -> None:
        """End the remaining tasks and the loop."""
        for task in self.tasks:
            task.cancel()
        self._settle()
        self.loop.close()

    def _settle(self) -> None:
        for _ in range(_TURNS):
            if self.loop.is_idle:
                break
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()  # one iteration
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
