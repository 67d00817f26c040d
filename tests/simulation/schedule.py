"""The real use cases and SQLite store; the test controls Databricks, the queue and the clock."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.errors import StoreError, StoreInDoubt
from orchestrator.core.models import Claim
from orchestrator.core.states import EDGES, FINAL, Status
from tests.invariants import AUDIT
from tests.simulation.databricks import SimulatedRuns
from tests.simulation.scheduler import Scheduler
from tests.world import UseCases, policy, workspace

_T = TypeVar("_T")

CAP = 3
MAX_ATTEMPTS = 2

POLICY = policy(
    max_attempts=MAX_ATTEMPTS,
    retry_backoff_seconds=10,
    submit_lease_seconds=100,
    max_deliveries=4,
    run_timeout_seconds=3000,
)

#: Faults of a transaction: it fails, or it succeeds and its response is lost.
STORE_FAULTS = ("not done", "answer lost")

#: After the faults, this many passes bring every entry to a final state.
PASSES = 40


#: In the task of a claim: the list of active runs that it uses.
_listing: ContextVar[Collection[int] | None] = ContextVar("listing", default=None)


class SimulatedPool(Pool):
    """The real pool without threads: each transaction is one effect between two boundaries."""

    def __init__(self, connector: SqliteConnector, scheduler: Scheduler) -> None:
        super().__init__(connector)
        self._scheduler = scheduler
        self.faults: list[str] = []
        #: called right after each claim with the list of active runs that it used
        self.claimed: Callable[[Collection[int]], None] = lambda _: None

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        await self._scheduler.boundary()
        fault = self.faults.pop() if self.faults else ""
        if fault == "not done":
            raise StoreError("the database does not answer")
        with self._transaction(writes) as session:
            result = work(session)
        if (listing := _listing.get()) is not None:
            self.claimed(listing)
        await self._scheduler.boundary()
        if fault == "answer lost" and writes:
            raise StoreInDoubt("whether it was committed is not known")
        return result

    def disconnect(self) -> None:
        """Close every connection."""
        for connection in list(self._connections):
            connection.close()


class SimulatedStore(Store):
    """The real store; its pool knows the list of active runs that each claim uses."""

    async def claim(self, workspace: str, **options: Any) -> list[Claim]:
        """Claim, then let the test check at once."""
        _listing.set(frozenset(run.run_id for run in options["active"]))
        try:
            return await super().claim(workspace, **options)
        finally:
            _listing.set(None)


@dataclass
class SimulatedQueue:
    """Delivers at least once, in any order; sometimes accepts nothing, or accepts without confirming."""

    scheduler: Scheduler
    messages: list[Claim] = field(default_factory=list)
    fault: str = ""

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Send messages to the queue."""
        await self.scheduler.boundary()
        if self.fault != "full":
            self.messages += claims
            await self.scheduler.boundary()
        return list(claims) if self.fault else []


class Schedule:
    """One workspace and one store; the test orders every step of every function."""

    def __init__(self, folder: Path) -> None:
        self.scheduler = Scheduler()
        self.offset = timedelta()
        start = datetime(2030, 1, 1, tzinfo=UTC)
        connector = SqliteConnector(folder / "state.db", create=True, now=lambda: start + self.offset)
        migrate.apply(connector)
        self.pool = SimulatedPool(connector, self.scheduler)
        self.pool.claimed = self._check_cap
        self.store = SimulatedStore(self.pool)
        self.databricks = SimulatedRuns(self.scheduler, check_cancel=self._check_cancel)
        self.queue = SimulatedQueue(self.scheduler)
        self.inserted = 0
        self._audited = 0
        self._by_operator: set[int] = set()
        self._to_cancel: set[int] = set()
        self._outside = connector.connect().connection
        self._outside.cursor().executescript(AUDIT)
        self._usecases = UseCases(
            store=self.store,
            runs={"default": self.databricks},
            workspaces={"default": workspace(job_id=1, cap=CAP)},
            queue=self.queue,
            policy=POLICY,
        )

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read or change entries from outside, at once."""
        rows: list[tuple[Any, ...]] = self._outside.cursor().execute(statement, parameters).fetchall()
        return rows

    def insert(self, table: str, *, parameters: str | None = None, priority: int = 0) -> None:
        """Insert an entry as a third party does."""
        self.inserted += 1
        self.sql(
            "INSERT INTO track_processing (table_name, parameters, priority, available_at)"
            " VALUES (?, ?, ?, '2029-12-31 00:00:00')",  # before the simulated time
            table,
            parameters,
            priority,
        )

    def run_again(self, which: str, *parameters: Any) -> None:
        """Retry final entries as an operator does in SQL."""
        [(before,)] = self.sql("SELECT COUNT(*) FROM audit")
        self.sql(
            f"UPDATE track_processing SET status = 'PENDING', cancel_requested = 0 WHERE {which}",
            *parameters,
        )
        [(after,)] = self.sql("SELECT COUNT(*) FROM audit")
        self._by_operator.update(range(before + 1, after + 1))

    def ask_to_cancel(self, entry_id: int) -> None:
        """Request a cancellation as an operator does in SQL."""
        self._to_cancel.add(entry_id)
        self.sql("UPDATE track_processing SET cancel_requested = 1 WHERE id = ?", entry_id)

    # -- steps that may begin

    def start_trigger(self) -> None:
        """Begin a trigger pass, concurrently with everything else."""
        self.scheduler.start(_pass(self._usecases.trigger))

    def start_monitor(self) -> None:
        """Begin a monitor pass, concurrently with everything else."""
        self.scheduler.start(_pass(self._usecases.monitor))

    def deliver(self, which: int, *, keep: bool) -> None:
        """Begin to handle a message; with ``keep`` it is delivered again, concurrently or later."""
        if self.queue.messages:
            index = which % len(self.queue.messages)
            claim = self.queue.messages[index]
            if not keep:
                del self.queue.messages[index]
            self.scheduler.start(self._handle(claim))

    async def _handle(self, claim: Claim) -> None:
        try:
            await self._usecases.submit(claim)
        except BaseException as error:  # also when the process is killed: the message becomes visible again
            self.queue.messages.append(claim)
            if not isinstance(error, StoreError):
                raise

    def close(self) -> None:
        """Release all resources."""
        self.scheduler.close()
        self._outside.close()
        self.pool.disconnect()

    # -- rules that always hold

    def check(self) -> None:
        """Check the rules that always hold."""
        self._check_rows()
        self._check_runs()
        self._check_logs()

    def _check_rows(self) -> None:
        changes = self.sql("SELECT rowid, entry_id, old, new, old_submission, new_submission FROM audit")
        for step, entry_id, old, new, before, after in changes:
            assert old == new or Status(new) in EDGES[Status(old)], (entry_id, old, new)
            assert old not in FINAL or step in self._by_operator, (entry_id, old, new, "final stays final")
            assert after in {before, before + 1}, (entry_id, before, after)
            assert after == before or new == Status.QUEUED, "a submission number rises at a claim"
        [(count, over)] = self.sql("SELECT COUNT(*), SUM(attempt > ?) FROM track_processing", MAX_ATTEMPTS)
        assert count == self.inserted, "an entry was lost"
        assert not over, "attempts over the limit"

    def _check_cap(self, listing: Collection[int]) -> None:
        """After a claim, the entries in flight and the known foreign runs fit into the cap."""
        claimed = self.sql(
            "SELECT 1 FROM audit WHERE rowid > ? AND old IN ('PENDING', 'FAILED') AND new = 'QUEUED'",
            self._audited,
        )
        [(self._audited,)] = self.sql("SELECT COALESCE(MAX(rowid), 0) FROM audit")
        if claimed:
            [(in_flight,)] = self.sql(
                "SELECT COUNT(*) FROM track_processing WHERE status IN ('QUEUED', 'RUNNING')"
            )
            foreign = [run_id for run_id in listing if run_id not in self.databricks.runs]
            assert in_flight + len(foreign) <= CAP, "over the cap"

    def _check_runs(self) -> None:
        """An entry has at most one live run, and each run is recorded or can be found by its token."""
        live = set(self.databricks.live())
        owners = [
            token.rpartition("-") for token, run_id in self.databricks.by_token.items() if run_id in live
        ]
        assert len(owners) == len({guid for guid, _, _ in owners}), "an entry has two live runs"
        for token, run_id in self.databricks.by_token.items():
            guid, _, submission = token.rpartition("-")
            if run_id in live:
                assert self._is_followed(guid, int(submission), run_id), f"nobody follows run {run_id}"

    def _check_cancel(self, run_id: int) -> None:
        """A run is cancelled only on request, when it is overdue, or when its entry has moved on."""
        [token] = [token for token, known in self.databricks.by_token.items() if known == run_id]
        guid, _, submission = token.rpartition("-")
        rows = self.sql(
            "SELECT id, submission, submitted_at <= utc_after(?) FROM track_processing WHERE entry_guid = ?",
            -1000 * POLICY.run_timeout_seconds,
            guid,
        )
        [(entry_id, current, overdue)] = rows
        assert entry_id in self._to_cancel or overdue or current != int(submission), "a good run is cancelled"

    def _is_followed(self, guid: str, submission: int, run_id: int) -> bool:
        rows = self.sql(
            "SELECT status, submission, runid, EXISTS (SELECT 1 FROM process_log AS l"
            " WHERE l.entry_id = t.id AND l.submission = t.submission)"
            " FROM track_processing AS t WHERE entry_guid = ?",
            guid,
        )
        [(status, current, recorded, settled)] = rows
        if recorded is not None:
            return bool(recorded == run_id and status == Status.RUNNING)
        return bool(current == submission and not settled)

    def _check_logs(self) -> None:
        unlogged = self.sql(
            "SELECT id, status FROM track_processing AS t WHERE runid IS NOT NULL AND status <> 'RUNNING'"
            " AND NOT EXISTS (SELECT 1 FROM process_log AS l WHERE l.entry_id = t.id AND l.runid = t.runid)"
        )
        assert unlogged == [], "a run ended without its log row"
        logged = [run_id for (run_id,) in self.sql("SELECT runid FROM process_log WHERE runid IS NOT NULL")]
        assert len(logged) == len(set(logged)), "a run has two log rows"
        assert not set(logged) & set(self.databricks.live()), "a live run has its log row"

    # -- after the faults

    def drain(self) -> None:
        """End the faults: after some passes only entries with live runs are unfinished, then none."""
        self.databricks.faults.clear()
        self.databricks.foreign.clear()
        self.pool.faults.clear()
        self.queue.fault = ""
        self.scheduler.finish()
        self._pass_until(self._only_live_runs_are_unfinished)
        self._pass_until(self._all_ended, end_runs=True)
        assert self.databricks.live() == []
        logged = sorted(row[0] for row in self.sql("SELECT runid FROM process_log WHERE runid IS NOT NULL"))
        assert logged == sorted(self.databricks.runs), "each run has its log row"

    def _pass_until(self, reached: Callable[[], bool], *, end_runs: bool = False) -> None:
        for _ in range(PASSES):
            self.offset += timedelta(seconds=POLICY.submit_lease_seconds)
            if end_runs:
                for run_id in self.databricks.live():
                    self.databricks.end(run_id, "success")
            self.start_trigger()
            self.scheduler.finish()
            for _ in range(len(self.queue.messages)):
                self.deliver(0, keep=False)
                self.scheduler.finish()
            self.check()
            if reached():
                return
        rows = self.sql("SELECT id, status, last_error FROM track_processing")
        raise AssertionError(f"{PASSES} passes did not do: {rows}")

    def _only_live_runs_are_unfinished(self) -> bool:
        """Entries that wait for a slot or for their table are also behind a live run."""
        rows = self.sql("SELECT table_name, status, runid FROM track_processing")
        live = set(self.databricks.live())
        in_flight = {table for table, status, runid in rows if status == Status.RUNNING and runid in live}
        stuck = [
            table
            for table, status, runid in rows
            if status not in FINAL and not (status == Status.RUNNING and runid in live)
        ]
        return not stuck or len(live) >= CAP or all(table in in_flight for table in stuck)

    def _all_ended(self) -> bool:
        """All entries are final; one with an open submission is retried, to find its run."""
        self.run_again("status IN ('DEAD', 'CANCELED') AND deliveries > 0")
        return all(status in FINAL for (status,) in self.sql("SELECT status FROM track_processing"))


async def _pass(work: Callable[[], Any]) -> None:
    """Make a timer's pass: the host logs an error of the store, and the next pass continues."""
    with contextlib.suppress(StoreError):
        await work()
