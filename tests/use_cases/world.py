"""The use cases with the real SQLite store, around fake workspaces and a fake queue."""

import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from orchestrator.adapters.store.entries import Store
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import Claim, Entry, NewEntry
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.states import Status
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.submit import Submit
from orchestrator.usecases.trigger import Trigger
from tests.fakes import FakeClock, FakeQueue, FakeRuns

POLICY = Policy(
    max_attempts=3,
    retry_backoff_seconds=60,
    submit_lease_seconds=900,
    max_deliveries=10,
    run_timeout_seconds=0,
    serialize_tables=True,
)

UNAVAILABLE = WorkspaceUnavailable("no answer")


@dataclass
class World:
    """The app around one fake workspace, and a second one named ``eu``."""

    #: the store's SQLite file
    database: Path
    store: Store
    queue: FakeQueue
    databricks: FakeRuns
    eu: FakeRuns
    policy: Policy = POLICY
    offset: timedelta = timedelta()

    def _parts(self) -> dict[str, Any]:
        return {
            "store": self.store,
            "runs": {"default": self.databricks, "eu": self.eu},
            "workspaces": {
                "default": WorkspacePolicy(name="default", job_id=5, cap=10),
                "eu": WorkspacePolicy(name="eu", job_id=6, cap=2),
            },
            "policy": self.policy,
        }

    async def monitor(self) -> list[str]:
        return await self._monitor()()

    async def trigger(self) -> list[str]:
        return await Trigger(queue=self.queue, monitor=self._monitor(), **self._parts())()

    def _monitor(self) -> Monitor:
        return Monitor(queue=self.queue, clock=FakeClock(), **self._parts())

    async def submit(self, claim: Claim) -> None:
        await Submit(clock=FakeClock(), **self._parts())(claim)

    async def deliver(self) -> None:
        """Deliver every message once."""
        messages, self.queue.sent = self.queue.sent, []
        for claim in messages:
            await self.submit(claim)

    async def add(self, *tables: str, **fields: Any) -> list[int]:
        return await self.store.add([NewEntry(table_name=table, **fields) for table in tables])

    async def entry(self, entry_id: int) -> Entry:
        entry = await self.store.get(entry_id)
        assert entry is not None
        return entry

    async def running(self, table: str = "sales", **fields: Any) -> Entry:
        [entry_id] = await self.add(table, **fields)
        await self.trigger()
        await self.deliver()
        entry = await self.entry(entry_id)
        assert entry.status is Status.RUNNING
        return entry

    def execute(self, sql: str, *values: object) -> None:
        """Change the database, as a third party does."""
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                connection.execute(sql, values)
        finally:
            connection.close()

    def pass_time(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)
