"""People change rows by SQL at every stage of an entry's life: nothing is doubled, and nothing stands still.

All changes of a stage are made in one database, each to an entry of its own. Behind each entry waits another
one of its table, and one of another table waits behind them all.
"""

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.adapters.store.session import Session
from orchestrator.core import decisions, health
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.errors import OrchestratorError, RequestRefused
from orchestrator.core.models import ActiveRun, Job, Run, RunRequest
from orchestrator.core.states import FINAL, Status
from tests.fakes import UNAVAILABLE, FakeRuns
from tests.world import Database, World, workspace

STATUSES = {status.value: f"status = '{status}'" for status in Status}

#: What somebody sets, by the name of the change. The CHECKs are switched off, as untrusted constraints are.
SET = {
    **STATUSES,
    "no submission": "submission = 0",
    "a lower submission": "submission = submission - 1",
    "a higher submission": "submission = submission + 1",
    "a negative submission": "submission = -3",
    "no run": "runid = NULL",
    "another run": "runid = 990000 + id",
    "no last run": "last_runid = NULL",
    "another last run": "last_runid = 980000 + id",
    "no attempt": "attempt = 0",
    "negative attempts": "attempt = -2",
    "no deliveries": "deliveries = 0",
    "negative deliveries": "deliveries = -3",
    "many deliveries": "deliveries = 5",
    "no doubt": "in_doubt = 0",
    "no lease": "lease_expires_at = NULL",
    "a lease for ever": "lease_expires_at = '2999-01-01 00:00:00'",
    "a lease that is no time": "lease_expires_at = 'soon'",
    "a time as in ISO 8601": "available_at = '2026-01-01T00:00:00Z'",
    "a time with an offset": "available_at = '2026-01-01 00:00:00+02:00'",
    "a time long ago": "available_at = '1970-01-01 00:00:00'",
    "no time": "available_at = 'tomorrow'",
    "another GUID": "entry_guid = '00000000-0000-4000-8000-' || printf('%012d', id)",
    "another table": "table_name = 'renamed ' || table_name",
    "another job": "job_id = 7",
    "no request": "request = NULL",
    "another request": "request = '{}'",
    "a cancellation": "cancel_requested = 1",
    "no flag": "cancel_requested = 2",
    "one attempt at most": "max_attempts = 1",
    "another reason to stop": "stop_reason = 'x'",
    "a restart": "stop_reason = 'RESTART'",
    "no claim": "claimed_at = NULL",
    "no end": "finished_at = NULL",
    "odd doubts": "doubts = 'x'",
    "an unknown workspace": "workspace = 'unknown'",
}

HOUR = 3600.0

#: The row is deleted, or inserted once more.
DELETE, COPY = ("DELETE",), ("COPY",)

#: What somebody sets who wants to begin at the beginning.
RESET = ("PENDING", "no submission", "no run", "no attempt", "no deliveries", "no last run", "no request")

Change = tuple[str, ...]

CHANGES: list[Change] = [
    *((name,) for name in SET),
    *(("PENDING", name) for name in SET if name not in STATUSES),
    *(("CANCELED", "a higher submission"), ("DONE", "no deliveries"), ("QUEUED", "another GUID")),
    ("many deliveries", "another request"),
    *(RESET[:length] for length in range(3, len(RESET) + 1)),
    (*RESET, "another GUID"),
    DELETE,
    (*COPY, "PENDING"),
    (*COPY, "QUEUED"),
]


@dataclass
class Watched(FakeRuns):
    """A workspace that sees which table has two live runs, and loses answers on request."""

    now: Callable[[], datetime] | None = None
    tables: dict[int, str] = field(default_factory=dict)
    began: dict[int, datetime] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)
    loses_answers: bool = False
    #: called with the table while ``run-now`` is under way
    meanwhile: Callable[[str], None] | None = None

    async def run_now(self, request: RunRequest) -> int:
        assert isinstance(request.parameters, dict)
        assert self.now is not None
        table = request.parameters["table_name"]
        run_id = await super().run_now(request)
        if run_id not in self.tables:
            self.tables[run_id], self.began[run_id] = table, self.now()
            if sum(self.tables[each] == table for each in self.live()) > 1:
                self.doubled.add(table)
        if self.meanwhile is not None:
            self.meanwhile(table)
        if self.loses_answers:
            raise UNAVAILABLE
        return run_id

    def live(self) -> list[int]:
        return [run_id for run_id, run in self.runs.items() if run.life_cycle_state == "RUNNING"]

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        return tuple(ActiveRun(run_id=each, job_id=5, started_at=self.began[each]) for each in self.live())

    def end_all(self, result: str) -> None:
        for run_id in self.live():
            self.end(run_id, result)


@dataclass(kw_only=True)
class Trial:
    """All changes at one stage."""

    world: World
    runs: Watched
    #: table → what is made of its entry
    changes: dict[str, Change]
    #: passes that failed, messages that did so more than once
    failures: Counter[str] = field(default_factory=Counter)

    @classmethod
    def make(cls, folder: Path) -> "Trial":
        database = Database(folder)
        runs = Watched(now=lambda: datetime.now(UTC) + database.offset)
        runs.jobs[5] = Job(job_id=5, name="load", max_concurrent_runs=10_000, queue_enabled=False)
        world = World(
            store=Store(Pool(database.connector)),
            runs={"default": runs},
            workspaces={"default": workspace(cap=10_000)},
            database=database,
            databricks=runs,
            eu=runs,
        )
        return cls(world=world, runs=runs, changes={f"t{n}": each for n, each in enumerate(CHANGES)})

    async def step(self, seconds: float) -> None:
        """Make both passes and deliver the messages between them; then let time pass."""
        for make_pass in (self.world.trigger, self.deliver, self.world.monitor):
            try:
                await make_pass()
            except OrchestratorError as error:
                self.failures[f"a pass: {error}"] += 1
        self.world.database.pass_time(seconds)

    async def deliver(self) -> None:
        messages, self.world.queue.sent = self.world.queue.sent, []
        for claim in messages:
            try:
                await self.world.submit(claim)
            except OrchestratorError as error:
                self.failures[f"entry {claim.entry_id}: {error}"] += 1

    def change(self, *tables: str) -> None:
        """Let somebody change the first entry of each table."""
        with closing(sqlite3.connect(self.world.database.path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA ignore_check_constraints = ON")
            for table in tables:
                _change(connection, table, self.changes[table])


def _change(connection: sqlite3.Connection, table: str, change: Change) -> None:
    first = "SELECT MIN(id) FROM track_processing WHERE table_name = ?"
    [entry_id] = connection.execute(first, [table]).fetchone()
    if change == DELETE:
        connection.execute("DELETE FROM track_processing WHERE id = ?", [entry_id])
        return
    names = change[1:] if change[:1] == COPY else change
    if change[:1] == COPY:
        columns = [str(row[1]) for row in connection.execute("PRAGMA table_info(track_processing)")]
        copied = ", ".join(column for column in columns if column not in {"id", "entry_guid", "status"})
        made = connection.execute(
            f"INSERT INTO track_processing ({copied}) SELECT {copied} FROM track_processing WHERE id = ?",
            [entry_id],
        )
        entry_id = made.lastrowid
    settings = ", ".join(SET[name] for name in names)
    connection.execute(f"UPDATE track_processing SET {settings} WHERE id = ?", [entry_id])


# The stages. Each leaves every entry of the trial at its own.


async def waits(trial: Trial) -> None:
    pass


async def is_queued(trial: Trial) -> None:
    await trial.world.trigger()


async def is_called(trial: Trial) -> None:
    """The change is made while ``run-now`` is on its way, after it has begun the run."""
    await is_queued(trial)
    trial.runs.meanwhile = trial.change
    await trial.deliver()
    trial.runs.meanwhile = None


async def is_in_doubt(trial: Trial) -> None:
    await is_queued(trial)
    trial.runs.loses_answers = True
    await trial.deliver()
    trial.runs.loses_answers = False


async def runs(trial: Trial) -> None:
    await is_queued(trial)
    await trial.deliver()


async def has_failed(trial: Trial) -> None:
    await runs(trial)
    trial.runs.end_all("FAILED")
    await trial.world.monitor()


async def is_queued_again(trial: Trial) -> None:
    await has_failed(trial)
    trial.world.database.pass_time(HOUR)
    await trial.world.trigger()


async def runs_again(trial: Trial) -> None:
    await is_queued_again(trial)
    await trial.deliver()


async def is_repaired(trial: Trial) -> None:
    """Somebody has repaired the run in Databricks, and the entry follows it."""
    await has_failed(trial)
    for run_id, run in trial.runs.runs.items():
        repaired = replace(run, life_cycle_state="RUNNING", result_state=None, latest_repair_id=1)
        trial.runs.runs[run_id] = repaired
    await trial.world.trigger()


async def is_given_up(trial: Trial) -> None:
    """DEAD with an open submission, whose run is live."""
    await is_in_doubt(trial)
    trial.world.database.pass_time(31)
    await trial.world.monitor()
    trial.runs.errors = [RequestRefused("no", status=400, error_code="X", permanent=True) for _ in CHANGES]
    await trial.deliver()


async def is_done(trial: Trial) -> None:
    await runs(trial)
    trial.runs.end_all("SUCCESS")
    await trial.world.monitor()


STAGES: dict[Callable[[Trial], Awaitable[None]], Status | None] = {
    waits: Status.PENDING,
    is_queued: Status.QUEUED,
    is_called: None,
    is_in_doubt: Status.QUEUED,
    runs: Status.RUNNING,
    has_failed: Status.FAILED,
    is_queued_again: Status.QUEUED,
    runs_again: Status.RUNNING,
    is_repaired: Status.RUNNING,
    is_given_up: Status.DEAD,
    is_done: Status.DONE,
}

#: While its run is not known, the app cannot find the run of an entry that is deleted.
UNKNOWN = {is_in_doubt, is_given_up}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
async def test_change_by_sql(tmp_path: Path, stage: Callable[[Trial], Awaitable[None]]) -> None:
    trial = Trial.make(tmp_path)
    await trial.world.add(*trial.changes)
    await stage(trial)
    if stage is not is_called:
        assert {row["status"] for row in rows(trial)} == {STAGES[stage]}
        trial.change(*trial.changes)
    await trial.world.add(*trial.changes)
    [last] = await trial.world.add("last")
    for seconds in (10, 120, 1000, 1000, 4000):  # the runs go on, leases and back-offs end
        await trial.step(seconds)
    for _ in range(6):
        trial.runs.end_all("SUCCESS")
        await trial.step(4000)
    assert (await trial.world.entry(last)).status is Status.DONE
    assert list(violations(trial, is_unknown=stage in UNKNOWN)) == []
    await trial.world.store.pool.close()


def rows(trial: Trial, sql: str = "SELECT * FROM track_processing ORDER BY id") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(trial.world.database.path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def violations(trial: Trial, *, is_unknown: bool) -> Iterator[str]:
    """Return what must not be, one line each.

    :param is_unknown: the run was not known when the change was made.
    """
    yield from (f"failed {times} times: {failure}" for failure, times in trial.failures.items() if times > 1)
    logged = Counter(row["runid"] for row in rows(trial, "SELECT runid FROM process_log"))
    entries = rows(trial)
    for table, change in trial.changes.items():
        of_table = [entry for entry in entries if entry["table_name"] in {table, f"renamed {table}"}]
        for entry in of_table:
            if entry["status"] not in FINAL and entry["workspace"] != "unknown":  # which passes report
                yield f"{change} leaves {entry['status']}: {entry['last_error']}"
        if table in trial.runs.doubled and not (is_unknown and change == DELETE):
            yield f"{change} makes two live runs"
        errors = " ".join(entry["last_error"] or "" for entry in of_table)
        is_told = change == DELETE or "there may be a run" in errors
        for run_id in (each for each, its_table in trial.runs.tables.items() if its_table == table):
            was_repaired = trial.runs.runs[run_id].latest_repair_id is not None
            if logged[run_id] != 1 + was_repaired and not is_told:
                yield f"{change} leaves {logged[run_id]} log rows of run {run_id}"


async def test_run_of_a_deleted_entry_is_cancelled_and_holds_its_table_until_it_is_over(world: World) -> None:
    entry = await world.running()
    world.databricks.cancel = AsyncMock()  # type: ignore[method-assign]  # it is accepted, and the run goes on
    world.database.execute("DELETE FROM track_processing")
    [other] = await world.add("sales")
    for _ in range(3):
        assert await world.trigger() == []
    world.databricks.cancel.assert_awaited_with(entry.runid)
    assert (await world.entry(other)).status is Status.PENDING
    world.databricks.end(entry.runid or 0, "CANCELED")
    for _ in range(2):
        await world.trigger()
    assert (await world.entry(other)).status is Status.QUEUED
    assert await world.store.strays("default") == []


async def test_run_of_a_deleted_entry_that_cannot_be_cancelled_is_a_reason_in_health(world: World) -> None:
    """It holds its table, and no entry shows it."""
    entry = await world.running()
    denied = RequestRefused("no permission", status=403, error_code="PERMISSION_DENIED", permanent=True)
    world.databricks.cancel = AsyncMock(side_effect=denied)  # type: ignore[method-assign]
    world.database.execute("DELETE FROM track_processing")
    [other] = await world.add("sales")
    for _ in range(2):
        await world.trigger()
    assert (await world.entry(other)).status is Status.PENDING
    [reason] = health.ownerless(await Reports(world.store.pool).ownerless_runs())
    assert reason.startswith(
        "workspace default: a run that nobody wants goes on and cannot be cancelled, so it holds its table: "
        f"1 of deleted entries, for example run {entry.runid} of entry {entry.id} since "
    )
    assert reason.endswith(": no permission")


@pytest.mark.parametrize(("asked", "end"), [(False, Status.DONE), (True, Status.CANCELED)])
async def test_answer_after_an_entry_was_given_up_brings_it_back_to_its_run(
    world: World, asked: bool, end: Status
) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    entry = await world.store.begin_submission(claim, 900, "{}")
    assert entry is not None
    if asked:
        await world.cancel(entry_id)
    assert await world.store.leave_open(entry, decisions.verdict_on_giving_up(await world.entry(entry_id)))
    assert (await world.entry(entry_id)).status in {Status.DEAD, Status.CANCELED}
    world.databricks.runs[77] = Run(run_id=77, life_cycle_state="RUNNING")
    assert await world.store.record_run(claim, 77, new_in="default")
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.RUNNING
    await world.monitor()
    assert world.databricks.cancelled == [77] * asked
    world.databricks.end(77, "CANCELED" if asked else "SUCCESS")
    await world.monitor()
    assert (await world.entry(entry_id)).status is end
    assert [(log.runid, log.submission) for log in await world.store.logs(entry_id)] == [(77, 1)]


async def test_status_set_by_sql_is_told_until_the_run_is_over(world: World) -> None:
    entry = await world.running()
    world.database.execute("UPDATE track_processing SET status = 'DONE'")
    await world.monitor()
    put_back = await world.entry(entry.id)
    assert (put_back.status, put_back.runid) == (Status.RUNNING, 1000)
    assert "changed by SQL while its submission is open" in (put_back.last_error or "")
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    assert ((await world.entry(entry.id)).status, (await world.entry(entry.id)).last_error) == ("DONE", None)


async def test_resolved_entry_is_not_put_back(world: World) -> None:
    entry = await world.running()
    done = resolve(Resolution.DONE, "loaded")
    assert await Operations(world.store.pool).change(done, [entry.id]) == [entry.id]
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE


async def test_entry_left_open_is_called_for_in_its_own_workspace_only(world: World) -> None:
    """Its token finds the run where it was begun. Elsewhere it would begin a second one."""
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    entry = await world.store.begin_submission(claim, 900, "{}")
    assert entry is not None
    assert await world.store.leave_open(entry, decisions.verdict_on_giving_up(await world.entry(entry_id)))
    world.database.execute("UPDATE track_processing SET workspace = 'eu', status = 'PENDING', request = NULL")
    world.queue.sent.clear()
    for _ in range(2):
        await world.trigger()
        await world.deliver()
        world.database.pass_time(1000)
    await world.trigger()
    await world.deliver()
    assert world.eu.runs == {}
    followed = await world.entry(entry_id)
    assert (followed.workspace, followed.status, followed.submission) == ("default", Status.RUNNING, 1)
    assert list(world.databricks.runs) == [followed.runid]


async def test_run_that_becomes_known_while_an_entry_is_put_back_stays_known(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    assert await world.store.begin_submission(claim, 900, "{}") is not None
    world.database.execute("UPDATE track_processing SET status = 'PENDING'")
    seen = await world.store.pool.transact(lambda session: session.rows("changed_by_sql", 9), writes=False)
    world.databricks.runs[77] = Run(run_id=77, life_cycle_state="RUNNING")
    assert await world.store.record_run(claim, 77, new_in="default")
    answers = {"changed_by_sql": seen}
    with patch.object(Session, "rows", side_effect=lambda name, *_: answers.get(name, [])):
        await world.store.put_right(max_attempts=3, limit=9)
    assert (await world.entry(entry_id)).status is Status.PENDING  # the next pass looks again
    await world.monitor()
    followed = await world.entry(entry_id)
    assert (followed.status, followed.runid, followed.attempt) == (Status.RUNNING, 77, 0)


async def test_run_that_somebody_has_set_settles_nothing(world: World) -> None:
    """The look at the runs and the look for changed entries are made at once: either may come first."""
    entry = await world.running()
    world.databricks.runs[77] = Run(run_id=77, life_cycle_state="TERMINATED", result_state="SUCCESS")
    world.database.execute("UPDATE track_processing SET runid = 77")
    await world.make_monitor().check("default")
    await world.monitor()
    followed = await world.entry(entry.id)
    assert (followed.status, followed.runid) == (Status.RUNNING, 1000)
    assert await world.store.logs(entry.id) == []


async def test_given_up_entry_that_is_set_queued_waits_for_its_table(world: World) -> None:
    [given_up] = await world.add("sales")
    await world.trigger()
    world.databricks.down = UNAVAILABLE
    await world.deliver()
    world.databricks.down = None
    world.database.pass_time(40)
    await world.monitor()
    world.databricks.errors = [RequestRefused("no", status=400, error_code="X", permanent=True)]
    await world.deliver()
    assert (await world.entry(given_up)).status is Status.DEAD
    follower = await world.running("sales")
    world.database.execute("UPDATE track_processing SET status = 'QUEUED' WHERE id = ?", given_up)
    for _ in range(4):
        world.database.pass_time(1000)
        await world.trigger()
        await world.deliver()
    assert list(world.databricks.runs) == [follower.runid]
    world.databricks.end(follower.runid or 0, "SUCCESS")
    world.database.pass_time(1000)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(given_up)).status is Status.RUNNING


async def test_new_entry_with_the_id_of_a_deleted_one_gets_a_run_of_its_own(world: World) -> None:
    old = await world.running("sales")
    world.database.pass_time(60)
    world.database.execute("DELETE FROM track_processing")
    now = f"{await world.store.now():%Y-%m-%d %H:%M:%S.000}"
    world.database.execute(
        "INSERT INTO track_processing (id, table_name, created_at, available_at)"
        " VALUES (?, 'customers', ?, ?)",
        old.id,
        now,
        now,
    )
    for _ in range(4):
        world.database.pass_time(60)
        await world.trigger()
        await world.deliver()
    assert world.databricks.cancelled == [old.runid]
    new = await world.entry(old.id)
    assert (new.table_name, new.status, new.runid) == ("customers", Status.RUNNING, 1001)


async def test_doubt_outlasts_its_columns(world: World) -> None:
    """The call of a copied message is refused after somebody has reset the columns: that settles nothing."""
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    world.database.execute("UPDATE track_processing SET deliveries = 0, in_doubt = 0, request = NULL")
    world.databricks.errors = [RequestRefused("no", status=400, error_code="X", permanent=False)]
    await world.submit(claim)
    assert await world.store.logs(entry_id) == []
    for _ in range(4):
        world.database.pass_time(1000)
        await world.trigger()
        await world.deliver()
    assert list(world.databricks.runs) == [1000]
    assert (await world.entry(entry_id)).runid == 1000
