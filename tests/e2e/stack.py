"""The whole chain as processes: Azurite, the Databricks simulator, the Functions host, a state store."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from devstack import processes
from devstack.processes import Process
from tests.empty_store import make_empty_store
from tests.invariants import AUDIT, Facts, gather, violations

ROOT = Path(__file__).parents[2]

JOB_ID = 5

FINAL = ("DONE", "DEAD", "CANCELED")

#: How often progress is looked at.
POLL_SECONDS = 0.2

_SHORT_LEASES = """
CREATE TRIGGER short_leases AFTER UPDATE OF lease_expires_at ON track_processing
WHEN NEW.lease_expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds} seconds') BEGIN
    UPDATE track_processing SET lease_expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds} seconds')
    WHERE id = NEW.id;
END;
"""


@dataclass
class Stack:
    """Starts and stops the parts, and asks the simulator and the database what really happened."""

    folder: Path
    azurite: str
    queue_name: str
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    simulator_url: str = ""
    #: where the host listens, 0 = a free port
    host_port: int = 0
    function_app: Path = ROOT / "function_app.py"

    @property
    def database(self) -> Path:
        """The SQLite file of the state store."""
        return self.folder / "state.db"

    def prepare(self) -> None:
        """Make the app's folder, as ``func publish`` would lay it out, and the empty state store."""
        (self.folder / "function_app.py").symlink_to(self.function_app)
        for name in ("host.json", "orchestrator"):
            (self.folder / name).symlink_to(ROOT / name)
        make_empty_store(self.database)
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(AUDIT)

    def shorten_leases(self, seconds: float) -> None:
        """Let each lease end in so many seconds at most: the settings refuse ones that a call may outlive."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(_SHORT_LEASES.format(seconds=seconds))

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

    def start_simulator(self, *arguments: str) -> Process:
        """Start the Databricks simulator with one job, at its earlier address if it had one."""
        port = urlsplit(self.simulator_url).port or 0
        process = self.start(
            "databricks", "--port", str(port), "--with-job", str(JOB_ID), "--seed", "1", *arguments
        )
        self.simulator_url = process.url
        return process

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
        return self.start("host", "--app", str(self.folder), "--port", str(self.host_port), env=environment)

    def kill(self, process: Process) -> None:
        """End a part by SIGKILL."""
        process.kill()
        self.processes.remove(process)

    def terminate(self, process: Process) -> int:
        """End a part by SIGTERM and return its exit code."""
        code = process.stop()
        self.processes.remove(process)
        return code

    @contextmanager
    def prepared(self) -> Iterator[Self]:
        """Make what the parts need, and stop those that were started."""
        self.prepare()
        try:
            yield self
        finally:
            self.stop()

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

    def write(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Make one change as a third party does and return its RETURNING."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            with connection:
                return connection.execute(sql, parameters).fetchall()
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

    def open_rows(self) -> int:
        """How many rows are not at their end."""
        [(total,)] = self.query("SELECT COUNT(*) FROM track_processing")
        return int(total) - self.count(*FINAL)

    async def until_all_ended(self, seconds: float) -> None:
        """Wait until every row is at its end."""
        [(total,)] = self.query("SELECT COUNT(*) FROM track_processing")
        await self.until(lambda: self.open_rows() == 0, seconds, f"all {total} rows at their end")

    async def active_runs(self) -> int:
        """How many runs are active in the simulator."""
        return int((await self.simulator("GET", "/_sim/stats"))["active"])

    async def simulator(self, method: str, path: str, body: Any = None) -> Any:
        """Steer the simulator, or ask it what it saw."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.simulator_url}{path}", json=body) as response,
        ):
            response.raise_for_status()
            return await response.json()

    async def facts(self, cap: int, max_attempts: int) -> Facts:
        """Gather what the simulator and the database know."""
        runs = (await self.simulator("GET", "/_sim/runs"))["runs"]
        return gather(self.database, runs=runs, cap=cap, max_attempts=max_attempts)

    async def check_invariants(self, cap: int, max_attempts: int) -> list[dict[str, Any]]:
        """Check the rules by the simulator's counts and the database, and return our runs."""
        facts = await self.facts(cap, max_attempts)
        assert violations(facts) == []
        assert facts.max_active > 0
        return facts.runs
