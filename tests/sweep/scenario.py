"""A story as one process: the real app and the real queue, until every entry is final.

Everything is decided by the state store, the queue and Databricks, so that the same function goes on after a
crash of its process where the one before was ended.
"""

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueMessage

from devstack.host.storage import MessageQueue
from orchestrator import settings
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from orchestrator.core.actions import Resolution
from orchestrator.core.errors import OrchestratorError
from tests.empty_store import make_empty_store
from tests.invariants import AUDIT
from tests.operators import Operator
from tests.sweep.boundaries import Boundaries, Damage
from tests.sweep.others import CLOCK, Others
from tests.sweep.stories import PASS_SECONDS, Story

#: More passes than any damage needs.
PASSES = 30

#: How long a received message stays invisible: the minimum of Storage; the host uses 10 minutes.
INVISIBLE = timedelta(seconds=1)
MAX_DEQUEUE_COUNT = 5

#: Divides the pauses of the clients between their tries: nothing outside needs the time.
HASTE = 20


class _PeoplesConnector(SqliteConnector):
    """Connections of people: what they do is not a boundary of the app."""

    connect = SqliteConnector.connect  # as it is before anything watches it


def prepare(database: Path, story: Story) -> None:
    """Create the database with the story's entries and an audit of every change of status."""
    make_empty_store(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(AUDIT)
        for planned in story.entries:
            columns = {
                "table_name": planned.table,
                "available_at": "2020-01-01 00:00:00",
                **planned.columns,
            }
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            insert = f"INSERT INTO track_processing ({names}) VALUES ({marks})"
            connection.execute(insert, tuple(columns.values()))


def main(environment: Mapping[str, str], record: str, target: str | None, damage: Damage) -> None:
    """Run a story in this process to its end, or to the boundary where it is killed.

    :param record: file that takes what happens outside, a line each: at the boundaries, and by others.
    """
    logging.disable(logging.CRITICAL)
    with open(record, "a", encoding="utf-8", buffering=1) as names:  # noqa: PTH123 - line by line

        def report(step: str) -> None:
            names.write(f"{step}\n")

        boundaries = Boundaries(target, damage, report)
        boundaries.install()
        patch.object(asyncio, "sleep", _hurry(asyncio.sleep)).start()
        asyncio.run(_run(environment, boundaries, report))
        names.flush()
        os._exit(0)  # a forked process has nothing to clean up


def _hurry(sleep: Callable[[float], Awaitable[None]]) -> Callable[[float], Awaitable[None]]:
    return lambda seconds: sleep(seconds / HASTE)


async def _run(environment: Mapping[str, str], boundaries: Boundaries, report: Callable[[str], None]) -> None:
    database = Path(environment["STATE_DB"])
    others = Others(environment, Operator(_PeoplesConnector(database)))
    app = Application(settings.load(others.environment()))
    connection = environment["AzureWebJobsStorage"]
    async with MessageQueue(connection, environment["SUBMIT_QUEUE_NAME"], "base64") as queue:
        await _attempt(queue.create())
        for _ in range(PASSES):
            await _attempt(app.trigger())
            if not others.submit_is_silent():
                await _deliver(app, queue)
            if _all_ended(database):
                break
            report("time passes, and people act")
            with boundaries.aside():
                await others.start_stranger()
            await asyncio.to_thread(others.act)
            _let_time_pass(database, Path(environment[CLOCK]), others)
            await asyncio.to_thread(_people_act, database, environment["DATABRICKS_HOST"])
            if await asyncio.to_thread(others.move_workspace):
                await app.close()
                app = Application(settings.load(others.environment()))
            if others.monitor_runs():
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
        "SELECT id FROM track_processing WHERE status NOT IN ('DONE', 'DEAD', 'CANCELED')"
        # Nobody has repaired its run yet, or retried it.
        " OR (table_name IN ('repaired', 'changed') AND submission = 1)"
        # Nobody knows yet that the run of a deleted entry is over.
        " UNION ALL SELECT entry_id FROM orchestrator_open_submission"
        " WHERE entry_id NOT IN (SELECT id FROM track_processing)"
        " UNION ALL SELECT entry_id FROM orchestrator_stray_run"
        " WHERE entry_id NOT IN (SELECT id FROM track_processing)"
    )
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchone() is None


def _let_time_pass(database: Path, clock: Path, others: Others) -> None:
    """Let runs, leases and back-offs end; where others act, the database's clock does."""
    clock.write_text(str(float(clock.read_text()) + PASS_SECONDS))
    if others.are_there:
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        # Five minutes, after which a pass looks for repaired runs even if nothing else is to be done.
        connection.execute("UPDATE orchestrator_tick SET started_at = '2020-01-01 00:00:00'")
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
