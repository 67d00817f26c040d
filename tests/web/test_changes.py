"""Rows are inserted, run again and cancelled, and passes are started, over HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import settings
from orchestrator.bootstrap import Application
from orchestrator.core.errors import StoreUnavailable
from orchestrator.core.models import Entry
from orchestrator.core.search import Matching
from orchestrator.core.states import Status
from orchestrator.web import api
from tests.store.helpers import finish, running
from tests.web.conftest import ENVIRONMENT
from tests.web.support import Site, add


@pytest.mark.parametrize("state", Status)
async def test_what_may_be_done_to_an_entry_is_told_and_true(site: Site, state: Status) -> None:
    entry = await running(site.app.store, 510, "sales")
    for action in ("retry", "cancel"):
        site.execute("UPDATE track_processing SET status = ?, cancel_requested = 0", state.value)
        _, told = await site.call("GET", f"entries/{entry.id}")
        status, _ = await site.call("POST", f"entries/{entry.id}/{action}")
        assert (status == 200) == (action in told["actions"])


async def test_a_cancellation_is_asked_for_once(site: Site) -> None:
    [entry_id] = await add(site, "sales")
    _, asked = await site.call("POST", f"entries/{entry_id}/cancel")
    assert asked["actions"] == []


async def test_an_entry_that_is_not_as_it_was_seen_is_left_alone(site: Site) -> None:
    entry = await running(site.app.store, 504, "sales")
    await finish(site.app.store, entry, Status.DEAD)
    for seen in ({"status": "DONE", "submission": 1}, {"status": "DEAD", "submission": 2}, {"submission": 0}):
        status, problem = await site.call("POST", f"entries/{entry.id}/retry", seen)
        assert status == 409
        assert problem["detail"] == (
            f"entry {entry.id} has changed: it is DEAD, submission 1; look at it, and decide again"
        )
    seen = {"status": "DEAD", "submission": 1}
    assert (await site.call("POST", f"entries/{entry.id}/retry", seen))[0] == 200
    status, problem = await site.call("POST", f"entries/{entry.id}/retry", {"submission": 1})
    assert (status, problem["detail"]) == (
        409,
        f"entry {entry.id} is PENDING and cannot be run again: it is waiting or in flight",
    )


async def test_what_a_dry_run_told_is_all_that_is_changed(site: Site) -> None:
    rows = [await running(site.app.store, 505 + number, f"t_{number}") for number in range(3)]
    for row in rows[:2]:
        await finish(site.app.store, row, Status.DEAD)
    _, told = await site.call("POST", "retry", {"filter": {"table": "t_*"}})
    assert (sorted(told["ids"]), told["states"]) == ([row.id for row in rows[:2]], ["DEAD", "FAILED"])
    await finish(site.app.store, rows[2], Status.DEAD)
    site.execute("UPDATE track_processing SET status = 'DONE' WHERE id = ?", rows[0].id)
    again = {"filter": {"ids": told["ids"], "state": told["states"]}, "dry_run": False}
    _, done = await site.call("POST", "retry", again)
    assert done["ids"] == [rows[1].id]


async def test_an_insert_that_is_repeated_with_its_key_inserts_once(site: Site) -> None:
    body, key = {"entries": [{"table_name": "a"}, {"table_name": "b"}]}, {"Idempotency-Key": "load-7"}
    first = await site.call("POST", "entries", body, key)
    assert await site.call("POST", "entries", body, key) == first
    assert (await site.call("POST", "entries", {"entries": [{"table_name": "c"}]}, key))[0] == 409
    assert (await site.call("POST", "entries", body, {"Idempotency-Key": "two words"}))[0] == 400
    assert site.execute("SELECT COUNT(*) FROM track_processing") == [(2,)]


async def test_a_whole_number_may_be_written_with_a_point(site: Site) -> None:
    body = b'{"entries": [{"table_name": "sales", "priority": 5.0}]}'
    _, added = await site.call("POST", "entries", body)
    _, page = await site.call("GET", "entries")
    assert repr(page["entries"][0]["priority"]) == "5"
    named = f'{{"filter": {{"ids": [{added["ids"][0]}.0]}}, "limit": 1e0}}'.encode()
    assert (await site.call("POST", "cancel", named))[1]["ids"] == added["ids"]
    for wrong in (b"5.5", b"1e999", b"-1e400", b"true"):
        status, _ = await site.call("POST", "entries", body.replace(b"5.0", wrong))
        assert status == 400


async def test_a_change_whose_row_cannot_be_read_afterwards_may_be_done(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(_: int) -> Entry | None:
        raise StoreUnavailable("the connection broke")

    [entry_id] = await add(site, "sales")
    monkeypatch.setattr(site.app.web_store, "get", get)
    status, problem = await site.call("POST", f"entries/{entry_id}/cancel")
    assert status == 503
    assert problem["detail"].startswith(
        "it may be done, but the entry cannot be read: the connection broke: look at"
    )
    assert site.execute("SELECT cancel_requested FROM track_processing") == [(1,)]


async def test_rows_of_a_filter_that_leave_its_states_before_their_turn_are_left_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the search and the change, another monitor, trigger or person was faster."""
    entry = await running(site.app.store, 541, "sales")
    await finish(site.app.store, entry, Status.DEAD)
    matching = site.app.reports.matching

    async def slow(*arguments: Any, **options: Any) -> Matching:
        found = await matching(*arguments, **options)
        site.execute("UPDATE track_processing SET status = 'DONE'")
        return found

    monkeypatch.setattr(site.app.reports, "matching", slow)
    _, done = await site.call("POST", "retry", {"filter": {"table": "sales"}, "dry_run": False})
    assert done["ids"] == []
    assert site.execute("SELECT status FROM track_processing") == [("DONE",)]


async def test_a_filter_is_tried_before_it_changes_anything(site: Site) -> None:
    for number in range(3):
        entry = await running(site.app.store, 510 + number, f"sales_{number}")
        await finish(site.app.store, entry, Status.DONE if number == 0 else Status.DEAD)
    body: dict[str, Any] = {"filter": {"table": "sales_*"}}
    _, tried = await site.call("POST", "retry", body)
    assert (tried["count"], tried["dry_run"], tried["more"]) == (2, True, False)
    assert site.execute("SELECT COUNT(*) FROM track_processing WHERE status = 'PENDING'") == [(0,)]
    _, limited = await site.call("POST", "retry", {**body, "dry_run": False, "limit": 1})
    assert (limited["count"], limited["more"]) == (1, True)
    _, rest = await site.call("POST", "retry", {**body, "dry_run": False})
    assert sorted(rest["ids"] + limited["ids"]) == sorted(tried["ids"])
    _, named = await site.call("POST", "retry", {"filter": {"state": "DONE"}, "dry_run": False})
    assert named["count"] == 1
    _, cancelled = await site.call("POST", "cancel", {"filter": {"state": ["PENDING"]}, "dry_run": False})
    assert cancelled["count"] == 3


async def test_a_team_with_columns_of_its_own_inserts_by_sql(site: Site, tmp_path: Path) -> None:
    changed = {**ENVIRONMENT, "STATE_DB": str(site.database), "TABLE_NAME_COLUMN": "SOURCE"}
    app = Application(settings.load(changed), patience=0)
    theirs = Site(app=app, runs=site.runs, database=site.database)
    status, problem = await theirs.call("POST", "entries", {"entries": [{"table_name": "a"}]})
    assert (status, "insert rows by SQL" in problem["detail"]) == (409, True)
    await app.close()


async def test_a_pass_is_started_one_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await site.call("POST", "trigger")) == (202, {"problems": []})
    go_on = asyncio.Event()

    async def slow(**_: object) -> list[str]:
        await go_on.wait()
        return []

    monkeypatch.setattr(site.app, "trigger", slow)
    monkeypatch.setattr(api, "_PASS_SECONDS", 0.05)
    status, told = await site.call("POST", "trigger")
    assert (status, told["problems"]) == (202, ["not done in 0 s; it goes on"])
    assert (await site.call("POST", "trigger"))[0] == 409
    go_on.set()
