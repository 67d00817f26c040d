"""A timer's pass is idle only if nothing at all can be to do; then it is one statement."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.alerts import Kind, PassEvent
from orchestrator.core.decisions import log_of_refusal
from orchestrator.core.models import AskedBy, Unanswered
from orchestrator.core.states import Status
from tests.store.conftest import Database
from tests.store.helpers import add, begun, claim, entry_of, queued, running, verdict

State = Callable[[Store, Database], Awaitable[object]]

LATE_SECONDS = 900.0
DAY = 86_400


async def is_idle(store: Store, *, alerts: bool = True, name: str = "trigger") -> bool:
    """Make a whole pass that finds nothing, and say whether the next one of the same five minutes is idle.

    Two tries: five minutes may end in between, and then the answer of the first one says nothing.
    """
    passes = PassLog(store.pool)
    for _ in range(2):
        await passes.pass_started(name)
        await passes.pass_finished(name, "ok")
        late_seconds = LATE_SECONDS if alerts else None
        if await passes.pass_idle(name, late_seconds=late_seconds, window_seconds=DAY):
            return True
    return False


async def _nothing(store: Store, database: Database) -> None:
    pass


async def _over(store: Store, database: Database) -> None:
    for status in ("DONE", "CANCELED"):
        database.execute("INSERT INTO track_processing (table_name, status) VALUES ('a', ?)", status)


async def _given_up(store: Store, database: Database) -> None:
    """One that ended in doubt: only its token finds its run, once somebody runs it again."""
    claimed = await queued(store)
    await begun(store, claimed)
    await store.postpone(claimed, seconds=0, reason="no answer", unanswered=Unanswered.ENTRY)
    assert await store.leave_open(await entry_of(store, claimed.entry_id), verdict(Status.CANCELED))


async def _dead(store: Store, database: Database) -> int:
    [entry_id] = await add(store, "a")
    await claim(store)
    entry = await entry_of(store, entry_id)
    end = verdict(Status.DEAD)
    assert await store.refuse(entry, end, log_of_refusal(entry, end))
    return entry_id


async def _dead_and_told(store: Store, database: Database) -> None:
    await _dead(store, database)
    assert await AlertLog(store.pool).claim_dead("message", window_seconds=DAY, examined=10, shown=10)


async def _late_and_well(store: Store, database: Database) -> None:
    await _late(store, database)
    [event] = await AlertLog(store.pool).late_passes()
    assert await AlertLog(store.pool).claim_passes("well", Kind.RECOVERED, [event])


@pytest.mark.parametrize("state", [_nothing, _over, _given_up, _dead_and_told, _late_and_well])
async def test_a_pass_with_nothing_to_do_is_idle(store: Store, database: Database, state: State) -> None:
    await state(store, database)
    assert await is_idle(store)


async def _waits(store: Store, database: Database) -> None:
    await add(store, "a")


async def _waits_for_tomorrow(store: Store, database: Database) -> None:
    """Passes put right what somebody has changed of it, and times that a clock has left."""
    await add(store, "a")
    database.execute("UPDATE track_processing SET available_at = '2999-01-01 00:00:00'")


async def _failed(store: Store, database: Database) -> None:
    database.execute("INSERT INTO track_processing (table_name, status) VALUES ('a', 'FAILED')")


async def _queued(store: Store, database: Database) -> None:
    await queued(store)


async def _running(store: Store, database: Database) -> None:
    await running(store, 77)


#: For how many seconds an entry's end is recent enough for a repair of its run to be expected.
REPAIRED_WITHIN = {"DEAD": 3 * DAY, "CANCELED": DAY}


async def _ended(database: Database, status: str, seconds_ago: float) -> None:
    ended = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    database.execute(
        "INSERT INTO track_processing (table_name, status, last_runid, finished_at) VALUES ('a', ?, 77, ?)",
        status,
        ended.strftime("%Y-%m-%d %H:%M:%S.000"),
    )


@pytest.mark.parametrize("status", REPAIRED_WITHIN)
async def test_the_run_of_an_entry_that_failed_lately_may_be_repaired(
    store: Store, database: Database, status: str
) -> None:
    await _ended(database, status, REPAIRED_WITHIN[status] + 60)
    assert await is_idle(store, alerts=False)
    await _ended(database, status, REPAIRED_WITHIN[status] - 60)
    assert not await is_idle(store, alerts=False)


async def _set_by_sql(store: Store, database: Database) -> None:
    """Its run goes on, so a pass puts the entry back."""
    await running(store, 77)
    database.execute("UPDATE track_processing SET status = 'DONE'")


async def _deleted(store: Store, database: Database) -> None:
    """Nobody wants its run, so a pass cancels it."""
    await running(store, 77)
    database.execute("DELETE FROM track_processing")


async def _stray(store: Store, database: Database) -> None:
    database.execute("INSERT INTO track_processing (table_name, status) VALUES ('a', 'DONE')")
    assert await store.note_stray("default", 78, 1)


async def _silent(store: Store, database: Database) -> None:
    await store.note_silence("default", "no answer")


async def _late(store: Store, database: Database) -> None:
    log = PassLog(store.pool)
    await log.pass_started("monitor")
    [monitor] = await log.passes()
    event = PassEvent(name="monitor", since=monitor.started_at)
    assert await AlertLog(store.pool).claim_passes("late", Kind.LATE, [event])


@pytest.mark.parametrize(
    "state",
    [_waits, _waits_for_tomorrow, _failed, _queued, _running, _set_by_sql, _deleted, _stray, _silent],
)
async def test_a_pass_with_something_to_do_looks(store: Store, database: Database, state: State) -> None:
    await state(store, database)
    assert not await is_idle(store, alerts=False)


@pytest.mark.parametrize("state", [_dead, _late])
async def test_an_alert_that_is_owed_is_something_to_do(
    store: Store, database: Database, state: State
) -> None:
    await state(store, database)
    assert not await is_idle(store)
    assert await is_idle(store, alerts=False)  # nobody is told


async def test_another_function_that_is_late_is_something_to_do(store: Store, database: Database) -> None:
    log = PassLog(store.pool)
    await log.pass_started("monitor")
    assert await is_idle(store)
    database.execute("UPDATE orchestrator_tick SET started_at = '2026-01-01 00:00:00' WHERE name = 'monitor'")
    assert not await is_idle(store)


async def test_a_pass_that_was_not_well_or_has_not_ended_is_followed_by_a_whole_one(store: Store) -> None:
    log = PassLog(store.pool)

    async def idle() -> bool:
        return await log.pass_idle("monitor", late_seconds=None, window_seconds=DAY)

    assert not await idle()  # the first ever
    assert await log.passes() == []
    await log.pass_started("monitor")
    assert not await idle()  # it goes on, or its process has ended
    await log.pass_finished("monitor", "workspace a: no answer", ok=False)
    assert not await idle()
    await log.pass_failed("monitor", "not done in time")
    assert not await idle()
    assert await is_idle(store, name="monitor")


async def test_the_first_pass_of_each_five_minutes_looks_at_everything(
    store: Store, database: Database
) -> None:
    """Only then is the run found that somebody has repaired, of an entry that is over."""
    assert await is_idle(store)
    database.execute("UPDATE orchestrator_tick SET started_at = '2026-01-01 00:00:00'")
    assert not await PassLog(store.pool).pass_idle("trigger", late_seconds=None, window_seconds=DAY)


async def test_an_idle_pass_is_a_whole_one_for_who_watches(store: Store) -> None:
    began = await store.now()
    assert await is_idle(store)
    [last] = await PassLog(store.pool).passes()
    assert last.finished_at == last.started_at >= began
    assert (last.outcome, last.asked_by, last.troubled_since) == ("ok", AskedBy.TIMER, None)
