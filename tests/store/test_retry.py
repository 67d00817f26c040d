"""What the store does when its database fails: SQLite, with the errors of a server."""

import asyncio
import math
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.connector import Connection, Opened, store_error
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import _THREADS, PATIENCE_SECONDS, Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.errors import StoreError, StoreInDoubt, StoreUnavailable
from orchestrator.core.models import NewEntry
from tests.empty_store import make_empty_store
from tests.store.helpers import counts


class ServerError(Exception):
    """An error of the server that says whether it is transient."""

    def __init__(self, text: str, *, transient: bool) -> None:
        super().__init__(text)
        self.transient = transient


DEADLOCK = ServerError("deadlock victim (1205)", transient=True)
RESUMING = ServerError("the database is not currently available (40613)", transient=True)
REFUSED = ServerError("permission denied (229)", transient=False)
CONNECTION_LOST = ServerError("link failure (10054)", transient=True)

#: What happens at the next uses of one place: an error, or None = it works. After the last one, all work.
Plan = list[ServerError | None]


def follow(plan: Plan) -> None:
    """Raise the next error of a plan, if there is one."""
    if plan and (error := plan.pop(0)):
        raise error


class Timer:
    """A clock that moves only when somebody sleeps or takes time to connect."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class FailingConnector(SqliteConnector):
    """A database whose connections fail as planned."""

    error: type[Exception] = ServerError

    def __init__(self, path: Path, timer: Timer) -> None:
        super().__init__(path)
        self._timer = timer
        self.at_connect: Plan = []
        self.at_statement: Plan = []
        self.before_commit: Plan = []
        self.after_commit: Plan = []
        self.at_close: Plan = []
        #: how long it takes to connect, or to fail to connect
        self.connect_seconds = 0.0
        #: how long the connections made from now on may be used
        self.usable_seconds = math.inf
        self.tries = 0
        self.connections: list[FailingConnection] = []

    def connect(self) -> Opened:
        self.tries += 1
        self._timer.now += self.connect_seconds
        try:
            follow(self.at_connect)
        except ServerError as error:
            raise store_error(self, error) from None
        connection = FailingConnection(super().connect().connection, self)
        self.connections.append(connection)
        return Opened(connection=connection, seconds=self.usable_seconds)

    def is_transient(self, error: Exception) -> bool:
        return isinstance(error, ServerError) and error.transient


class FailingConnection:
    """One of its connections."""

    def __init__(self, real: Connection, connector: FailingConnector) -> None:
        self._real = real
        self.connector = connector
        self.closed = False

    def cursor(self) -> "FailingCursor":
        return FailingCursor(self._real.cursor(), self.connector)

    def commit(self) -> None:
        follow(self.connector.before_commit)
        self._real.commit()
        follow(self.connector.after_commit)

    def rollback(self) -> None:
        self._real.rollback()

    def close(self) -> None:
        self.closed = True
        self._real.close()
        follow(self.connector.at_close)


class FailingCursor:
    """A cursor of such a connection."""

    def __init__(self, real: Any, connector: FailingConnector) -> None:
        self._real = real
        self._connector = connector

    def execute(self, sql: str, parameters: Any = ()) -> None:
        follow(self._connector.at_statement)
        self._real.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def connector(tmp_path: Path, timer: Timer) -> FailingConnector:
    return FailingConnector(make_empty_store(tmp_path / "state.db"), timer)


@pytest.fixture
async def store(connector: FailingConnector, timer: Timer) -> AsyncIterator[Store]:
    """A store with one thread, so that a test knows which connection is whose."""
    made = Store(Pool(connector, threads=1, sleep=timer.sleep, monotonic=timer.monotonic))
    yield made
    await made.pool.close()


async def add(store: Store, *tables: str) -> list[int]:
    return await Operations(store.pool).add([NewEntry(table_name=table) for table in tables])


async def count(store: Store) -> int:
    return sum(sum(states.values()) for states in (await counts(store)).values())


async def test_whole_transaction_is_done_again_on_a_new_connection(
    store: Store, connector: FailingConnector, timer: Timer
) -> None:
    connector.at_statement = [None, None, DEADLOCK]  # BEGIN, the first insert, the second one
    await add(store, "a", "b")
    assert await count(store) == 2
    first, second = connector.connections
    assert (first.closed, second.closed) == (True, False)
    assert timer.pauses == [0.1]


async def test_repeating_ends_with_the_patience(
    store: Store, connector: FailingConnector, timer: Timer
) -> None:
    connector.at_connect = [RESUMING] * 1000
    with pytest.raises(StoreUnavailable, match="40613"):
        await count(store)
    assert PATIENCE_SECONDS - 10 < sum(timer.pauses) <= PATIENCE_SECONDS
    assert connector.tries == len(timer.pauses) + 1


async def test_database_that_resumes_within_the_patience_is_not_an_error(
    store: Store, connector: FailingConnector, timer: Timer
) -> None:
    connector.at_connect = [RESUMING] * 10
    assert await count(store) == 0
    assert sum(timer.pauses) > 50  # about a minute is what a serverless database takes


async def test_patience_counts_from_the_first_failure(connector: FailingConnector, timer: Timer) -> None:
    store = Store(Pool(connector, patience=20, sleep=timer.sleep, monotonic=timer.monotonic))
    connector.at_connect = [CONNECTION_LOST] * 1000
    connector.connect_seconds = 15
    with pytest.raises(StoreUnavailable):
        await count(store)
    await store.pool.close()
    assert connector.tries == 3  # over after 15.0, 30.1 and 45.4 s; the patience ended at 35 s


async def test_no_patience_is_one_try(connector: FailingConnector, timer: Timer) -> None:
    store = Store(Pool(connector, patience=0, sleep=timer.sleep, monotonic=timer.monotonic))
    connector.at_connect = [RESUMING]
    with pytest.raises(StoreUnavailable):
        await count(store)
    await store.pool.close()
    assert (connector.tries, timer.pauses) == (1, [])


async def test_schema_check_waits_for_the_database_too(store: Store, connector: FailingConnector) -> None:
    connector.at_connect = [RESUMING, RESUMING]
    assert await store.pool.transact(migrate.check, writes=False) > 0


async def test_error_that_stays_is_not_repeated(
    store: Store, connector: FailingConnector, timer: Timer
) -> None:
    connector.at_statement = [None, REFUSED]
    with pytest.raises(StoreError, match="229") as caught:
        await add(store, "a")
    assert not isinstance(caught.value, (StoreUnavailable, StoreInDoubt))
    assert timer.pauses == []
    assert connector.connections[0].closed
    assert await count(store) == 0


@pytest.mark.parametrize(("place", "rows"), [("before_commit", 0), ("after_commit", 1)])
@pytest.mark.parametrize("error", [CONNECTION_LOST, DEADLOCK, REFUSED], ids=str)
async def test_error_of_a_commit_leaves_it_in_doubt(
    store: Store, connector: FailingConnector, place: str, rows: int, error: ServerError
) -> None:
    setattr(connector, place, [error])
    with pytest.raises(StoreInDoubt, match="not known"):
        await add(store, "a")
    assert connector.tries == 1
    assert connector.connections[0].closed
    assert await count(store) == rows


async def test_reading_is_never_in_doubt(store: Store, connector: FailingConnector) -> None:
    connector.after_commit = [CONNECTION_LOST]
    assert await count(store) == 0


async def test_connection_is_replaced_before_its_token_ends(
    store: Store, connector: FailingConnector, timer: Timer
) -> None:
    connector.usable_seconds = 100
    await count(store)
    timer.now += 99
    await count(store)
    assert len(connector.connections) == 1
    timer.now += 1
    await count(store)
    first, second = connector.connections
    assert (first.closed, second.closed) == (True, False)


async def test_text_of_the_driver_goes_no_further(store: Store, connector: FailingConnector) -> None:
    connector.at_statement = [None, REFUSED]
    with pytest.raises(StoreError) as caught:
        await add(store, "a")
    assert "ServerError" not in "".join(traceback.format_exception(caught.value))


async def test_many_calls_share_one_connection_per_thread(connector: FailingConnector) -> None:
    store = Store(Pool(connector))
    await asyncio.gather(*(add(store, f"t{number}") for number in range(50)))
    assert await count(store) == 50
    await store.pool.close()
    assert len(connector.connections) <= _THREADS


async def test_closing_closes_every_connection(connector: FailingConnector) -> None:
    store = Store(Pool(connector))
    await asyncio.gather(*(count(store) for _ in range(50)))
    connector.at_close = [CONNECTION_LOST]
    await store.pool.close()
    assert all(connection.closed for connection in connector.connections)
