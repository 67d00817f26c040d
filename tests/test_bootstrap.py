"""The composition root: what is wired, and what is checked before anything is written."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator import bootstrap, settings
from orchestrator.adapters.databricks.auth.entra import EntraToken
from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken
from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.bootstrap import Application
from orchestrator.core.errors import QueueError, SchemaError, StoreError
from orchestrator.core.models import AskedBy
from tests.databricks.support import ManualClock
from tests.empty_store import make_empty_store

ENVIRONMENT = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN_SECRET": "databricks-token",
    "KEY_VAULT_URL": "https://team.vault.azure.net",
    "DATABRICKS_WORKSPACES": json.dumps(
        {
            "eu": {"host": "adb-2.8.azuredatabricks.net", "auth": "entra"},
            "local": {"host": "http://127.0.0.1:9", "token": "x"},
        }
    ),
}


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    """An application with three workspaces on an empty SQLite store; nothing of it can be reached.

    The pauses between its tries take no time.
    """
    monkeypatch.setattr(bootstrap, "SystemClock", ManualClock)
    path = make_empty_store(tmp_path / "state.db")
    made = Application(settings.load({**ENVIRONMENT, "STATE_DB": str(path)}))
    yield made
    await made.close()


async def test_each_workspace_has_its_own_token_source(app: Application) -> None:
    kinds = {name: type(source) for name, source in app.tokens.items()}
    assert kinds == {"default": KeyVaultToken, "eu": EntraToken, "local": StaticToken}


async def test_passes_are_recorded(app: Application) -> None:
    problems = await app.trigger()
    assert [problem.split(":")[0] for problem in problems] == [
        f"workspace {name}" for name in sorted(app.runs)
    ]
    assert await app.monitor(past_due=True) == []
    assert [(last_pass.name, last_pass.outcome) for last_pass in await app.pass_log.passes()] == [
        ("monitor", "ok"),
        ("trigger", "\n".join(problems)),
    ]


async def test_newer_schema_is_not_written_to(app: Application, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("INSERT INTO orchestrator_schema (version, name) VALUES (9999, 'tomorrow')")
    connection.commit()
    with pytest.raises(SchemaError, match="deploy the newer app"):
        await app.trigger()
    with pytest.raises(SchemaError):
        await app.submit(b'{"entry_id": 1, "submission": 1}')
    assert connection.execute("SELECT * FROM orchestrator_tick").fetchall() == []
    connection.close()


async def test_message_that_is_not_ours_is_refused(app: Application) -> None:
    with pytest.raises(QueueError):
        await app.submit(b"hello")


async def test_failed_pass_is_recorded(app: Application, tmp_path: Path) -> None:
    await app.trigger()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("ALTER TABLE track_processing RENAME TO elsewhere")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError):
        await app.monitor()
    monitor, _ = await app.pass_log.passes()
    assert "no such table" in (monitor.outcome or "")


async def test_pass_that_takes_too_long_is_given_up(
    app: Application, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever hangs, the host never has to end the worker process."""
    caplog.set_level(logging.INFO)

    async def hang() -> None:
        await asyncio.Event().wait()

    late = ["monitor: not done in time; the next pass continues"]
    monkeypatch.setattr(app.store, "cancel_waiting", lambda _: hang())
    monkeypatch.setattr("orchestrator.core.pass_budget.WORK_SECONDS", 0.05)
    assert await app.monitor() == late
    [monitor] = await app.pass_log.passes()
    assert (monitor.finished_at, monitor.outcome) == (None, "not done in time")
    monkeypatch.setattr("orchestrator.core.pass_budget.INVOCATION_SECONDS", 0.05)
    assert await app.monitor(asked_by=AskedBy.API) == late
    told = [vars(record) for record in caplog.records if vars(record).get("event") == "pass"]
    assert [(one["function"], one["outcome"]) for one in told] == [
        ("monitor", "failed"),
        ("monitor by hand", "failed"),
    ]
    monkeypatch.setattr(app.store, "take_up", lambda *_, **__: hang())
    with pytest.raises(TimeoutError):
        await app.submit(b'{"entry_id": 1, "submission": 1}')


async def test_an_error_that_nobody_foresaw_is_noted_by_its_kind_and_raised(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: int) -> int:
        raise KeyError("a text that may hold anything")

    await app.monitor()
    [before] = await app.pass_log.passes()
    monkeypatch.setattr(app.store, "cancel_waiting", fail)
    with pytest.raises(KeyError):
        await app.monitor(asked_by=AskedBy.API)  # a timer's pass has nothing to do
    [monitor] = await app.pass_log.passes()
    assert (monitor.finished_at, monitor.outcome) == (before.finished_at, "failed: KeyError")
    assert monitor.started_at >= before.started_at


async def test_a_pass_counts_whoever_asked_for_it(app: Application, caplog: pytest.LogCaptureFixture) -> None:
    """The trigger makes a monitor pass as well, so one request is enough where the timers stand still."""
    caplog.set_level(logging.INFO)
    await app.trigger(asked_by=AskedBy.API)
    passes = await app.pass_log.passes()
    assert [(each.name, each.asked_by) for each in passes] == [("monitor", "API"), ("trigger", "API")]
    assert all(each.finished_at is not None for each in passes)
    reasons = (await app.overview.health()).reasons
    assert not [reason for reason in reasons if "has not begun" in reason or "has never begun" in reason]
    await app.trigger()
    await app.monitor(asked_by=AskedBy.COMMAND_LINE)
    passes = await app.pass_log.passes()
    assert [(each.name, each.asked_by) for each in passes] == [
        ("monitor", "command line"),
        ("trigger", "timer"),
    ]
    caplog.clear()
    await app.trigger(asked_by=AskedBy.API)
    assert [vars(each)["function"] for each in caplog.records if hasattr(each, "function")] == [
        "trigger by hand"
    ]
