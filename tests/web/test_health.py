"""When the app is well, and what is said when it is not."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.adapters.store.session import Session
from orchestrator.bootstrap import Application
from orchestrator.core.errors import SettingsError, WorkspaceUnavailable
from orchestrator.web.api import Api
from tests.store.helpers import running
from tests.web.support import Site, add


async def well(site: Site) -> None:
    """Let both timer functions have just run."""
    for name in ("trigger", "monitor"):
        await site.app.pass_log.pass_started(name)
        await site.app.pass_log.pass_finished(name, "ok")


def wait_since_january(site: Site) -> None:
    """Let the entries have waited for long."""
    since = "2026-01-01 00:00:00.000"
    site.execute("UPDATE track_processing SET created_at = ?, available_at = ?", since, since)


async def test_health(site: Site) -> None:
    assert await site.call("GET", "health") == (
        503,
        {"status": "unhealthy", "reasons": ["trigger has never begun", "monitor has never begun"]},
    )
    await well(site)
    assert await site.call("GET", "health") == (200, {"status": "ok"})
    site.execute("UPDATE orchestrator_tick SET started_at = '2026-01-01 00:00:00.000' WHERE name = 'monitor'")
    _, told = await site.call("GET", "health")
    assert told["reasons"] == ["monitor has not begun since 2026-01-01 00:00:00 UTC"]


async def test_passes_that_begin_and_never_end_are_no_health(site: Site) -> None:
    await well(site)
    site.execute("UPDATE orchestrator_tick SET finished_at = '2026-01-01 00:00:00.000'")
    await site.app.pass_log.pass_failed("trigger", "failed: KeyError")
    assert await site.call("GET", "health") == (
        503,
        {
            "status": "unhealthy",
            "reasons": [
                "no pass of trigger has come to its end since 2026-01-01 00:00:00 UTC; "
                "the last pass: failed: KeyError",
                "no pass of monitor has come to its end since 2026-01-01 00:00:00 UTC",
            ],
        },
    )
    site.execute("UPDATE orchestrator_tick SET finished_at = NULL, outcome = NULL WHERE name = 'trigger'")
    _, told = await site.call("GET", "health")
    assert told["reasons"][0] == "no pass of trigger has come to its end yet"


async def test_rows_that_wait_while_slots_are_free_are_no_health(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    early = datetime.now(UTC) - timedelta(seconds=site.app.settings.pass_late_seconds + 60)
    since = early.strftime("%Y-%m-%d %H:%M:%S.000")
    site.execute("UPDATE track_processing SET created_at = ?, available_at = ?", since, since)
    _, told = await site.call("GET", "health")
    assert told["reasons"] == ["entries of workspace default wait although slots are free"]


async def test_rows_with_a_time_in_the_past_have_not_waited_since_then(site: Site) -> None:
    await well(site)
    await add(site, "sales", "orders")
    site.execute("UPDATE track_processing SET available_at = '2026-01-01 00:00:00.000'")
    site.execute("UPDATE track_processing SET status = 'CANCELED', finished_at = created_at WHERE id = 1")
    site.execute("UPDATE track_processing SET status = 'PENDING' WHERE id = 1")
    assert await site.call("GET", "health") == (200, {"status": "ok"})


async def test_rows_that_wait_are_told_with_what_the_last_pass_said(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    wait_since_january(site)
    site.execute("UPDATE orchestrator_tick SET outcome = 'nothing claimed: no' WHERE name = 'trigger'")
    status, told = await site.call("GET", "health")
    assert status == 503
    assert told["reasons"] == [
        "entries of workspace default wait although slots are free; the last pass: nothing claimed: no"
    ]


async def test_rows_that_wait_for_a_workspace_that_is_down_are_no_health(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    wait_since_january(site)
    site.runs.down = WorkspaceUnavailable("HTTP 403")
    _, told = await site.call("GET", "health")
    assert "its active runs cannot be listed" in told["reasons"][0]


async def test_entries_that_wait_for_the_app_s_own_runs_are_no_reason(site: Site) -> None:
    await well(site)
    for run_id in (1, 2, 3):
        await running(site.app.store, run_id, f"t{run_id}")
    await add(site, "sales")
    wait_since_january(site)
    assert (await site.call("GET", "health"))[0] == 200


async def test_entries_that_wait_for_foreign_runs_are_a_reason(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    wait_since_january(site)
    site.runs.foreign |= {1, 2, 3}
    assert await site.call("GET", "health") == (
        503,
        {
            "status": "unhealthy",
            "reasons": ["entries of workspace default wait: foreign runs take 3 of its 3 slots (no job: 3)"],
        },
    )


async def test_health_tells_a_schema_that_is_behind_and_a_database_that_is_away(site: Site) -> None:
    await well(site)
    site.execute("DELETE FROM orchestrator_schema WHERE version > 1")
    _, told = await site.call("GET", "health")
    assert "the database lacks 0002_reports" in told["reasons"][0]
    site.execute("DROP TABLE orchestrator_schema")
    assert (await site.call("GET", "health"))[0] == 503


async def test_settings_that_cannot_be_used_are_told_by_health_and_by_every_route_that_needs_them(
    site: Site,
) -> None:
    def refuse() -> Application:
        raise SettingsError(["DATABRICKS_HOST must be set"])

    site.api = Api(refuse)
    status, told = await site.call("GET", "health")
    assert (status, told["status"]) == (503, "unhealthy")
    assert "DATABRICKS_HOST must be set" in told["reasons"][0]
    status, problem = await site.call("GET", "status")
    assert (status, "DATABRICKS_HOST must be set" in problem["detail"]) == (503, True)
    assert (await site.call("GET", "openapi.json"))[0] == 200


async def test_health_of_an_idle_app_asks_nothing_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe asks every few seconds, and each statement is a trip to the database; the time aside."""
    await well(site)
    asked: list[str] = []
    prepared = Session._prepared

    def note(session: Session, name: str, parameters: Sequence[Any]) -> AbstractContextManager[Any]:
        asked.append(name)
        return prepared(session, name, parameters)

    monkeypatch.setattr(Session, "_prepared", note)
    assert await site.call("GET", "health") == (200, {"status": "ok"})
    assert [name for name, times in Counter(asked).items() if times > 1] == ["now"]
