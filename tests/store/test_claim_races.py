"""Concurrent claims and first passes: never over the cap, never two entries of a table, never an error."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.states import Status
from tests.store.conftest import SQLSERVER, Database, open_database
from tests.store.helpers import (
    add,
    begun,
    claim,
    counts,
    entry_of,
    finish,
    queued,
    request_cancel,
    running,
    status_of,
    verdict,
)
from tests.store.rivals import COMMIT, Rival, race
from tests.store.test_sql_page import BLOCKS

#: What a reader finds where another transaction has changed an entry: its lock (SQL Server's default), or the
#: entry as it was before (READ_COMMITTED_SNAPSHOT, on in Azure SQL). SQLite lets one transaction write.
LOCKS, VERSIONS = "sqlserver-locks", "sqlserver-versions"

#: Where the leading claim stops: behind the lock, after it has counted, and after it has claimed.
PLACES = ["acquire_lock", "in_flight", COMMIT]


@contextmanager
def read_committed_snapshot(*, on: bool) -> Iterator[None]:
    """Set the database's option for a test; skip the test if the server refuses to change it."""
    from orchestrator.adapters.store.sqlserver import SqlServerConnector

    connector = SqlServerConnector(SQLSERVER or "")
    connection: Any = connector.connect().connection
    connection.autocommit = True
    query = "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = DB_NAME()"
    was_on = bool(connection.execute(query).fetchone()[0])
    alter = "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT {} WITH ROLLBACK IMMEDIATE"
    try:
        if on is not was_on:
            connection.execute(alter.format("ON" if on else "OFF"))
    except connector.error:
        connection.close()
        pytest.skip(f"this server does not turn READ_COMMITTED_SNAPSHOT {'ON' if on else 'OFF'}")
    yield
    if on is not was_on:
        connection.execute(alter.format("ON" if was_on else "OFF"))
    connection.close()


@pytest.fixture(params=["sqlite", LOCKS, VERSIONS] if SQLSERVER else ["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database that has the schema and no entries."""
    dialect = request.param.partition("-")[0]
    isolated = nullcontext() if dialect == "sqlite" else read_committed_snapshot(on=request.param == VERSIONS)
    with isolated, open_database(dialect, tmp_path) as opened:
        yield opened


async def in_flight(store: Rival) -> int:
    """Return how many entries hold a slot."""
    found = (await counts(store))["default"]
    return found.get(Status.QUEUED, 0) + found.get(Status.RUNNING, 0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("serialize", "expected"), [(True, [0, 2, 3]), (False, [0, 1, 2])])
async def test_two_claims_share_one_cap(
    rivals: tuple[Rival, Rival], serialize: bool, expected: list[int], place: str
) -> None:
    one, other = rivals
    ids = await add(one, "a", "a", "b", "c", "d", "e", "f")
    first, second = await race(
        (one, lambda store: claim(store, 3, serialize=serialize)),
        (other, lambda store: claim(store, 3, serialize=serialize)),
        place=place,
    )
    assert [c.entry_id for c in first] == [ids[n] for n in expected]
    assert second == []
    assert await in_flight(one) == 3


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("serialize", "expected"), [(True, [2]), (False, [1, 2])])
async def test_two_claims_never_take_two_entries_of_a_table(
    rivals: tuple[Rival, Rival], serialize: bool, expected: list[int], place: str
) -> None:
    one, other = rivals
    ids = await add(one, "a", "a", "b")
    first, second = await race(
        (one, lambda store: claim(store, 1, serialize=serialize)),
        (other, lambda store: claim(store, 10, serialize=serialize)),
        place=place,
    )
    assert [c.entry_id for c in first] == ids[:1]
    assert [c.entry_id for c in second] == [ids[n] for n in expected]


@pytest.mark.parametrize("place", PLACES)
async def test_two_workspaces_share_the_lock_and_nothing_else(
    rivals: tuple[Rival, Rival], place: str
) -> None:
    one, other = rivals
    await add(one, "a", "b")
    await add(one, "a", "b", workspace="eu")
    first, second = await race(
        (one, lambda store: claim(store, 1)),
        (other, lambda store: claim(store, 2, workspace="eu")),
        place=place,
    )
    assert (len(first), len(second)) == (1, 2)


async def test_slot_of_a_run_that_is_just_finished(rivals: tuple[Rival, Rival]) -> None:
    """A claim that does not see the end yet leaves the slot to the next claim."""
    one, other = rivals
    entry = await running(one, 11, "sales")
    await add(one, "sales")
    finished, claims = await race(
        (one, lambda store: finish(store, entry, Status.DONE)), (other, lambda store: claim(store, 1))
    )
    assert finished
    assert await in_flight(one) == len(claims)
    assert len(claims + await claim(other, 1)) == 1


async def test_finish_of_a_run_that_a_claim_has_counted(rivals: tuple[Rival, Rival]) -> None:
    one, other = rivals
    entry = await running(one, 11, "sales")
    await add(one, "sales")
    claims, finished = await race(
        (one, lambda store: claim(store, 1)), (other, lambda store: finish(store, entry, Status.DONE))
    )
    assert (claims, finished) == ([], True)


async def test_run_that_is_just_recorded_takes_one_slot_or_for_a_moment_two(
    rivals: tuple[Rival, Rival],
) -> None:
    """The run is listed already; a claim that does not see its entry's change takes it for a foreign run."""
    one, other = rivals
    claimed = await queued(one, "sales")
    await begun(one, claimed)
    await add(one, "orders")
    recorded, claims = await race(
        (one, lambda store: store.record_run(claimed, 11)),
        (other, lambda store: claim(store, 2, active=[11])),
    )
    assert recorded
    assert len(claims) <= 1
    assert len(claims + await claim(other, 2, active=[11])) == 1
    assert await in_flight(one) == 2


@pytest.mark.parametrize("name", ["hold-back-one", "cancel-one"])
async def test_entry_that_an_operator_holds_hinders_no_other(rivals: tuple[Rival, Rival], name: str) -> None:
    one, other = rivals
    held, free = await add(one, "a", "b")
    sql = BLOCKS[name, one.dialect].replace("id = 17", f"id = {held}")
    changed, claims = await race(
        (one, lambda store: store.by_hand(sql)), (other, lambda store: claim(store, 1))
    )
    assert changed == 1
    # Where the claim waited for the operator instead of skipping the entry, the entry took the slot.
    claims += await claim(other, 1)
    assert [c.entry_id for c in claims] == [free]


async def test_priority_that_is_just_raised(rivals: tuple[Rival, Rival], database: Database) -> None:
    """One entry is claimed. Only SQLite's claim surely uses the new order; others may use the old one."""
    one, other = rivals
    first, second = await add(one, "a", "b")
    sql = BLOCKS["priority", one.dialect].replace("id = 17", f"id = {second}")
    changed, claims = await race(
        (one, lambda store: store.by_hand(sql)), (other, lambda store: claim(store, 1))
    )
    assert (changed, await in_flight(one)) == (1, 1)
    assert [c.entry_id for c in claims] in ([[second]] if one.dialect == "sqlite" else [[first], [second]])
    assert (await entry_of(one, second)).priority == 100


async def test_priority_comes_after_the_claim(rivals: tuple[Rival, Rival], database: Database) -> None:
    one, other = rivals
    first, second = await add(one, "a", "b")
    sql = BLOCKS["priority", one.dialect].replace("id = 17", f"id = {second}")
    claims, changed = await race(
        (one, lambda store: claim(store, 1)), (other, lambda store: store.by_hand(sql))
    )
    assert ([c.entry_id for c in claims], changed) == ([first], 1)
    assert status_of(database, second) == "PENDING"


async def test_released_entry_is_cancelled_at_the_next_pass_at_the_latest(
    rivals: tuple[Rival, Rival], database: Database
) -> None:
    """A cancellation that sees the entry as it was before the release leaves it to the next pass."""
    one, other = rivals
    entry = await begun(one, await queued(one))
    await request_cancel(one, entry.id)
    released, canceled = await race(
        (one, lambda store: store.unclaim(entry, verdict(Status.PENDING))),
        (other, lambda store: store.cancel_waiting(10)),
    )
    assert released
    assert canceled + await other.cancel_waiting(10) == 1
    assert status_of(database, entry.id) == "CANCELED"


@pytest.mark.parametrize("place", ["acquire_lock", "pass_started", COMMIT])
async def test_first_pass_ever_of_two_processes(rivals: tuple[Rival, Rival], place: str) -> None:
    one, other = rivals
    await race(
        (one, lambda store: PassLog(store.pool).pass_started("trigger")),
        (other, lambda store: PassLog(store.pool).pass_started("trigger")),
        place=place,
    )
    assert [last_pass.name for last_pass in await PassLog(one.pool).passes()] == ["trigger"]
