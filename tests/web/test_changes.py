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
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "retry": ("retry", {}),
        "restart": ("retry", {"restart": True}),
        "cancel": ("cancel", {}),
        "resolve": ("resolve", {"resolution": "release" if state is Status.DONE else "done", "reason": "x"}),
    }
    for action, (route, body) in calls.items():
        site.execute("UPDATE track_processing SET status = ?, cancel_requested = 0", state.value)
        _, told = await site.call("GET", f"entries/{entry.id}")
        status, _ = await site.call("POST", f"entries/{entry.id}/{route}", body)
        may = told["actions"]
        assert (status == 200) == (action in may or (action == "restart" and "retry" in may))


async def test_a_cancellation_is_asked_for_once(site: Site) -> None:
    [entry_id] = await add(site, "sales")
    _, asked = await site.call("POST", f"entries/{entry_id}/cancel")
    assert asked["actions"] == ["resolve"]


async def test_a_running_entry_is_restarted_once(site: Site) -> None:
    entry = await running(site.app.store, 520, "sales")
    status, problem = await site.call("POST", f"entries/{entry.id}/retry", {"mode": "repair"})
    assert (status, problem["detail"]) == (
        409,
        f"entry {entry.id} is RUNNING and cannot be run again: it is waiting or in flight",
    )
    body = {"restart": True, "mode": "repair", "status": "RUNNING", "submission": entry.submission}
    _, told = await site.call("GET", f"entries/{entry.id}")
    assert "restart" in told["actions"]
    status, asked = await site.call("POST", f"entries/{entry.id}/retry", body)
    assert (status, asked["status"], asked["actions"]) == (200, "RUNNING", ["cancel", "resolve"])
    assert (await site.call("POST", f"entries/{entry.id}/retry", body))[0] == 200  # a repeat changes nothing
    assert site.execute("SELECT stop_reason, retry_mode, runid, attempt FROM track_processing") == [
        ("RESTART", "repair", 520, 1)
    ]


@pytest.mark.parametrize("status", ["PENDING", "QUEUED"])
async def test_what_has_no_run_yet_is_not_restarted(site: Site, status: str) -> None:
    [entry_id] = await add(site, "sales")
    site.execute("UPDATE track_processing SET status = ?, submission = 1", status)
    code, problem = await site.call("POST", f"entries/{entry_id}/retry", {"restart": True})
    assert code == 409
    assert problem["detail"].startswith(f"entry {entry_id} is {status} and cannot be restarted: it waits alr")
    assert site.execute("SELECT stop_reason FROM track_processing") == [(None,)]


@pytest.mark.parametrize("mode", ["run", "repair"])
async def test_how_an_entry_is_run_again_is_chosen_and_kept(site: Site, mode: str) -> None:
    for number, restart in enumerate((False, True)):
        entry = await running(site.app.store, 530 + number, f"t_{number}")
        await finish(site.app.store, entry, Status.DEAD)
        body = {"mode": mode, "restart": restart}
        assert (await site.call("POST", f"entries/{entry.id}/retry", body))[1]["status"] == "PENDING"
    kept = site.execute("SELECT retry_mode, stop_reason FROM track_processing ORDER BY id")
    assert kept == [(mode, None), (mode, "RESTART")]
    assert (await site.call("POST", f"entries/{entry.id}/retry", {"mode": "again"}))[0] == 400


async def test_an_entry_is_resolved_once_with_one_log_row(site: Site) -> None:
    entry = await running(site.app.store, 540, "sales")
    reason = "the run cannot be read;\n\x1b[31mloaded\ud800 by hand \u202e" + "x" * 2000
    body = {"resolution": "done", "reason": reason, "status": "RUNNING", "submission": 1}
    status, told = await site.call("POST", f"entries/{entry.id}/resolve", body)
    assert (status, told["status"], told["run_left"]) == (200, "DONE", "540")
    assert (told["last_error"], told["with_failures"]) == (None, False)
    shown = ("the run cannot be read; [31mloaded by hand " + "x" * 2000)[:1000]
    log = ("DONE", 540, 1, 1, f"resolved by hand: {shown}")
    logs = "SELECT status, runid, submission, attempt, message FROM process_log"
    assert site.execute(logs) == [log]
    assert (await site.call("POST", f"entries/{entry.id}/resolve", body))[0] == 409
    again = {"resolution": "done", "reason": "twice"}
    status, problem = await site.call("POST", f"entries/{entry.id}/resolve", again)
    assert problem["detail"] == f"entry {entry.id} is DONE and cannot be resolved: it is DONE already"
    assert (status, site.execute(logs)) == (409, [log])
    _, told = await site.call(
        "POST", f"entries/{entry.id}/resolve", {"resolution": "failed", "reason": "the data is wrong"}
    )
    assert (told["status"], told["run_left"], told["submission"]) == ("DEAD", None, 2)
    assert told["last_error"] == "resolved by hand: the data is wrong"
    # The run has its row already.
    assert site.execute(logs)[1:] == [("DEAD", None, 2, 1, "resolved by hand: the data is wrong")]


@pytest.mark.parametrize("reason", ["", " ", "\n", "\x00\ud800", None, 5])
async def test_a_resolution_needs_a_reason(site: Site, reason: object) -> None:
    [entry_id] = await add(site, "sales")
    for body in ({"resolution": "done", "reason": reason}, {"resolution": "done"}, {"reason": "x"}):
        status, problem = await site.call("POST", f"entries/{entry_id}/resolve", body)
        assert (status, problem["detail"][:2]) == (400, "$.")
    assert site.execute("SELECT status FROM track_processing") == [("PENDING",)]


async def test_the_entries_of_a_filter_are_resolved_after_a_dry_run(site: Site) -> None:
    rows = [await running(site.app.store, 550 + number, f"t_{number}") for number in range(3)]
    await finish(site.app.store, rows[2], Status.DONE)
    body = {"filter": {"table": "t_*"}, "resolution": "release", "reason": "the workspace is gone"}
    _, tried = await site.call("POST", "resolve", body)
    assert (sorted(tried["ids"]), tried["states"]) == (
        [str(row.id) for row in rows[:2]],
        ["DEAD", "FAILED", "PENDING", "QUEUED", "RUNNING"],
    )
    assert site.execute("SELECT COUNT(*) FROM process_log") == [(1,)]
    again = {**body, "filter": {"ids": tried["ids"], "state": tried["states"]}, "dry_run": False}
    _, done = await site.call("POST", "resolve", again)
    assert (done["count"], done["more"]) == (2, False)
    assert site.execute("SELECT status, COUNT(*) FROM track_processing GROUP BY status ORDER BY 1") == [
        ("CANCELED", 2),
        ("DONE", 1),
    ]
    assert (await site.call("POST", "resolve", {**again, "reason": " "}))[0] == 400
    assert (await site.call("POST", "resolve", again))[1]["count"] == 0


async def test_successes_with_failures_are_found_and_repaired(site: Site) -> None:
    for number in range(3):
        entry = await running(site.app.store, 560 + number, f"t_{number}")
        await finish(site.app.store, entry, Status.DEAD if number == 2 else Status.DONE)
    site.execute("UPDATE track_processing SET last_error = 'SUCCESS_WITH_FAILURES: boom' WHERE id = 1")
    for query, ids in (
        ("with_failures=true", [1]),
        ("with_failures=false", [3, 2]),
        ("with_failures=true&sort=id", [1]),
        ("with_failures=true&table=t_*", [1]),
        ("with_failures=true&state=DEAD", []),
        ("with_failures=true&state=DEAD&state=DONE", [1]),
        ("with_failures=true&run_id=560", [1]),
        ("with_failures=true&run_id=561", []),
    ):
        _, page = await site.call("GET", f"entries?{query}")
        assert [int(entry["id"]) for entry in page["entries"]] == ids, query
        assert all(entry["with_failures"] == ("true" in query) for entry in page["entries"])
    assert (await site.call("GET", "entries?with_failures=1"))[0] == 400
    body = {"filter": {"with_failures": True}, "mode": "repair", "dry_run": False}
    _, done = await site.call("POST", "retry", body)
    assert (done["ids"], done["states"]) == (["1"], ["DONE"])
    assert site.execute("SELECT status, retry_mode FROM track_processing WHERE id = 1") == [
        ("PENDING", "repair")
    ]


async def test_every_column_of_an_entry_is_inserted(site: Site) -> None:
    whole = {
        "table_name": "sales",
        "job_name": "load",
        "parameter_style": "auto",
        "options": {"only": ["load"], "queue": {"enabled": True}},
        "retry_mode": "repair",
        "run_timeout_seconds": 3600,
        "queue_timeout_seconds": 0,
    }
    as_text = {"table_name": "sales", "options": '{"only": ["load"]}'}
    assert (await site.call("POST", "entries", {"entries": [whole, as_text]}))[0] == 201
    columns = "job_name, parameter_style, options, retry_mode, run_timeout_seconds, queue_timeout_seconds"
    assert site.execute(f"SELECT {columns} FROM track_processing ORDER BY id") == [
        ("load", "auto", '{"only": ["load"], "queue": {"enabled": true}}', "repair", 3600, 0),
        (None, "auto", '{"only": ["load"]}', None, None, None),
    ]
    for wrong, detail in (
        ({"options": {"token": "x"}}, "$.entries[0].options has no key 'token'"),
        ({"options": [1]}, "$.entries[0].options must be an object or a text"),
        ({"retry_mode": "again"}, "$.entries[0].retry_mode must be run or repair"),
        ({"job_id": 1, "job_name": "load"}, "$.entries[0]: job_id and job_name are both given"),
    ):
        status, problem = await site.call("POST", "entries", {"entries": [{"table_name": "a", **wrong}]})
        assert (status, problem["detail"][: len(detail)]) == (400, detail)


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
    assert (sorted(told["ids"]), told["states"]) == ([str(row.id) for row in rows[:2]], ["DEAD", "FAILED"])
    await finish(site.app.store, rows[2], Status.DEAD)
    site.execute("UPDATE track_processing SET status = 'DONE' WHERE id = ?", rows[0].id)
    again = {"filter": {"ids": told["ids"], "state": told["states"]}, "dry_run": False}
    _, done = await site.call("POST", "retry", again)
    assert done["ids"] == [str(rows[1].id)]


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
