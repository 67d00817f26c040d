"""Alerts as the app is wired: a pass of a timer function, and the message that comes of it."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator import settings
from orchestrator.bootstrap import Application
from orchestrator.errors import StoreError
from orchestrator.store import migrate
from orchestrator.store.sqlite import SqliteConnector
from tests.alerts.receiver import Receiver

#: A row that went DEAD just now, and one whose cancellation the pass has to carry out.
ROWS = """
INSERT INTO track_processing (table_name, status, submission, finished_at)
VALUES ('sales', 'DEAD', 1, strftime('%Y-%m-%d %H:%M:%f'));
INSERT INTO track_processing (table_name, cancel_requested) VALUES ('stock', 1);
"""

#: What makes the pass fail.
STUCK = """
CREATE TRIGGER stuck BEFORE UPDATE ON track_processing BEGIN SELECT RAISE(ABORT, 'no change today'); END;
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().serve() as serving:
        yield serving


@pytest.fixture
async def app(receiver: Receiver, tmp_path: Path) -> AsyncIterator[Application]:
    path = tmp_path / "state.db"
    migrate.apply(SqliteConnector(path, create=True))
    environment = {
        "ALERT_WEBHOOK_URL": receiver.url,
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "DATABRICKS_HOST": "http://127.0.0.1:9",
        "DATABRICKS_TOKEN": "t",
        "STATE_DB": str(path),
    }
    made = Application(settings.load(environment), patience=0)
    yield made
    await made.close()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_pass_tells_what_went_dead_whether_it_succeeds_or_fails(
    app: Application, receiver: Receiver, tmp_path: Path, *, fails: bool
) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        connection.executescript(ROWS + (STUCK if fails else ""))
    if fails:
        with pytest.raises(StoreError, match="no change today"):
            await app.monitor()
    else:
        assert await app.monitor() == []
    assert [message["title"] for message in receiver.taken] == ["1 row went DEAD"]
    [monitor] = await app.store.ticks()
    assert ("no change today" in (monitor.outcome or "")) is fails
