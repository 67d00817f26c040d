"""Watching: what one look at all live runs asks of Databricks, and how long it takes.

The app makes a monitor pass over its store and a server in a process of its own; beside it, one ``runs/get``
for each run, ten at once, as programs do that poll their runs.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from benchmarks.databricks_server import PAGE, Server, running_server
from benchmarks.reports import text
from benchmarks.tables import Table
from orchestrator import settings
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application

#: Live runs, and what each answer takes.
SIZES, SECONDS = (130, 1000, 2000), 0.1
FULL_SECONDS = (0.1, 0.15, 0.5)

#: Calls at once, of the app's look-ups and of the others'.
AT_ONCE = 10

#: How long the runs have gone on: from a quarter of an hour on some are looked up although they are listed.
AGES = {"begun just now": timedelta(minutes=1), "going on for an hour": timedelta(hours=1)}

#: An entry as the app writes it when Databricks has accepted its run. Without ``queue_seconds`` its run would
#: have waited in Databricks' queue, and the pass would write that it does so no longer.
INSERT = """
INSERT INTO track_processing
    (table_name, status, runid, last_runid, submission, attempt, queue_seconds, workspace_address,
     submitted_at)
VALUES (?, 'RUNNING', ?, ?, 1, 1, 0, ?, ?)
"""


def tables(*, full: bool) -> Iterator[Table]:
    """Yield a table for each time that an answer takes."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        for seconds in FULL_SECONDS if full else (SECONDS,):
            yield asyncio.run(compare(server, SIZES, seconds))


async def compare(server: Server, sizes: tuple[int, ...], seconds: float) -> Table:
    """Look at so many runs in both ways, one after the other, against the same server."""
    ceiling = await _ceiling(server)
    rows = []
    for size in sizes:
        others = await one_by_one(server, size, seconds)
        await server.begin(0)
        await _start(server, size)
        for name, age in AGES.items():
            calls, took = await monitor_pass(server, size, seconds, age)
            rows.append(
                [
                    *(f"{size:,}", name, f"{calls}", f"{others[0]:,}", f"{others[0] / calls:.1f}"),
                    *(f"{took:.1f}", f"{others[1]:.1f}"),
                ]
            )
    return Table(
        title=f"One look at all live runs, answers take {seconds * 1000:.0f} ms",
        columns=["runs", "", "calls", "calls, one by one", "fewer by", "s", "s, one by one, ten at once"],
        rows=rows,
        notes=[f"the server itself answers {ceiling:,.0f} pages of {PAGE} runs a second to this machine"],
    )


async def monitor_pass(server: Server, size: int, seconds: float, age: timedelta) -> tuple[int, float]:
    """Make a monitor pass over the server's runs, so many; return its calls and its seconds."""
    await server.begin(seconds, keep_runs=True)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "state.db"
        migrate.apply(SqliteConnector(database, create=True))
        app = Application(
            settings.load(
                {
                    "DATABRICKS_HOST": server.url,
                    "DATABRICKS_TOKEN": "none",
                    "DATABRICKS_JOB_ID": "1",
                    "MAX_ACTIVE_RUNS": "2000",
                    "STATE_DB": str(database),
                    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                }
            )
        )
        try:
            _insert(database, size, age, address=app._policies["default"].address)
            began = time.perf_counter()
            problems = await app.monitor()
            took = time.perf_counter() - began
        finally:
            await app.close()
    if problems:
        raise AssertionError(problems)
    return (await server.report()).looks, took


async def one_by_one(server: Server, size: int, seconds: float) -> tuple[int, float]:
    """Ask for each run; return the calls and the seconds."""
    await server.begin(seconds)
    ids = iter(range(1, size + 1))
    async with aiohttp.ClientSession() as session:

        async def ask() -> None:
            for run_id in ids:
                address = f"{server.url}/api/2.2/jobs/runs/get"
                async with session.get(address, params={"run_id": run_id}) as response:
                    await response.json()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        took = time.perf_counter() - began
    return (await server.report()).looks, took


async def _start(server: Server, size: int) -> None:
    """Let the server have so many runs, with the ids from 1 on."""
    async with aiohttp.ClientSession() as session:
        for number in range(size):
            call = {"job_id": 1, "idempotency_token": f"{number}"}
            async with session.post(f"{server.url}/api/2.2/jobs/run-now", json=call) as response:
                if (await response.json())["run_id"] != number + 1:
                    raise AssertionError("the ids of the runs are not those of the entries")


async def _ceiling(server: Server, pages: int = 200) -> float:
    await server.begin(0)
    await _start(server, PAGE)
    numbers = iter(range(pages))
    async with aiohttp.ClientSession() as session:

        async def ask() -> None:
            for _ in numbers:
                async with session.get(f"{server.url}/api/2.2/jobs/runs/list") as response:
                    await response.read()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return pages / (time.perf_counter() - began)


def _insert(file: Path, size: int, age: timedelta, *, address: str) -> None:
    submitted = text(datetime.now(UTC) - age)
    rows = [(f"table_{number}", number, number, address or None, submitted) for number in range(1, size + 1)]
    with closing(SqliteConnector(file).connect().connection) as connection:
        connection.cursor().executemany(INSERT, rows)
        connection.commit()
