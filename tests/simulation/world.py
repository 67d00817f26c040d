"""The real use cases and the real SQLite store; Databricks, queue and clock are in the test's hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.errors import (
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenUnavailable,
    WorkspaceUnavailable,
)
from orchestrator.models import Claim, Job, Policy, Run, RunFailure, RunRequest, WorkspacePolicy
from orchestrator.monitor import Monitor
from orchestrator.states import EDGES, FINAL, Status
from orchestrator.store import migrate
from orchestrator.store.session import Session
from orchestrator.store.sqlite import SqliteConnector
from orchestrator.store.store import Store
from orchestrator.submit import Submit
from orchestrator.trigger import Trigger
from tests.fakes import FakeClock
from tests.simulation.scheduler import Scheduler

_T = TypeVar("_T")

CAP = 3
MAX_ATTEMPTS = 2

POLICY = Policy(
    max_attempts=MAX_ATTEMPTS,
    retry_backoff_seconds=10,
    submit_lease_seconds=100,
    max_deliveries=10,
    run_timeout_seconds=0,
    serialize_tables=True,
)

#: What can happen to a call of Databricks.
FAULTS = ("lost before", "lost after", "no token", "rate", "no capacity", "refused", "denied")


class SimulatedStore(Store):
    """The real store without its threads: each transaction is one effect between two boundaries."""

    def __init__(self, connector: SqliteConnector, scheduler: Scheduler) -> None:
        super().__init__(connector)
        self._scheduler = scheduler

    async def _run(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        await self._scheduler.boundary()
        result = self._pool.attempt(work, writes)
        await self._scheduler.boundary()
        return result


@dataclass
class SimulatedRuns:
    """A workspace that keeps its promises about tokens and none about answers."""

    scheduler: Scheduler
    faults: list[str] = field(default_factory=list)
    runs: dict[int, Run] = field(default_factory=dict)
    by_token: dict[str, int] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)

    def live(self) -> list[int]:
        """Our runs that are not over."""
        return [run_id for run_id, run in self.runs.items() if run.life_cycle_state == "RUNNING"]

    def end(self, run_id: int, result: str) -> None:
        """Let a run be over."""
        self.runs[run_id] = Run(run_id=run_id, life_cycle_state="TERMINATED", result_state=result)

    async def _before(self) -> str:
        await self.scheduler.boundary()
        fault = self.faults.pop() if self.faults else ""
        if fault == "lost before":
            raise WorkspaceUnavailable("no answer")
        if fault == "no token":
            raise TokenUnavailable("Key Vault does not answer")
        if fault == "rate":
            error = WorkspaceUnavailable("too many requests", status=429)
            error.in_doubt = False
            raise error
        return fault

    async def _after(self, fault: str) -> None:
        await self.scheduler.boundary()
        if fault == "lost after":
            raise WorkspaceUnavailable("no answer")

    async def run_now(self, request: RunRequest) -> int:
        fault = await self._before()
        if fault == "no capacity":
            raise NoCapacity("already full", status=429)
        if fault in {"refused", "denied"} and request.idempotency_token not in self.by_token:
            raise RequestRefused("no", status=400, error_code="X", permanent=fault == "refused")
        run_id = self.by_token.setdefault(request.idempotency_token, 1 + len(self.by_token))
        self.runs.setdefault(run_id, Run(run_id=run_id, life_cycle_state="RUNNING"))
        await self._after(fault)
        return run_id

    async def active_run_ids(self) -> frozenset[int]:
        fault = await self._before()
        active = frozenset(self.live()) | self.foreign
        await self._after(fault)
        return active

    async def get_run(self, run_id: int) -> Run:
        fault = await self._before()
        run = self.runs.get(run_id)
        await self._after(fault)
        if run is None:
            raise RunNotFound("gone", status=400)
        return run

    async def failure_of(self, run: Run) -> RunFailure:
        return RunFailure()

    async def cancel(self, run_id: int) -> None:
        fault = await self._before()
        self.cancelled.add(run_id)
        if self.runs[run_id].life_cycle_state == "RUNNING":
            self.end(run_id, "CANCELED")
        await self._after(fault)

    async def get_job(self, job_id: int) -> Job:
        raise NotImplementedError

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        raise NotImplementedError


@dataclass
class SimulatedQueue:
    """Delivers at least once, in any order, and sometimes takes nothing."""

    scheduler: Scheduler
    messages: list[Claim] = field(default_factory=list)
    full: bool = False

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        await self.scheduler.boundary()
        if self.full:
            return list(claims)
        self.messages += claims
        return []


class World:
    """One workspace, one store; every step of every function is the test's to order."""

    def __init__(self, folder: Path) -> None:
        self.scheduler = Scheduler()
        self.offset = timedelta()
        start = datetime(2030, 1, 1, tzinfo=UTC)
        connector = SqliteConnector(folder / "state.db", create=True, now=lambda: start + self.offset)
        migrate.apply(connector)
        self.store = SimulatedStore(connector, self.scheduler)
        self.databricks = SimulatedRuns(self.scheduler)
        self.queue = SimulatedQueue(self.scheduler)
        self._outside = connector.connect().connection
        self._audit()
        parts: dict[str, Any] = {
            "store": self.store,
            "runs": {"default": self.databricks},
            "workspaces": {"default": WorkspacePolicy(name="default", job_id=1, cap=CAP)},
            "policy": POLICY,
        }
        self.submit = Submit(clock=FakeClock(), **parts)
        self.monitor = Monitor(clock=FakeClock(), submissions=self.queue, **parts)
        self.trigger = Trigger(monitor=self.monitor, submissions=self.queue, **parts)

    def _audit(self) -> None:
        """The database itself writes down every change of status."""
        self.sql(
            "CREATE TABLE audit (entry_id int, old text, new text, old_submission int, new_submission int)"
        )
        self.sql(
            "CREATE TRIGGER audit AFTER UPDATE OF status, submission ON track_processing BEGIN"
            " INSERT INTO audit VALUES (NEW.id, OLD.status, NEW.status, OLD.submission, NEW.submission); END"
        )

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read or change rows from the outside, at once."""
        rows: list[tuple[Any, ...]] = self._outside.cursor().execute(statement, parameters).fetchall()
        return rows

    def insert(self, table: str, *, invalid: bool) -> None:
        """Insert a row as a third party does."""
        self.sql(
            "INSERT INTO track_processing (table_name, parameters, available_at) VALUES (?, ?, ?)",
            table,
            "{" if invalid else None,
            "2029-12-31 00:00:00",  # before the simulated time
        )

    def deliver(self, which: int, *, keep: bool) -> None:
        """Begin to handle a message; ``keep``: it will be delivered once more."""
        if self.queue.messages:
            index = which % len(self.queue.messages)
            claim = self.queue.messages[index]
            if not keep:
                del self.queue.messages[index]
            self.scheduler.start(self.submit(claim))

    def close(self) -> None:
        """Give everything up."""
        self.scheduler.close()
        self._outside.close()
        for connection in list(self.store._pool._connections):
            connection.close()

    def check(self) -> None:
        """What must be true at any moment."""
        self._check_edges()
        self._check_runs()
        self._check_logs()

    def _check_edges(self) -> None:
        for entry_id, old, new, before, after in self.sql("SELECT * FROM audit"):
            assert old == new or Status(new) in EDGES[Status(old)], (entry_id, old, new)
            assert after in {before, before + 1}, (entry_id, before, after)
            assert after == before or new == Status.QUEUED, "a submission number rises at a claim"
        [(over,)] = self.sql("SELECT COUNT(*) FROM track_processing WHERE attempt > ?", MAX_ATTEMPTS)
        assert over == 0, "attempts over the limit"

    def _check_runs(self) -> None:
        owners = {run_id: token.rpartition("-")[0] for token, run_id in self.databricks.by_token.items()}
        live = [owners[run_id] for run_id in self.databricks.live()]
        assert len(live) == len(set(live)), "a row has two live runs"
        [(in_flight,)] = self.sql(
            "SELECT COUNT(*) FROM track_processing WHERE status IN ('QUEUED', 'RUNNING')"
        )
        assert in_flight <= CAP, "more rows in flight than the cap"

    def _check_logs(self) -> None:
        unlogged = self.sql(
            "SELECT id, status FROM track_processing AS t WHERE runid IS NOT NULL AND status <> 'RUNNING'"
            " AND NOT EXISTS (SELECT 1 FROM process_log AS l WHERE l.entry_id = t.id AND l.runid = t.runid)"
        )
        assert unlogged == [], "a run ended without its log row"

    def drain(self) -> None:
        """After the faults: some ticks, with every message delivered, bring every row to its end."""
        self.databricks.faults.clear()
        self.databricks.foreign.clear()
        self.queue.full = False
        self.scheduler.finish()
        for _ in range(60):
            for run_id in self.databricks.live():
                self.databricks.end(run_id, "SUCCESS")
            self.offset += timedelta(seconds=200)
            self.scheduler.start(self.trigger())
            self.scheduler.finish()
            while self.queue.messages:
                self.deliver(0, keep=False)
                self.scheduler.finish()
            self.check()
        rows = self.sql("SELECT id, status FROM track_processing")
        unfinished = [(entry_id, status) for entry_id, status in rows if status not in FINAL]
        assert unfinished == []
        assert self.databricks.live() == []
        logged = sorted(row[0] for row in self.sql("SELECT runid FROM process_log WHERE runid IS NOT NULL"))
        ended = sorted(set(self.databricks.runs) - self.databricks.cancelled)
        assert set(ended) <= set(logged), "each run that ended has its log row"
        assert len(logged) == len(set(logged)), "and only one"
