"""The use cases around a real store, fake workspaces and a fake queue."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.actions import CANCEL, RETRY
from orchestrator.core.models import Claim, Entry, NewEntry
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.reports import Known
from orchestrator.core.states import Status
from orchestrator.ports import Queue, Runs
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.overview import ActiveRuns, Overview
from orchestrator.usecases.planning import Planner
from orchestrator.usecases.settle import Settle
from orchestrator.usecases.submit import Submit
from orchestrator.usecases.trigger import Trigger
from tests.empty_store import make_empty_store
from tests.fakes import FakeClock, FakeQueue, FakeRuns


def policy(**changes: Any) -> Policy:
    """Return the usual policy with some changes."""
    usual: dict[str, Any] = {
        "max_attempts": 3,
        "retry_backoff_seconds": 60,
        "submit_lease_seconds": 900,
        "max_deliveries": 10,
        "run_timeout_seconds": 0,
        "serialize_tables": True,
    }
    return Policy(**{**usual, **changes})


def workspace(name: str = "default", *, job_id: int = 5, cap: int = 10) -> WorkspacePolicy:
    """Return what the use cases know of a workspace."""
    return WorkspacePolicy(name=name, job_id=job_id, cap=cap)


@dataclass(kw_only=True)
class UseCases:
    """The app's use cases. What is replaced here is seen by the next pass."""

    store: Store
    #: by the workspace's name
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    queue: Queue
    policy: Policy = field(default_factory=policy)
    clock: FakeClock = field(default_factory=FakeClock)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = Jobs(runs=self.runs, workspaces=self.workspaces, clock=self.clock)

    def make_monitor(self) -> Monitor:
        return Monitor(queue=self.queue, clock=self.clock, settle=self.make_settle(), **self._parts())

    def make_settle(self) -> Settle:
        return Settle(store=self.store, runs=self.runs, policy=self.policy, clock=self.clock, jobs=self.jobs)

    def make_trigger(self) -> Trigger:
        parts = {**self._parts(), "jobs": self.jobs, "clock": self.clock}
        return Trigger(queue=self.queue, monitor=self.make_monitor(), **parts)

    async def monitor(self) -> list[str]:
        """Make a monitor pass and return its problems."""
        return await self.make_monitor()()

    async def watch(self) -> list[str]:
        """Make a monitor pass as the app does, which claims for the slots it frees; return its problems."""
        return await self.make_trigger().watch()

    async def trigger(self) -> list[str]:
        """Make a trigger pass and return its problems."""
        return await self.make_trigger()()

    async def submit(self, claim: Claim) -> None:
        parts = self._parts()
        planner = Planner(jobs=self.jobs, **parts)
        del parts["workspaces"]
        await Submit(clock=self.clock, planner=planner, **parts)(claim)

    async def add(self, *tables: str, **fields: Any) -> list[int]:
        new = [NewEntry(table_name=table, **fields) for table in tables]
        return await Operations(self.store.pool).add(new)

    async def retry(self, entry_id: int) -> bool:
        """Run an entry again, as an operator does."""
        return await Operations(self.store.pool).change(RETRY, [entry_id]) == [entry_id]

    async def cancel(self, entry_id: int) -> bool:
        """Ask for the cancellation of an entry, as an operator does."""
        return await Operations(self.store.pool).change(CANCEL, [entry_id]) == [entry_id]

    async def entry(self, entry_id: int) -> Entry:
        found = await self.store.get(entry_id)
        assert found is not None
        return found

    def _parts(self) -> dict[str, Any]:
        return {
            "store": self.store,
            "runs": self.runs,
            "workspaces": self.workspaces,
            "policy": self.policy,
        }


@dataclass(kw_only=True)
class DeliveredUseCases(UseCases):
    """Use cases whose queue keeps the messages until the test delivers them."""

    queue: FakeQueue = field(default_factory=FakeQueue)

    async def deliver(self) -> list[Claim]:
        """Deliver every message once and return them."""
        messages, self.queue.sent = self.queue.sent, []
        for claim in messages:
            await self.submit(claim)
        return messages

    async def running(self, table: str = "sales", **fields: Any) -> Entry:
        """Add an entry and bring it to its run."""
        [entry_id] = await self.add(table, **fields)
        await self.trigger()
        await self.deliver()
        entry = await self.entry(entry_id)
        assert entry.status is Status.RUNNING
        return entry


class Database:
    """A SQLite file with the app's tables, and its clock, which the test moves."""

    def __init__(self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = make_empty_store(folder / "state.db")
        self.offset = timedelta()
        self._now = now
        self.connector = SqliteConnector(self.path, now=lambda: self._now() + self.offset)

    def stop_clock(self) -> None:
        """Let time pass only by :meth:`pass_time`, for tests of moments that a slow machine would miss."""
        stopped_at = self._now()
        self._now = lambda: stopped_at

    def pass_time(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)

    def execute(self, sql: str, *values: object) -> None:
        """Change the database, as a third party does."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(sql, values)


@dataclass(kw_only=True)
class World(DeliveredUseCases):
    """The app on a SQLite file with the workspaces ``default`` and ``eu``."""

    database: Database
    databricks: FakeRuns
    eu: FakeRuns

    @classmethod
    def make(cls, database: Database) -> "World":
        databricks, eu = FakeRuns(), FakeRuns()
        return cls(
            store=Store(Pool(database.connector)),
            runs={"default": databricks, "eu": eu},
            workspaces={"default": workspace(), "eu": workspace("eu", job_id=6, cap=2)},
            database=database,
            databricks=databricks,
            eu=eu,
        )


def overview_of(world: UseCases, known: Known | None, active: ActiveRuns | None) -> Overview:
    """Return the overview of a world. The parameters are those of :class:`Overview`."""

    async def check_schema() -> None:
        return

    return Overview(
        reports=Reports(world.store.pool),
        pass_log=PassLog(world.store.pool),
        check_schema=check_schema,
        schema_version=1,
        known=known,
        active=active,
    )
