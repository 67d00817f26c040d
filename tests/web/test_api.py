"""What each route answers, called as the host calls it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator import settings
from orchestrator.bootstrap import Application
from orchestrator.errors import StoreUnavailable, Unauthorized, WorkspaceUnavailable
from orchestrator.models import Entry, NewEntry
from orchestrator.reports import Matching
from orchestrator.states import Status
from orchestrator.web import activity, api, messages, routes
from tests.fakes import FakeClock
from tests.store.helpers import finish, running
from tests.web.conftest import ENVIRONMENT
from tests.web.support import Site

PARAMETERS = '{"customer": "Zuckerbrot"}'


async def add(site: Site, *tables: str, **fields: Any) -> list[int]:
    return await site.app.store.add([NewEntry(table_name=table, **fields) for table in tables])


async def test_the_way_of_a_row_from_its_insert_to_its_retry(site: Site) -> None:
    status, answered = await site.call("POST", "entries", {"entries": [{"table_name": "sales"}]})
    assert status == 201
    [entry_id] = answered["ids"]
    assert (await site.call("GET", f"entries/{entry_id}"))[1]["status"] == "PENDING"
    assert (await site.call("POST", f"entries/{entry_id}/cancel"))[1]["cancel_requested"] is True
    await site.app.store.cancel_waiting(10)
    status, problem = await site.call("POST", f"entries/{entry_id}/cancel")
    assert status == 409
    assert problem["detail"] == f"entry {entry_id} is CANCELED and cannot be cancelled: it is over"
    assert (await site.call("POST", f"entries/{entry_id}/retry"))[1]["status"] == "PENDING"
    assert (await site.call("POST", f"entries/{entry_id}/retry"))[0] == 409


async def test_why_a_table_failed(site: Site) -> None:
    entry = await running(site.app.store, 501, "sales")
    await finish(site.app.store, entry, Status.DEAD)
    _, page = await site.call("GET", "entries?table=sa*&state=DEAD&state=FAILED&error=WHY&limit=5")
    assert [row["id"] for row in page["entries"]] == [entry.id]
    assert page["next"] is None
    _, story = await site.call("GET", f"entries/{entry.id}")
    assert (story["last_error"], story["run_id"]) == ("why", 501)
    assert [(run["submission"], run["status"], run["run_id"]) for run in story["runs"]] == [(1, "DEAD", 501)]


async def test_a_run_under_way_leads_to_its_page(site: Site) -> None:
    entry = await running(site.app.store, 502, "sales")
    [named] = await add(site, "stock", job_id=77)
    [elsewhere] = await add(site, "parts", workspace="gone")
    site.execute("UPDATE track_processing SET runid = 503 WHERE id <> ?", entry.id)
    _, page = await site.call("GET", "entries?sort=id")
    pages = {row["id"]: row["run_page_url"] for row in page["entries"]}
    host = ENVIRONMENT["DATABRICKS_HOST"]
    assert pages == {
        entry.id: f"{host}/#job/{ENVIRONMENT['DATABRICKS_JOB_ID']}/run/502",
        named: f"{host}/#job/77/run/503",
        elsewhere: None,
    }
    assert (await site.call("GET", f"entries/{entry.id}"))[1]["run_page_url"] == pages[entry.id]
    await add(site, "new")
    _, newest = await site.call("GET", "entries?table=new")
    assert newest["entries"][0]["run_page_url"] is None


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


async def test_parameters_are_shown_only_to_those_who_ask(site: Site) -> None:
    [entry_id] = await add(site, "sales", parameters=PARAMETERS)
    for address in (f"entries/{entry_id}", "entries", "waiting", "entries?parameters=false"):
        assert "Zuckerbrot" not in json.dumps((await site.call("GET", address))[1])
    assert (await site.call("GET", f"entries/{entry_id}?parameters=true"))[1]["parameters"] == PARAMETERS
    _, page = await site.call("GET", "entries?parameters=true")
    assert page["entries"][0]["parameters"] == PARAMETERS


async def test_states_may_be_joined_by_commas_as_azure_joins_them(site: Site) -> None:
    await add(site, "sales")
    assert len((await site.call("GET", "entries?state=PENDING,DEAD"))[1]["entries"]) == 1
    assert (await site.call("GET", "entries?state=DEAD,DONE&code=key"))[1]["entries"] == []


async def test_times_at_the_ends_of_the_calendar(site: Site) -> None:
    [entry_id] = await add(site, "sales")
    first, last = "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-11:00"
    _, page = await site.call("GET", f"entries?since={first}&until={last}")
    assert [row["id"] for row in page["entries"]] == [entry_id]
    assert (await site.call("GET", f"entries?until={first}"))[1]["entries"] == []
    assert (await site.call("GET", f"entries?since={last}"))[1]["entries"] == []


async def test_pages_are_joined_by_their_cursors(site: Site) -> None:
    rows = await add(site, *"abcde")
    found, after = [], ""
    for _ in range(3):
        _, page = await site.call("GET", f"entries?sort=id&limit=2{after}")
        found += [row["id"] for row in page["entries"]]
        after = f"&after={page['next']}"
    assert found == rows
    assert page["next"] is None


@pytest.mark.parametrize(
    ("method", "address", "body", "part"),
    [
        ("GET", "entries?stat=DEAD", None, "there is no field 'stat'"),
        ("GET", "entries?state=OPEN", None, "state must be"),
        ("GET", "entries?limit=0", None, "limit must be a whole number from 1 to 500"),
        ("GET", "entries?limit=5&limit=6", None, "stands there 2 times"),
        ("GET", "entries?limit=%C3%A9", None, "limit must"),
        ("GET", "entries?table=", None, "table is empty"),
        ("GET", "entries?state=", None, "state must be"),
        ("GET", "waiting?workspace=" + "w" * 501, None, "workspace must be"),
        ("GET", "entries?run_id=x", None, "run_id must"),
        ("GET", "entries?since=yesterday", None, "since must be a time like"),
        ("GET", "entries?sort=name", None, "sort must be one of"),
        ("GET", "entries?after=x", None, "no cursor"),
        ("GET", "entries?parameters=yes", None, "true or false"),
        ("GET", "entries?table=a%00b", None, "printable"),
        ("GET", "entries?table=%FF", None, "cannot be read"),
        ("GET", f"entries?{'a&' * 200}", None, "cannot be read"),
        ("GET", "history?hours=1441", None, "hours must"),
        ("GET", "tables?days=61", None, "days must"),
        ("POST", "entries", b"{", "no JSON"),
        ("POST", "entries", b"[]", "must be a JSON object"),
        ("POST", "entries", b'{"entries": NaN}', "no JSON"),
        ("POST", "entries", b"[" * 100_000, "nested too deeply"),
        ("POST", "entries", {"entries": []}, "1 to 1000 entries"),
        ("POST", "entries", {"entries": [{"table_name": "a"}, 5]}, "entries[1] is no object"),
        ("POST", "entries", {"entries": [{"table_name": "a"}, {}]}, "entries[1]: table_name must be given"),
        ("POST", "entries", {"entries": [{"table_name": "a", "workspace": "x"}]}, "no workspace 'x'"),
        ("POST", "entries", {"rows": []}, "the body must be"),
        ("POST", "retry", {}, "filter must be an object"),
        ("POST", "retry", {"filter": {}}, "filter must be an object"),
        ("POST", "retry", {"filter": {"state": []}}, "one condition at least"),
        ("POST", "retry", {"filter": {"tabel": "a"}}, "no condition 'tabel'"),
        ("POST", "retry", {"filter": {"table": 5}}, "table must be a text"),
        ("POST", "retry", {"filter": {"ids": []}}, "ids must be 1 to 1000 ids"),
        ("POST", "retry", {"filter": {"ids": [1, True]}}, "ids must be 1 to 1000 ids"),
        ("POST", "retry", {"filter": {"ids": list(range(1, 1002))}}, "ids must be 1 to 1000 ids"),
        ("POST", "entries/1/retry", {"state": "DEAD"}, "there is no 'state'; give status and submission"),
        ("POST", "entries/1/retry", {"status": "DEATH"}, "state must be"),
        ("POST", "entries/1/cancel", {"submission": True}, "submission must be a whole number"),
        ("POST", "retry", {"filter": {"run_id": True}}, "run_id must"),
        ("POST", "retry", {"filter": {"table": "a"}, "dry_run": "no"}, "dry_run must"),
        ("POST", "cancel", {"filter": {"table": "a"}, "limit": 1001}, "limit must"),
        ("POST", "cancel", {"filter": {"table": "a"}, "force": 1}, "there is no 'force'"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    site: Site, method: str, address: str, body: object, part: str
) -> None:
    status, problem = await site.call(method, address, body)
    assert (status, problem["status"], problem["title"]) == (400, 400, "Bad Request")
    assert part in problem["detail"]
    assert site.answers[-1].content_type == "application/problem+json"
    assert site.execute("SELECT COUNT(*) FROM track_processing") == [(0,)]


@pytest.mark.parametrize("entry_id", ["1", "0", "x", "-1", "9223372036854775808", "9" * 30, "\u0661"])
async def test_there_is_no_such_entry(site: Site, entry_id: str) -> None:
    for method, address in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
        status, problem = await site.call(method, f"entries/{entry_id}{address}")
        assert (status, problem["title"]) == (404, "Not Found")


async def test_a_body_has_bounds_and_a_type(site: Site) -> None:
    large = json.dumps({"entries": [{"table_name": "a" * messages.MAX_BODY_BYTES}]}).encode()
    assert (await site.call("POST", "entries", large))[0] == 413
    typed = {"Content-Type": "text/plain"}
    assert (await site.call("POST", "entries", {"entries": []}, typed))[0] == 415


async def test_another_sites_page_cannot_act_for_its_visitor(site: Site) -> None:
    [entry_id] = await add(site, "sales")
    crossed = {"Sec-Fetch-Site": "cross-site"}
    assert (await site.call("POST", f"entries/{entry_id}/cancel", headers=crossed))[0] == 403
    same = {"Sec-Fetch-Site": "same-origin"}
    assert (await site.call("POST", f"entries/{entry_id}/cancel", headers=same))[0] == 200


async def test_an_insert_that_is_repeated_with_its_key_inserts_once(site: Site) -> None:
    body, key = {"entries": [{"table_name": "a"}, {"table_name": "b"}]}, {"Idempotency-Key": "load-7"}
    first = await site.call("POST", "entries", body, key)
    assert await site.call("POST", "entries", body, key) == first
    assert (await site.call("POST", "entries", {"entries": [{"table_name": "c"}]}, key))[0] == 409
    assert (await site.call("POST", "entries", body, {"Idempotency-Key": "two words"}))[0] == 400
    assert site.execute("SELECT COUNT(*) FROM track_processing") == [(2,)]


async def test_rows_of_an_adopted_table_with_columns_of_its_own_come_by_sql(
    site: Site, tmp_path: Path
) -> None:
    environment = {**ENVIRONMENT, "STATE_DB": str(site.database), "PARAMETERS_COLUMN": "options"}
    app = Application(settings.load(environment))
    answered = await Site(app=app, runs=site.runs, database=site.database).call(
        "POST", "entries", {"entries": [{"table_name": "sales"}]}
    )
    await app.close()
    assert answered[0] == 409
    assert "own columns are table_name and options" in answered[1]["detail"]
    assert site.execute("SELECT * FROM track_processing") == []


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
        "it may be done, but the row cannot be read: the connection broke: look at"
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


async def test_the_status_counts_ours_and_foreign_runs(site: Site) -> None:
    entry = await running(site.app.store, 521, "sales")
    await add(site, "stock")
    site.runs.foreign |= {521, 9001, 9002}
    await site.app.store.tick_started("trigger")
    _, told = await site.call("GET", "status")
    [workspace] = told["workspaces"]
    assert workspace["cap"] == 3
    assert workspace["active"] == {"ours": 1, "foreign": 2, "error": None}
    assert workspace["states"] == {"PENDING": 1, "QUEUED": 0, "RUNNING": 1, "FAILED": 0}
    assert [(tick["name"], tick["late"]) for tick in told["ticks"]] == [("trigger", False), ("monitor", True)]
    _, waits = await site.call("GET", "waiting?workspace=default")
    assert [(row["table_name"], row["reason"]) for row in waits["waiting"]] == [("stock", "cap")]
    assert entry.id not in {row["id"] for row in waits["waiting"]}


async def test_without_databricks_the_rest_is_told_all_the_same(site: Site) -> None:
    site.runs.down = Unauthorized("runs/list: HTTP 401", status=401)
    [workspace] = (await site.call("GET", "status"))[1]["workspaces"]
    assert workspace["active"] == {"ours": 0, "foreign": 0, "error": "runs/list: HTTP 401"}


async def test_databricks_is_asked_once_however_many_look() -> None:
    class Counting:
        asked = 0

        async def active_run_ids(self) -> frozenset[int]:
            self.asked += 1
            return frozenset({1})

    runs, clock = Counting(), FakeClock()
    active = activity.ActiveRuns({"default": runs}, clock)  # type: ignore[dict-item]  # nothing else is called
    for _ in range(3):
        assert (await active.of(["default", "unknown"]))["default"].run_ids == {1}
    await clock.sleep(activity.KEEP_SECONDS)
    await active.of(["default"])
    assert runs.asked == 2


async def test_history_and_tables(site: Site) -> None:
    entry = await running(site.app.store, 531, "sales")
    await finish(site.app.store, entry, Status.DEAD)
    _, history = await site.call("GET", "history?hours=48")
    assert [(bucket["done"], bucket["failed"]) for bucket in history["buckets"]] == [(0, 1)]
    _, tables = await site.call("GET", "tables")
    [table] = tables["tables"]
    assert (table["table_name"], table["runs"], table["success_rate"]) == ("sales", 1, 0.0)
    assert table["last_status"] == "DEAD"


async def well(site: Site) -> None:
    """Let both timer functions have just run."""
    for name in ("trigger", "monitor"):
        await site.app.store.tick_started(name)
        await site.app.store.tick_finished(name, "ok")


async def test_health(site: Site) -> None:
    assert await site.call("GET", "health") == (
        503,
        {"status": "ill", "reasons": ["trigger has never begun", "monitor has never begun"]},
    )
    await well(site)
    assert await site.call("GET", "health") == (200, {"status": "ok"})
    site.execute("UPDATE orchestrator_tick SET started_at = '2026-01-01 00:00:00.000' WHERE name = 'monitor'")
    _, told = await site.call("GET", "health")
    assert told["reasons"] == ["monitor has not begun since 2026-01-01 00:00:00 UTC"]


async def test_passes_that_begin_and_never_end_are_no_health(site: Site) -> None:
    await well(site)
    site.execute("UPDATE orchestrator_tick SET finished_at = '2026-01-01 00:00:00.000'")
    await site.app.store.tick_failed("trigger", "failed: KeyError")
    assert await site.call("GET", "health") == (
        503,
        {
            "status": "ill",
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
    early = datetime.now(UTC) - timedelta(seconds=site.app.settings.tick_late_seconds + 60)
    site.execute("UPDATE track_processing SET available_at = ?", early.strftime("%Y-%m-%d %H:%M:%S.000"))
    _, told = await site.call("GET", "health")
    assert told["reasons"] == ["rows of workspace default wait although slots are free"]


async def test_rows_that_wait_are_told_with_what_the_last_pass_said(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    site.execute("UPDATE track_processing SET available_at = '2026-01-01 00:00:00.000'")
    site.execute("UPDATE orchestrator_tick SET outcome = 'nothing claimed: no' WHERE name = 'trigger'")
    status, told = await site.call("GET", "health")
    assert status == 503
    assert told["reasons"] == [
        "rows of workspace default wait although slots are free; the last pass: nothing claimed: no"
    ]


async def test_rows_that_wait_for_a_workspace_that_is_down_are_no_health(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    site.execute("UPDATE track_processing SET available_at = '2026-01-01 00:00:00.000'")
    site.runs.down = WorkspaceUnavailable("HTTP 403")
    _, told = await site.call("GET", "health")
    assert "its active runs cannot be listed" in told["reasons"][0]


async def test_rows_that_wait_for_a_slot_of_a_full_workspace_are_well(site: Site) -> None:
    await well(site)
    await add(site, "sales")
    site.execute("UPDATE track_processing SET available_at = '2026-01-01 00:00:00.000'")
    site.runs.foreign |= {1, 2, 3}
    assert (await site.call("GET", "health"))[0] == 200


async def test_health_tells_a_schema_that_is_behind_and_a_database_that_is_away(site: Site) -> None:
    await well(site)
    site.execute("DELETE FROM orchestrator_schema WHERE version > 1")
    _, told = await site.call("GET", "health")
    assert "the database lacks 0002_reports" in told["reasons"][0]
    site.execute("DROP TABLE orchestrator_schema")
    assert (await site.call("GET", "health"))[0] == 503


async def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    app = Application(settings.load({**ENVIRONMENT, "STATE_DB": str(tmp_path / "none.db")}), patience=0)
    away = Site(app=app, runs=app.runs["default"], database=tmp_path)  # type: ignore[arg-type]  # not called
    try:
        status, told = await away.call("GET", "health")
        assert (status, "unable to open" in told["reasons"][0]) == (503, True)
        status, problem = await away.call("GET", "entries")
        assert (status, problem["title"]) == (503, "Service Unavailable")
        assert away.answers[-1].headers["Retry-After"] == "10"
    finally:
        await app.close()


async def test_a_pass_is_started_one_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await site.call("POST", "trigger")) == (202, {"problems": []})
    go_on = asyncio.Event()

    async def slow(**_: object) -> list[str]:
        await go_on.wait()
        return []

    monkeypatch.setattr(site.app, "trigger", slow)
    monkeypatch.setattr(api, "PASS_SECONDS", 0.05)
    status, told = await site.call("POST", "trigger")
    assert (status, told["problems"]) == (202, ["not done in 0 s; it goes on"])
    assert (await site.call("POST", "trigger"))[0] == 409
    go_on.set()


async def test_so_many_calls_at_once_and_each_in_time(site: Site) -> None:
    site.door = routes.Door(most=0)
    status, _ = await site.call("GET", "status")
    assert (status, site.answers[-1].headers["Retry-After"]) == (429, "1")
    site.door = routes.Door(seconds=0)
    assert (await site.call("GET", "status"))[0] == 503
    status, problem = await site.call("POST", "entries", {"entries": [{"table_name": "a"}]})
    assert (status, "may be done all the same" in problem["detail"]) == (503, True)


async def test_a_team_with_columns_of_its_own_inserts_by_sql(site: Site, tmp_path: Path) -> None:
    changed = {**ENVIRONMENT, "STATE_DB": str(site.database), "TABLE_NAME_COLUMN": "SOURCE"}
    app = Application(settings.load(changed), patience=0)
    theirs = Site(app=app, runs=site.runs, database=site.database)
    status, problem = await theirs.call("POST", "entries", {"entries": [{"table_name": "a"}]})
    assert (status, "insert rows by SQL" in problem["detail"]) == (409, True)
    await app.close()


async def test_rows_that_wait_for_a_workspace_that_does_not_answer(site: Site) -> None:
    await add(site, "sales")
    site.runs.down = WorkspaceUnavailable("HTTP 403")
    _, waits = await site.call("GET", "waiting")
    assert [row["reason"] for row in waits["waiting"]] == ["unreachable"]


async def test_no_workspace_hides_what_waits_in_another(site: Site) -> None:
    for number in range(4):
        await add(site, f"table_{number}", workspace="a")
    await add(site, "sales")
    _, waits = await site.call("GET", "waiting?limit=2")
    assert [row["workspace"] for row in waits["waiting"]] == ["a", "default"]


async def test_what_a_workspace_of_an_unknown_name_waits_for(site: Site) -> None:
    await add(site, "sales", workspace="gone")
    _, told = await site.call("GET", "status")
    assert {each["name"]: each["cap"] for each in told["workspaces"]} == {"default": 3, "gone": None}
    _, waits = await site.call("GET", "waiting")
    assert [row["reason"] for row in waits["waiting"]] == ["next"]
