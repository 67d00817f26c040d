"""A database that takes Sales, sales and SALES for one name: why an entry waits agrees with its claim.

Tables are one table then. The names of jobs are Databricks', which tells them apart.
"""

from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.obstacles import held_by_alive
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.models import AliveRun, JobKey, JobLimit
from orchestrator.core.slots import Obstacles, job_rooms
from orchestrator.core.waiting import Reason, Slots, explain
from tests.store.conftest import Database
from tests.store.helpers import claim, entry_of
from tests.world import policy

SPELLINGS = ("Sales", "sales", "SALES")

ALIVE = Obstacles(alive=(AliveRun(entry_id=99, run_id=7, table_name="sAlEs"),))


@pytest.fixture
async def loose(database: Database) -> AsyncIterator[Store]:
    """An empty store whose names are compared without case."""
    if database.connector.dialect == "sqlite":
        database.execute("PRAGMA writable_schema = ON")
        for column in ("table_name", "job_name"):
            database.execute(
                "UPDATE sqlite_master SET sql = REPLACE(sql, ?, ?) WHERE type = 'table'",
                f"{column} TEXT",
                f"{column} TEXT COLLATE NOCASE",
            )
    elif database.execute("SELECT 1 WHERE N'a' <> N'A'"):
        pytest.skip("this database tells case")
    opened = Store(Pool(database.connector))
    yield opened
    await opened.pool.close()


def _insert(database: Database, *rows: tuple[str, str | None]) -> None:
    """Insert entries by their table and job, on a connection that knows the collation."""
    for row in rows:
        connection = database.connector.connect().connection
        connection.cursor().execute("INSERT INTO track_processing (table_name, job_name) VALUES (?, ?)", row)
        connection.commit()
        connection.close()


@pytest.fixture
async def store(loose: Store, database: Database) -> Store:
    """A store with entries of two tables."""
    _insert(database, *((name, None) for name in (*SPELLINGS, "orders")))
    return loose


async def reasons(store: Store, obstacles: Obstacles) -> list[Reason]:
    """Return why each entry waits, by its id."""
    found = await Reports(store.pool).candidates("default", 10, obstacles.held_tables)
    waiting = explain(found, Slots(obstacles=obstacles), policy())
    return [each.reason for each in sorted(waiting, key=lambda each: each.entry.id)]


async def test_entries_of_one_table_wait_for_one_another(store: Store) -> None:
    same = Reason.SAME_TABLE
    assert await reasons(store, Obstacles()) == [Reason.NEXT, same, same, Reason.NEXT]
    assert [each.entry_id for each in await claim(store)] == [1, 4]


async def test_a_run_of_the_table_holds_them_all(store: Store) -> None:
    active = Reason.ACTIVE_RUN
    assert await reasons(store, ALIVE) == [active, active, active, Reason.NEXT]


async def test_health_counts_them_together(store: Store, database: Database) -> None:
    database.execute("UPDATE track_processing SET available_at = '2020-01-01 00:00:00'")
    [held] = await store.pool.transact(lambda session: held_by_alive(session, "default", ALIVE), writes=False)
    assert (held.entries, held.example.id) == (3, 1)


async def test_health_names_a_table_once_that_two_runs_hold(store: Store, database: Database) -> None:
    database.execute("UPDATE track_processing SET available_at = '2020-01-01 00:00:00'")
    first, second = (AliveRun(entry_id=90 + run, run_id=run, table_name=SPELLINGS[run]) for run in (1, 2))
    both = Obstacles(alive=(first, second))
    held = await store.pool.transact(lambda session: held_by_alive(session, "default", both), writes=False)
    assert [(each.entries, each.example.id) for each in held] == [(3, 1)]


#: Three jobs, of which Databricks runs so many at once.
_LIMITS = {
    JobKey(job_name="Load"): JobLimit(job_id=1, max_concurrent_runs=1),
    JobKey(job_name="load"): JobLimit(job_id=2, max_concurrent_runs=2),
    JobKey(job_name="LOAD"): JobLimit(job_id=3, max_concurrent_runs=0),
}


@pytest.fixture
async def of_jobs(loose: Store, database: Database) -> Store:
    """A store with three waiting entries of each of three jobs."""
    names = [key.job_name for key in _LIMITS] * 3
    _insert(database, *((f"table {number}", name) for number, name in enumerate(names)))
    return loose


async def test_every_job_that_entries_name_is_looked_up(of_jobs: Store) -> None:
    assert await of_jobs.open_jobs("default") == set(_LIMITS)
    uses = await Reports(of_jobs.pool).waiting_jobs("default")
    assert {use.key: use.entries for use in uses} == dict.fromkeys(_LIMITS, 3)


async def test_a_claim_takes_the_room_of_the_job_that_an_entry_names(of_jobs: Store) -> None:
    claimed = [each.entry_id for each in await claim(of_jobs, jobs=_LIMITS)]
    entries = [await entry_of(of_jobs, entry_id) for entry_id in claimed]
    assert [entry.job_name for entry in entries] == ["Load", "load", "load"]
    assert await claim(of_jobs, jobs=_LIMITS) == [], "each job has all the runs that it may have"


async def test_why_an_entry_waits_for_its_job_agrees_with_the_claim(of_jobs: Store) -> None:
    obstacles = Obstacles(rooms=job_rooms((), (), _LIMITS))
    found = await Reports(of_jobs.pool).candidates("default", 10, obstacles.held_tables)
    waiting = explain(found, Slots(obstacles=obstacles), policy())
    next_ones = [each.entry.id for each in waiting if each.reason is Reason.NEXT]
    assert [each.reason for each in waiting].count(Reason.JOB) == 6
    assert sorted(each.entry_id for each in await claim(of_jobs, jobs=_LIMITS)) == sorted(next_ones)


async def test_no_room_of_one_job_hides_that_another_has_some(of_jobs: Store, database: Database) -> None:
    database.execute("UPDATE track_processing SET created_at = '2020-01-01 00:00:00'")
    database.execute("UPDATE track_processing SET updated_at = created_at, available_at = created_at")

    async def is_overdue(full: JobKey) -> bool:
        limits = {full: JobLimit(job_id=1, max_concurrent_runs=0)}
        obstacles = Obstacles(rooms=job_rooms((), (), limits))
        return await Reports(of_jobs.pool).is_overdue(
            "default", seconds=60, max_attempts=3, serialize_tables=True, obstacles=obstacles
        )

    assert await is_overdue(JobKey(job_name="Load")), "those of load and LOAD could be claimed"
    database.execute("DELETE FROM track_processing WHERE id % 3 <> 1")  # all but those of Load
    assert not await is_overdue(JobKey(job_name="Load"))
    assert await is_overdue(JobKey(job_name="load"))


async def test_blanks_behind_a_job_s_name_are_none_where_the_database_tells_none(
    loose: Store, database: Database
) -> None:
    if database.connector.dialect == "sqlite":
        pytest.skip("SQLite tells blanks")
    _insert(database, ("orders", "Load"), ("sales", "Load "))
    assert await loose.open_jobs("default") == {JobKey(job_name="Load")}
    assert (await entry_of(loose, 2)).job_name == "Load"


async def test_tables_that_differ_in_blanks_behind_are_one_table_where_the_database_tells_none(
    database: Database,
) -> None:
    if database.connector.dialect == "sqlite":
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = REPLACE(sql, 'table_name TEXT', 'table_name TEXT COLLATE RTRIM')"
            " WHERE type = 'table'"
        )
    _insert(database, ("sales", None), ("sales ", None), ("orders", None))
    opened = Store(Pool(database.connector))
    assert await reasons(opened, Obstacles()) == [Reason.NEXT, Reason.SAME_TABLE, Reason.NEXT]
    assert [each.entry_id for each in await claim(opened)] == [1, 3]
    await opened.pool.close()
