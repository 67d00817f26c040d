"""Faults of a real server; needs its ODBC connection string in TEST_SQLSERVER."""

import asyncio
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import _as_seen, _insert
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import StoreError, StoreInDoubt, StoreUnavailable
from orchestrator.core.models import ANYTHING, NewEntry
from tests.store.conftest import SQLSERVER, SqlServerDatabase
from tests.store.helpers import add, entry_of, request_cancel
from tests.store.odbc import PASSWORD, Line, changed

pytestmark = pytest.mark.skipif(not SQLSERVER, reason="TEST_SQLSERVER is not set")

DIRECT = SQLSERVER or ""

STATEMENT_TIMEOUT_SECONDS = 1

#: The driver waits some seconds for the server to say that a statement is cancelled. SQL Server says so at
#: once, Babelfish late or not at all.
CANCEL_SECONDS = 6


class EventfulStore(Store):
    """A store with transactions in which something happens between the statements."""

    async def cancel_both(self, first: int, second: int, both_hold_one: threading.Barrier) -> None:
        """Change two entries. The first time, change the second one only after the other party has."""
        tries = 0

        def work(session: Session) -> None:
            nonlocal tries
            tries += 1
            session.change("request_cancel", first, *_as_seen(ANYTHING))
            if tries == 1:
                both_hold_one.wait(10)
            session.change("request_cancel", second, *_as_seen(ANYTHING))

        await self.pool.transact(work, writes=True)

    async def add_with_lost_answer(self, line: Line, *, of_commit: bool) -> None:
        """Insert an entry. The first time, lose the answer to the next statement or to the commit."""
        tries = 0

        def work(session: Session) -> None:
            nonlocal tries
            tries += 1
            _insert(session, [NewEntry(table_name="sales")])
            line.lose_next_answer = tries == 1
            if not of_commit:
                session.rows("now")

        await self.pool.transact(work, writes=True)

    async def begin_twice(self, name: str) -> None:
        """Insert a key that exists already."""

        def work(session: Session) -> None:
            session.change("pass_first", None, name)
            session.change("pass_first", None, name)

        await self.pool.transact(work, writes=True)


@pytest.fixture
def database() -> Iterator[SqlServerDatabase]:
    """The server's database with the schema and no entries."""
    made = SqlServerDatabase(DIRECT)
    migrate.apply(made.connector)
    yield made
    made.close()


@pytest.fixture
def pauses() -> list[float]:
    """How long the store waited before each repetition."""
    return []


@pytest.fixture
async def store(database: SqlServerDatabase, pauses: list[float]) -> AsyncIterator[EventfulStore]:
    """A store on the database."""
    made = EventfulStore(Pool(database.connector, sleep=pauses.append))
    yield made
    await made.pool.close()


async def test_statement_is_cancelled_by_its_time_out(
    database: SqlServerDatabase, store: EventfulStore
) -> None:
    [entry_id] = await add(store, "sales")
    holder = database.connector.connect().connection
    holder.cursor().execute("UPDATE track_processing SET priority = 1 WHERE id = ?", [entry_id])
    impatient = Store(
        Pool(SqlServerConnector(DIRECT, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS), patience=0)
    )
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="another transaction may hold the rows"):
        await request_cancel(impatient, entry_id)
    took = time.monotonic() - began
    holder.rollback()
    holder.close()
    assert STATEMENT_TIMEOUT_SECONDS * 0.9 < took < STATEMENT_TIMEOUT_SECONDS + CANCEL_SECONDS
    assert not (await entry_of(store, entry_id)).cancel_requested
    assert await request_cancel(impatient, entry_id)  # on a new connection
    await impatient.pool.close()


async def test_victim_of_a_deadlock_does_its_transaction_again(
    store: EventfulStore, pauses: list[float]
) -> None:
    first, second = await add(store, "a", "b")
    meeting = threading.Barrier(2)
    await asyncio.gather(store.cancel_both(first, second, meeting), store.cancel_both(second, first, meeting))
    assert len(pauses) == 1  # one of the two was the victim, once
    for entry_id in (first, second):
        assert (await entry_of(store, entry_id)).cancel_requested


async def test_connection_lost_before_the_commit_is_repeated(
    database: SqlServerDatabase, pauses: list[float]
) -> None:
    async with Line(DIRECT).open() as line:
        store = EventfulStore(Pool(SqlServerConnector(line.connection_string), sleep=pauses.append))
        await store.add_with_lost_answer(line, of_commit=False)
        await store.pool.close()
    assert len(pauses) == 1
    assert database.execute("SELECT COUNT(*) FROM track_processing") == [(1,)]


async def test_lost_answer_of_a_commit_is_in_doubt_and_not_repeated(
    database: SqlServerDatabase, pauses: list[float]
) -> None:
    async with Line(DIRECT).open() as line:
        store = EventfulStore(Pool(SqlServerConnector(line.connection_string), sleep=pauses.append))
        with pytest.raises(StoreInDoubt, match="not known"):
            await store.add_with_lost_answer(line, of_commit=True)
        await store.pool.close()
    assert pauses == []
    assert database.execute("SELECT COUNT(*) FROM track_processing") == [(1,)]  # it was committed


async def test_value_that_the_server_quotes_is_not_shown(store: EventfulStore) -> None:
    with pytest.raises(StoreError, match=r"a value was refused \(error 2627\)") as caught:
        await store.begin_twice(PASSWORD)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("connection_string", "advice"),
    [
        pytest.param(lambda: changed(DIRECT, PWD=PASSWORD), "the login was refused", id="password"),
        pytest.param(lambda: changed(DIRECT, DATABASE="no_such_database"), "check DATABASE", id="database"),
    ],
)
def test_login_that_is_refused(connection_string: Callable[[], str], advice: str) -> None:
    with pytest.raises(StoreError, match=advice) as caught:
        SqlServerConnector(connection_string()).connect()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
