"""``GET /api/health`` during an outage of the database: it answers soon, and says why."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from orchestrator import bootstrap, settings
from orchestrator.adapters.store.connector import Connector, Opened
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from orchestrator.core.errors import StoreUnavailable
from tests.empty_store import make_empty_store
from tests.fakes import FakeRuns
from tests.store import odbc
from tests.web.conftest import ENVIRONMENT
from tests.web.support import Site

#: What a watchdog waits for.
LIMIT_SECONDS = 10.0

PAUSED = "SQL Server [HY000]: Database 'd' on server 's' is not currently available. (40613)"


class Outage(SqliteConnector):
    """A real store that refuses connections or answers no statement, for as long as a test wants."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.refusal: str | None = None
        self.answering = threading.Event()
        self.answering.set()
        self.logins = 0

    def connect(self) -> Opened:
        """Open a connection that waits while nothing is answered."""
        self.logins += 1
        if self.refusal is not None:
            raise StoreUnavailable(self.refusal)
        opened = super().connect()
        opened.connection.set_progress_handler(self._wait, 1)  # type: ignore[attr-defined] # sqlite3's
        return opened

    def _wait(self) -> int:
        self.answering.wait(2 * LIMIT_SECONDS)
        return 0


def site_of(database: Path, environment: dict[str, str]) -> Site:
    app = Application(settings.load({**ENVIRONMENT, **environment}))
    runs = FakeRuns()
    for clients in (app.runs, app.web_runs):
        clients["default"] = runs  # type: ignore[assignment]  # it has all that a client has
    return Site(app=app, runs=runs, database=database)


@pytest.fixture
async def outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Outage, Site]]:
    """An app that is well, and what its database does."""
    database = make_empty_store(tmp_path / "state.db")
    made = Outage(database)

    def connector(_: object, **__: object) -> Connector:
        return made

    monkeypatch.setattr(bootstrap, "connector", connector)
    site = site_of(database, {"STATE_DB": str(database)})
    for name in ("trigger", "monitor"):
        await site.app.pass_log.pass_started(name)
        await site.app.pass_log.pass_finished(name, "ok")
    yield made, site
    made.answering.set()
    await site.app.close()


async def asked(site: Site) -> tuple[int, list[str]]:
    """Ask for health and return the status and the reasons, both in time."""
    began = time.monotonic()
    status, told = await site.call("GET", "health")
    assert time.monotonic() - began < LIMIT_SECONDS
    return status, told.get("reasons", [])


@pytest.mark.slow
@pytest.mark.parametrize("port", [odbc.closed_port, odbc.silent_port])
async def test_a_server_that_does_not_answer(
    port: Callable[[], AbstractContextManager[int]], tmp_path: Path
) -> None:
    with port() as number:
        site = site_of(tmp_path, {"SQL_CONNECTION_STRING": odbc.with_password(number)})
        status, [reason] = await asked(site)
        await site.app.close()
    assert status == 503
    assert "HYT00" in reason
    assert "check SERVER in SQL_CONNECTION_STRING" in reason
    assert odbc.PASSWORD not in reason


async def test_a_paused_database(outage: tuple[Outage, Site]) -> None:
    database, site = outage
    database.refusal = PAUSED
    assert await asked(site) == (503, [PAUSED])
    database.refusal = None
    assert await asked(site) == (200, [])


@pytest.mark.slow
async def test_a_database_that_stops_answering(outage: tuple[Outage, Site]) -> None:
    database, site = outage
    assert await asked(site) == (200, [])
    database.answering.clear()
    assert await asked(site) == (
        503,
        ["not everything could be read in 9 s: the state store or Databricks is slow"],
    )


@pytest.mark.slow
async def test_what_the_last_try_met_is_said_when_the_time_is_over(outage: tuple[Outage, Site]) -> None:
    database, site = outage
    database.answering.clear()
    site.app._health_pool.trouble = PAUSED  # an earlier try
    assert await asked(site) == (503, [f"the state store has not answered in 9 s: {PAUSED}"])


async def test_requests_that_hang_keep_nobody_from_asking(outage: tuple[Outage, Site]) -> None:
    """All connections for HTTP and for submissions are taken."""
    _, site = outage
    release = threading.Event()
    hanging = [
        asyncio.create_task(pool.transact(lambda _: release.wait(), writes=False))
        for pool in (site.app.store.pool, site.app.web_store.pool)
        for _ in range(20)
    ]
    await asyncio.sleep(0)  # each has begun
    try:
        assert await asked(site) == (200, [])
    finally:
        release.set()
        await asyncio.gather(*hanging)


async def test_one_login_serves_all_who_ask(outage: tuple[Outage, Site]) -> None:
    database, site = outage
    database.logins = 0
    for _ in range(3):
        assert (await asked(site))[0] == 200
    await asyncio.gather(*(asked(site) for _ in range(5)))
    assert database.logins == 1
