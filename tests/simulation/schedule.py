"""The real use cases and SQLite store; the test controls Databricks, the queue and the clock."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.actions import Resolution
from orchestrator.core.errors import StoreError
from orchestrator.core.models import ActiveRun, Claim
from orchestrator.core.reports import Known, KnownWorkspace
from orchestrator.core.states import FINAL, Status
from orchestrator.usecases.overview import ActiveRuns
from orchestrator.usecases.timer_pass import TIMER_FUNCTIONS
from tests.empty_store import make_empty_store
from tests.fakes import FakeClock
from tests.invariants import AUDIT
from tests.operators import Operator
from tests.simulation.databricks import Host, Onlooker, SimulatedRuns
from tests.simulation.parts import SimulatedPool, SimulatedQueue, SimulatedStore
from tests.simulation.rules import WATCH_ADDRESSES, Rules
from tests.simulation.runs import SimulatedRun
from tests.simulation.scheduler import Scheduler
from tests.world import UseCases, overview_of, policy, workspace

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

#: Entries whose runs vanished together, so that it takes up to a day until that is believed.
VANISHED = "status = 'RUNNING' AND missing_since IS NOT NULL AND vanished_at IS NOT NULL"

#: When every task waits for a time limit, so much time passes until they are looked at again.
_MOMENT = timedelta(seconds=5)


class Schedule:
    """One store and one workspace or more; the test orders every step of every function.

    :param hosts: where the workspace is, by the settings of each app; "" = addresses are not told apart.
    :param others: further workspaces that each app has; their host is their name.
    """

    def __init__(self, folder: Path, hosts: tuple[str, ...] = ("",), others: tuple[str, ...] = ()) -> None:
        self.offset = timedelta()
        #: how far the database's clock is ahead
        self.skew = timedelta()
        #: between two passes after the faults
        self.pause = timedelta(seconds=POLICY.submit_lease_seconds)
        #: what becomes of messages while the submit function does not run: they stay, or are poison
        self.submit_is: Literal["running", "disabled", "poisoned"] = "running"
        self.scheduler = Scheduler(self.offset_seconds, self._wait)
        connector = SqliteConnector(make_empty_store(folder / "state.db"), now=self._database_now)
        self.pool = SimulatedPool(connector, self.scheduler)
        self.databricks = SimulatedRuns(self.scheduler, self._now)
        self.queue = SimulatedQueue(self.scheduler)
        self._outside = connector.connect().connection
        self._outside.cursor().executescript(AUDIT + WATCH_ADDRESSES)
        self.operator = Operator(connector)
        self.rules = Rules(sql=self.sql, databricks=self.databricks, policy=POLICY, cap=CAP)
        #: of each claim: the workspace
        self.claims: list[str] = []
        self.pool.claimed = self._claimed
        self.databricks.check_start = self.rules.check_start
        self.databricks.check_repair = self.rules.check_repair
        self.databricks.check_cancel = self.rules.check_cancel
        self._connector = connector
        self._apps = {host: self._app({"default": host, **{name: name for name in others}}) for host in hosts}

    def _app(self, addresses: dict[str, str]) -> UseCases:
        """Return an app whose settings name these workspaces."""
        return UseCases(
            store=SimulatedStore(self.pool),
            runs={name: Host(self.databricks, address) for name, address in addresses.items()},
            workspaces={
                name: replace(workspace(name, job_id=1, cap=CAP), address=address)
                for name, address in addresses.items()
            },
            queue=self.queue,
            policy=POLICY,
            clock=_ScheduleClock(self),
        )

    def _claimed(self, workspace: str, listing: Collection[ActiveRun]) -> None:
        self.claims.append(workspace)
        self.rules.check_claim(workspace, listing)

    def _host(self, which: int) -> str:
        return list(self._apps)[which % len(self._apps)]

    def _now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + self.offset

    def _database_now(self) -> datetime:
        return self._now() + self.skew

    def offset_seconds(self) -> float:
        """Return how much time has passed, in seconds."""
        return self.offset.total_seconds()

    def _wait(self) -> None:
        self.offset += _MOMENT

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read or change entries from outside, at once."""
        rows: list[tuple[Any, ...]] = self._outside.cursor().execute(statement, parameters).fetchall()
        return rows

    def followed(self) -> set[int]:
        """Return the runs that RUNNING entries of the first workspace follow."""
        rows = self.sql(
            "SELECT runid FROM track_processing WHERE status = 'RUNNING' AND workspace = 'default'"
        )
        return {runid for (runid,) in rows}

    # -- what people do

    def insert(
        self,
        table: str,
        *,
        parameters: str | None = None,
        priority: int = 0,
        retry_mode: str | None = None,
        workspace: str = "default",
    ) -> None:
        """Insert an entry as a third party does."""
        self.rules.inserted += 1
        self.sql(  # with times of the schedule
            "INSERT INTO track_processing"
            " (table_name, parameters, priority, retry_mode, workspace, available_at, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, utc_now(), utc_now(), utc_now())",
            table,
            parameters,
            priority,
            retry_mode,
            workspace,
        )

    def run_again(self, which: str, *parameters: Any) -> None:
        """Retry final entries as an operator does in SQL, as in docs/sql.md."""
        [(before,)] = self.sql("SELECT COALESCE(MAX(rowid), 0) FROM audit")
        self.sql(
            f"UPDATE track_processing SET status = 'PENDING', cancel_requested = 0 WHERE {which}", *parameters
        )
        self.sql("UPDATE audit SET action = 'retry' WHERE rowid > ?", before)

    def set_by_hand(self, entry_id: int, what: str) -> None:
        """Change an entry by SQL, against the app's rules."""
        if "CANCELED" in what:
            self.rules.to_cancel.add(entry_id)
        self.operator.set_by_hand(entry_id, what)

    def limit_attempts(self, attempts: int) -> None:
        """Change MAX_ATTEMPTS in the settings of all apps."""
        for app in self._apps.values():
            app.policy = replace(app.policy, max_attempts=attempts)

    def move_workspace(self, host: str, *, keeps_runs: bool) -> None:
        """Let the workspace be at another host; calls that are under way are lost."""
        self.scheduler.crash_all()
        if not keeps_runs:
            self.rules.lost.update(self.databricks.runs.values())
        self.databricks.move(host, keeps_runs=keeps_runs)
        self.rules.workspace_moved()

    def set_address(self, host: str) -> None:
        """Write the workspace's host into the settings of the only app, which starts anew."""
        self.scheduler.crash_all()
        self._apps = {host: self._app({"default": host})}

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
        elif self.databricks.place is not None:
            self.rules.repaired_at(self.databricks.place, run)
        self.databricks.repair_by_hand(run)

    # -- steps that may begin

    def start_trigger(self, app: int = 0) -> None:
        """Begin a trigger pass of an app, concurrently with everything else."""
        self.scheduler.start(_pass(self._apps[self._host(app)].trigger))

    def start_monitor(self, app: int = 0) -> None:
        """Begin a monitor pass of an app, concurrently with everything else."""
        self.scheduler.start(_pass(self._apps[self._host(app)].watch))

    def deliver(self, which: int, *, keep: bool, app: int = 0) -> None:
        """Begin to handle a message; with ``keep`` it is delivered again, concurrently or later."""
        if self.queue.messages and self.submit_is != "disabled":
            index = which % len(self.queue.messages)
            claim = self.queue.messages[index]
            if self.submit_is == "poisoned":
                del self.queue.messages[index]
                return
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

    # -- what health says

    def reasons(self) -> list[str]:
        """Return the reasons of health of the first app, as if its timers had just made their passes."""
        for name in TIMER_FUNCTIONS:
            self.sql(
                "INSERT INTO orchestrator_tick (name, started_at, finished_at, outcome)"
                " VALUES (?, utc_now(), utc_now(), 'ok') ON CONFLICT (name)"
                " DO UPDATE SET started_at = utc_now(), finished_at = utc_now()",
                name,
            )
        return asyncio.run(self._reasons(self._apps[self._host(0)]))

    async def _reasons(self, app: UseCases) -> list[str]:
        pool = Pool(self._connector, threads=1)
        known = Known(
            workspaces=tuple(
                KnownWorkspace(name=each.name, host=each.address, job_id=each.job_id, cap=each.cap)
                for each in app.workspaces.values()
            ),
            policy=app.policy,
            pass_late_seconds=600,
        )
        runs = {name: Onlooker(self.databricks, each.address) for name, each in app.workspaces.items()}
        active = ActiveRuns(runs, app.clock)  # type: ignore[arg-type]  # it asks for nothing else
        try:
            health = await overview_of(replace(app, store=Store(pool)), known, active).health()
        finally:
            await pool.close()
        return list(health.reasons)

    def check_that_elsewhere_is_named(self, address: str) -> None:
        """Check that health tells of entries that have their run or call at another address than this one."""
        elsewhere = self.open_entries(
            f"workspace_address <> '{address}' AND (status = 'RUNNING' OR deliveries > 0)"
        )
        reasons = self.reasons() if elsewhere else []
        assert not elsewhere or any("begins nothing" in reason for reason in reasons), (elsewhere, reasons)

    # -- after the faults

    def end_faults(self) -> None:
        """End everything that goes wrong by chance."""
        self.databricks.faults.clear()
        self.databricks.foreign.clear()
        self.databricks.repairs_lag = False
        for run in self.databricks.runs.values():
            run.unreadable = False
        self.pool.faults.clear()
        self.queue.fault = ""
        self.scheduler.finish()

    def drain(self) -> None:
        """Wait after the faults: after some passes only entries with live runs are unfinished, then none."""
        if len(self._apps) == 1:  # otherwise the runs of one app keep the others from claiming
            self._pass_until(self._only_live_runs_are_unfinished)
            self._check_revivals()
        self._pass_until(self._all_ended, end_runs=True)
        assert self.databricks.live() == []
        self.rules.check_at_the_end()

    def _pass_until(self, reached: Callable[[], bool], *, end_runs: bool = False) -> None:
        for _ in range(PASSES):
            if self.open_entries(VANISHED):
                self.offset += timedelta(days=1)  # somebody has deleted them all
            self.quiet_pass(end_runs=end_runs)
            if reached():
                return
        rows = self.sql("SELECT id, status, last_error FROM track_processing")
        raise AssertionError(f"{PASSES} passes did not do: {rows}")

    def quiet_pass(self, *, end_runs: bool = False, apps: int | None = None) -> None:
        """Let time pass, then let each app make a pass and handle its messages without interruption.

        :param end_runs: every live run succeeds before it.
        :param apps: only the first ones; the messages are handled by one of these, too.
        """
        apps = len(self._apps) if apps is None else apps
        self.offset += self.pause
        if end_runs:
            for run in self.databricks.live():
                self.databricks.end(run, "success")
        for app in range(apps):
            self.start_trigger(app)
            self.scheduler.finish()
        for _ in range(len(self.queue.messages)):
            self.deliver(0, keep=False, app=self._app_of(self.queue.messages[0]) % apps)
            self.scheduler.finish()
        self.check()

    def open_entries(self, where: str = "1 = 1") -> list[tuple[Any, ...]]:
        """Return the entries that are not at their end: id, status and last error."""
        return self.sql(
            "SELECT id, status, last_error FROM track_processing"
            f" WHERE status NOT IN ('DONE', 'DEAD', 'CANCELED') AND {where}"
        )

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
        for run in set(self.databricks.live()) - self.rules.left_behind:
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
