"""The queue listener, after ``QueueListener`` and ``QueueProcessor`` of Azure's Storage extension:
https://github.com/Azure/azure-sdk-for-net/tree/main/sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Queues
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from azure.core.exceptions import AzureError
from azure.functions.queue import QueueMessage as FunctionMessage
from azure.storage.queue import QueueMessage

from devstack.host.indexing import Function
from devstack.host.invocation import Invoker, Outcome, wait_or_stop
from devstack.host.settings import MIN_POLLING_INTERVAL, QueueOptions
from devstack.host.storage import POISON_SUFFIX, MessageQueue, UndecodableMessageError

logger = logging.getLogger("Host.Queue")

#: How long a fetched message stays invisible; hard-coded in Azure's extension, too.
INVISIBILITY = timedelta(minutes=10)


class PollingDelay:
    """The wait before polling an empty queue again: doubles, give or take a fifth, up to a limit."""

    def __init__(self, longest: timedelta, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._longest = longest.total_seconds()
        self._uniform = uniform
        self._empty_polls = 0

    def reset(self) -> None:
        """A poll gave messages: begin again with the shortest wait."""
        self._empty_polls = 0

    def next(self) -> float:
        """Return the seconds to wait now."""
        shortest = MIN_POLLING_INTERVAL.total_seconds()
        # 2**20 times the shortest wait is above a day, and any limit
        growth = 2.0 ** min(self._empty_polls - 1, 20) if self._empty_polls else 0.0
        self._empty_polls += 1
        return min(shortest * (1 + self._uniform(0.8, 1.2) * growth), self._longest)


class QueueListener:
    """Feeds one queue's messages to a function.

    A batch of ``batch_size`` is fetched whenever no more than ``new_batch_threshold`` messages are in hand,
    so at most the sum of the two run at once.

    :param invisibility: of a fetched message; renewed at half-life while its invocation runs.
    """

    def __init__(
        self,
        function: Function,
        queue: MessageQueue,
        options: QueueOptions,
        invoker: Invoker,
        *,
        invisibility: timedelta = INVISIBILITY,
    ) -> None:
        self._function = function
        self._queue = queue
        self._options = options
        self._invoker = invoker
        self._invisibility = invisibility
        self._delay = PollingDelay(options.max_polling_interval)
        self._in_hand: set[asyncio.Task[None]] = set()
        self._storage_is_down = False

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until the stop; returns when every message in hand is settled."""
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._wait_for_room(stopped)
                if stop.is_set():
                    break
                batch = await self._fetch()
                if stop.is_set():
                    await self._give_back(batch)
                elif batch:
                    self._delay.reset()
                    self._start(batch)
                else:
                    await wait_or_stop(stop, self._delay.next())
            await self._settle()
        finally:
            stopped.cancel()

    async def _wait_for_room(self, stopped: asyncio.Task[bool]) -> None:
        while len(self._in_hand) > self._options.new_batch_threshold and not stopped.done():
            await asyncio.wait({*self._in_hand, stopped}, return_when=asyncio.FIRST_COMPLETED)

    async def _fetch(self) -> list[QueueMessage]:
        """Return a batch, empty when there is none or Storage does not answer."""
        try:
            batch = await self._queue.receive(self._options.batch_size, self._invisibility)
        except AzureError as error:
            if not self._storage_is_down:
                logger.warning("queue %s cannot be read; trying on: %s", self._queue.name, error)
            self._storage_is_down = True
            return []
        if self._storage_is_down:
            logger.info("queue %s can be read again", self._queue.name)
        self._storage_is_down = False
        return batch

    def _start(self, batch: list[QueueMessage]) -> None:
        for message in batch:
            task = asyncio.create_task(self._process(message))
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)

    async def _settle(self) -> None:
        if self._in_hand:
            await asyncio.wait(set(self._in_hand))

    async def _give_back(self, batch: list[QueueMessage]) -> None:
        """Make messages that came too late visible again."""
        await asyncio.gather(
            *(self._try("given back", message, self._queue.hide(message, timedelta(0))) for message in batch)
        )

    async def _process(self, message: QueueMessage) -> None:
        """Bring one message to its end: deleted, visible again later, or on the poison queue."""
        if (message.dequeue_count or 0) > self._options.max_dequeue_count:
            await self._poison(message)
            return
        try:
            body = self._queue.decode(message)
        except UndecodableMessageError as error:
            logger.error("queue %s: %s", self._queue.name, error)  # noqa: TRY400  (the text says it all)
            await self._poison(message)
            return
        await self._complete(message, await self._invoke(message, body))

    async def _invoke(self, message: QueueMessage, body: bytes) -> Outcome:
        """Run the function, with the message kept invisible for as long as that takes."""
        done = asyncio.Event()
        renewal = asyncio.create_task(self._keep_invisible(message, done))
        outcome = await self._invoker.invoke(self._function, function_message(message, body))
        # A renewal under way is waited for, never cut off: it changes the receipt that the delete needs.
        done.set()
        await renewal
        return outcome

    async def _keep_invisible(self, message: QueueMessage, done: asyncio.Event) -> None:
        half_life = self._invisibility.total_seconds() / 2
        wait = half_life
        while not await wait_or_stop(done, wait):
            renewed = await self._try("kept", message, self._queue.hide(message, self._invisibility))
            wait = (
                half_life if renewed else max(wait / 2, half_life / 8)
            )  # sooner after a failure, as Azure does

    async def _complete(self, message: QueueMessage, outcome: Outcome) -> None:
        if outcome.error is None:
            await self._try("deleted", message, self._queue.delete(message))
        elif outcome.stopped:
            await self._try("given back", message, self._queue.hide(message, timedelta(0)))
        elif (message.dequeue_count or 0) >= self._options.max_dequeue_count:
            await self._poison(message)
        elif self._queue.has_poison_queue:
            wait = self._options.visibility_timeout
            await self._try("released", message, self._queue.hide(message, wait))

    async def _poison(self, message: QueueMessage) -> None:
        if not self._queue.has_poison_queue:  # as in Azure it stays invisible, which slows its retries down
            return
        logger.warning(
            "message %s of queue %s goes to %s%s after %s deliveries",
            message.id,
            self._queue.name,
            self._queue.name,
            POISON_SUFFIX,
            message.dequeue_count,
        )
        await self._try("moved", message, self._queue.move_to_poison(message))

    async def _try(self, done: str, message: QueueMessage, call: Awaitable[None]) -> bool:
        """Make a call whose failure only means that the message comes back; returns whether it succeeded."""
        try:
            await call
        except AzureError as error:
            logger.warning(
                "message %s of queue %s could not be %s and may come back: %s",
                message.id,
                self._queue.name,
                done,
                error,
            )
            return False
        return True


def function_message(message: QueueMessage, body: bytes) -> FunctionMessage:
    """Return what a queue function gets."""
    return FunctionMessage(  # type: ignore[no-untyped-call]  # the library has no annotations here
        id=message.id,
        body=body,
        dequeue_count=message.dequeue_count,
        expiration_time=message.expires_on,
        insertion_time=message.inserted_on,
        time_next_visible=message.next_visible_on,
        pop_receipt=message.pop_receipt,
    )
