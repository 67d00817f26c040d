"""Lets a test decide which of the tasks that wait at an I/O boundary goes on next."""

import asyncio
from collections.abc import Coroutine
from typing import Any

#: Between two boundaries a task needs a few turns of the loop (gather, semaphore, timeout): more than enough.
_TURNS = 16


class Scheduler:
    """Parks every task at its boundaries and frees them one at a time."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.tasks: list[asyncio.Task[Any]] = []
        self._parked: list[asyncio.Future[None]] = []

    async def boundary(self) -> None:
        """Wait here, just before or after an effect, until the test lets this task go on."""
        future: asyncio.Future[None] = self.loop.create_future()
        self._parked.append(future)
        try:
            await future
        finally:
            if future in self._parked:
                self._parked.remove(future)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin a task and let it come to its first boundary."""
        self.tasks.append(self.loop.create_task(work))
        self._settle()

    def advance(self, which: int) -> None:
        """Let one parked task go on to its next boundary."""
        if self._parked:
            self._parked.pop(which % len(self._parked)).set_result(None)
            self._settle()

    def crash(self, which: int) -> None:
        """End one task where it is, as a killed process would."""
        if self.tasks:
            self.tasks[which % len(self.tasks)].cancel()
            self._settle()

    def crash_all(self) -> None:
        """End all tasks where they are, as the loss of the machine would."""
        for task in list(self.tasks):
            task.cancel()
        self._settle()

    def finish(self) -> None:
        """Let everything go on to its end."""
        for _ in range(100_000):
            if not self.tasks:
                return
            self.advance(0)
            self._settle()
        raise AssertionError("the tasks do not come to an end")

    def close(self) -> None:
        """End what is left and the loop."""
        for task in self.tasks:
            task.cancel()
        self._settle()
        self.loop.close()

    def _settle(self) -> None:
        for _ in range(_TURNS):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()  # one turn
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
