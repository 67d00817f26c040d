"""How many connections a pool opens, and when it lets them go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator import settings
from orchestrator.adapters.store.connector import Connection, Opened
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from tests.empty_store import make_empty_store
from tests.web.conftest import ENVIRONMENT


class Counted:
    """A connection that says when it is closed."""

    def __init__(self, real: Connection, closed: Callable[[], None]) -> None:
        self._real = real
        self._closed = closed

    def close(self) -> None:
        self._real.close()
        self._closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class CountingConnector(SqliteConnector):
    """Counts the sessions of a real store."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.logins = 0
        self.open = 0
        self._count = threading.Condition()

    def connect(self) -> Opened:
        opened = super().connect()
        with self._count:
            self.logins += 1
            self.open += 1
        return Opened(connection=Counted(opened.connection, self._closed))

    def _closed(self) -> None:
        with self._count:
            self.open -= 1
            self._count.notify_all()

    async def until_open(self, number: int) -> None:
        """Wait until so many sessions are open."""

        def wait() -> bool:
            with self._count:
                return self._count.wait_for(lambda: self.open == number, timeout=10)

        assert await asyncio.to_thread(wait)


@pytest.fixture
def connector(tmp_path: Path) -> CountingConnector:
    return CountingConnector(make_empty_store(tmp_path / "state.db"))


@asynccontextmanager
async def pool_of(connector: CountingConnector, **options: Any) -> AsyncIterator[Pool]:
    pool = Pool(connector, **options)
    yield pool
    await pool.close()


def look(session: Session) -> None:
    session.now()


async def at_once(pool: Pool, number: int) -> None:
    """Run so many transactions that wait for each other."""
    together = threading.Barrier(number)

    def work(session: Session) -> None:
        look(session)
        together.wait(10)

    await asyncio.gather(*(pool.transact(work, writes=False) for _ in range(number)))


async def test_transactions_one_after_another_need_one_connection(connector: CountingConnector) -> None:
    async with pool_of(connector) as pool:
        for _ in range(30):
            await pool.transact(look, writes=True)
        assert connector.logins == 1
        await at_once(pool, 3)
        for _ in range(30):
            await pool.transact(look, writes=False)
        assert connector.logins == connector.open == 3
    assert connector.open == 0


async def test_idle_connections_are_let_go(connector: CountingConnector) -> None:
    """A serverless database pauses only while it has no session at all."""
    async with pool_of(connector, idle_seconds=0.2) as pool:
        await at_once(pool, 4)
        await connector.until_open(0)
        await pool.transact(look, writes=False)
        assert connector.logins == 5
        await connector.until_open(0)


async def test_what_is_used_meanwhile_stays(connector: CountingConnector) -> None:
    now = 0.0
    async with pool_of(connector, idle_seconds=60, monotonic=lambda: now) as pool:
        await at_once(pool, 2)
        now = 50.0
        await pool.transact(look, writes=False)
        now = 65.0
        pool._close_idle()  # the timer's time has come
        assert connector.open == 1
        await pool.transact(look, writes=False)
        now = 124.0
        pool._close_idle()
        assert (connector.open, connector.logins) == (1, 2)
        now = 125.0
        pool._close_idle()
        assert connector.open == 0


async def test_a_connection_that_failed_is_not_kept(connector: CountingConnector) -> None:
    def fail(_: Session) -> None:
        raise KeyError

    async with pool_of(connector, idle_seconds=60) as pool:
        with pytest.raises(KeyError):
            await pool.transact(fail, writes=True)
        assert connector.open == 0


def test_the_setting() -> None:
    environment = {**ENVIRONMENT, "STATE_DB": "state.db"}
    assert settings.load(environment).store.idle_seconds == 120
    assert settings.load({**environment, "SQL_IDLE_SECONDS": "30"}).store.idle_seconds == 30
