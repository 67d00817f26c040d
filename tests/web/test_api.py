"""What each route answers, called as the host calls it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator import settings
from orchestrator.adapters.store.migrate import available
from orchestrator.bootstrap import Application
from orchestrator.core.errors import Unauthorized, WorkspaceUnavailable
from orchestrator.core.models import ActiveRun
from orchestrator.core.states import Status
from orchestrator.core.version import VERSION
from orchestrator.usecases import overview
from orchestrator.web import http
from tests.fakes import FakeClock
from tests.store.helpers import finish, running
from tests.web.conftest import ENVIRONMENT
from tests.web.support import Site, add

PARAMETERS = '{"customer": "Zuckerbrot"}'


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
    assert [row["id"] for row in page["entries"]] == [str(entry.id)]
    assert page["next"] is None
    _, story = await site.call("GET", f"entries/{entry.id}")
    assert (story["last_error"], story["run_id"]) == ("why", "501")
    assert [(run["submission"], run["status"], run["run_id"]) for run in story["runs"]] == [
        (1, "DEAD", "501")
    ]


async def test_a_run_under_way_leads_to_its_page(site: Site) -> None:
    entry = await running(site.app.store, 502, "sales")
    [named] = await add(site, "stock", job_id=77)
    [elsewhere] = await add(site, "parts", workspace="gone")
    site.execute("UPDATE track_processing SET runid = 503 WHERE id <> ?", entry.id)
    _, page = await site.call("GET", "entries?sort=id")
    pages = {int(row["id"]): row["run_page_url"] for row in page["entries"]}
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
    assert [row["id"] for row in page["entries"]] == [str(entry_id)]
    assert (await site.call("GET", f"entries?until={first}"))[1]["entries"] == []
    assert (await site.call("GET", f"entries?since={last}"))[1]["entries"] == []


async def test_pages_are_joined_by_their_cursors(site: Site) -> None:
    rows = await add(site, *"abcde")
    found, after = [], ""
    for _ in range(3):
        _, page = await site.call("GET", f"entries?sort=id&limit=2{after}")
        found += [int(row["id"]) for row in page["entries"]]
        after = f"&after={page['next']}"
    assert found == rows
    assert page["next"] is None


@pytest.mark.parametrize("sort", ["updated", "-updated"])
async def test_pages_hold_each_entry_once_although_times_have_seven_digits(site: Site, sort: str) -> None:
    rows = sorted(await add(site, *["sales"] * 30))
    site.execute("UPDATE track_processing SET updated_at = '2026-03-01 12:00:00.1234567'")
    found, after = [], ""
    for _ in range(10):
        _, page = await site.call("GET", f"entries?sort={sort}&limit=7{after}")
        found += [int(row["id"]) for row in page["entries"]]
        after = f"&after={page['next']}"
        if page["next"] is None:
            break
    assert found == (rows[::-1] if sort == "-updated" else rows)


@pytest.mark.parametrize("path", ["entries", "openapi.json", "dashboard"])
async def test_a_query_string_that_cannot_be_read_is_refused_everywhere(site: Site, path: str) -> None:
    for query in ("%ff=1", "&".join(f"f{number}=1" for number in range(101))):
        status, problem = await site.call("GET", f"{path}?{query}")
        assert (status, problem["detail"]) == (400, "the query string cannot be read")


@pytest.mark.parametrize(
    ("method", "address", "body", "part"),
    [
        ("GET", "entries?stat=DEAD", None, "there is no field 'stat'; the fields are table, "),
        ("GET", "entries?state=OPEN", None, "state must be"),
        ("GET", "entries?limit=0", None, "limit must be a whole number from 1 to 500"),
        ("GET", "entries?limit=5&limit=6", None, "`limit` is given twice"),
        ("GET", "entries?limit=%C3%A9", None, "limit must"),
        ("GET", "entries?table=", None, "`table` is empty"),
        ("GET", "entries?state=", None, "state must be"),
        ("GET", "waiting?workspace=" + "w" * 501, None, "workspace must be"),
        ("GET", "entries?run_id=x", None, "run_id must"),
        (
            "GET",
            "entries?since=yesterday",
            None,
            "since: 'yesterday' is not a time; use 2026-01-31T04:00:00Z",
        ),
        ("GET", "entries?sort=name", None, "sort must be one of"),
        ("GET", "entries?after=x", None, "not a cursor"),
        ("GET", "entries?parameters=yes", None, "true or false"),
        ("GET", "entries?table=a%00b", None, "printable"),
        ("GET", "entries?table=%FF", None, "cannot be read"),
        ("GET", f"entries?{'a&' * 200}", None, "cannot be read"),
        ("GET", "history?hours=1441", None, "hours must"),
        ("GET", "tables?days=61", None, "days must"),
        ("POST", "entries", b"{", "the body is not valid JSON"),
        ("POST", "entries", b"[]", "the body is not a JSON object"),
        ("POST", "entries", b'{"entries": NaN}', "the body is not valid JSON"),
        ("POST", "entries", b"[" * 100_000, "nested too deeply"),
        ("POST", "entries", {"entries": []}, "$.entries must be a list of 1 to 1000 values"),
        (
            "POST",
            "entries",
            {"entries": [{"table_name": "a"}, 5]},
            "$.entries[1] is not an object; nothing was inserted",
        ),
        ("POST", "entries", {"entries": [{"table_name": "a"}, {}]}, "$.entries[1].table_name must be given"),
        (
            *("POST", "entries", {"entries": [{"table_name": "a", "priority": 2**31}]}),
            "$.entries[0].priority must be a whole number from -2147483648 to 2147483647; nothing",
        ),
        (
            "POST",
            "entries",
            {"entries": [{"table_name": "a\n"}]},
            "$.entries[0].table_name must not contain",
        ),
        (
            "POST",
            "entries",
            {"entries": [{"table_name": "a", "parameters": 5}]},
            "parameters must be an object",
        ),
        (
            "POST",
            "entries",
            {"entries": [{"table_name": "a", "parameters": "{"}]},
            "parameters is not valid JSON",
        ),
        ("POST", "entries", {"entries": [{"table_name": "a", "parameter_style": "x"}]}, "parameter_style is"),
        (
            "POST",
            "entries",
            {"entries": [{"table_name": "a", "workspace": "x"}]},
            "$.entries[0].workspace 'x' is not",
        ),
        ("POST", "entries", {"rows": []}, "$ has no field 'rows'; the fields are entries"),
        ("POST", "retry", {}, "$.filter must be given"),
        ("POST", "retry", {"filter": {}}, "$.filter must have at least one of table, "),
        ("POST", "retry", {"filter": {"state": []}}, "$.filter.state must be a list"),
        ("POST", "retry", {"filter": {"state": "DEAD", "until": None}}, "$.filter.until must be a text"),
        (
            "POST",
            "retry",
            {"filter": {"tabel": "a"}},
            "$.filter has no field 'tabel'; the fields are table, ",
        ),
        ("POST", "retry", {"filter": {"table": 5}}, "$.filter.table must be a text of 1 to 500 characters"),
        ("POST", "retry", {"filter": {"ids": []}}, "$.filter.ids must be a list of 1 to 1000 values"),
        ("POST", "retry", {"filter": {"ids": [1, True]}}, "$.filter.ids[1] must be a whole number from -9"),
        ("POST", "retry", {"filter": {"ids": list(range(1, 1002))}}, "$.filter.ids must be a list of 1 to"),
        (
            "POST",
            "entries/1/retry",
            {"state": "DEAD"},
            "$ has no field 'state'; the fields are status, submission",
        ),
        ("POST", "entries/1/retry", {"status": "DEATH"}, "$.status must be one of PENDING, "),
        (
            "POST",
            "entries/1/cancel",
            {"submission": True},
            "$.submission must be a whole number from 0 to 2147483647",
        ),
        ("POST", "retry", {"filter": {"run_id": True}}, "$.filter.run_id must"),
        ("POST", "retry", {"filter": {"table": "a"}, "dry_run": "no"}, "$.dry_run must be true or false"),
        (
            "POST",
            "cancel",
            {"filter": {"table": "a"}, "limit": 1001},
            "$.limit must be a whole number from 1 to 1000",
        ),
        ("POST", "cancel", {"filter": {"table": "a"}, "force": 1}, "$ has no field 'force'"),
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
    large = json.dumps({"entries": [{"table_name": "a" * http._MAX_BODY_BYTES}]}).encode()
    assert (await site.call("POST", "entries", large))[0] == 413
    typed = {"Content-Type": "text/plain"}
    assert (await site.call("POST", "entries", {"entries": []}, typed))[0] == 415


async def test_another_sites_page_cannot_act_for_its_visitor(site: Site) -> None:
    [entry_id] = await add(site, "sales")
    crossed = {"Sec-Fetch-Site": "cross-site"}
    assert (await site.call("POST", f"entries/{entry_id}/cancel", headers=crossed))[0] == 403
    same = {"Sec-Fetch-Site": "same-origin"}
    assert (await site.call("POST", f"entries/{entry_id}/cancel", headers=same))[0] == 200


async def test_the_status_counts_ours_and_foreign_runs(site: Site) -> None:
    entry = await running(site.app.store, 521, "sales")
    await add(site, "stock")
    site.runs.foreign |= {521, 9001, 9002}
    await site.app.pass_log.pass_started("trigger")
    _, told = await site.call("GET", "status")
    assert (told["version"], told["schema_version"]) == (VERSION, len(available("sqlite")))
    [workspace] = told["workspaces"]
    assert workspace["cap"] == 3
    assert workspace["active"] == {"ours": 1, "foreign": 2, "foreign_queued": 0, "error": None}
    assert workspace["states"] == {"PENDING": 1, "QUEUED": 0, "RUNNING": 1, "FAILED": 0}
    assert [(last_pass["name"], last_pass["late"]) for last_pass in told["passes"]] == [
        ("trigger", False),
        ("monitor", True),
    ]
    _, waits = await site.call("GET", "waiting?workspace=default")
    assert [(row["table_name"], row["reason"]) for row in waits["waiting"]] == [("stock", "cap")]
    assert str(entry.id) not in {row["id"] for row in waits["waiting"]}


async def test_without_databricks_the_rest_is_told_all_the_same(site: Site) -> None:
    site.runs.down = Unauthorized("runs/list: HTTP 401", status=401)
    [workspace] = (await site.call("GET", "status"))[1]["workspaces"]
    assert workspace["active"] == {
        "ours": 0,
        "foreign": 0,
        "foreign_queued": 0,
        "error": "runs/list: HTTP 401",
    }


async def test_databricks_is_asked_once_however_many_look() -> None:
    class Counting:
        asked = 0

        async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
            self.asked += 1
            return (ActiveRun(run_id=1),)

    async def now() -> datetime:
        return datetime.now(UTC)

    runs, clock = Counting(), FakeClock()
    active = overview.ActiveRuns({"default": runs}, clock)  # type: ignore[dict-item]  # nothing else is called
    for _ in range(3):
        assert (await active.of(["default", "unknown"], now))["default"].runs == (ActiveRun(run_id=1),)
    await clock.sleep(overview._KEEP_SECONDS)
    await active.of(["default"], now)
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


async def test_so_many_calls_at_once_and_each_in_time(site: Site) -> None:
    site.serve(at_once=0)
    status, _ = await site.call("GET", "status")
    assert (status, site.answers[-1].headers["Retry-After"]) == (429, "1")
    site.serve(seconds=0)
    assert (await site.call("GET", "status"))[0] == 503
    status, problem = await site.call("POST", "entries", {"entries": [{"table_name": "a"}]})
    assert (status, "the change may still be made" in problem["detail"]) == (503, True)


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
    assert [row["reason"] for row in waits["waiting"]] == ["workspace"]
