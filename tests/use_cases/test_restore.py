"""A database restored from a backup has forgotten runs: the passes find them again, and start none twice."""

import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from devstack.databricks.outcomes import parse_rule
from devstack.databricks.runs import Run
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.core.models import Claim
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.states import Status
from tests.conftest import ROOT
from tests.use_cases.simulated import SimulatedWorld, simulated

PAGE = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8")

#: The page's statements by name.
STATEMENTS = dict(
    re.findall(r"^<!-- ([a-z-]+) -->\n```sql[ a-z]*\n(.*?);\n```$", PAGE, re.MULTILINE | re.DOTALL)
)

LOAD = {"name": "load", "max_concurrent_runs": 100, "tasks": [{"task_key": "main"}]}

#: How long runs take that do not fail, in seconds.
LONG = 1200.0

#: Entries that the backup has, by their number from 1 on. All but the first three wait in it.
TABLES = ("running", "failed", "repaired", "waiting", "twice", "done")

#: Runs of each when the database is restored: the last one is live, but for "done".
RUNS = {"running": 1, "failed": 2, "repaired": 1, "waiting": 1, "twice": 2, "done": 1, "new": 1}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SimulatedWorld]:
    default = WorkspacePolicy(name="default", job_id=None, job_name="load", cap=20)
    async with simulated(tmp_path, default=default, run_seconds=LONG) as made:
        made.simulator.workspace.create_job(LOAD)
        yield made


def outcome(world: SimulatedWorld, result: str, *tables: str) -> None:
    """Let the next runs of these tables end so, soon."""
    for table in tables:
        rule = {"match": {"table_name": table}, "results": [result], "run_seconds": 20}
        world.simulator.workspace.outcomes.add(parse_rule(rule))


async def story(world: SimulatedWorld, backup: Path) -> None:
    """Make a backup in the middle of the work, and let the work go on for some minutes."""
    outcome(world, "FAILED", "failed", "repaired")
    await world.add("running", "failed")
    await world.add("repaired", retry_mode="repair")
    await world.minutes(2)
    await world.add("waiting", "twice", "done")
    make_backup(world, backup)
    await world.add("new")
    world.simulator.workspace.outcomes.clear()
    outcome(world, "FAILED", "twice")
    outcome(world, "SUCCESS", "done")
    await world.minutes(1)
    world.simulator.workspace.outcomes.clear()
    await world.minutes(8)
    assert Counter(map(table_of, runs(world))) == RUNS
    assert {table_of(run) for run in runs(world) if is_live(run)} == RUNS.keys() - {"done"}


def make_backup(world: SimulatedWorld, backup: Path) -> None:
    with closing(sqlite3.connect(world.database.path)) as connection:
        connection.execute(STATEMENTS["copy"].replace("'backup.db'", "?"), (str(backup),))


async def restore(world: SimulatedWorld, backup: Path) -> None:
    """Put the backup in the database's place, and deliver whatever messages the queue may still have."""
    await world.store.pool.close()
    shutil.copyfile(backup, world.database.path)
    world.store = Store(Pool(world.database.connector))
    for entry_id in range(1, len(RUNS) + 1):
        for submission in (1, 2, 3):
            await world.submit(Claim(entry_id=entry_id, submission=submission))


def runs(world: SimulatedWorld) -> list[Run]:
    world.simulator.workspace.settle()
    return world.simulator.workspace.runs()


def table_of(run: Run) -> str:
    return str(run.request.named["table_name"])


def is_live(run: Run) -> bool:
    return run.ended_at is None


async def to_the_end(world: SimulatedWorld) -> None:
    """Make passes until every run must be over. No table ever has two runs at once."""
    for _ in range(60):
        await world.minutes(1)
        live = Counter(table_of(run) for run in runs(world) if is_live(run))
        assert [table for table, number in live.items() if number > 1] == []


async def test_runs_that_the_backup_does_not_know_are_found_and_none_begins(
    world: SimulatedWorld, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    await story(world, backup)
    await restore(world, backup)
    assert Counter(map(table_of, runs(world))) == RUNS  # no old message begins anything
    await to_the_end(world)
    assert Counter(map(table_of, runs(world))) == RUNS
    await all_done_with_their_last_runs(world)


async def test_runs_that_are_over_before_the_app_starts_are_found_as_well(
    world: SimulatedWorld, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    await story(world, backup)
    world.pass_time(2 * LONG)
    await restore(world, backup)
    await to_the_end(world)
    assert Counter(map(table_of, runs(world))) == RUNS
    await all_done_with_their_last_runs(world)


async def all_done_with_their_last_runs(world: SimulatedWorld) -> None:
    last = {table_of(run): run.run_id for run in sorted(runs(world), key=lambda run: run.number)}
    for entry_id, table in enumerate(TABLES, start=1):
        entry = await world.entry(entry_id)
        assert (entry.table_name, entry.status, entry.runid) == (table, Status.DONE, last[table])
        logs = await world.store.logs(entry_id)
        assert len(logs) == {"failed": 2, "repaired": 2, "twice": 2}.get(table, 1)


async def test_an_entry_that_gets_the_number_of_a_forgotten_one_has_a_run_of_its_own(
    world: SimulatedWorld, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    await story(world, backup)
    assert await world.store.get(len(RUNS)) is not None
    await restore(world, backup)
    assert await world.store.get(len(RUNS)) is None  # the backup does not have "new"
    [entry_id] = await world.add("newer")
    assert entry_id == len(RUNS)
    await world.minutes(2)
    [run] = [run for run in runs(world) if table_of(run) == "newer"]
    assert (await world.entry(entry_id)).runid == run.run_id


@pytest.mark.parametrize("waits", [True, False])
async def test_a_forgotten_entry_holds_its_table_only_until_the_app_starts(
    world: SimulatedWorld, tmp_path: Path, *, waits: bool
) -> None:
    """Hence docs/backup.md says to start the app when the runs are over that began since the backup."""
    backup = tmp_path / "backup.db"
    [known] = await world.add("sales")
    make_backup(world, backup)
    await world.add("sales", priority=5)
    await world.minutes(2)
    assert (await world.entry(known)).status is Status.PENDING
    if waits:
        world.pass_time(2 * LONG)
    await restore(world, backup)
    await world.minutes(2)
    assert (await world.entry(known)).status is Status.RUNNING
    assert [is_live(run) for run in runs(world)] == [True, not waits]


async def test_entries_that_the_backup_does_not_have_are_found_in_the_old_database(
    world: SimulatedWorld,
) -> None:
    for table, hour in (("sales", 3), ("orders", 5)):
        [entry_id] = await world.add(table)
        made_at = f"2026-01-31 0{hour}:00:00.000"
        world.database.execute("UPDATE track_processing SET created_at = ? WHERE id = ?", made_at, entry_id)
    with closing(sqlite3.connect(world.database.path)) as connection:
        # The page's statement is for SQL Server; SQLite keeps times as text with a blank.
        found = connection.execute(STATEMENTS["inserted-since"].replace("31T04", "31 04")).fetchall()
    assert [row[2] for row in found] == ["orders"]


def test_every_statement_is_run() -> None:
    assert STATEMENTS.keys() == {"copy", "inserted-since"}
    assert PAGE.count("```sql") == len(STATEMENTS)
