"""The standard scenario as one process: the real app and the real queue, until every entry is final.

Everything is decided by the state store, the queue and Databricks, so that the same function goes on after a
crash of its process where the one before was ended.
"""

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueMessage

from devstack.host.storage import MessageQueue
from orchestrator import settings
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from orchestrator.core.actions import Resolution
from orchestrator.core.errors import OrchestratorError
from tests.invariants import AUDIT
from tests.operators import Operator
from tests.sweep.boundaries import Boundaries, Damage

CAP = 8
MAX_ATTEMPTS = 2

#: More passes than any damage needs.
PASSES = 30

#: How long a received message stays invisible: the minimum of Storage; the host uses 10 minutes.
INVISIBLE = timedelta(seconds=1)
MAX_DEQUEUE_COUNT = 5

#: The setting that names the file with the seconds that have passed at Databricks.
CLOCK = "SCENARIO_CLOCK"

#: Duration of a simulated run, and the time between two passes.
RUN_SECONDS = 30.0
PASS_SECONDS = 60.0

#: Entries that never get a run.
NEVER_RUN = ("not json", "no such job", "never wanted")

#: Each entry by its table: its final state and number of attempts.
EXPECTED = {
    "repaired": ("DONE", 1),
    "restarted": ("DONE", 1),
    "mended": ("DONE", 2),
    "resolved": ("DONE", 1),
    "unwanted": ("CANCELED", 1),
    "flaky": ("DONE", 2),
    "hopeless": ("DEAD", MAX_ATTEMPTS),
    "twin": ("DONE", 1),
    "not json": ("DEAD", 1),
    "no such job": ("DEAD", 1),
    "good": ("DONE", 1),
    "never wanted": ("CANCELED", 0),
}

#: Runs and repairs of each table.
RUNS = Counter(
    {**dict.fromkeys(EXPECTED, 1), "flaky": 2, "hopeless": 2, "twin": 2, "restarted": 2}
    | dict.fromkeys(NEVER_RUN, 0)
)
REPAIRS = Counter({"mended": 1, "repaired": 1})

#: The outcomes that the simulator is asked for.
OUTCOMES: list[dict[str, Any]] = [
    {"match": {"table_name": "flaky"}, "results": ["FAILED", "SUCCESS"]},
    {"match": {"table_name": "hopeless"}, "results": ["FAILED"]},
    {"match": {"table_name": "unwanted"}, "results": ["SUCCESS"], "run_seconds": 86_400},
    {"match": {"table_name": "mended"}, "results": ["FAILED", "SUCCESS"]},
    # Long enough for a pass to see the repaired run active, and for an operator to come in between.
    {
        "match": {"table_name": "repaired"},
        "results": ["FAILED", "SUCCESS"],
        "run_seconds": 1.5 * PASS_SECONDS,
    },
    {"match": {"table_name": "resolved"}, "results": ["SUCCESS"], "run_seconds": 86_400},
    {"match": {"table_name": "restarted"}, "results": ["SUCCESS"], "run_seconds": 90},
]

#: Columns of the entries that give more than their table.
COLUMNS: dict[str, dict[str, Any]] = {
    "not json": {"parameters": "{"},
    "no such job": {"job_id": 999},
    "never wanted": {"cancel_requested": 1},
    "mended": {"retry_mode": "repair"},
    "repaired": {"max_attempts": 1},
}


class _PeoplesConnector(SqliteConnector):
    """Connections of people: what they do is not a boundary of the app."""

    connect = SqliteConnector.connect  # as it is before anything watches it


def prepare(database: Path) -> None:
    """Create the database with the scenario's entries and an audit of every change of status."""
    migrate.apply(SqliteConnector(database, create=True))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(AUDIT)
        tables = [*EXPECTED, "twin"]  # a table is never in flight twice
        for table in tables:
            columns = {
                "table_name": table,
                "available_at": "2020-01-01 00:00:00",
                **COLUMNS.get(table, {}),
            }
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            insert = f"INSERT INTO track_processing ({names}) VALUES ({marks})"
            connection.execute(insert, tuple(columns.values()))


def main(environment: Mapping[str, str], record: str, target: str | None, damage: Damage) -> None:
    """Run the scenario in this process to its end, or to the boundary where it is killed.

    :param record: file that takes the names of the boundaries, a line each.
    """
    logging.disable(logging.CRITICAL)
    with open(record, "a", encoding="utf-8", buffering=1) as names:  # noqa: PTH123 - line by line
        Boundaries(target, damage, lambda name: print(name, file=names)).install()
        asyncio.run(_run(environment))
        names.flush()
        os._exit(0)  # a forked process has nothing to clean up


async def _run(environment: Mapping[str, str]) -> None:
    app = Application(settings.load(environment))
    database = Path(environment["STATE_DB"])
    connection = environment["AzureWebJobsStorage"]
    async with MessageQueue(connection, environment["SUBMIT_QUEUE_NAME"], "base64") as queue:
        await _attempt(queue.create())
        for _ in range(PASSES):
            await _attempt(app.trigger())
            await _deliver(app, queue)
            if _all_ended(database):
                break
            _let_time_pass(database, Path(environment[CLOCK]))
            await asyncio.to_thread(_people_act, database, environment["DATABRICKS_HOST"])
            await _attempt(app.monitor())
    await app.close()


async def _deliver(app: Application, queue: MessageQueue) -> None:
    """Hand every visible message to the submit function, as the host's listener does."""
    while batch := await _receive(queue):
        [message] = batch
        if (message.dequeue_count or 0) > MAX_DEQUEUE_COUNT:
            await _attempt(queue.move_to_poison(message))
        elif await _attempt(app.submit(queue.decode(message))):
            await _attempt(queue.delete(message))


async def _receive(queue: MessageQueue) -> list[QueueMessage]:
    try:
        return await queue.receive(1, INVISIBLE)
    except AzureError:
        return []


async def _attempt(work: Awaitable[object]) -> bool:
    """Ignore an error, as the host does: it logs the error and calls the function again."""
    try:
        await work
    except (OrchestratorError, AzureError):
        return False
    return True


def _all_ended(database: Path) -> bool:
    query = (
        "SELECT COUNT(*) FROM track_processing WHERE status NOT IN ('DONE', 'DEAD', 'CANCELED')"
        " OR (table_name = 'repaired' AND submission = 1)"  # nobody has repaired its run yet
    )
    with closing(sqlite3.connect(database)) as connection:
        return bool(connection.execute(query).fetchone() == (0,))


def _let_time_pass(database: Path, clock: Path) -> None:
    """Let runs, leases and back-offs end."""
    clock.write_text(str(float(clock.read_text()) + PASS_SECONDS))
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute(
            "UPDATE track_processing SET lease_expires_at = '2020-01-01 00:00:00' WHERE status = 'QUEUED'"
        )
        connection.execute(
            "UPDATE track_processing SET available_at = '2020-01-01 00:00:00'"
            " WHERE status IN ('PENDING', 'FAILED')"
        )
        connection.execute(
            "UPDATE track_processing SET cancel_requested = 1"
            " WHERE table_name = 'unwanted' AND status = 'RUNNING'"
        )


def _people_act(database: Path, databricks: str) -> None:
    """Let operators resolve one entry and restart another, and somebody repair a run, each once."""
    operator = Operator(_PeoplesConnector(database))
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT id, table_name, last_runid FROM track_processing WHERE submission = 1"
            " AND (table_name IN ('resolved', 'restarted') AND status = 'RUNNING' AND stop_reason IS NULL"
            " OR table_name = 'repaired' AND status = 'DEAD')"
        ).fetchall()
    for entry_id, table, run_id in found:
        if table == "resolved":
            operator.resolve(entry_id, Resolution.DONE)
        elif table == "restarted":
            operator.restart(entry_id)
        else:
            _repair_by_hand(databricks, run_id)


def _repair_by_hand(databricks: str, run_id: int) -> None:
    """Repair a run as a person does; Databricks refuses a second time. Not through the app's HTTP library."""
    request = Request(
        f"{databricks}/api/2.2/jobs/runs/repair",
        data=json.dumps({"run_id": run_id, "rerun_all_failed_tasks": True}).encode(),
        headers={"Authorization": "Bearer token", "Content-Type": "application/json"},
    )
    with contextlib.suppress(HTTPError), urlopen(request, timeout=10):
        pass
