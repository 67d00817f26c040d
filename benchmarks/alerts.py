"""What alerts cost a pass: claims of entries that went DEAD, when all are new, none is, and there are none.

``python -m benchmarks.alerts``: fills a SQLite file with entries that ended within a day, prints the time of
each claim, and compares it with inserting as many entries in the same run.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.reports import text
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.alerts import SHOWN_ENTRIES
from orchestrator.core.models import NewEntry
from orchestrator.usecases.alerting import _EXAMINED_ENTRIES, WINDOW_SECONDS

#: Of each question.
REPEATS = 9

#: Beside the DEAD ones.
DONE_ROWS = 100_000

INSERT = "INSERT INTO track_processing (table_name, status, last_error, finished_at) VALUES (?, ?, ?, ?)"

Question = Callable[[], Awaitable[object]]


def fill(path: Path, status: str, count: int) -> None:
    """Let entries come to their end, spread over 23 hours."""
    now = datetime.now(UTC)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            INSERT,
            (
                (
                    f"table_{number % 400}",
                    status,
                    "it failed",
                    text(now - timedelta(hours=23) * number / count),
                )
                for number in range(count)
            ),
        )


async def nothing() -> None:
    """Do nothing after a question."""


async def measure(question: Question, after: Question = nothing) -> list[float]:
    """Return how long some calls take, in milliseconds; what is done after each does not count."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        await question()
        taken.append((time.perf_counter() - began) * 1000)
        await after()
    return taken


async def ask(path: Path, dead: int) -> dict[str, list[float]]:
    """Return the times of each question."""
    store = Store(Pool(SqliteConnector(path)))
    log = AlertLog(store.pool)

    async def claim() -> int:
        entries = await log.claim_dead(
            "message", window_seconds=WINDOW_SECONDS, examined=_EXAMINED_ENTRIES, shown=SHOWN_ENTRIES
        )
        return 0 if entries is None else entries.count

    async def expect(count: int) -> None:
        if await claim() != count:
            raise SystemExit(f"{count} entries should have been claimed")

    try:
        added = [NewEntry(table_name=f"table_{number % 400}") for number in range(dead)]
        times = {
            f"insert {dead:,} entries": await measure(lambda: Operations(store.pool).add(added)),
            "claim, no entry went DEAD": await measure(lambda: expect(0)),
        }
        fill(path, "DEAD", dead)
        times[f"claim, all of {dead:,} are new"] = await measure(
            lambda: expect(dead), lambda: log.release("message")
        )
        await claim()
        times[f"claim, none of {dead:,} is new"] = await measure(lambda: expect(0))
    finally:
        await store.pool.close()
    return times


def main(argv: list[str]) -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dead", type=int, default=_EXAMINED_ENTRIES, help="at most what a pass looks at")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        migrate.apply(SqliteConnector(path, create=True))
        fill(path, "DONE", DONE_ROWS)
        times = asyncio.run(ask(path, arguments.dead))
    unit = statistics.median(next(iter(times.values())))
    print(f"{'over the store':34} {'median ms':>10} {'worst ms':>9} {'ratio':>7}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:34} {median:10.2f} {max(taken):9.2f} {median / unit:7.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
