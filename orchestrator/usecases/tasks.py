"""Run coroutines concurrently: wait for all of them, or leave them running in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable
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

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The text of an unforeseen error may hold anything.
            reason = error if isinstance(error, OrchestratorError) else type(error).__name__
            _logger.warning("%s: %s", self._loss, reason)
