"""The real store on SQLite, whose statements are counted and take the time that a database far away takes."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.simulated import clock
from benchmarks.simulated.counts import Counts
from orchestrator.adapters.store import queries
from orchestrator.adapters.store.connector import Connection, Cursor, Opened
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector

_T = TypeVar("_T")

#: Connections of an instance for its functions, as the app has them.
CONNECTIONS = 10

#: On SQL Server this statement takes a lock that other instances see; SQLite lets one writer in at a time.
_LOCK = queries.load("sqlite")["acquire_lock"].sql


class _Told:
    """What the current transaction has done."""

    statements = 0
    lock: str | None = None
    #: the database's time in it: SQLite asks for it with each row, which is no work of the app
    began = clock.BEGIN

    def begin(self) -> None:
        """Forget the transaction before."""
        self.statements = 0
        self.lock = None
        self.began = clock.utc_now()


class _Cursor:
    """A cursor that tells of its statements."""

    def __init__(self, cursor: Cursor, told: _Told) -> None:
        self._cursor = cursor
        self._told = told

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        self._told.statements += 1
        if sql == _LOCK:
            self._told.lock = str(parameters[1])
        return self._cursor.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class _Connection:
    """A connection whose cursors tell of their statements."""

    def __init__(self, connection: Connection, told: _Told) -> None:
        self._connection = connection
        self._told = told

    def cursor(self) -> _Cursor:
        return _Cursor(self._connection.cursor(), self._told)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class CountingConnector(SqliteConnector):
    """Connections that tell of their statements, as many as SQL Server would be sent."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, now=lambda: self.told.began)
        self.told = _Told()

    def connect(self) -> Opened:
        """Open the file. A crash of this machine may lose it, so nothing waits for its disk."""
        opened = super().connect()
        opened.connection.cursor().execute("PRAGMA synchronous = OFF")
        return Opened(connection=_Connection(opened.connection, self.told))

    def begin_write(self, connection: Connection) -> None:
        """Begin; SQL Server needs no statement for it."""
        super().begin_write(connection)
        self.told.statements -= 1


class Database:
    """One database, which all instances share.

    :param round_trip_seconds: what a statement or a commit takes.
    """

    def __init__(self, path: Path, counts: Counts, *, round_trip_seconds: float) -> None:
        self.connector = CountingConnector(path)
        self.counts = counts
        self.round_trip_seconds = round_trip_seconds
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)


class CountingPool(Pool):
    """The connections of one instance: the real pool without its threads."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.connector)
        self._database = database
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        """Run a transaction at once, then let the time pass that it takes, with the lock that it needs."""
        counts = self._database.counts
        async with self._connections:
            with counts.at_once("connections"):
                result, told = self._run(work, writes)
                counts.add_now("transactions")
                counts.add("statements", told.statements)
                seconds = (told.statements + 1) * self._database.round_trip_seconds
                if told.lock is None:
                    await asyncio.sleep(seconds)
                else:
                    await self._locked(told.lock, seconds)
        return result

    def _run(self, work: Callable[[Session], _T], writes: bool) -> tuple[_T, _Told]:
        told = self._database.connector.told
        told.begin()
        with self._transaction(writes) as session:
            return work(session), told

    async def _locked(self, name: str, seconds: float) -> None:
        """Wait for a lock and hold it, as the transaction would have done."""
        asked = asyncio.get_running_loop().time()
        async with self._database.locks[name]:
            waited = asyncio.get_running_loop().time() - asked
            self._database.counts.peaks[f"wait for {name}"] = max(
                self._database.counts.peaks[f"wait for {name}"], round(1000 * waited)
            )
            await asyncio.sleep(seconds)
