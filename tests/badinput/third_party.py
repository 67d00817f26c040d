"""The real use cases and SQLite store with entries written by third parties."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.adapters.databricks import jobs_api
from orchestrator.adapters.queue import _encode, decode
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.models import RunRequest
from orchestrator.core.states import FINAL
from tests.empty_store import make_empty_store
from tests.fakes import FakeQueue, FakeRuns
from tests.world import UseCases, policy, workspace

#: Passes that suffice: entries of one table run one at a time, and no example has more entries than this.
PASSES = 8
#: The same if each of them names a job that nobody knows, which is believed at the sixth time.
MOST_PASSES = 6 * PASSES

#: Longer than a lease, a back-off and the wait for capacity, in seconds.
PASS_SECONDS = 4_000.0

START = datetime(2030, 1, 1, tzinfo=UTC)

#: How SQLite and its driver refuse a value: a constraint, a number over 64 bits, a lone surrogate.
REFUSALS = (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError)


@dataclass(frozen=True)
class RawText:
    """Bytes that are stored as text although they are not UTF-8."""

    content: bytes


class StrictRuns(FakeRuns):
    """A workspace that accepts only what Databricks documents."""

    async def run_now(self, request: RunRequest) -> int:
        body = jobs_api.run_now(request).json
        assert body is not None
        json.dumps(body, allow_nan=False).encode()
        values = request.parameters
        assert all(
            isinstance(text, str) for text in (values.values() if isinstance(values, dict) else values)
        )
        assert len(json.dumps(values, ensure_ascii=False).encode()) <= 10_000
        assert 0 < request.job_id < 2**63
        assert 0 < len(request.idempotency_token) <= 64
        return await super().run_now(request)


class ThirdParty:
    """One database, one known workspace, and a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self._offset = timedelta()
        file = make_empty_store(folder / "state.db")
        self._connector = SqliteConnector(file, now=lambda: START + self._offset)
        self._outside: sqlite3.Connection = self._connector.connect().connection  # type: ignore[assignment]
        self._outside.execute("PRAGMA synchronous = OFF")
        self._runner = asyncio.Runner()
        self.store = Store(Pool(self._connector))
        self.reset()

    def reset(self) -> None:
        """Delete all entries, runs and messages."""
        self._offset = timedelta()
        self._outside.execute("DELETE FROM track_processing")
        self._outside.execute("DELETE FROM sqlite_sequence")
        self.runs, self.queue = StrictRuns(), FakeQueue()
        self._usecases = UseCases(
            store=self.store,
            runs={"default": self.runs},
            workspaces={"default": workspace(job_id=1, cap=5)},
            queue=self.queue,
            policy=policy(
                max_attempts=2, retry_backoff_seconds=1, submit_lease_seconds=100, max_deliveries=3
            ),
        )

    def close(self) -> None:
        self._runner.run(self.store.pool.close())
        self._runner.close()
        self._outside.close()

    def insert(self, row: Mapping[str, Any]) -> int | None:
        """Insert an entry by SQL and return its id, or None if the database refuses it.

        A refusal is an ordinary one, of the value or of a constraint, and leaves nothing behind.
        """
        before = self.sql("SELECT COUNT(*) FROM track_processing")
        columns = ", ".join(row) or "workspace"
        marks = ", ".join(_mark(value) for value in row.values()) or "'default'"
        statement = f"INSERT INTO track_processing ({columns}) VALUES ({marks}) RETURNING id"
        try:
            [(entry_id,)] = self.sql(statement, *map(_raw, row.values()))
        except REFUSALS:
            assert self.sql("SELECT COUNT(*) FROM track_processing") == before
            return None
        return int(entry_id)

    def update(self, table: str, column: str, value: Any) -> None:
        """Change an entry as a third party does, unless the database refuses the change."""
        with contextlib.suppress(*REFUSALS):
            self.sql(f"UPDATE track_processing SET {column} = ? WHERE table_name = ?", value, table)

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read or change entries from outside."""
        return self._outside.execute(statement, parameters).fetchall()

    def start(self) -> None:
        """Make a pass and submit every claimed entry."""
        self._runner.run(self._pass())

    def run(self) -> None:
        """End all runs and make passes until no entry changes any more.

        One that names a job which nobody knows takes some passes, and another one of its table waits for it.
        """
        for number in range(MOST_PASSES):
            if number >= PASSES and not self.unfinished():
                break
            for run_id in self.runs.runs:
                self.runs.end(run_id, "SUCCESS")
            self._runner.run(self._pass())

    async def _pass(self) -> None:
        self._offset += timedelta(seconds=PASS_SECONDS)
        problems = await self._usecases.trigger()
        assert [each for each in problems if "is not in the settings" not in each] == []
        while self.queue.sent:
            await self._usecases.submit(decode(_encode(self.queue.sent.pop()).encode()))

    def unfinished(self) -> list[tuple[Any, ...]]:
        """Return the entries of the known workspace that are neither final nor waiting for a later time."""
        marks = ", ".join("?" for _ in FINAL)
        return self.sql(
            "SELECT id, status, workspace, available_at, last_error FROM track_processing"
            f" WHERE workspace = 'default' AND status NOT IN ({marks})"
            " AND NOT (status IN ('PENDING', 'FAILED') AND available_at > utc_now())",
            *FINAL,
        )


def _mark(value: Any) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, RawText) else "?"


def _raw(value: Any) -> Any:
    return value.content if isinstance(value, RawText) else value
