"""The host: starts the listeners of an app's functions and stops them in order."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from azure.core.exceptions import AzureError

from devstack.host.indexing import Function, QueueTrigger, TimerTrigger
from devstack.host.invocation import Invoker
from devstack.host.queues import INVISIBILITY, QueueListener
from devstack.host.settings import HostError, HostOptions
from devstack.host.storage import MessageQueue
from devstack.host.timers import TimerListener
from devstack.host.web import WebFrontEnd
from devstack.serving import serving

logger = logging.getLogger("Host")

#: Invocations that were cancelled at the end of a stop have this long to give their messages back.
SETTLE_SECONDS = 2.0

#: As many sync functions at once as Azure's queue listener can have messages in hand with common settings.
SYNC_FUNCTION_THREADS = 32


class Host:
    """Runs functions in this process and on this event loop: ``start``, then ``serve``, then ``stop``.

    :param port: of the HTTP side, 0 = a free one.
    :param home: the path that the root leads to; None = there is nothing.
    :param invisibility: see :class:`~devstack.host.queues.QueueListener`.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        options: HostOptions,
        *,
        port: int,
        home: str | None = None,
        invisibility: timedelta = INVISIBILITY,
    ) -> None:
        self._functions = functions
        self._options = options
        self._port = port
        self._home = home
        self._invisibility = invisibility
        self._invoker = Invoker(limit=options.function_timeout, threads=SYNC_FUNCTION_THREADS)
        self._resources = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._listeners: set[asyncio.Task[None]] = set()
        #: base address of the HTTP side, set by ``start``
        self.url = ""

    async def start(self) -> None:
        """Start all listeners. :raises HostError: the port is taken."""
        await self._start_web()
        for function in self._functions:
            if isinstance(function.trigger, TimerTrigger):
                self._listen(TimerListener(function, function.trigger, self._invoker).run(self._stopping))
            elif isinstance(function.trigger, QueueTrigger):
                await self._start_queue(function, function.trigger)

    async def serve(self, asked_to_stop: asyncio.Event) -> None:
        """Wait until the event is set. Raises what ended a listener, which only a defect does."""
        asked = asyncio.create_task(asked_to_stop.wait())
        try:
            done, _ = await asyncio.wait({asked, *self._listeners}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        for task in done:
            task.result()

    async def stop(self, limit: timedelta) -> bool:
        """Take nothing new, let running invocations finish, and cancel those that need longer than the limit.

        :returns: False when something could not even be cancelled, such as a sync function.
        """
        self._stopping.set()
        self._invoker.begin_stop()
        logger.info("stopping")
        late = await _unfinished(self._listeners, limit.total_seconds())
        if late:
            logger.warning("what still runs after %s is cancelled", limit)
            self._invoker.stop()
            late = await _unfinished(late, SETTLE_SECONDS)
        await self._resources.aclose()
        return self._invoker.close() and not late

    def _listen(self, listening: Coroutine[Any, Any, None]) -> None:
        self._listeners.add(asyncio.create_task(listening))

    async def _start_web(self) -> None:
        front_end = WebFrontEnd(self._functions, self._invoker, home=self._home)
        try:
            self.url = await self._resources.enter_async_context(
                serving(front_end.application(), port=self._port)
            )
        except OSError as error:
            raise HostError([f"port {self._port}: {error.strerror}; choose another with --port"]) from error
        self._listen(front_end.drain(self._stopping))

    async def _start_queue(self, function: Function, trigger: QueueTrigger) -> None:
        options = self._options.queues
        queue = await self._resources.enter_async_context(
            MessageQueue(trigger.connection_string, trigger.queue_name, options.message_encoding)
        )
        try:
            await queue.create()
        except AzureError as error:
            # The listener goes on trying, so that Storage may come up after the host.
            logger.warning("queue %s cannot be created yet: %s", queue.name, error)
        listener = QueueListener(function, queue, options, self._invoker, invisibility=self._invisibility)
        self._listen(listener.run(self._stopping))


async def _unfinished(tasks: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
    """Wait for tasks and return those that are not done in time."""
    return (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else set()
