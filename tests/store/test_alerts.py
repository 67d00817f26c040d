"""Claims of alerts, on every database: one event goes into one message."""

import asyncio
from datetime import timedelta

import pytest

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.alerts import Kind, PassEvent
from orchestrator.core.models import LogRow, NewEntry, Verdict
from orchestrator.core.states import Status
from tests.store.conftest import Database

DAY = 86_400


async def kill(store: Store, *tables: str) -> list[int]:
    """Let new entries go DEAD now."""
    ids = await Operations(store.pool).add([NewEntry(table_name=table) for table in tables])
    claims = await store.claim(
        "default",
        cap=1000,
        active=(),
        jobs={},
        lease_seconds=900,
        max_attempts=3,
        serialize_tables=False,
    )
    for claim in claims:
        entry = await store.begin_submission(claim, 900, "{}")
        assert entry is not None
        log = LogRow(entry_id=entry.id, submission=entry.submission, attempt=1, status=Status.DEAD)
        assert await store.refuse(entry, Verdict(to=Status.DEAD, error="no such job"), log)
    return ids


async def claimed(log: AlertLog, message: str) -> list[int]:
    rows = await log.claim_dead(message, window_seconds=DAY, examined=100, shown=20)
    return [] if rows is None else [row.id for row in rows.shown]


async def test_each_entry_is_claimed_for_one_message(store: Store) -> None:
    log = AlertLog(store.pool)
    first = await kill(store, "sales", "orders")
    assert await claimed(log, "m1") == first
    assert await claimed(log, "m2") == []
    second = await kill(store, "stock")
    assert await claimed(log, "m3") == second
    await log.sent("m1")
    await log.release("m1")
    assert await claimed(log, "m4") == [], "what was sent is not given back"
    await log.release("m3")
    assert await claimed(log, "m5") == second


async def test_what_a_message_shows(store: Store) -> None:
    await kill(store, *(f"table_{number}" for number in range(25)))
    rows = await AlertLog(store.pool).claim_dead("m", window_seconds=DAY, examined=100, shown=20)
    assert rows is not None
    assert (rows.count, len(rows.shown)) == (25, 20)
    first = rows.shown[0]
    assert (first.table_name, first.workspace, first.error) == ("table_0", "default", "no such job")


async def test_no_more_entries_are_examined_than_asked_for(store: Store) -> None:
    log = AlertLog(store.pool)
    ids = await kill(store, "a", "b", "c")
    rows = await log.claim_dead("m1", window_seconds=DAY, examined=2, shown=20)
    assert rows is not None
    assert (rows.count, {row.id for row in rows.shown} < set(ids)) == (2, True)


def test_entries_that_are_not_dead_are_not_read(database: Database) -> None:
    if database.connector.dialect != "sqlite":
        pytest.skip("SQL Server chooses by statistics, which a new table has not got")
    sql = queries.load("sqlite")["claim_dead"].sql
    plan = database.execute(f"EXPLAIN QUERY PLAN {sql}", "m", DAY, 100)
    assert "ix_track_processing_dead (finished_at>?)" in str(plan)


async def test_two_processes_at_once(store: Store, other_store: Store) -> None:
    ids = await kill(store, *(f"table_{number}" for number in range(10)))
    stores = [store, other_store] * 3
    found = await asyncio.gather(
        *(claimed(AlertLog(one.pool), f"m{number}") for number, one in enumerate(stores))
    )
    assert sorted(id_ for rows in found for id_ in rows) == ids


async def test_passes(store: Store) -> None:
    log = AlertLog(store.pool)
    now = (await store.now()).replace(microsecond=0)  # the columns hold milliseconds
    late, later = (
        PassEvent(name="trigger", since=now),
        PassEvent(name="trigger", since=now + timedelta(seconds=1)),
    )
    assert await log.claim_passes("m1", Kind.LATE, [late]) == [late]
    assert await log.claim_passes("m2", Kind.LATE, [late, later]) == [later]
    assert await log.late_passes() == [late, later]
    assert await log.claim_passes("m3", Kind.RECOVERED, [late]) == [late]
    assert await log.late_passes() == [later]
    await log.release("m3")
    assert await log.late_passes() == [late, later]


async def test_recovered_function_is_not_reported_late_again(store: Store) -> None:
    log = AlertLog(store.pool)
    event = PassEvent(name="trigger", since=(await store.now()).replace(microsecond=0))
    assert await log.claim_passes("m1", Kind.RECOVERED, [event]) == [event]
    assert await log.claim_passes("m2", Kind.LATE, [event]) == []
    assert await log.late_passes() == []


async def test_recovered_alert_stays_due_when_neither_message_arrived(store: Store) -> None:
    log = AlertLog(store.pool)
    event = PassEvent(name="trigger", since=(await store.now()).replace(microsecond=0))
    assert await log.claim_passes("late", Kind.LATE, [event])
    assert await log.claim_passes("well", Kind.RECOVERED, [event])
    await log.release("late")
    assert await log.claim_passes("again", Kind.LATE, [event]) == [], "people may hear that it is well"
    await log.release("well")
    assert await log.late_passes() == [event]
    assert await log.claim_passes("m3", Kind.RECOVERED, [event]) == [event]


@pytest.mark.parametrize("first", ["late", "well"])
async def test_recovered_alert_stays_due_in_whatever_order_both_are_released(
    store: Store, first: str
) -> None:
    log = AlertLog(store.pool)
    event = PassEvent(name="trigger", since=(await store.now()).replace(microsecond=0) - timedelta(seconds=1))
    assert await log.claim_passes("late", Kind.LATE, [event])
    await PassLog(store.pool).pass_started("trigger")
    assert await log.claim_passes("well", Kind.RECOVERED, [event])
    await log.release(first)
    await log.release("well" if first == "late" else "late")
    assert await log.late_passes() == [event]
    assert await log.claim_passes("m3", Kind.RECOVERED, [event]) == [event]


async def test_old_claims_are_deleted(store: Store, database: Database) -> None:
    log = AlertLog(store.pool)
    await kill(store, "sales")
    await claimed(log, "m1")
    await log.claim_passes("m2", Kind.LATE, [PassEvent(name="trigger", since=await store.now())])
    await log.forget(older_than_seconds=60, limit=100)
    count = "SELECT COUNT(*) FROM orchestrator_alert"
    assert [tuple(row) for row in database.execute(count)] == [(2,)]
    await log.forget(older_than_seconds=0, limit=100)
    assert [tuple(row) for row in database.execute(count)] == [(1,)], "those of timer functions are few"
