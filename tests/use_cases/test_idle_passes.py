"""The timers' passes of an app that has nothing to do: what they ask of the database and of Databricks."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from orchestrator.core.models import AskedBy, NewEntry
from tests.applications import served_application


@dataclass
class Asked:
    """What was asked of the database and of Databricks, and the database's clock."""

    statements: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    now: datetime = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)

    def forget(self) -> None:
        self.statements.clear()
        self.calls.clear()

    async def reply(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request.path)
        return web.json_response({"has_more": False})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    noted = Asked()
    prepared, make = Session._prepared, SqliteConnector.__init__

    def note(session: Session, name: str, parameters: Sequence[Any]) -> AbstractContextManager[Any]:
        noted.statements.append(name)
        return prepared(session, name, parameters)

    def with_clock(connector: SqliteConnector, path: Path, *, create: bool = False) -> None:
        make(connector, path, create=create, now=lambda: noted.now)

    monkeypatch.setattr(Session, "_prepared", note)
    monkeypatch.setattr(SqliteConnector, "__init__", with_clock)
    return noted


@pytest.fixture
async def app(tmp_path: Path, asked: Asked) -> AsyncIterator[Application]:
    async with served_application(
        tmp_path, asked.reply, ALERT_WEBHOOK_URL="http://127.0.0.1:9/alerts"
    ) as made:
        yield made


async def test_an_idle_pass_is_one_statement_and_no_call(app: Application, asked: Asked) -> None:
    for whole in (app.trigger, app.monitor):
        assert await whole() == []
    assert asked.calls  # somebody may have repaired a run
    for idle in (app.trigger, app.monitor):
        asked.forget()
        assert await idle() == []
        assert (asked.statements, asked.calls) == (["pass_idle"], [])


async def test_what_is_inserted_is_looked_at_in_the_next_pass(app: Application, asked: Asked) -> None:
    for _ in range(2):
        await app.trigger()
    asked.forget()
    [entry_id] = await app.operator.add([NewEntry(table_name="sales")])
    await app.trigger()
    assert "claim" in asked.statements
    entry = await app.store.get(entry_id)
    assert entry is not None
    assert entry.status == "QUEUED"


async def test_repaired_runs_are_looked_for_every_five_minutes(app: Application, asked: Asked) -> None:
    listed = []
    for minute in range(1, 12):
        asked.now = asked.now.replace(minute=minute)
        asked.forget()
        await app.trigger()
        listed += [minute] if asked.calls else []
    assert listed == [1, 5, 10]


async def test_who_asks_for_a_pass_gets_a_whole_one(app: Application, asked: Asked) -> None:
    await app.trigger()
    asked.forget()
    await app.trigger(asked_by=AskedBy.API)
    assert asked.calls
