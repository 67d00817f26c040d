"""The store: claims, submissions and ends, and what passes and people ask, however long the history is.

On a SQLite file of its own for each length of history, taken in turns; where ``TEST_SQLSERVER`` names a
database, on that one as well, **whose tables are dropped first**: one length after the other.
"""

import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.tables import Table
from orchestrator.adapters.store import dialects, migrate
from orchestrator.adapters.store.connector import Connection, Connector
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.decisions import log_of_run
from orchestrator.core.models import Claim, Entry, JobKey, JobLimit, Run, RunFailure, Verdict
from orchestrator.core.states import Status

#: Entries that are over.
HISTORY = (10_000, 1_000_000)
FULL_HISTORY = (*HISTORY, 10_000_000)

#: Entries that wait, in this many source tables and for this many jobs, in three priorities.
WAITING = 100_000
SOURCE_TABLES = 2_000
JOBS = 50

#: Entries RUNNING all the time.
RUNNING = 100

#: Entries of one claim, as in a pass that finds a few free slots.
CLAIMED = 10
ROUNDS = 15
FULL_ROUNDS = 25

#: How often each other question is asked of the store.
REPEATS = 5

#: Rows of one INSERT.
_BATCH = 20_000

_LEASE_SECONDS = 900.0
_MAX_ATTEMPTS = 3

_INSERT_ENTRIES = """
INSERT INTO track_processing (
    {sqlite entry_guid,} table_name, job_id, priority, status, runid, last_runid, submission, attempt,
    request, available_at, created_at, updated_at, claimed_at, submitted_at, finished_at
)
SELECT
    -- in their order, so that filling takes no longer than it must
    {sqlite SUBSTR('00000000-0000-4000-8000-000000000000', 1, 36 - LENGTH(number.value)) || number.value,}
    REPLACE('schema.table #', '#', CAST(number.value % ? AS varchar(20))), number.value % ?,
    number.value % 3, 'DONE',
    number.value, number.value, 1, 1, '{"job_id": 5}', ?, ?, ?, ?, ?, ?
FROM {numbers ?} AS number
"""

_INSERT_LOG = """
INSERT INTO process_log (
    entry_id, submission, attempt, runid, status, life_cycle_state, result_state, started_at, finished_at,
    queue_seconds, setup_seconds, execution_seconds, created_at
)
SELECT
    id, submission, attempt, runid, status, 'TERMINATED', 'SUCCESS', submitted_at, finished_at, 1.5,
    60.5, 600.5, finished_at
FROM track_processing
WHERE id > ? AND status = 'DONE'
"""

_INSERT_WAITING = """
INSERT INTO track_processing (table_name, job_id, priority)
SELECT
    REPLACE('schema.table #', '#', CAST(number.value % ? AS varchar(20))), number.value % ?,
    number.value % 3
FROM {numbers ?} AS number
"""

#: Of SQL Server: the app's tables, ``process_log`` before the entries that it refers to.
_DROP = """
SELECT name FROM sys.tables
WHERE name LIKE 'orchestrator[_]%' OR name IN ('track_processing', 'process_log')
ORDER BY name
"""

_T = TypeVar("_T")

Question = Callable[[], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is filled and measured."""

    history: Sequence[int]
    waiting: int = WAITING
    rounds: int = ROUNDS
    repeats: int = REPEATS


@dataclass(kw_only=True)
class Bench:
    """One store with its history, and the times that were measured on it, in seconds."""

    history: int
    store: Store
    seconds: dict[str, list[float]] = field(default_factory=dict)
    #: no run of the history has these numbers
    run_ids: Iterable[int] = field(default_factory=lambda: itertools.count(1_000_000_000))

    async def timed(self, name: str, question: Awaitable[_T]) -> _T:
        """Return what is asked, and keep the time that it took."""
        began = time.perf_counter()
        answer = await question
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)
        return answer


def tables(*, full: bool) -> Iterable[Table]:
    """Measure, and yield a table of the ways of an entry and one of the questions, for each database."""
    size = Size(history=FULL_HISTORY, rounds=FULL_ROUNDS) if full else Size(history=HISTORY)
    yield from measured(size)


def measured(size: Size) -> Iterable[Table]:
    """Fill and measure on each database that there is."""
    with tempfile.TemporaryDirectory() as folder:
        benches = [
            (length, SqliteConnector(Path(folder) / f"{length}.db", create=True)) for length in size.history
        ]
        for length, connector in benches:
            fill(connector, length, size.waiting)
        yield from _printed("SQLite", size, asyncio.run(_measure(benches, size)))
    if connection_string := os.environ.get("TEST_SQLSERVER"):
        from orchestrator.adapters.store.sqlserver import SqlServerConnector

        found: list[Bench] = []
        for length in size.history:
            server = SqlServerConnector(connection_string)
            _drop(server)
            fill(server, length, size.waiting)
            found += asyncio.run(_measure([(length, server)], size))
        yield from _printed("SQL Server", size, found)


def fill(connector: Connector, history: int, waiting: int) -> None:
    """Make the tables, and insert what is over and what waits."""
    migrate.apply(connector)
    now = datetime.now(UTC)
    with closing(connector.connect().connection) as connection:
        kept = _without_indexes(connection) if connector.dialect == "sqlite" else []
        for first in range(1, history + 1, _BATCH):
            last = min(first + _BATCH, history + 1)
            # The history is older than what health and alerts look at, but for its last part.
            ended = connector.to_database(
                now - timedelta(seconds=(history - first) * 3600 * 24 * 365 / history)
            )
            numbers = json.dumps(list(range(first, last)))
            _run(connection, connector, _INSERT_ENTRIES, SOURCE_TABLES, JOBS, *(ended,) * 6, numbers)
            _run(connection, connector, _INSERT_LOG, first - 1)
        for statement in kept:
            _run(connection, connector, statement)
        for first in range(0, waiting, _BATCH):
            numbers = json.dumps(list(range(first, min(first + _BATCH, waiting))))
            _run(connection, connector, _INSERT_WAITING, SOURCE_TABLES, JOBS, numbers)


def _without_indexes(connection: Connection) -> list[str]:
    """Drop the indexes while a file is filled, and return how they are made again."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = OFF")  # the file is thrown away
    cursor.execute("PRAGMA cache_size = -1000000")
    cursor.execute("PRAGMA threads = 2")
    cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f"DROP INDEX {name}")
    return [str(sql) for _, sql in found]


def _drop(connector: Connector) -> None:
    with closing(connector.connect().connection) as connection:
        cursor = connection.cursor()
        cursor.execute(_DROP)
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")
        connection.commit()


def _run(connection: Connection, connector: Connector, sql: str, *values: Any) -> None:
    cursor = connection.cursor()
    connector.begin_write(connection)
    connector.declare(cursor, values)
    cursor.execute(dialects.render(sql, connector.dialect), values)
    connection.commit()
    cursor.close()


async def _measure(databases: Sequence[tuple[int, Connector]], size: Size) -> list[Bench]:
    """Let the stores take turns, so that all of them meet the same moments of the machine."""
    benches = [Bench(history=length, store=Store(Pool(connector))) for length, connector in databases]
    for bench in benches:
        await _start_running(bench)
    for number in range(size.rounds):
        for bench in benches[:: 1 if number % 2 else -1]:
            await _way_of_entries(bench)
    for number in range(size.repeats):
        for bench in benches[:: 1 if number % 2 else -1]:
            for name, question in _questions(bench.store).items():
                await bench.timed(name, question())
    for bench in benches:
        await bench.store.pool.close()
    return benches


async def _start_running(bench: Bench) -> None:
    for claim in await _claim(bench.store, RUNNING):
        await _submit(bench, claim)


async def _way_of_entries(bench: Bench) -> None:
    """Claim some entries, submit and end them."""
    claims = await bench.timed("claim of 10", _claim(bench.store, RUNNING + CLAIMED))
    if len(claims) != CLAIMED:
        raise RuntimeError(f"{len(claims)} entries were claimed")
    for claim in claims:
        await bench.timed("submission", _submit(bench, claim))
    for claim in claims:
        entry = await bench.store.get(claim.entry_id)
        if entry is None:
            raise RuntimeError(f"entry {claim.entry_id} is gone")
        await bench.timed("end", _end(bench.store, entry))


async def _claim(store: Store, cap: int) -> list[Claim]:
    return await store.claim(
        "default",
        cap=cap,
        active=(),
        jobs={JobKey(job_id=job): JobLimit(job_id=job, max_concurrent_runs=1_000) for job in range(JOBS)},
        lease_seconds=_LEASE_SECONDS,
        max_attempts=_MAX_ATTEMPTS,
        serialize_tables=True,
        address="https://workspace",
    )


async def _submit(bench: Bench, claim: Claim) -> None:
    """Note the call and then its run, as around ``run-now``."""
    run_id = next(iter(bench.run_ids))
    here = "https://workspace"
    begun = await bench.store.begin_submission(claim, _LEASE_SECONDS, '{"job_id": 5}', address=here)
    if begun is None or not await bench.store.record_run(claim, run_id, new_in="default", address=here):
        raise RuntimeError(f"entry {claim.entry_id} was not submitted")


async def _end(store: Store, entry: Entry) -> None:
    run = Run(run_id=entry.runid or 0, life_cycle_state="TERMINATED", result_state="SUCCESS")
    verdict = Verdict(to=Status.DONE, error=None)
    if not await store.finish(entry, verdict, log_of_run(entry, run, RunFailure(), verdict)):
        raise RuntimeError(f"entry {entry.id} was not ended")


def _questions(store: Store) -> dict[str, Question]:
    """Return what passes and people ask, by what it is called."""
    reports = Reports(store.pool)
    return {
        "a pass: put right": lambda: store.put_right(max_attempts=_MAX_ATTEMPTS, limit=500),
        "a pass: open workspaces": store.open_workspaces,
        "a pass: RUNNING entries": lambda: store.running("default"),
        "a pass: jobs of open entries": lambda: store.open_jobs("default"),
        "people: status": reports.status,
        "people: waiting, 200": lambda: reports.candidates("default", 200),
        "people: entries in trouble": lambda: reports.troubled(queued_seconds=2 * _LEASE_SECONDS),
        "people: tables held": reports.held_by_running,
        "people: overdue": lambda: reports.is_overdue(
            "default", seconds=3600, max_attempts=_MAX_ATTEMPTS, serialize_tables=True
        ),
    }


def _printed(database: str, size: Size, benches: Sequence[Bench]) -> Iterable[Table]:
    title = f"{database}, {size.waiting:,} entries wait for {SOURCE_TABLES:,} tables and {JOBS} jobs"
    shortest = benches[0].seconds
    ways, questions = (
        [name for name in shortest if (":" in name) is is_question] for is_question in (False, True)
    )
    yield Table(
        title=f"{title}: the way of an entry",
        columns=["", "history", "per second", "p50 ms", "p99 ms", f"times {benches[0].history:,}"],
        rows=[
            [
                name,
                f"{bench.history:,}",
                f"{len(bench.seconds[name]) / sum(bench.seconds[name]):,.1f}",
                f"{_percentile(bench.seconds[name], 50):,.1f}",
                f"{_percentile(bench.seconds[name], 99):,.1f}",
                f"{_times(bench.seconds[name], shortest[name]):.2f}",
            ]
            for name in ways
            for bench in benches
        ],
        notes=[
            "one at a time; a submission is the two transactions around the call, an end is the one after"
        ],
    )
    yield Table(
        title=f"{title}: what is asked, median of {size.repeats}, in ms",
        columns=["", *(f"history {bench.history:,}" for bench in benches)],
        rows=[
            [name, *(f"{_percentile(bench.seconds[name], 50):,.1f}" for bench in benches)]
            for name in questions
        ],
    )


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """Return a percentile in milliseconds."""
    if len(seconds) == 1:
        return 1000 * seconds[0]
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def _times(seconds: Sequence[float], shortest: Sequence[float]) -> float:
    return statistics.median(seconds) / statistics.median(shortest)
