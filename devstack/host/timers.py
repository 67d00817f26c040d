"""The timer listener: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from azure.functions.timer import TimerRequest

from devstack.host.indexing import Function, TimerTrigger
from devstack.host.invocation import Invoker, wait_or_stop

#: A machine that slept, or a clock that was set, is noticed after this.
CLOCK_CHECK_SECONDS = 30.0


def utc_now() -> datetime:
    """The time of the machine's clock."""
    return datetime.now(UTC)


def timer_request() -> TimerRequest:
    """Return what a timer function gets. It is never past due: that tells of a tick which a record kept
    across host starts says was missed, and this host keeps none."""
    return TimerRequest(past_due=False)


class TimerListener:
    """Runs one timer function at its times, one invocation after the other.

    Ticks that pass while an invocation runs collapse into one, which follows at once.
    """

    def __init__(
        self,
        function: Function,
        trigger: TimerTrigger,
        invoker: Invoker,
        *,
        now: Callable[[], datetime] = utc_now,
        wait: Callable[[asyncio.Event, float], Awaitable[bool]] = wait_or_stop,
    ) -> None:
        self._function = function
        self._trigger = trigger
        self._invoker = invoker
        self._now = now
        self._wait = wait

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until the stop; returns when the running invocation, if any, has ended."""
        if self._trigger.run_on_startup and not stop.is_set():
            await self._invoker.invoke(self._function, timer_request())
        due = self._trigger.schedule.next_after(self._now())
        while not await self._wait_until(due, stop):
            began = max(self._now(), due)
            await self._invoker.invoke(self._function, timer_request())
            due = self._trigger.schedule.next_after(began)

    async def _wait_until(self, due: datetime, stop: asyncio.Event) -> bool:
        """Wait for a time; returns whether the stop came first."""
        while (seconds := (due - self._now()).total_seconds()) > 0:
            if await self._wait(stop, min(seconds, CLOCK_CHECK_SECONDS)):
                return True
        return stop.is_set()
