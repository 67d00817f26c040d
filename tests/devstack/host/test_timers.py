"""The timer listener, on a clock that only moves when something waits or works."""

import asyncio
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from devstack.host.indexing import Function, TimerTrigger
from devstack.host.invocation import Invoker
from devstack.host.schedule import parse
from devstack.host.timers import TimerListener

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock whose waits take no time, and that stops the listener after some seconds of its own."""

    def __init__(self, stop_after: float) -> None:
        self.seconds = 0.5
        self._stop_after = stop_after

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    async def wait(self, stop: asyncio.Event, seconds: float) -> bool:
        await asyncio.sleep(0)
        self.seconds += seconds
        if self.seconds > self._stop_after:
            stop.set()
        return stop.is_set()


class Ticks:
    """A timer function that notes when it ran; each run takes the next of some durations, then none."""

    def __init__(self, clock: Clock, durations: list[float]) -> None:
        self.began: list[float] = []
        self._clock = clock
        self._durations = durations

    async def __call__(self, timer: func.TimerRequest) -> None:
        assert timer.past_due is False
        self.began.append(self._clock.seconds)
        self._clock.seconds += self._durations.pop(0) if self._durations else 0


async def run(
    schedule: str, *, stop_after: float, durations: list[float], run_on_startup: bool = False
) -> list[float]:
    """Run a listener and return the seconds after the start at which its function began."""
    clock = Clock(stop_after)
    ticks = Ticks(clock, durations)

    async def tick(timer: func.TimerRequest) -> None:
        await ticks(timer)

    trigger = TimerTrigger(schedule=parse(schedule), run_on_startup=run_on_startup)
    function = Function(name="tick", handler=tick, parameter="timer", trigger=trigger)
    invoker = Invoker(limit=None, threads=1)
    await TimerListener(function, trigger, invoker, now=clock.now, wait=clock.wait).run(asyncio.Event())
    invoker.close()
    return ticks.began


@pytest.mark.parametrize(
    ("schedule", "durations", "began"),
    [
        ("*/2 * * * * *", [], [2, 4, 6]),
        # the ticks at 2, 3 and 4 passed while the first one ran: one invocation stands for them
        ("* * * * * *", [3.25], [1, 4.25, 5, 6, 7]),
        # a run that ends before the next tick delays nothing
        ("*/2 * * * * *", [1.75, 1.75], [2, 4, 6]),
    ],
)
async def test_ticks(schedule: str, durations: list[float], began: list[float]) -> None:
    assert await run(schedule, stop_after=7.75, durations=durations) == began


async def test_a_stop_lets_the_running_pass_finish_and_no_tick_follows() -> None:
    """Ticks passed while it ran; the stop came, too."""
    stop = asyncio.Event()
    passes = []

    async def tick(timer: func.TimerRequest) -> None:
        passes.append("begun")
        stop.set()
        await asyncio.sleep(0)
        clock.seconds += 5
        passes.append("ended")

    clock = Clock(stop_after=100)
    trigger = TimerTrigger(schedule=parse("* * * * * *"), run_on_startup=False)
    function = Function(name="tick", handler=tick, parameter="timer", trigger=trigger)
    invoker = Invoker(limit=None, threads=1)
    await TimerListener(function, trigger, invoker, now=clock.now, wait=clock.wait).run(stop)
    assert passes == ["begun", "ended"]


async def test_runs_on_startup_when_asked_to() -> None:
    assert await run("*/5 * * * * *", stop_after=7, durations=[], run_on_startup=True) == [0.5, 5]


async def test_a_long_wait_looks_at_the_clock_now_and_then() -> None:
    assert await run("0 1 0 * * *", stop_after=70, durations=[]) == [60]
