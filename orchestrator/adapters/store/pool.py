"""Transactions on a pool of threads and connections, repeated while the database is unavailable."""

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

#: Threads, and so connections in use. An instance runs ten submissions at once; more threads would only wait
#: for locks.
_THREADS = 10

#: How long a transaction is repeated while the database is unavailable. A paused serverless database takes
#: about a minute to resume; the functions' time-out is 300 s.
PATIENCE_SECONDS = 120.0

#: The pauses between the tries. The last try comes after the last pause, or when the patience is over.
_PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, *(10.0,) * 10)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """An open connection."""

    connection: Connection
    cursors: dict[str, Cursor] | None
    #: on the monotonic clock
    usable_until: float


class Pool:
    """Runs transactions on threads of its own, off the event loop.

    A transaction that fails before its commit with a transient error is repeated within the patience. A
    commit without an answer is never repeated: its caller reads the entries again.

    Connections are kept between transactions. The one used last is taken first, so that no more are open than
    transactions have run at once lately.

    :param threads: transactions that run at once, each on its own connection.
    :param idle_seconds: a connection that nobody has used for so long is closed; None = it is kept.
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
        idle_seconds: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector = connector
        self._patience = patience
        self._sleep = sleep
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        #: connections that no transaction uses, with the time since when; the last one was used last
        self._idle: list[tuple[float, _Held]] = []
        self._timer: threading.Timer | None = None
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
        self._disconnect()

    def _disconnect(self) -> None:
        """Close the connections that no transaction uses."""
        with self._lock:
            idle, self._idle = self._idle, []
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for _, held in idle:
            self._close(held.connection)

    def _repeat(self, work: Callable[[Session], _T], writes: bool) -> _T:
        """Run the transaction again while the database is unavailable and the patience lasts."""
        pauses, give_up_at = iter(_PAUSES_SECONDS), math.inf
        while True:
            try:
                with self._turn(writes), self._transaction(writes) as session:
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

    def _turn(self, writes: bool) -> contextlib.AbstractContextManager[None]:
        return self._connector.turn() if writes else contextlib.nullcontext()

    @contextlib.contextmanager
    def _transaction(self, writes: bool) -> Iterator[Session]:
        """Open one transaction on a connection; commit it at the end, or roll it back."""
        held = self._take()
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
            self._close(connection)
            if isinstance(error, self._connector.error):
                # The driver's own text may hold an entry's values: it goes no further.
                raise self._store_error(error, in_doubt=committing and writes) from None
            raise
        self._give_back(held)

    def _store_error(self, error: Exception, *, in_doubt: bool) -> StoreError:
        if in_doubt:
            return StoreInDoubt(f"{self._connector.explain(error)}; whether it was committed is not known")
        return store_error(self._connector, error)

    def _take(self) -> _Held:
        """Return an open connection that no other transaction uses."""
        while True:
            with self._lock:
                held = self._idle.pop()[1] if self._idle else None
            if held is None:
                break
            if self._monotonic() < held.usable_until:
                return held
            self._close(held.connection)
        opened = self._connector.connect()
        usable_until = self._monotonic() + opened.seconds
        return _Held(connection=opened.connection, cursors=opened.cursors, usable_until=usable_until)

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            self._idle.append((self._monotonic(), held))
            if self._idle_seconds is not None and self._timer is None:
                self._watch(self._idle_seconds)

    def _watch(self, seconds: float) -> None:
        """Look at the idle connections after so many seconds. The caller holds the lock."""
        self._timer = threading.Timer(seconds, self._close_idle)
        self._timer.daemon = True  # it keeps no process from ending
        self._timer.start()

    def _close_idle(self) -> None:
        """Close what has been idle for long enough, and look again when the next one will have been."""
        seconds, now = self._idle_seconds or 0.0, self._monotonic()
        with self._lock:
            over = [held for since, held in self._idle if now - since >= seconds]
            self._idle = [(since, held) for since, held in self._idle if now - since < seconds]
            self._timer = None
            if self._idle:
                self._watch(self._idle[0][0] + seconds - now)
        for held in over:
            self._close(held.connection)

    def _close(self, connection: Connection) -> None:
        with contextlib.suppress(self._connector.error):  # closing a broken connection may fail, too
            connection.close()
