"""Transactions on a pool of threads with a connection each, repeated while the database asks to come back."""

import asyncio
import contextlib
import functools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.adapters.store.connector import Connection, Connector, store_error
from orchestrator.adapters.store.session import Session
from orchestrator.core.errors import StoreError, StoreInDoubt, StoreUnavailable

_T = TypeVar("_T")

#: One connection each. Ten submissions run at once on an instance; more threads would only wait for locks.
THREADS = 10

#: How long a call is repeated while the database only asks to come back later. A paused serverless database
#: takes about a minute to resume; the functions' time-out is 300 s.
PATIENCE_SECONDS = 120.0

#: The waits between the tries: they end with the patience, or with this list.
PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, *(10.0,) * 10)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A thread's connection; the time is of the monotonic clock."""

    connection: Connection
    usable_until: float


class Pool:
    """Runs blocking work off the event loop.

    A transaction that fails before its commit, with an error that passes by itself, is done again within the
    patience. After a commit without an answer nothing is repeated: the callers read the rows again.

    :param threads: calls that run at once, each on a connection of its own.
    :param patience: seconds from a call's first failure on; 0 = nothing is repeated, which suits a caller
        that tries again by itself.
    :param sleep: between two tries; what it raises ends them.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        threads: int = THREADS,
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector = connector
        self._patience = patience
        self._sleep = sleep
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        """Do work in one transaction.

        :param writes: it changes rows, so that it takes its locks before it reads.
        :raises StoreInDoubt: whether it was committed is not known.
        :raises StoreError: it was not done.
        """
        return await self.patiently(functools.partial(self.attempt, work, writes))

    async def patiently(self, work: Callable[[], _T]) -> _T:
        """Do blocking work on the database, again while it only asks to come back later.

        :param work: must be safe to do again after :class:`~orchestrator.core.errors.StoreUnavailable`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._repeat, work)

    async def close(self) -> None:
        """End the threads, once their work is done, and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            self._close(connection)

    def _repeat(self, work: Callable[[], _T]) -> _T:
        give_up_at = math.inf
        for pause in PAUSES_SECONDS:
            try:
                return work()
            except StoreUnavailable:
                now = self._monotonic()
                give_up_at = min(give_up_at, now + self._patience)  # counts from the first failure
                if now + pause > give_up_at:
                    raise
                self._sleep(pause)
        return work()

    def attempt(self, work: Callable[[Session], _T], writes: bool) -> _T:
        """Do work in one transaction, once, on this thread's connection."""
        connection = self._connection()
        committing = False
        try:
            if writes:
                self._connector.begin_write(connection)
            result = work(Session(connection, self._connector))
            committing = True
            connection.commit()
        except BaseException as error:
            # Closing rolls back. A connection that has failed once is not trusted again.
            self._discard(connection)
            if isinstance(error, self._connector.error):
                # The driver's own words, which may hold a row's values, end here.
                raise self._store_error(error, in_doubt=committing and writes) from None
            raise
        return result

    def _store_error(self, error: Exception, *, in_doubt: bool) -> StoreError:
        if in_doubt:
            return StoreInDoubt(f"{self._connector.explain(error)}; whether it was committed is not known")
        return store_error(self._connector, error)

    def _connection(self) -> Connection:
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and self._monotonic() < held.usable_until:
            return held.connection
        if held is not None:
            self._discard(held.connection)
        opened = self._connector.connect()
        with self._lock:
            self._connections.add(opened.connection)
        usable_until = self._monotonic() + opened.seconds
        self._local.held = _Held(connection=opened.connection, usable_until=usable_until)
        return opened.connection

    def _discard(self, connection: Connection) -> None:
        self._local.held = None
        with self._lock:
            self._connections.discard(connection)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        with contextlib.suppress(self._connector.error):  # a broken connection may say so once more
            connection.close()
