"""The whole chain as processes: Azurite, the Databricks simulator, the Functions host, a state store."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from devstack import processes
from devstack.processes import Process
from orchestrator.store import migrate
from orchestrator.store.sqlite import SqliteConnector

ROOT = Path(__file__).parents[2]

JOB_ID = 5

FINAL = ("DONE", "DEAD", "CANCELED")

#: How often progress is looked at.
POLL_SECONDS = 0.2


@dataclass
class Stack:
    """Starts and stops the parts, and asks the simulator and the database what really happened."""

    folder: Path
    azurite: str
    queue_name: str
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    simulator_url: str = ""

    @property
    def database(self) -> Path:
        """The SQLite file of the state store."""
        return self.folder / "state.db"

    def prepare(self) -> None:
        """Make the app's folder, as ``func publish`` would lay it out, and the empty state store."""
        for name in ("function_app.py", "host.json", "orchestrator"):
            (self.folder / name).symlink_to(ROOT / name)
        migrate.apply(SqliteConnector(self.database, create=True))

    def start(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
        """Start one part of the local stack."""
        process = processes.start(
            name,
            [sys.executable, "-m", "devstack", name, *arguments],
            log=self.folder / f"{name}.log",
            env=env,
            cwd=ROOT,
        )
        self.processes.append(process)
        return process

    def start_simulator(self, *arguments: str) -> None:
        """Start the Databricks simulator with one job."""
        process = self.start(
            "databricks", "--port", "0", "--with-job", str(JOB_ID), "--seed", "1", *arguments
        )
        self.simulator_url = process.url

    def start_host(self, **settings: str) -> Process:
        """Start the Functions host with the app."""
        environment = {
            "AzureWebJobsStorage": self.azurite,
            "SUBMIT_QUEUE_NAME": self.queue_name,
            "TRIGGER_SCHEDULE": "* * * * * *",
            "MONITOR_SCHEDULE": "* * * * * *",
            "STATE_DB": str(self.database),
            "DATABRICKS_HOST": self.simulator_url,
            "DATABRICKS_JOB_ID": str(JOB_ID),
            "RETRY_BACKOFF_SECONDS": "1",
            **self.settings,
            **settings,
        }
        return self.start("host", "--app", str(self.folder), "--port", "0", env=environment)

    def stop(self) -> None:
        """Stop what still runs, the last started first."""
        for process in reversed(self.processes):
            process.stop()

    def execute(self, sql: str, rows: Iterable[tuple[Any, ...]] = ((),)) -> None:
        """Insert or update as a third party does: plain SQL on a connection of its own."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            with connection:
                connection.executemany(sql, rows)
        finally:
            connection.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Read with plain SQL."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def count(self, *states: str) -> int:
        """How many rows are in one of these states."""
        counts = dict(self.query("SELECT status, COUNT(*) FROM track_processing GROUP BY status"))
        return sum(counts.get(state, 0) for state in states)

    async def until(self, reached: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition. :raises AssertionError: not reached in time; shows the host's last words."""
        try:
            async with asyncio.timeout(seconds):
                while not reached():  # noqa: ASYNC110 - another process's database sends no signal
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            states = self.query("SELECT status, COUNT(*) FROM track_processing GROUP BY status")
            tail = "\n".join(p.tail() for p in self.processes if p.name == "host")
            raise AssertionError(f"{what}: not within {seconds} s; rows: {states}\n{tail}") from None

    async def until_all_ended(self, seconds: float) -> None:
        """Wait until every row is at its end."""
        total = self.query("SELECT COUNT(*) FROM track_processing")[0][0]
        await self.until(lambda: self.count(*FINAL) == total, seconds, f"all {total} rows at their end")

    async def simulator(self, method: str, path: str, body: Any = None) -> Any:
        """Steer the simulator, or ask it what it saw."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.simulator_url}{path}", json=body) as response,
        ):
            response.raise_for_status()
            return await response.json()

    async def check_invariants(self, cap: int) -> list[dict[str, Any]]:
        """Check the rules by the simulator's counts and the database, and return our runs."""
        stats = await self.simulator("GET", "/_sim/stats")
        assert 0 < stats["max_active"] <= cap
        assert stats["active"] == 0
        runs = [run for run in (await self.simulator("GET", "/_sim/runs"))["runs"] if not run["foreign"]]
        logged = [row[0] for row in self.query("SELECT runid FROM process_log WHERE runid IS NOT NULL")]
        assert sorted(logged) == sorted(run["run_id"] for run in runs), "one log row for each run that ended"
        _assert_no_overlap(runs)
        return runs


def _assert_no_overlap(runs: list[dict[str, Any]]) -> None:
    """No row had two runs at once: the token is the row's GUID and the submission."""
    by_row: dict[str, list[tuple[int, int]]] = {}
    for run in runs:
        guid = run["idempotency_token"].rpartition("-")[0]
        by_row.setdefault(guid, []).append((run["start_time"], run["end_time"]))
    for spans in by_row.values():
        spans.sort()
        for (_, earlier_end), (later_start, _) in pairwise(spans):
            assert earlier_end <= later_start
