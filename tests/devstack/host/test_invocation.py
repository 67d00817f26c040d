"""Invocations: outcome, log lines, time-out, sync and async functions."""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from devstack.host.indexing import Function, TimerTrigger
from devstack.host.invocation import Invoker
from devstack.host.schedule import parse

TRIGGER = TimerTrigger(schedule=parse("0 * * * * *"), run_on_startup=False)


def function(handler: Callable[..., Any]) -> Function:
    return Function(name="work", handler=handler, parameter="value", trigger=TRIGGER)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


async def test_an_async_function_runs_on_the_event_loop(log: pytest.LogCaptureFixture) -> None:
    async def work(value: int) -> tuple[int, int]:
        return value, threading.get_ident()

    outcome = await Invoker(limit=None, threads=1).invoke(function(work), 3)
    assert outcome.value == (3, threading.get_ident())
    assert outcome.error is None
    assert log.messages[0] == "Executing 'Functions.work'"
    assert log.messages[1].startswith("Executed 'Functions.work' (Succeeded, Duration=")
    assert log.messages[1].endswith("ms)")


async def test_sync_functions_run_side_by_side_on_threads() -> None:
    together = threading.Barrier(2, timeout=10)

    def work(value: int) -> int:
        together.wait()
        return value

    invoker = Invoker(limit=None, threads=2)
    first, second = await asyncio.gather(*(invoker.invoke(function(work), value) for value in (1, 2)))
    assert (first.value, second.value) == (1, 2)
    assert invoker.close()


async def test_a_failure_is_an_outcome_and_is_logged(log: pytest.LogCaptureFixture) -> None:
    async def work(value: int) -> None:
        raise ValueError("wrong")

    outcome = await Invoker(limit=None, threads=1).invoke(function(work), 3)
    assert isinstance(outcome.error, ValueError)
    assert not outcome.stopped
    assert "Executed 'Functions.work' (Failed, Duration=" in log.text
    assert "ValueError: wrong" in log.text


async def test_an_async_function_is_cancelled_after_the_time_limit(log: pytest.LogCaptureFixture) -> None:
    cancelled = asyncio.Event()

    async def work(value: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    invoker = Invoker(limit=timedelta(milliseconds=50), threads=1)
    outcome = await invoker.invoke(function(work), 3)
    assert isinstance(outcome.error, TimeoutError)
    assert cancelled.is_set()
    assert "cancelled after the functionTimeout of 0:00:00.050000" in log.text


async def test_a_sync_function_fails_after_the_time_limit_and_its_thread_goes_on() -> None:
    release = threading.Event()

    def work(value: int) -> None:
        release.wait(10)

    invoker = Invoker(limit=timedelta(milliseconds=50), threads=1)
    outcome = await invoker.invoke(function(work), 3)
    assert isinstance(outcome.error, TimeoutError)
    assert not invoker.close()
    release.set()


async def test_a_stop_cancels_what_runs() -> None:
    started = asyncio.Event()

    async def work(value: int) -> None:
        started.set()
        await asyncio.Event().wait()

    invoker = Invoker(limit=None, threads=1)
    running = asyncio.create_task(invoker.invoke(function(work), 3))
    await started.wait()
    invoker.stop()
    outcome = await running
    assert outcome.stopped
    assert outcome.error is not None
