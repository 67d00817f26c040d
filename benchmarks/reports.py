"""How long the questions of the dashboard, the HTTP API and the command line take on a long history.

``python -m benchmarks.reports``: fills a SQLite file with 1,000,000 entries and 2,000,000 log rows, spread
over a year with a busy last week, and prints each question's time over the store and over the HTTP functions.
"""

import argparse
import asyncio
import functools
import itertools
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func

from orchestrator import settings
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.reports import Reports
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from orchestrator.core.models import ActiveRun
from orchestrator.core.search import EntryFilter, Sort
from orchestrator.core.states import Status
from orchestrator.web.api import Api
from orchestrator.web.http import from_azure
from orchestrator.web.routes import ROUTES, Server

ENTRIES = 1_000_000
#: Of the entries, in the last seven days; four times as many as in another week.
LAST_WEEK = 80_000
#: Rows that wait and rows with a run.
WAITING, RUNNING = 2_000, 150
TABLES = 400
DAYS = 365
REPEATS = 5

INSERT_ENTRY = (
    "INSERT INTO track_processing (id, table_name, status, runid, submission, attempt, priority, last_error,"
    " created_at, updated_at, available_at, submitted_at, finished_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
INSERT_LOG = (
    "INSERT INTO process_log (entry_id, submission, attempt, runid, status, life_cycle_state, result_state,"
    " message, run_page_url, started_at, finished_at, queue_seconds, setup_seconds, execution_seconds,"
    " created_at) VALUES (?,?,?,?,?,'TERMINATED',?,?,'https://example.net/run',?,?,?,?,?,?)"
)


def text(moment: datetime) -> str:
    """Write a time as the columns hold it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def moments(now: datetime, entries: int) -> Iterator[datetime]:
    """Return when each entry was made, oldest first."""
    last_week = entries * LAST_WEEK // ENTRIES
    long_ago, week_ago = now - timedelta(days=DAYS), now - timedelta(days=7)
    for number in range(entries - last_week):
        yield long_ago + (week_ago - long_ago) * (number / (entries - last_week))
    for number in range(last_week):
        yield week_ago + (now - week_ago) * (number / last_week)


def rows(now: datetime, entries: int) -> Iterator[tuple[tuple[object, ...], list[tuple[object, ...]]]]:
    """Return each entry with its log rows: two on the average."""
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    open_from = entries - WAITING - RUNNING
    for number, made in enumerate(moments(now, entries)):
        entry_id, runs = number + 1, number % 3 + 1
        ended = made + timedelta(seconds=60 * runs)
        table = f"schema_{chance.randrange(20)}.table_{chance.randrange(TABLES)}"
        if number >= open_from:
            is_running = number >= entries - RUNNING
            yield _open_entry(entry_id, table, made, is_running=is_running), []
            continue
        last = Status.DONE if chance.random() < 0.97 else Status.DEAD
        error = None if last is Status.DONE else f"InternalError: task load of {table} failed, code {number}"
        entry = (entry_id, table, last, 4 * entry_id + runs, runs, runs, 0, error)
        yield (
            (*entry, *map(text, (made, ended, made, made, ended))),
            _logs(entry_id, runs, last, made, chance),
        )


def _open_entry(entry_id: int, table: str, made: datetime, *, is_running: bool) -> tuple[object, ...]:
    times = (text(made), text(made), text(made), text(made) if is_running else None, None)
    state = (Status.RUNNING, 4 * entry_id, 1, 1) if is_running else (Status.PENDING, None, 0, 0)
    return (entry_id, table, *state, 0, None, *times)


def _logs(
    entry_id: int, runs: int, last: Status, made: datetime, chance: random.Random
) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for run in range(1, runs + 1):
        status = last if run == runs else Status.FAILED
        ended = text(made + timedelta(seconds=60 * run))
        result = "SUCCESS" if status is Status.DONE else "FAILED"
        message = None if status is Status.DONE else "the notebook failed"
        seconds = (chance.random() * 5, chance.random() * 20, chance.random() * 40)
        times = (text(made), ended, *seconds, ended)
        found.append((entry_id, run, run, 4 * entry_id + run, status, result, message, *times))
    return found


def fill(path: Path, entries: int, now: datetime) -> int:
    """Make the file and return how many log rows it has."""
    migrate.apply(SqliteConnector(path, create=True))
    logs = 0
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # the file is thrown away
        made = rows(now, entries)
        while batch := list(itertools.islice(made, 20_000)):
            with connection:
                connection.executemany(INSERT_ENTRY, (entry for entry, _ in batch))
                connection.executemany(INSERT_LOG, (log for _, found in batch for log in found))
            logs += sum(len(found) for _, found in batch)
    return logs


Question = Callable[[], Awaitable[object]]


def questions(reports: Reports, entries: int, now: datetime) -> dict[str, Question]:
    """Return what is asked of the store, by what it is called."""
    night = EntryFilter(
        states=frozenset({Status.DEAD, Status.FAILED}), since=now - timedelta(hours=12), until=now
    )
    searches = {
        "entries, last changed": EntryFilter(),
        "entries, DEAD": EntryFilter(states=frozenset({Status.DEAD})),
        "entries, failed in the last 12 hours": night,
        "entries of one table": EntryFilter(table="schema_3.table_7"),
        "entries of one table, DEAD": EntryFilter(table="schema_3.table_7", states=frozenset({Status.DEAD})),
        "entries, table schema_3.*": EntryFilter(table="schema_3.*"),
        "entries, table *_7": EntryFilter(table="*_7"),
        "entries, a table that is not there": EntryFilter(table="no*such"),
        "entries, run id": EntryFilter(run_id=4 * (entries // 2) + 1),
        "entries, text in the error": EntryFilter(error="CODE 17"),
        "entries, text that is nowhere": EntryFilter(error="no such text"),
    }
    found: dict[str, Question] = {
        name: functools.partial(reports.entries, wanted) for name, wanted in searches.items()
    }
    return found | {
        "entries, newest first": lambda: reports.entries(EntryFilter(), sort=Sort.NEWEST),
        "entries, DEAD, oldest first": lambda: reports.entries(
            EntryFilter(states=frozenset({Status.DEAD})), sort=Sort.OLDEST
        ),
        "one entry with its runs": lambda: reports.story(entries // 2),
        "status": reports.status,
        "waiting, 200": lambda: reports.candidates("default", 200),
        "history, 24 hours": lambda: reports.history(hours=24),
        "history, 7 days": lambda: reports.history(hours=168),
        "tables, 1 day": lambda: reports.tables(days=1, limit=100),
        "tables, 7 days": lambda: reports.tables(days=7, limit=100),
        "matching, 1000 to run again": lambda: reports.matching(
            EntryFilter(table="schema_3.*"), states={Status.DEAD}, limit=1000
        ),
    }


#: What is asked over the HTTP functions.
ADDRESSES = (
    "status",
    "health",
    "entries",
    "entries?state=DEAD&state=FAILED",
    "entries?table=schema_3.table_7",
    "entries?table=*_7&limit=500",
    "entries?error=no+such+text",
    "entries/500000",
    "waiting?limit=200",
    "history?hours=24",
    "history?hours=168",
    "tables?days=7",
)

#: What is changed over them; each time other rows are.
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "entries, 1 row": ("entries", {"entries": [{"table_name": "new"}]}),
    "entries, 1000 rows": ("entries", {"entries": [{"table_name": f"new_{n}"} for n in range(1000)]}),
    "retry, dry run, 1000 found": ("retry", {"filter": {"state": "DEAD"}}),
    "retry, 1000 rows": ("retry", {"filter": {"state": "DEAD"}, "dry_run": False}),
    "cancel, 1000 rows": ("cancel", {"filter": {"state": "PENDING"}, "dry_run": False}),
}

SETTINGS = {
    "DATABRICKS_HOST": "http://127.0.0.1:9",
    "DATABRICKS_TOKEN": "none",
    "DATABRICKS_JOB_ID": "1",
    "AzureWebJobsStorage": (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;QueueEndpoint=http://127.0.0.1:9/a"
    ),
}


class IdleWorkspace:
    """Stands in for Databricks, whose answer takes as long as it takes: no run is active."""

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:  # noqa: ARG002
        """Answer at once."""
        return ()


async def measure(question: Question) -> tuple[float, float]:
    """Return the median and the worst of some calls, in milliseconds."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        await question()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), max(taken)


async def ask(path: Path, entries: int, now: datetime) -> None:
    """Print a line a question."""
    app = Application(settings.load({**SETTINGS, "STATE_DB": str(path)}))
    app.web_runs["default"] = IdleWorkspace()  # type: ignore[assignment]  # nothing else of it is called
    try:
        await report("over the store", questions(app.reports, entries, now))
        await report("over the HTTP functions", calls(app))
    finally:
        await app.close()


async def report(title: str, asked: dict[str, Question]) -> None:
    """Print the times of some questions."""
    print(f"{title:44} {'median ms':>10} {'worst ms':>9}")
    for name, question in asked.items():
        median, worst = await measure(question)
        print(f"{name:44} {median:10.1f} {worst:9.1f}")


def calls(app: Application) -> dict[str, Question]:
    """Return a call for each address, as the Functions host makes it."""
    api = Api(lambda: app)
    server = Server(lambda: api)

    def question(method: str, address: str, body: bytes = b"") -> Question:
        name, _, _ = address.partition("?")
        path, _, entry_id = name.partition("/")
        wanted = f"{path}/{{id}}" if entry_id else path
        route = next(each for each in ROUTES if (each.method, each.path) == (method, wanted))
        request = func.HttpRequest(
            method,
            f"http://127.0.0.1/api/{address}",
            headers={"Content-Type": "application/json"},
            route_params={"id": entry_id},
            body=body,
        )

        async def call() -> None:
            answer = await server.serve(route, from_azure(request))
            if answer.content_type != "application/json":
                raise SystemExit(f"{address}: {answer.content}")

        return call

    asked = {f"GET /api/{address}": question("GET", address) for address in ADDRESSES}
    changes = {
        f"POST /api/{name}": question("POST", address, json.dumps(body).encode())
        for name, (address, body) in CHANGES.items()
    }
    return asked | changes


def main(argv: list[str]) -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--keep", type=Path, help="use this file, and fill it only when it is not there")
    arguments = parser.parse_args(argv)
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "state.db"
        if not path.exists():
            began = time.perf_counter()
            logs = fill(path, arguments.entries, now)
            print(
                f"{arguments.entries} entries, {logs} log rows, {time.perf_counter() - began:.0f} s to fill"
            )
        asyncio.run(ask(path, arguments.entries, now))


if __name__ == "__main__":
    main(sys.argv[1:])
