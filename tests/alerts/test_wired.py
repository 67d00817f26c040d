"""Alerts of the wired app: a pass of a timer function and the alert that it sends."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator import bootstrap, settings
from orchestrator.bootstrap import Application
from orchestrator.core.actions import CANCEL
from orchestrator.core.errors import StoreError
from orchestrator.core.models import LastPass, NewEntry
from tests.alerts.receiver import Receiver
from tests.databricks.support import ManualClock
from tests.empty_store import make_empty_store

#: An entry that went DEAD just now, and one that the pass has to cancel.
ROWS = """
INSERT INTO track_processing (table_name, status, submission, finished_at)
VALUES ('sales', 'DEAD', 1, strftime('%Y-%m-%d %H:%M:%f'));
INSERT INTO track_processing (table_name, cancel_requested) VALUES ('stock', 1);
"""

#: Both functions last ran the evening before.
NIGHT = """
INSERT INTO orchestrator_tick (name, started_at, finished_at, outcome)
VALUES ('monitor', '2026-01-31 20:00:00.000', '2026-01-31 20:00:01.000', 'ok'),
    ('trigger', '2026-01-31 20:00:30.000', '2026-01-31 20:00:31.000', 'ok');
"""

#: Makes the pass fail.
STUCK = """
CREATE TRIGGER stuck BEFORE UPDATE ON track_processing BEGIN SELECT RAISE(ABORT, 'no change today'); END;
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().serve() as serving:
        yield serving


@pytest.fixture
async def app(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Application]:
    """An application that reaches no workspace; the pauses between its tries take no time."""
    monkeypatch.setattr(bootstrap, "SystemClock", ManualClock)
    path = make_empty_store(tmp_path / "state.db")
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


def run(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "state.db")) as connection:
        connection.executescript(script)


@pytest.mark.parametrize("fails", [False, True])
async def test_pass_reports_dead_entries_whether_it_succeeds_or_fails(
    app: Application, receiver: Receiver, tmp_path: Path, *, fails: bool
) -> None:
    run(tmp_path, ROWS + (STUCK if fails else ""))
    if fails:
        with pytest.raises(StoreError, match="no change today"):
            await app.monitor()
    else:
        assert await app.monitor() == []
    assert [message["title"] for message in receiver.taken] == ["1 entry went DEAD"]
    [monitor] = await app.pass_log.passes()
    assert ("no change today" in (monitor.outcome or "")) is fails


async def test_app_recovers_after_a_night(app: Application, receiver: Receiver, tmp_path: Path) -> None:
    """Each pass takes its snapshot before it starts: afterwards its own gap is gone."""
    run(tmp_path, NIGHT)
    for _ in range(2):
        await app.monitor()
        await app.trigger()
    assert [message["title"] for message in receiver.taken] == ["monitor: recovered", "trigger: recovered"]
    assert "it had not started since 2026-01-31T20:00:00Z" in receiver.taken[0]["text"]


@pytest.mark.parametrize("hangs", [False, True])
async def test_failed_snapshot_for_alerts_does_not_stop_the_pass(
    app: Application,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    hangs: bool,
) -> None:
    async def look() -> list[LastPass]:
        if hangs:
            await asyncio.Event().wait()
        raise StoreError("not now")

    run(tmp_path, ROWS)
    monkeypatch.setattr("orchestrator.core.pass_budget.SNAPSHOT_SECONDS", 0.05)
    [entry_id] = await app.operator.add([NewEntry(table_name="sales")])
    await app.operator.change_one(CANCEL, entry_id)
    monkeypatch.setattr(app.pass_log, "passes", look)
    await app.monitor()
    entry = await app.store.get(entry_id)
    assert entry is not None
    assert entry.status == "CANCELED"
    assert f"this pass sends none: {'not done in time' if hangs else 'not now'}" in caplog.text
    assert receiver.calls == 0
