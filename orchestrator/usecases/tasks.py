"""Run coroutines concurrently: wait for all of them, or leave them running in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar, cast

from orchestrator.core.errors import OrchestratorError

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_U = TypeVar("_U")


async def gather_all(work: Iterable[Awaitable[_T]]) -> list[_T]:
    """Wait for every awaitable, then return the results in order or raise the first error.

    Unlike after ``asyncio.gather``, nothing still runs when this returns.
    """
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def both(first: Awaitable[_T], second: Awaitable[_U]) -> tuple[_T, _U]:
    """Wait for both awaitables, then return their results or raise the first error, as :func:`gather_all`."""
    results = await asyncio.gather(first, second, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("tuple[_T, _U]", results)


async def in_rounds(
    works: Sequence[Callable[[], Awaitable[list[str]]]], *, every: float, at_most: float
) -> list[str]:
    """Do works concurrently, and do those that are done again while others go on.

    So one that is slow keeps none of the others from their pace. Return the problems of each one's last
    round, in order, or raise the first error of a first round. An error of a further round is a problem: the
    next round may succeed. Nothing still runs when this returns.

    :param every: seconds from the beginning of a work to its beginning in the next round.
    :param at_most: seconds after which no round begins and further rounds are cut off; the problems before
        them stay.
    """
    loop = asyncio.get_running_loop()
    until, going_on, all_done = loop.time() + at_most, len(works), asyncio.Event()

    async def repeat(work: Callable[[], Awaitable[list[str]]]) -> list[str]:
        nonlocal going_on
        next_at = loop.time() + every
        try:
            problems = await work()
        finally:
            going_on -= 1
            if going_on == 0:
                all_done.set()
        while not await _is_set_before(all_done, next_at) and loop.time() < until:
            next_at = loop.time() + every
            problems = await _again(work, until, problems)
        return problems

    return [problem for problems in await gather_all(map(repeat, works)) for problem in problems if problem]


async def _again(work: Callable[[], Awaitable[list[str]]], until: float, before: list[str]) -> list[str]:
    """Do a further round of a work; return its problems, or those before it if it is cut off."""
    try:
        async with asyncio.timeout_at(until):
            return await work()
    except TimeoutError:
        return before
    except OrchestratorError as error:
        _logger.warning("a further round of the pass: %s", error)
        return [f"a further round of the pass: {error}"]


async def to_its_end(task: asyncio.Task[_T]) -> _T:
    """Wait for a task, also after this wait was cancelled; then the cancellation is raised.

    A second cancellation ends the wait and leaves the task running; its owner has to keep a reference to it.
    """
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _is_set_before(event: asyncio.Event, time: float) -> bool:
    """Wait for an event until a time of the loop, and say whether it has come."""
    try:
        async with asyncio.timeout_at(time):
            await event.wait()
    except TimeoutError:
        return False
    return True


class BackgroundTasks:
    """Tasks that continue when their caller stops waiting; the event loop alone would not keep them alive.

    :param loss: what is lost when a task fails; begins its log message.
    """

    def __init__(self, loss: str) -> None:
        self._loss = loss
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start a task; the caller need not keep a reference to it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self, seconds: float) -> None:
        """Wait for the tasks for a time, and cancel those that go on then."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The text of an unforeseen error may hold anything.
            reason = error if isinstance(error, OrchestratorError) else type(error).__name__
            _logger.warning("%s: %s", self._loss, reason)
