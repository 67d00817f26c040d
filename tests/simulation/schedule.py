"""The real use cases and SQLite store; the test controls Databricks, the queue and the clock."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.actions import Resolution
from orchestrator.core.errors import StoreError
from orchestrator.core.models import Claim
from orchestrator.core.states import FINAL, Status
from tests.empty_store import make_empty_store
from tests.fakes import FakeClock
from tests.invariants import AUDIT
from tests.operators import Operator
from tests.simulation.databricks import Host, SimulatedRuns
from tests.simulation.parts import SimulatedPool, SimulatedQueue, SimulatedStore
from tests.simulation.rules import Rules
from tests.simulation.runs import SimulatedRun
from tests.simulation.scheduler import Scheduler
from tests.world import UseCases, policy, workspace

CAP = 3
MAX_ATTEMPTS = 2

POLICY = policy(
    max_attempts=MAX_ATTEMPTS,
    retry_backoff_seconds=10,
    submit_lease_seconds=100,
    max_deliveries=4,
    run_timeout_seconds=3000,
    queue_timeout_seconds=2000,
)

#: After the faults, this many passes bring every entry to a final state.
PASSES = 40


class Schedule:
    """One workspace and one store; the test orders every step of every function.

    :param hosts: where the workspace is, by the settings of each app; "" = addresses are not told apart.
    """

    def __init__(self, folder: Path, hosts: tuple[str, ...] = ("",)) -> None:
        self.scheduler = Scheduler()
        self.offset = timedelta()
        connector = SqliteConnector(make_empty_store(folder / "state.db"), now=self._now)
        self.pool = SimulatedPool(connector, self.scheduler)
        self.databricks = SimulatedRuns(self.scheduler, self._now)
        self.queue = SimulatedQueue(self.scheduler)
        self._outside = connector.connect().connection
        self._outside.cursor().executescript(AUDIT)
        self.operator = Operator(connector)
        self.rules = Rules(sql=self.sql, databricks=self.databricks, policy=POLICY, cap=CAP)
        self.pool.claimed = self.rules.check_claim
        self.databricks.check_start = self.rules.check_start
        self.databricks.check_repair = self.rules.check_repair
        self.databricks.check_cancel = self.rules.check_cancel
        self._apps = {host: self._app(host) for host in hosts}

    def _app(self, host: str) -> UseCases:
        """Return an app whose settings name a host."""
        return UseCases(
            store=SimulatedStore(self.pool),
            runs={"default": Host(self.databricks, host)},
            workspaces={"default": replace(workspace(job_id=1, cap=CAP), address=host)},
            queue=self.queue,
            policy=POLICY,
            clock=_ScheduleClock(self),
        )

    def _host(self, which: int) -> str:
        return list(self._apps)[which % len(self._apps)]

    def _now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + self.offset

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read or change entries from outside, at once."""
        rows: list[tuple[Any, ...]] = self._outside.cursor().execute(statement, parameters).fetchall()
        return rows

    def followed(self) -> set[int]:
        """Return the runs that RUNNING entries follow."""
        return {runid for (runid,) in self.sql("SELECT runid FROM track_processing WHERE status = 'RUNNING'")}

    # -- what people do

    def insert(
        self,
        table: str,
        *,
        parameters: str | None = None,
        priority: int = 0,
        retry_mode: str | None = None,
    ) -> None:
        """Insert an entry as a third party does."""
        self.rules.inserted += 1
        self.sql(
            "INSERT INTO track_processing (table_name, parameters, priority, retry_mode, available_at)"
            " VALUES (?, ?, ?, ?, '2029-12-31 00:00:00')",  # before the simulated time
            table,
            parameters,
            priority,
            retry_mode,
        )

    def run_again(self, which: str, *parameters: Any) -> None:
        """Retry final entries as an operator does in SQL, as in docs/sql.md."""
        [(before,)] = self.sql("SELECT COALESCE(MAX(rowid), 0) FROM audit")
        self.sql(
            f"UPDATE track_processing SET status = 'PENDING', cancel_requested = 0 WHERE {which}", *parameters
        )
        self.sql("UPDATE audit SET action = 'retry' WHERE rowid > ?", before)

    def resolve(self, entry_id: int, resolution: Resolution) -> None:
        """Settle an entry by hand as an operator does; its runs are let go."""
        if self.operator.resolve(entry_id, resolution):
            self.rules.let_go |= dict(
                self.sql("SELECT entry_guid, submission FROM track_processing WHERE id = ?", entry_id)
            )

    def ask_to_cancel(self, entry_id: int) -> None:
        """Request a cancellation as an operator does in SQL."""
        self.rules.to_cancel.add(entry_id)
        self.sql("UPDATE track_processing SET cancel_requested = 1 WHERE id = ?", entry_id)

    def repair_by_hand(self, run: SimulatedRun) -> None:
        """Run the failed tasks of a run again, as a person does in Databricks."""
        self.rules.person_repairs(run)
        if len(self._apps) > 1:  # an app that is at another host begins a new run without a look at it
            self.rules.astray.add(run)
        self.databricks.repair_by_hand(run)

    # -- steps that may begin

    def start_trigger(self, app: int = 0) -> None:
        """Begin a trigger pass of an app, concurrently with everything else."""
        self.scheduler.start(_pass(self._apps[self._host(app)].trigger))

    def start_monitor(self, app: int = 0) -> None:
        """Begin a monitor pass of an app, concurrently with everything else."""
        self.scheduler.start(_pass(self._apps[self._host(app)].monitor))

    def deliver(self, which: int, *, keep: bool, app: int = 0) -> None:
        """Begin to handle a message; with ``keep`` it is delivered again, concurrently or later."""
        if self.queue.messages:
            index = which % len(self.queue.messages)
            claim = self.queue.messages[index]
            if not keep:
                del self.queue.messages[index]
            self.scheduler.start(self._handle(claim, self._host(app)))

    async def _handle(self, claim: Claim, host: str) -> None:
        try:
            await self._apps[host].submit(claim)
        except BaseException as error:  # also when the process is killed: the message becomes visible again
            self.queue.messages.append(claim)
            if not isinstance(error, StoreError):
                raise

    def close(self) -> None:
        """Release all resources."""
        self.scheduler.close()
        self._outside.close()
        self.pool.disconnect()

    def check(self) -> None:
        """Check the rules that always hold."""
        self.rules.check()

    # -- after the faults

    def drain(self) -> None:
        """End the faults: after some passes only entries with live runs are unfinished, then none."""
        self.databricks.faults.clear()
        self.databricks.foreign.clear()
        self.databricks.repairs_lag = False
        for run in self.databricks.runs.values():
            run.unreadable = False
        self.pool.faults.clear()
        self.queue.fault = ""
        self.scheduler.finish()
        if len(self._apps) == 1:  # otherwise the runs of one app keep the others from claiming
            self._pass_until(self._only_live_runs_are_unfinished)
            self._check_revivals()
        self._pass_until(self._all_ended, end_runs=True)
        assert self.databricks.live() == []
        self.rules.check_at_the_end()

    def _pass_until(self, reached: Callable[[], bool], *, end_runs: bool = False) -> None:
        for _ in range(PASSES):
            self.offset += timedelta(seconds=POLICY.submit_lease_seconds)
            if self.sql("SELECT 1 FROM track_processing WHERE last_error LIKE 'its run vanished together%'"):
                self.offset += timedelta(days=1)  # somebody has deleted them all
            if end_runs:
                for run in self.databricks.live():
                    self.databricks.end(run, "success")
            for app in range(len(self._apps)):
                self.start_trigger(app)
                self.scheduler.finish()
            for _ in range(len(self.queue.messages)):
                self.deliver(0, keep=False, app=self._app_of(self.queue.messages[0]))
                self.scheduler.finish()
            self.check()
            if reached():
                return
        rows = self.sql("SELECT id, status, last_error FROM track_processing")
        raise AssertionError(f"{PASSES} passes did not do: {rows}")

    def _app_of(self, claim: Claim) -> int:
        """Return the app that has what an entry has had last; the first one if it has had nothing."""
        [(address,)] = self.sql("SELECT workspace_address FROM track_processing WHERE id = ?", claim.entry_id)
        return list(self._apps).index(address) if address in self._apps else 0

    def _only_live_runs_are_unfinished(self) -> bool:
        """Entries that wait for a slot, their table or a run of their own are also behind a live run."""
        rows = self.sql("SELECT id, table_name, status, runid, last_runid FROM track_processing")
        live = {run.run_id for run in self.databricks.live()}
        logged = self.sql("SELECT entry_id, runid FROM process_log")
        behind = {entry_id for entry_id, runid in logged if runid in live}
        busy = {
            table
            for entry_id, table, _, _, last_runid in rows
            if last_runid in live or (last_runid is not None and entry_id in behind)
        }
        stuck = [
            table
            for entry_id, table, status, runid, _ in rows
            if status not in FINAL
            and not (status == Status.RUNNING and runid in live)
            and entry_id not in behind
        ]
        return not stuck or len(live) >= CAP or all(table in busy for table in stuck)

    def _check_revivals(self) -> None:
        """Every entry whose last run somebody repaired is RUNNING again."""
        for run in self.databricks.live():
            row = self.rules.row(run)
            is_left = row.last_runid == run.run_id and self.rules.is_revivable(row)
            assert not is_left, f"run {run.run_id} was repaired, and its entry is {row.status}"

    def _all_ended(self) -> bool:
        """All entries are final; one with an open submission is retried, to find its run."""
        self.run_again("status IN ('DEAD', 'CANCELED') AND deliveries > 0")
        return all(status in FINAL for (status,) in self.sql("SELECT status FROM track_processing"))


class _ScheduleClock(FakeClock):
    """The app's clock: it goes with the schedule's, so that lists of active runs and jobs go out of date."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def monotonic(self) -> float:
        return super().monotonic() + self._schedule.offset.total_seconds()


async def _pass(work: Callable[[], Any]) -> None:
    """Make a timer's pass: the host logs an error of the store, and the next pass continues."""
    with contextlib.suppress(StoreError):
        await work()
