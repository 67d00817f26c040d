"""A running stack whose entries have known stories, and its dashboard."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from devstack.processes import Process
from tests.conftest import Azurite
from tests.e2e.stack import Stack

#: Allowed active runs. Beside our runs and the foreign ones of :func:`fill`, three slots stay free.
CAP = 8
FOREIGN_RUNS = 3

#: Longer than all tests of this folder take together.
FOR_THE_WHOLE_TIME_SECONDS = 900

#: An entry takes about two seconds from PENDING to its end; on a busy machine much longer.
SETTLE_SECONDS = 30.0

RUNNING = ("flights", "departures")
CREWS_ERROR = (
    "IngestError: there is no table 'crews'; the tables are airlines, airports, flights, planes, weather"
)

INSERT = """INSERT INTO track_processing (table_name, max_attempts, available_at, workspace)
    VALUES (?, ?, ?, ?) RETURNING id"""
LATER = "2099-01-01 00:00:00"


@dataclass
class Site:
    """A stack and the address of its dashboard."""

    stack: Stack
    host: Process | None = None
    #: the address of the host; a restart keeps it
    url: str = field(default="")

    def start_host(self) -> None:
        """Start the host, at its previous address if it had one."""
        self.stack.host_port = urlsplit(self.url).port or 0
        self.host = self.stack.start_host(MAX_ACTIVE_RUNS=str(CAP), DATABRICKS_TOKEN="a-token")
        self.url = self.host.url

    def stop_host(self) -> None:
        """Stop the host."""
        assert self.host is not None
        self.stack.terminate(self.host)
        self.host = None

    def dashboard(self, view: str = "", *, key: str = "") -> str:
        """Return the address of a view of the dashboard that refreshes every second."""
        code = f"&code={key}" if key else ""
        return f"{self.url}/api/dashboard?refresh=1{code}#{view}"

    async def outcome(self, table: str, results: list[str], **more: Any) -> None:
        """Set how the runs of a table end."""
        body = {"match": {"table_name": table}, "results": results, **more}
        await self.stack.simulator("POST", "/_sim/outcomes", body)

    async def cancel_run(self, run_id: int) -> None:
        """Cancel a run in Databricks, as a person does there."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": "Bearer a-token"}) as session,
            session.post(
                f"{self.stack.simulator_url}/api/2.2/jobs/runs/cancel", json={"run_id": run_id}
            ) as response,
        ):
            response.raise_for_status()

    def insert(
        self, *tables: str, attempts: int = 1, at: str | None = None, workspace: str = "default"
    ) -> list[int]:
        """Insert an entry for each table and return their ids.

        :param at: when the entries may run; None = now.
        """
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}.000"
        return [self.stack.write(INSERT, table, attempts, at or now, workspace)[0][0] for table in tables]

    def entry_ids(self, table: str) -> list[int]:
        """Return the ids of a table's entries, oldest first."""
        found = self.stack.write("SELECT id FROM track_processing WHERE table_name = ? ORDER BY id", table)
        return [entry_id for (entry_id,) in found]

    def entry(self, table: str) -> dict[str, Any]:
        """Return id, status and run id of a table's only entry."""
        ((entry_id, status, run_id),) = self.stack.write(
            "SELECT id, status, runid FROM track_processing WHERE table_name = ?", table
        )
        return {"id": entry_id, "status": status, "run_id": run_id}

    def states(self, *ids: int) -> set[str]:
        """Return the states that some entries are in."""
        marks = ",".join("?" for _ in ids)
        found = self.stack.write(f"SELECT DISTINCT status FROM track_processing WHERE id IN ({marks})", *ids)
        return {status for (status,) in found}

    async def until(self, ids: list[int], state: str) -> None:
        """Wait until all of some entries are in a state."""
        await self.stack.until(lambda: self.states(*ids) == {state}, SETTLE_SECONDS, f"{ids} {state}")


def new_site(azurite: Azurite, folder: Path) -> Site:
    """Start a stack without entries; its host is not started yet."""
    stack = Stack(folder=folder, azurite=azurite.connection_string, queue_name=f"test-{uuid.uuid4().hex}")
    stack.prepare()
    stack.start_simulator()
    return Site(stack)


async def fill(site: Site) -> None:
    """Insert entries; return when six are done, two are dead, two run and two wait for different reasons."""
    await site.outcome("crews", ["FAILED"], error=CREWS_ERROR, error_trace="Traceback\n  line 7, in ingest")
    await site.outcome("orders_eu", ["FAILED"], error="TimeoutError: the source did not answer in 300 s")
    for table in RUNNING:
        await site.outcome(table, ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
    await site.stack.simulator(
        "POST", "/_sim/foreign-runs", {"count": FOREIGN_RUNS, "seconds": FOR_THE_WHOLE_TIME_SECONDS}
    )
    running = site.insert(*RUNNING)
    done = site.insert("airlines", "airports", "planes", "weather", "sales_2025", "sales_2026")
    dead = site.insert("crews", "orders_eu", attempts=2)
    site.insert("flights")
    site.insert("budget", at=LATER)
    site.start_host()
    await site.until(running, "RUNNING")
    await site.until(done, "DONE")
    await site.until(dead, "DEAD")
