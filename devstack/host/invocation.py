"""One invocation of a function: time limit, log lines, outcome."""

import asyncio
import concurrent.futures
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devstack.host.indexing import Function

logger = logging.getLogger("Host.Function")

#: A cancelled function may clean up; one that goes on after this is left to itself.
CANCEL_GRACE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an invocation ended."""

    #: what the function returned
    value: Any = None
    #: why it failed, None when it succeeded
    error: BaseException | None = None
    #: it failed only because the host stopped it
    stopped: bool = False


class Invoker:
    """Runs functions: async ones on the event loop, sync ones on threads.

    :param limit: ``functionTimeout``, None = no limit.
    :param threads: how many sync functions run at once.
    """

    def __init__(
        self,
        *,
        limit: timedelta | None,
        threads: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._executor = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._monotonic = monotonic
        self._calls: set[asyncio.Future[Any]] = set()
        self._thread_calls: set[concurrent.futures.Future[Any]] = set()
        self._stopping = False
        self._cut_off = False

    async def invoke(self, function: Function, argument: object) -> Outcome:
        """Run a function once and log it; a function that fails is an outcome, never an exception."""
        logger.info("Executing 'Functions.%s'", function.name)
        began = self._monotonic()
        outcome = await self._run(function, argument)
        milliseconds = round((self._monotonic() - began) * 1000)
        if outcome.error is None:
            logger.info("Executed 'Functions.%s' (Succeeded, Duration=%dms)", function.name, milliseconds)
        else:
            logger.error(
                "Executed 'Functions.%s' (Failed, Duration=%dms)",
                function.name,
                milliseconds,
                exc_info=outcome.error,
            )
        return outcome

    def begin_stop(self) -> None:
        """Cancel the sync functions that still wait for a thread; what has begun goes on."""
        self._stopping = True
        for call in tuple(self._thread_calls):
            call.cancel()

    def stop(self) -> None:
        """Cancel what runs. A sync function cannot be: its outcome is settled, but its thread goes on."""
        self._stopping = self._cut_off = True
        for call in tuple(self._calls):
            call.cancel()

    def close(self) -> bool:
        """Start no more threads; returns whether all sync functions have ended."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        return not self._thread_calls

    async def _run(self, function: Function, argument: object) -> Outcome:
        call = self._start(function, argument)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        await asyncio.wait({call}, timeout=self._limit.total_seconds() if self._limit else None)
        if not call.done():
            call.cancel()
            await asyncio.wait({call}, timeout=CANCEL_GRACE_SECONDS)
            return Outcome(error=TimeoutError(f"cancelled after the functionTimeout of {self._limit}"))
        if call.cancelled():
            return Outcome(error=asyncio.CancelledError("cancelled"), stopped=self._stopping)
        if error := call.exception():
            return Outcome(error=error, stopped=self._cut_off)  # a function may fail of its cancellation
        return Outcome(value=call.result())

    def _start(self, function: Function, argument: object) -> asyncio.Future[Any]:
        arguments = {function.parameter: argument}
        if inspect.iscoroutinefunction(function.handler):
            return asyncio.create_task(function.handler(**arguments))
        call = self._executor.submit(function.handler, **arguments)
        self._thread_calls.add(call)
        call.add_done_callback(self._thread_calls.discard)
        return asyncio.wrap_future(call)


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for some seconds or for the stop, whichever comes first; returns whether the stop came."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return stop.is_set()
    return True
