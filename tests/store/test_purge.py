"""What the purge deletes, what it must keep, and how it continues."""

import asyncio
from datetime import timedelta

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.core import times
from orchestrator.core.errors import StoreError
from orchestrator.core.states import FINAL, Status
from orchestrator.ports import Purgeable
from orchestrator.usecases import purge
from tests.store.conftest import Database
from tests.store.helpers import (
    add,
    begun,
    claim,
    entry_of,
    finish,
    queued,
    refuse,
    request_cancel,
    retry,
    running,
    verdict,
)

DAY = 86_400.0


async def ended(store: Store, run_id: int, to: Status = Status.DONE) -> int:
    """Insert an entry and bring it to an end with a log row."""
    entry = await running(store, run_id, f"table {run_id}")
    assert await finish(store, entry, to)
    return entry.id


async def age(store: Store, database: Database, entry_id: int, days: float) -> None:
    """Change an entry as if it had ended ``days`` ago."""
    ended_at = database.connector.to_database(await store.now() - timedelta(days=days))
    database.execute("UPDATE track_processing SET finished_at = ? WHERE id = ?", ended_at, entry_id)


def ids(database: Database) -> list[int]:
    """Return the ids of all entries."""
    return [row[0] for row in database.execute("SELECT id FROM track_processing ORDER BY id")]


def logged(database: Database) -> list[int]:
    """Return the entry ids of all log rows."""
    return [row[0] for row in database.execute("SELECT entry_id FROM process_log ORDER BY entry_id")]


@pytest.mark.parametrize("status", sorted(FINAL))
async def test_old_final_entry_goes_with_its_log(store: Store, database: Database, status: Status) -> None:
    old, young = await ended(store, 1, status), await ended(store, 2, status)
    await age(store, database, old, 91)
    await age(store, database, young, 89)
    assert await store.purge(older_than_seconds=90 * DAY, limit=10) == 1
    assert ids(database) == logged(database) == [young]
    assert await store.purge(older_than_seconds=90 * DAY, limit=10) == 0


async def test_entry_that_was_cancelled_before_any_run_goes_too(store: Store, database: Database) -> None:
    [entry_id] = await add(store, "sales")
    await request_cancel(store, entry_id)
    await store.cancel_waiting(10)
    await age(store, database, entry_id, 2)
    assert await store.purge(older_than_seconds=DAY, limit=10) == 1
    assert ids(database) == []


async def test_entry_that_is_not_final_stays_however_old(store: Store, database: Database) -> None:
    failed = await ended(store, 1, Status.FAILED)
    again = await ended(store, 2, Status.DEAD)
    assert await retry(store, again)
    released = await begun(store, await queued(store, "full"))
    assert await store.unclaim(released, verdict(Status.PENDING, 60))
    waiting, in_flight, with_run = (
        (await add(store, "waiting", workspace="eu"))[0],
        (await queued(store, "in flight")).entry_id,
        (await running(store, 3, "with run")).id,
    )
    kept = [failed, again, released.id, waiting, in_flight, with_run]
    for entry_id in kept:
        await age(store, database, entry_id, 1000)
    assert await store.purge(older_than_seconds=DAY, limit=10) == 0
    assert ids(database) == sorted(kept)
    assert len(logged(database)) >= 2


async def test_dead_entry_with_an_open_submission_stays(store: Store, database: Database) -> None:
    left_open = await begun(store, await queued(store, "open"))
    assert await store.leave_open(left_open, verdict(Status.DEAD))
    settled = await begun(store, await queued(store, "settled"))
    assert await refuse(store, settled, Status.DEAD)
    for entry in (left_open, settled):
        await age(store, database, entry.id, 1000)
    assert await store.purge(older_than_seconds=DAY, limit=10) == 1
    assert ids(database) == [left_open.id]
    assert (await entry_of(store, left_open.id)).deliveries == 1


async def test_oldest_first_and_no_more_than_the_limit(store: Store, database: Database) -> None:
    entries = [await ended(store, run_id) for run_id in (1, 2, 3)]
    for entry_id, days in zip(entries, (5, 7, 6), strict=True):
        await age(store, database, entry_id, days)
    assert await store.purge(older_than_seconds=DAY, limit=2) == 2
    assert ids(database) == logged(database) == [entries[0]]


async def test_every_log_row_of_an_entry_goes(store: Store, database: Database) -> None:
    entry = await running(store, 1)
    await finish(store, entry, Status.FAILED)
    [again] = await claim(store)
    await begun(store, again)
    await store.record_run(again, 2)
    await finish(store, await entry_of(store, entry.id), Status.DEAD)
    assert logged(database) == [entry.id, entry.id]
    await age(store, database, entry.id, 2)
    assert await store.purge(older_than_seconds=DAY, limit=10) == 1
    assert logged(database) == []


async def test_entry_that_is_run_again_at_the_same_time_is_purged_or_run_but_never_half(
    store: Store, other_store: Store, database: Database
) -> None:
    entries = [await ended(store, run_id) for run_id in range(1, 9)]
    for entry_id in entries:
        await age(store, database, entry_id, 2)
    purged, *retried = await asyncio.gather(
        store.purge(older_than_seconds=DAY, limit=10), *(retry(other_store, entry_id) for entry_id in entries)
    )
    assert purged + sum(retried) == len(entries)
    kept = [entry_id for entry_id, done in zip(entries, retried, strict=True) if done]
    assert ids(database) == logged(database) == kept


class Scripted:
    """A store whose batches have given sizes."""

    def __init__(self, *batches: int | Exception) -> None:
        self._batches = list(batches)
        self.calls: list[tuple[float, int]] = []

    async def purge(self, *, older_than_seconds: float, limit: int) -> int:
        self.calls.append((older_than_seconds, limit))
        batch = self._batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch


async def totals(store: Purgeable, pauses: list[float]) -> list[int]:
    """Purge what is older than a day."""

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return [total async for total in purge.purge(store, older_than_seconds=DAY, sleep=sleep)]


async def test_batches_until_one_is_not_full_with_a_pause_between() -> None:
    store, pauses = Scripted(500, 500, 7), list[float]()
    assert await totals(store, pauses) == [500, 1000, 1007]
    assert store.calls == [(DAY, purge._BATCH)] * 3
    assert pauses == [purge._PAUSE_SECONDS] * 2


async def test_nothing_to_purge() -> None:
    assert await totals(Scripted(0), []) == [0]


async def test_purge_ends_even_if_entries_keep_growing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_MAX_BATCHES", 3)
    assert await totals(Scripted(500, 500, 500, 500), []) == [500, 1000, 1500]


async def test_error_of_the_store_ends_the_purge() -> None:
    with pytest.raises(StoreError, match="gone"):
        await totals(Scripted(500, StoreError("gone")), [])


async def test_batches_on_a_store(store: Store, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_BATCH", 2)
    entries = [await ended(store, run_id) for run_id in (1, 2, 3)]
    for entry_id in entries:
        await age(store, database, entry_id, 2)
    kept = await ended(store, 4)
    assert await totals(store, []) == [2, 3]
    assert ids(database) == logged(database) == [kept]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 90 * DAY), ("12h", 43_200), ("30m", 1800), (" 1m ", 60), ("9125d", 9125 * DAY)],
)
def test_age(text: str, seconds: float) -> None:
    assert times.age_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("90", "is not an age: give whole days, hours or minutes, like 90d, 12h or 30m"),
        ("", "is not an age"),
        ("d", "is not an age"),
        ("-1d", "is not an age"),
        ("1.5d", "is not an age"),
        ("1w", "is not an age"),
        ("٣d", "is not an age"),
        ("0d", "give 1m or more"),
        ("9126d", "too long: give 9125d or less"),
    ],
)
def test_what_is_not_an_age(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        times.age_seconds(text)
