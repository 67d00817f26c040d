"""Invalid entries, inserted with plain SQL between two valid ones, on every store."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from orchestrator.adapters.queue import _encode, decode
from orchestrator.adapters.store.connector import Connection
from orchestrator.adapters.store.entries import Store
from tests.fakes import FakeQueue, FakeRuns
from tests.store.conftest import Database
from tests.world import UseCases, policy, workspace

CANARY = "s3cr3t-c4n4ry"

#: Entries that every store takes and the app refuses: what is wrong with them → the error.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "blank name": ({"table_name": " \t"}, "table_name is empty"),
    "no such style": ({"parameter_style": "NOTEBOOK_PARAMS"}, "parameter_style is unknown"),
    "list style without list": ({"parameter_style": "jar_params"}, "must be given"),
    "negative job": ({"job_id": -(2**63)}, "job_id must be a positive number"),
    "no JSON": ({"parameters": f"{{'{CANARY}'"}, "not valid JSON"),
    "no object": ({"parameters": f'["{CANARY}"]'}, "must be an object"),
    "nested": ({"parameters": '{"a": ' + "[" * 900 + "]" * 900 + "}"}, "every value in parameters"),
    "nested without end": ({"parameters": "[" * 90_000}, "not valid JSON"),
    "half a pair": ({"parameters": f'{{"{CANARY}": "\\ud800"}}'}, "lone surrogate"),
    "too much": ({"parameters": f'{{"{CANARY}": "{"x" * 10_000}"}}'}, "the parameters have 10,"),
    "megabytes": ({"parameters": " " * 3_000_000}, "characters long; the limit is 100,000"),
}

#: Names of workspaces that every store takes and the settings do not know.
UNKNOWN_WORKSPACES = ("'; DROP TABLE process_log; --", "", "DEFAULT", " default", "a\x1b[2J\r\nb")

#: Entries that every store takes and that are odd, but valid.
TAKEN: dict[str, dict[str, Any]] = {
    "quotes": {"table_name": "o'clock\"; SELECT 1 --"},
    "emoji": {"table_name": "😀" * 100},
    "control characters": {"table_name": "a\x01\x1b[2J\r\nb"},
    "lowest priority": {"priority": -(2**31)},
    "highest priority": {"priority": 2**31 - 1},
    "attempts without end": {"max_attempts": 0},
    "most attempts": {"max_attempts": 2**31 - 1},
    "long ago": {"available_at": "0001-01-01 00:00:00"},
    "biggest job": {"job_id": 2**63 - 1},
    "escapes": {"parameters": '{"a": "\\u0000\\u2028", "b": 1e999}'},
}

#: Entries that every store refuses.
IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "no name": {"table_name": None},
    "no workspace": {"workspace": None},
    "workspace before a blank": {"workspace": "default "},
    "negative limit": {"max_attempts": -1},
    "no such status": {"status": "pending"},
    "status before blanks": {"status": "PENDING   "},
    "running without a run": {"status": "RUNNING", "submission": 1},
    "no time": {"available_at": "soon"},
    "no such day": {"available_at": "2029-02-30 00:00:00"},
    "text for a number": {"priority": "high"},
    "past 64 bits": {"job_id": 2**63},
}


class App:
    """The use cases on a store with one known workspace, and a third party's connection."""

    def __init__(self, store: Store, connection: Connection) -> None:
        self._connection = connection
        self.runs, self.queue = FakeRuns(), FakeQueue()
        self.usecases = UseCases(
            store=store,
            runs={"default": self.runs},
            workspaces={"default": workspace(job_id=1, cap=100)},
            queue=self.queue,
            policy=policy(max_attempts=2, retry_backoff_seconds=1, max_deliveries=3),
        )

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement and commit it, or roll it back if it fails."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, parameters)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        finally:
            cursor.close()
        return rows

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert an entry as a third party does."""
        full = {"table_name": table, **row}
        marks = ", ".join("?" for _ in full)
        self.execute(f"INSERT INTO track_processing ({', '.join(full)}) VALUES ({marks})", *full.values())

    def ends(self) -> list[tuple[Any, ...]]:
        """Return status, error and number of log rows of each entry, in the order of insertion."""
        return self.execute(
            "SELECT status, last_error,"
            " (SELECT COUNT(*) FROM process_log AS log WHERE log.entry_id = track_processing.id)"
            " FROM track_processing ORDER BY id"
        )

    async def run(self) -> None:
        """Bring every entry to its end, which takes two passes."""
        for _ in range(2):
            assert await self.usecases.trigger() == []
            while self.queue.sent:
                await self.usecases.submit(decode(_encode(self.queue.sent.pop()).encode()))
            for run_id in self.runs.runs:
                self.runs.end(run_id, "SUCCESS")


@pytest.fixture
def app(store: Store, database: Database) -> Iterator[App]:
    connection = database.connector.connect().connection
    yield App(store, connection)
    connection.close()


async def test_a_bad_entry_says_why_and_stops_no_other(app: App) -> None:
    app.insert("first", {})
    for number, (row, _) in enumerate(REFUSED.values()):
        app.insert(f"bad_{number}", row)
    app.insert("last", {})
    await app.run()
    first, *bad, last = app.ends()
    assert first == last == ("DONE", None, 1)
    for name, (_, reason), (status, error, logged) in zip(REFUSED, REFUSED.values(), bad, strict=True):
        assert (name, status, logged) == (name, "DEAD", 1)
        assert reason in error
        assert CANARY not in error


async def test_entries_of_an_unknown_workspace_wait_and_stop_no_other(app: App) -> None:
    for name in UNKNOWN_WORKSPACES:
        app.insert("lost", {"workspace": name})
    app.insert("last", {})
    problems = await app.usecases.trigger()
    assert sorted(problems) == sorted(
        problem for problem in problems if "is not in the settings: 1 waiting" in problem
    )
    assert len(problems) == len(UNKNOWN_WORKSPACES)
    assert not any("\x1b" in problem or "\n" in problem for problem in problems)
    assert [claim.entry_id for claim in app.queue.sent] == [len(UNKNOWN_WORKSPACES) + 1]
    *lost, _ = app.ends()
    for status, error, logged in lost:
        assert (status, logged) == ("PENDING", 0)
        assert "its workspace is not in the settings, which have default" in error


async def test_an_odd_entry_is_done(app: App) -> None:
    for number, row in enumerate(TAKEN.values()):
        app.insert(f"odd_{number}", row)
    await app.run()
    assert app.ends() == [("DONE", None, 1)] * len(TAKEN)


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_an_impossible_entry_is_refused_by_the_database(
    app: App, database: Database, name: str
) -> None:
    with pytest.raises((database.connector.error, OverflowError)):
        app.insert("bad", IMPOSSIBLE[name])
    app.insert("good", {})
    await app.run()
    assert app.ends() == [("DONE", None, 1)]


async def test_an_entry_held_back_for_ever_waits(app: App) -> None:
    app.insert("later", {"available_at": "9999-12-31 23:59:59"})
    app.insert("good", {})
    await app.run()
    assert app.ends() == [("PENDING", None, 0), ("DONE", None, 1)]


async def test_a_submission_number_without_a_next_one_stops_no_other(app: App) -> None:
    app.insert("bad", {"submission": 2**31 - 1, "runid": 5})
    app.insert("good", {})
    await app.run()
    [(status, error, logs), good] = app.ends()
    assert (status, logs, good) == ("DEAD", 0, ("DONE", None, 1))
    assert "no further submission" in error


async def test_entries_that_are_spoilt_while_they_run_end_like_the_others(app: App) -> None:
    for table in ("a", "b", "c"):
        app.insert(table, {})
    await app.usecases.trigger()
    while app.queue.sent:
        await app.usecases.submit(app.queue.sent.pop())
    app.execute(
        "UPDATE track_processing SET parameters = ?, parameter_style = '', job_id = -1, max_attempts = 0,"
        " submitted_at = NULL, finished_at = '0001-01-01 00:00:00', updated_at = '0001-01-01 00:00:00',"
        " last_error = ? WHERE table_name = 'b'",
        "[" * 90_000,
        "x" * 4_000,
    )
    for run_id in app.runs.runs:
        app.runs.end(run_id, "SUCCESS")
    assert await app.usecases.trigger() == []
    assert app.ends() == [("DONE", None, 1)] * 3
