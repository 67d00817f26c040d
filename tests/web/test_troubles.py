"""Health names what would otherwise be silent, and the API marks the entries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.models import ActiveRun, Job
from orchestrator.core.states import Status
from tests.fakes import FakeRuns
from tests.store.helpers import finish, running
from tests.web.support import Site, add
from tests.web.test_health import well

LONG_AGO = "2026-01-01 00:00:00.000"


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.000")


async def reasons(site: Site) -> list[str]:
    """Return what health says once the timer functions have just run."""
    await well(site)
    _, told = await site.call("GET", "health")
    found: list[str] = told.get("reasons", [])
    return found


def change(site: Site, ids: list[int], **values: Any) -> None:
    assignments = ", ".join(f"{name} = ?" for name in values)
    for entry_id in ids:
        site.execute(f"UPDATE track_processing SET {assignments} WHERE id = ?", *values.values(), entry_id)


@pytest.mark.parametrize(
    ("column", "trouble"),
    [
        ("slot_waits", "no slot, 10 times in a row or more"),
        ("platform_failures", "failures of the platform, 10 times in a row or more"),
    ],
)
@pytest.mark.parametrize("status", ["PENDING", "FAILED", "QUEUED"])
async def test_waits_without_a_slot_and_failures_of_the_platform(
    site: Site, column: str, trouble: str, status: str
) -> None:
    ids = await add(site, "a", "b", "c", "d")
    change(site, ids, submission=1, status=status, claimed_at=ago(1), last_error="all is\nfull")
    change(site, ids[:3], **{column: 9})
    assert await reasons(site) == []
    change(site, ids[1:3], **{column: 10})
    change(site, ids[3:], **{column: 12, "status": "DONE"})  # it is over
    assert await reasons(site) == [
        f"workspace default: {trouble}: 2 entries, for example entry {ids[1]}: all is full"
    ]


async def test_entries_that_are_queued_for_longer_than_two_leases(site: Site) -> None:
    ids = await add(site, "a", "b", "c")
    change(site, ids, status="QUEUED", submission=1, deliveries=1, claimed_at=ago(1790), updated_at=LONG_AGO)
    assert await reasons(site) == []
    change(site, ids[:1], claimed_at=LONG_AGO, last_error="HTTP 403")
    text = "workspace default: QUEUED for longer than two leases: 1 entry, for example entry"
    assert await reasons(site) == [f"{text} {ids[0]} since 2026-01-01 00:00:00 UTC: HTTP 403"]
    # An entry that an older version claimed says only when it was last changed.
    change(site, ids[:1], claimed_at=ago(1))
    change(site, ids[1:2], claimed_at=None)
    assert await reasons(site) == [f"{text} {ids[1]} since 2026-01-01 00:00:00 UTC"]


@pytest.mark.parametrize(
    ("column", "trouble"),
    [
        ("missing_since", "RUNNING, but Databricks says that the run does not exist"),
        ("unreadable_since", "RUNNING, but Databricks keeps the app from reading or cancelling the run"),
    ],
)
async def test_runs_that_are_missing_or_cannot_be_read(site: Site, column: str, trouble: str) -> None:
    first = await running(site.app.store, 501, "a")
    await running(site.app.store, 502, "b")
    assert await reasons(site) == []
    change(site, [first.id], **{column: LONG_AGO, "last_error": "Run 501 …"})
    assert await reasons(site) == [
        f"workspace default: {trouble}: 1 entry, for example entry {first.id} since 2026-01-01 00:00:00 UTC: "
        "Run 501 …"
    ]
    _, entry = await site.call("GET", f"entries/{first.id}")
    assert entry[column] == "2026-01-01T00:00:00.000Z"


def successes(site: Site, table: str, *seconds: float, workspace: str = "default") -> None:
    """Insert entries whose run succeeded after some seconds, the last one last."""
    for number, took in enumerate(seconds, start=1):
        times = (LONG_AGO, f"2026-01-01 00:{number:02}:00.000")
        site.execute(
            "INSERT INTO track_processing (table_name, workspace, status, submission, attempt, finished_at,"
            " updated_at) VALUES (?, ?, 'DONE', 1, 1, ?, ?)",
            *(table, workspace, *times),
        )
        site.execute(
            "INSERT INTO process_log (entry_id, submission, attempt, status, execution_seconds,"
            " setup_seconds) SELECT MAX(id), 1, 1, 'DONE', ?, 0 FROM track_processing",
            took,
        )


async def test_a_run_that_takes_far_longer_than_usual(site: Site) -> None:
    successes(site, "sales", *[9000.0] * 10, *range(60, 90))  # the last thirty count
    successes(site, "sales", *[7000.0] * 30, workspace="eu")
    entry = await running(site.app.store, 501, "sales")
    other = await running(site.app.store, 502, "orders")
    change(site, [entry.id, other.id], submitted_at=ago(680))
    _, shown = await site.call("GET", f"entries/{entry.id}")
    assert (shown["usual_seconds"], shown["overdue"]) == (88.0, False)
    assert await reasons(site) == []
    change(site, [entry.id, other.id], submitted_at=ago(800))
    _, shown = await site.call("GET", f"entries/{entry.id}")
    assert (shown["usual_seconds"], shown["overdue"]) == (88.0, True)
    [reason] = await reasons(site)
    start = f"workspace default: RUNNING for far longer than usual: 1 entry, for example entry {entry.id}: "
    assert reason.startswith(f"{start}run 501, 80")
    assert reason.endswith(" s, usually 88 s")
    _, shown = await site.call("GET", f"entries/{other.id}")
    assert (shown["usual_seconds"], shown["overdue"]) == (None, False)
    # What it waited in Databricks' own queue does not count, nor while it waits there.
    for queued in (700.0, None):
        change(site, [entry.id], queue_seconds=queued)
        assert await reasons(site) == []
        assert (await site.call("GET", f"entries/{entry.id}"))[1]["overdue"] is False


class Shared(FakeRuns):
    """A workspace that other people use, too."""

    listed: tuple[ActiveRun, ...] = ()

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        return self.listed


def share(site: Site, *listed: ActiveRun) -> Shared:
    site.runs = shared = Shared()
    shared.listed = listed
    for clients in (site.app.runs, site.app.web_runs):
        clients["default"] = shared  # type: ignore[assignment]  # it has all that a client has
    return shared


async def waiting_for_long(site: Site, *tables: str, **fields: Any) -> list[int]:
    ids = await add(site, *tables, **fields)
    change(site, ids, available_at=LONG_AGO, created_at=LONG_AGO)
    return ids


async def test_foreign_runs_that_keep_entries_waiting_are_counted_by_job(site: Site) -> None:
    jobs = [7, 7, 7, 8, 8, None, 9]
    queued = ActiveRun(run_id=90, job_id=10, queued=True)
    share(site, queued, *(ActiveRun(run_id=number, job_id=job) for number, job in enumerate(jobs, start=1)))
    await waiting_for_long(site, "sales")
    assert await reasons(site) == [
        "entries of workspace default wait: foreign runs take 7 of its 3 slots (job 7: 3, job 8: 2, "
        "no job: 1, …)"
    ]
    _, status = await site.call("GET", "status")
    assert status["workspaces"][0]["active"] == {
        "ours": 0,
        "foreign": 7,
        "foreign_queued": 1,
        "error": None,
    }


async def test_entries_whose_job_is_full_of_our_runs_are_no_reason(site: Site) -> None:
    shared = share(site, ActiveRun(run_id=501, job_id=5))
    shared.jobs[5] = Job(job_id=5, name="", max_concurrent_runs=1, queue_enabled=False)
    await running(site.app.store, 501, "sales")
    [waits] = await waiting_for_long(site, "orders")
    assert await reasons(site) == []
    _, told = await site.call("GET", "waiting")
    assert [(int(each["id"]), each["reason"]) for each in told["waiting"]] == [(waits, "job")]


async def test_entries_whose_job_is_full_of_foreign_runs_are_a_reason(site: Site) -> None:
    shared = share(site, ActiveRun(run_id=501, job_id=5))
    shared.jobs[5] = Job(job_id=5, name="", max_concurrent_runs=1, queue_enabled=False)
    await waiting_for_long(site, "orders")
    assert await reasons(site) == [
        "entries of workspace default wait for job 5: its max_concurrent_runs is 1, and 1 foreign run is "
        "active on it"
    ]


async def test_entries_whose_table_is_busy_with_a_repaired_run_are_a_reason_after_hours(site: Site) -> None:
    """The run belongs to an entry that is DONE and stays so, but its table is busy."""
    share(site, ActiveRun(run_id=501, job_id=6))
    done = await running(site.app.store, 501, "sales")
    assert await finish(site.app.store, done, Status.DONE)
    change(site, [done.id], finished_at=LONG_AGO)
    [waits] = await waiting_for_long(site, "sales")
    change(site, [waits], available_at=ago(3600))
    assert await reasons(site) == []
    _, told = await site.call("GET", "waiting")
    assert [(int(each["id"]), each["reason"]) for each in told["waiting"]] == [(waits, "active run")]
    change(site, [waits], available_at=LONG_AGO)
    [reason] = await reasons(site)
    assert reason.startswith(
        "workspace default: waiting for hours behind a run of the same table: 1 entry, for"
    )
    assert f"entry {waits} since 2026-01-01 00:00:00 UTC: table sales is held by run 501 of entry" in reason


async def test_entry_shows_what_it_asks_for_and_its_runs_how_they_ended(site: Site) -> None:
    [entry_id] = await add(
        site,
        "sales",
        job_name="nightly",
        options='{"queue": {"enabled": true}}',
        retry_mode="repair",
        run_timeout_seconds=60,
        queue_timeout_seconds=0,
    )
    change(site, [entry_id], slot_waits=2, platform_failures=1, postponements=4, claimed_at=LONG_AGO)
    site.execute(
        "INSERT INTO process_log (entry_id, submission, attempt, status, termination_type, result)"
        " VALUES (?, 1, 1, 'DONE', 'SUCCESS', '42 rows')",
        entry_id,
    )
    _, shown = await site.call("GET", f"entries/{entry_id}")
    assert (
        shown
        | {
            "job_id": None,
            "job_name": "nightly",
            "options": '{"queue": {"enabled": true}}',
            "retry_mode": "repair",
            "run_timeout_seconds": 60,
            "queue_timeout_seconds": 0,
            "slot_waits": 2,
            "platform_failures": 1,
            "postponements": 4,
            "claimed_at": "2026-01-01T00:00:00.000Z",
            "queue_seconds": None,
            "missing_since": None,
            "unreadable_since": None,
            "usual_seconds": None,
            "overdue": False,
        }
        == shown
    )
    [run] = shown["runs"]
    assert (run["termination_type"], run["result"]) == ("SUCCESS", "42 rows")


async def test_a_run_of_a_job_by_name_is_linked_by_the_id_of_its_submission(site: Site) -> None:
    entry = await running(site.app.store, 501, "sales")
    change(site, [entry.id], job_name="nightly", request=None)
    assert (await site.call("GET", f"entries/{entry.id}"))[1]["run_page_url"] is None
    request = (
        '{"run_now": {"job_id": 11, "parameter_style": "notebook_params", "parameters": {}, "options": {}}}'
    )
    change(site, [entry.id], request=request)
    _, shown = await site.call("GET", f"entries/{entry.id}")
    assert shown["run_page_url"] == "http://127.0.0.1:1/#job/11/run/501"
