"""Transactions on a pool of threads with one connection each, repeated while the database is unavailable."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.adapters.store.connector import Connection, Connector, Cursor, store_error
from orchestrator.adapters.store.session import Session
from orchestrator.core.errors import StoreError, StoreInDoubt, StoreUnavailable

_T = TypeVar("_T")

#: Threads, with one connection each. An instance runs ten submissions at once; more threads would only wait
#: for locks.
_THREADS = 10

#: How long a transaction is repeated while the database is unavailable. A paused serverless database takes
#: about a minute to resume; the functions' time-out is 300 s.
PATIENCE_SECONDS = 120.0

#: The pauses between the tries. The last try comes after the last pause, or when the patience is over.
_PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, *(10.0,) * 10)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The connection of a thread."""

    connection: Connection
    cursors: dict[str, Cursor] | None
    #: on the monotonic clock
    usable_until: float


class Pool:
    """Runs transactions on threads of its own, off the event loop.

    A transaction that fails before its commit with a transient error is repeated within the patience. A
    commit without an answer is never repeated: its caller reads the entries again.

    :param threads: transactions that run at once, each on its own connection.
    :param patience: seconds, counted from a transaction's first failure. With 0, nothing is repeated; that
        suits a caller that repeats by itself.
    :param sleep: waits between two tries. An error that it raises ends them.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        threads: int = _THREADS,
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
        #: why the last transaction, or the one being repeated, found no database; None = it found it
        self.trouble: str | None = None

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        """Run ``work`` in one transaction on a thread of the pool and return its result.

        :param work: may run more than once; only the last run is committed.
        :param writes: the transaction changes the database, so that it takes its locks before it reads.
        :raises StoreInDoubt: it is not known whether the transaction was committed.
        :raises StoreError: the transaction was not committed.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._repeat, work, writes)

    async def close(self) -> None:
        """End the threads, once their work is done, and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            self._close(connection)

    def _repeat(self, work: Callable[[Session], _T], writes: bool) -> _T:
        """Run the transaction again while the database is unavailable and the patience lasts."""
        pauses, give_up_at = iter(_PAUSES_SECONDS), math.inf
        while True:
            try:
                with self._transaction(writes) as session:
                    result = work(session)
            except StoreUnavailable as error:
                self.trouble = str(error)
                now, pause = self._monotonic(), next(pauses, math.inf)
                give_up_at = min(give_up_at, now + self._patience)  # counts from the first failure
                if now + pause > give_up_at:
                    raise
                self._sleep(pause)
            else:
                self.trouble = None
                return result

    @contextlib.contextmanager
    def _transaction(self, writes: bool) -> Iterator[Session]:
        """Open one transaction on this thread's connection; commit it at the end, or roll it back."""
        held = self._connection()
        connection = held.connection
        committing = False
        try:
            if writes:
                self._connector.begin_write(connection)
            yield Session(connection, self._connector, held.cursors)
            committing = True
            connection.commit()
        except BaseException as error:
            # Closing rolls back. A connection that has failed once is not trusted again.
            self._discard(connection)
            if isinstance(error, self._connector.error):
                # The driver's own text may hold an entry's values: it goes no further.
                raise self._store_error(error, in_doubt=committing and writes) from None
            raise

    def _store_error(self, error: Exception, *, in_doubt: bool) -> StoreError:
        if in_doubt:
            return StoreInDoubt(f"{self._connector.explain(error)}; whether it was committed is not known")
        return store_error(self._connector, error)

    def _connection(self) -> _Held:
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and self._monotonic() < held.usable_until:
            return held
        if held is not None:
            self._discard(held.connection)
        opened = self._connector.connect()
        with self._lock:
            self._connections.add(opened.connection)
        usable_until = self._monotonic() + opened.seconds
        held = _Held(connection=opened.connection, cursors=opened.cursors, usable_until=usable_until)
        self._local.held = held
        return held

    def _discard(self, connection: Connection) -> None:
        self._local.held = None
        with self._lock:
            self._connections.discard(connection)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        with contextlib.suppress(self._connector.error):  # closing a broken connection may fail, too
            connection.close()
