"""Two changes meet on one entry, in either order: what each may do, and what remains.

The leader keeps its transaction open, after its statements and before its commit, while the follower resumes
with what it knew before.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from orchestrator.core.models import Entry, Unanswered
from orchestrator.core.states import Status
from tests.store.conftest import Database
from tests.store.helpers import (
    LEASE_SECONDS,
    add,
    begun,
    claim,
    claim_of,
    entry_of,
    finish,
    queued,
    refuse,
    request_cancel,
    retry,
    running,
    take_up,
    verdict,
)
from tests.store.rivals import Rival, race
from tests.store.test_sql_page import BLOCKS

DAY = 86_400.0

RUN, OTHER_RUN = 11, 12


class State(NamedTuple):
    """An entry and its log, without the times."""

    status: str
    submission: int = 1
    attempt: int = 0
    deliveries: int = 0
    runid: int | None = None
    cancel: int = 0
    #: submission, status and run of each log row
    logs: tuple[tuple[int, str, int | None], ...] = ()


def state(database: Database, entry_id: int) -> State | None:
    """Return an entry as it is now, or None. Check that it has a lease while it is QUEUED and only then."""
    rows = database.execute(
        "SELECT status, submission, attempt, deliveries, runid, cancel_requested, lease_expires_at"
        " FROM track_processing WHERE id = ?",
        entry_id,
    )
    logs = database.execute(
        "SELECT submission, status, runid FROM process_log WHERE entry_id = ? ORDER BY submission", entry_id
    )
    if not rows:
        assert logs == []
        return None
    *columns, lease = rows[0]
    assert (lease is not None) == (columns[0] == Status.QUEUED)
    return State(*columns)._replace(logs=tuple(logs))


# Where a race begins. Each returns the entry as a stale process knows it; its state may have changed since.


async def waiting(store: Rival, database: Database) -> Entry:
    [entry_id] = await add(store, "sales")
    return await entry_of(store, entry_id)


async def waiting_to_be_cancelled(store: Rival, database: Database) -> Entry:
    entry = await waiting(store, database)
    await request_cancel(store, entry.id)
    return entry


async def claimed(store: Rival, database: Database) -> Entry:
    return await entry_of(store, (await queued(store)).entry_id)


async def claimed_to_be_cancelled(store: Rival, database: Database) -> Entry:
    entry = await claimed(store, database)
    await request_cancel(store, entry.id)
    return entry


async def called(store: Rival, database: Database) -> Entry:
    return await begun(store, await queued(store))


async def called_to_be_cancelled(store: Rival, database: Database) -> Entry:
    entry = await called(store, database)
    await request_cancel(store, entry.id)
    return entry


async def taken_back_to_be_cancelled(store: Rival, database: Database) -> Entry:
    """Begin a submission, and then no longer count its only call."""
    entry = await called_to_be_cancelled(store, database)
    assert await store.postpone(claim_of(entry), seconds=30, reason="why", unanswered=Unanswered.NO_EFFECT)
    return entry


async def called_long_ago(store: Rival, database: Database) -> Entry:
    entry = await called(store, database)
    database.pass_time(LEASE_SECONDS + 1)
    return entry


async def has_run(store: Rival, database: Database) -> Entry:
    return await running(store, RUN)


async def done_long_ago(store: Rival, database: Database) -> Entry:
    entry = await running(store, RUN)
    assert await finish(store, entry, Status.DONE)
    database.execute("UPDATE track_processing SET finished_at = '2020-01-01 00:00:00' WHERE id = ?", entry.id)
    return entry


async def done_and_run_again(store: Rival, database: Database) -> Entry:
    entry = await running(store, RUN)
    assert await finish(store, entry, Status.DONE)
    assert await retry(store, entry.id)
    return entry


async def claimed_again(store: Rival, database: Database) -> Entry:
    entry = await done_and_run_again(store, database)
    assert await claim(store) == [claim_of(entry, 2)]
    return entry


async def called_again(store: Rival, database: Database) -> Entry:
    entry = await claimed_again(store, database)
    await begun(store, claim_of(entry, 2))
    return entry


async def has_another_run(store: Rival, database: Database) -> Entry:
    entry = await called_again(store, database)
    assert await store.record_run(claim_of(entry, 2), OTHER_RUN)
    return entry


async def finish_second(store: Rival, entry: Entry) -> bool:
    """Finish an entry as it is now, not as the stale process knows it."""
    return await finish(store, await entry_of(store, entry.id), Status.DONE)


def by_hand(store: Rival, entry: Entry, name: str) -> Coroutine[Any, Any, int]:
    """Run a statement of docs/sql.md on an entry."""
    return store.by_hand(BLOCKS[name, store.dialect].replace("id = 17", f"id = {entry.id}"))


#: What a process does with the entry as it knows it. A result is true if any entry was changed.
CHANGES: dict[str, Callable[[Rival, Entry], Coroutine[Any, Any, object]]] = {
    "claim": lambda store, _: claim(store),
    "begin": lambda store, e: store.begin_submission(claim_of(e), LEASE_SECONDS, "{}"),
    "take up": lambda store, e: take_up(store, claim_of(e)),
    "begin second": lambda store, e: store.begin_submission(claim_of(e, 2), LEASE_SECONDS, "{}"),
    "record": lambda store, e: store.record_run(claim_of(e), RUN),
    "record other run": lambda store, e: store.record_run(claim_of(e), OTHER_RUN),
    "record second": lambda store, e: store.record_run(claim_of(e, 2), OTHER_RUN),
    "unclaim": lambda store, e: store.unclaim(e, verdict(Status.PENDING)),
    "refuse": lambda store, e: refuse(store, e, Status.DEAD),
    "leave open": lambda store, e: store.leave_open(e, verdict(Status.FAILED)),
    "postpone": lambda store, e: store.postpone(claim_of(e), seconds=30, reason="why"),
    "take back": lambda store, e: store.postpone(
        claim_of(e), seconds=30, reason="why", unanswered=Unanswered.NO_EFFECT
    ),
    "finish": lambda store, e: finish(store, e, Status.DONE),
    "finish failed": lambda store, e: finish(store, e, Status.FAILED),
    "finish canceled": lambda store, e: finish(store, e, Status.CANCELED),
    "finish second": finish_second,
    "recover": lambda store, _: store.recover(lease_seconds=LEASE_SECONDS, limit=10),
    "request cancel": lambda store, e: request_cancel(store, e.id),
    "cancel": lambda store, _: store.cancel_waiting(10),
    "retry": lambda store, e: retry(store, e.id),
    "purge": lambda store, _: store.purge(older_than_seconds=DAY, limit=10),
    "cancel by hand": lambda store, e: by_hand(store, e, "cancel-one"),
    "hold back by hand": lambda store, e: by_hand(store, e, "hold-back-one"),
    "retry by hand": lambda store, e: by_hand(store, e, "retry-one"),
}


class Race(NamedTuple):
    """Which changes meet in which state, whether each changes anything, and how the entry ends."""

    start: Callable[[Rival, Database], Awaitable[Entry]]
    ahead: str
    behind: str
    changes: tuple[bool, bool]
    end: State | None


BOTH, FIRST, SECOND = (True, True), (True, False), (False, True)

PENDING, QUEUED, RUNNING, DONE = Status.PENDING, Status.QUEUED, Status.RUNNING, Status.DONE
FAILED, DEAD, CANCELED = Status.FAILED, Status.DEAD, Status.CANCELED

IS_HELD_BACK = State(PENDING, submission=0)
IS_RUNNING = State(RUNNING, attempt=1, deliveries=1, runid=RUN)
IS_REFUSED = State(DEAD, attempt=1, logs=((1, "DEAD", None),))
IS_LEFT_OPEN = State(FAILED, attempt=1, deliveries=1)
IS_DONE = State(DONE, attempt=1, runid=RUN, logs=((1, "DONE", RUN),))
IS_FAILED = State(FAILED, attempt=1, runid=RUN, logs=((1, "FAILED", RUN),))
IS_CANCELED = State(CANCELED, attempt=1, runid=RUN, logs=((1, "CANCELED", RUN),))
RUNS_AGAIN = IS_DONE._replace(status=PENDING, attempt=0)
IS_QUEUED_AGAIN = State(QUEUED, submission=2, logs=IS_DONE.logs)
IS_RUNNING_AGAIN = State(RUNNING, 2, attempt=1, deliveries=1, runid=OTHER_RUN, logs=IS_DONE.logs)
IS_DONE_AGAIN = State(DONE, 2, attempt=1, runid=OTHER_RUN, logs=(*IS_DONE.logs, (2, "DONE", OTHER_RUN)))

RACES = [
    # A claim, and a change that keeps the entry from running, for now or for good. A claim may skip a locked
    # entry.
    Race(waiting, "claim", "request cancel", BOTH, State(QUEUED, cancel=1)),
    Race(waiting, "request cancel", "claim", FIRST, IS_HELD_BACK._replace(cancel=1)),
    Race(waiting, "claim", "cancel by hand", BOTH, State(QUEUED, cancel=1)),
    Race(waiting, "cancel by hand", "claim", FIRST, IS_HELD_BACK._replace(cancel=1)),
    Race(waiting, "claim", "hold back by hand", FIRST, State(QUEUED)),
    Race(waiting, "hold back by hand", "claim", FIRST, IS_HELD_BACK),
    Race(waiting_to_be_cancelled, "claim", "cancel", SECOND, State(CANCELED, 0, cancel=1)),
    Race(waiting_to_be_cancelled, "cancel", "claim", FIRST, State(CANCELED, 0, cancel=1)),
    # A call and a cancellation: once the call has begun, the cancellation waits for its answer.
    Race(claimed, "begin", "request cancel", BOTH, State(QUEUED, deliveries=1, cancel=1)),
    Race(claimed, "request cancel", "begin", FIRST, State(QUEUED, cancel=1)),
    Race(claimed_to_be_cancelled, "begin", "cancel", SECOND, State(CANCELED, cancel=1)),
    Race(claimed_to_be_cancelled, "cancel", "begin", FIRST, State(CANCELED, cancel=1)),
    Race(called_to_be_cancelled, "record", "cancel", FIRST, IS_RUNNING._replace(cancel=1)),
    Race(called_to_be_cancelled, "cancel", "record", SECOND, IS_RUNNING._replace(cancel=1)),
    Race(taken_back_to_be_cancelled, "record", "cancel", FIRST, State(RUNNING, 1, 1, 0, RUN, cancel=1)),
    Race(taken_back_to_be_cancelled, "cancel", "record", FIRST, State(CANCELED, cancel=1)),
    Race(claimed_to_be_cancelled, "cancel", "cancel", FIRST, State(CANCELED, cancel=1)),
    # Two deliveries of one message: the call that ends first does not settle what the other one has begun.
    Race(called, "begin", "unclaim", FIRST, State(QUEUED, deliveries=2)),
    Race(called, "unclaim", "begin", FIRST, State(PENDING)),
    Race(called, "begin", "refuse", FIRST, State(QUEUED, deliveries=2)),
    Race(called, "refuse", "begin", FIRST, IS_REFUSED),
    Race(called, "begin", "leave open", FIRST, State(QUEUED, deliveries=2)),
    Race(called, "leave open", "begin", FIRST, IS_LEFT_OPEN),
    Race(called, "begin", "take back", BOTH, State(QUEUED, deliveries=1)),
    Race(called, "take back", "begin", BOTH, State(QUEUED, deliveries=1)),
    Race(called, "record", "record", FIRST, IS_RUNNING),
    Race(called, "record", "record other run", FIRST, IS_RUNNING),
    Race(called, "record other run", "record", FIRST, IS_RUNNING._replace(runid=OTHER_RUN)),
    Race(called, "record", "unclaim", FIRST, IS_RUNNING),
    Race(called, "unclaim", "record", FIRST, State(PENDING)),
    Race(called, "record", "refuse", FIRST, IS_RUNNING),
    Race(called, "refuse", "record", FIRST, IS_REFUSED),
    Race(called, "record", "leave open", FIRST, IS_RUNNING),
    # The run is kept, so that the next pass puts the entry back to it.
    Race(called, "leave open", "record", BOTH, IS_LEFT_OPEN),
    Race(called, "refuse", "leave open", FIRST, IS_REFUSED),
    Race(called, "leave open", "refuse", FIRST, IS_LEFT_OPEN),
    Race(called, "record", "postpone", FIRST, IS_RUNNING),
    Race(called, "postpone", "record", BOTH, IS_RUNNING),
    Race(called, "record", "take back", FIRST, IS_RUNNING),
    Race(called, "take back", "record", BOTH, IS_RUNNING._replace(deliveries=0)),
    # The lease is over, but its holder is still there.
    Race(called_long_ago, "recover", "recover", FIRST, State(QUEUED, deliveries=1)),
    Race(called_long_ago, "recover", "record", BOTH, IS_RUNNING),
    Race(called_long_ago, "record", "recover", FIRST, IS_RUNNING),
    Race(called_long_ago, "recover", "refuse", BOTH, IS_REFUSED),
    Race(called_long_ago, "refuse", "recover", FIRST, IS_REFUSED),
    Race(called_long_ago, "recover", "begin", BOTH, State(QUEUED, deliveries=2)),
    Race(called_long_ago, "begin", "recover", FIRST, State(QUEUED, deliveries=2)),
    Race(has_run, "recover", "finish", SECOND, IS_DONE),
    Race(has_run, "finish", "recover", FIRST, IS_DONE),
    # Two monitors on one run.
    Race(has_run, "finish", "finish", FIRST, IS_DONE),
    Race(has_run, "finish", "finish canceled", FIRST, IS_DONE),
    Race(has_run, "finish canceled", "finish", FIRST, IS_CANCELED),
    # A monitor and an operator.
    Race(has_run, "finish", "request cancel", FIRST, IS_DONE),
    Race(has_run, "request cancel", "finish", BOTH, IS_DONE._replace(cancel=1)),
    Race(has_run, "finish failed", "request cancel", BOTH, IS_FAILED._replace(cancel=1)),
    Race(has_run, "request cancel", "finish failed", BOTH, IS_FAILED._replace(cancel=1)),
    Race(done_long_ago, "finish", "retry", SECOND, RUNS_AGAIN),
    Race(done_long_ago, "retry", "finish", FIRST, RUNS_AGAIN),
    Race(done_long_ago, "retry", "retry", FIRST, RUNS_AGAIN),
    # A monitor or a message that paused while the entry was run again.
    Race(done_and_run_again, "finish", "claim", SECOND, IS_QUEUED_AGAIN),
    Race(done_and_run_again, "claim", "finish", FIRST, IS_QUEUED_AGAIN),
    Race(claimed_again, "finish", "begin second", SECOND, IS_QUEUED_AGAIN._replace(deliveries=1)),
    Race(claimed_again, "begin second", "finish", FIRST, IS_QUEUED_AGAIN._replace(deliveries=1)),
    Race(called_again, "finish", "record second", SECOND, IS_RUNNING_AGAIN),
    Race(called_again, "record second", "finish", FIRST, IS_RUNNING_AGAIN),
    Race(has_another_run, "finish failed", "finish second", SECOND, IS_DONE_AGAIN),
    Race(has_another_run, "finish second", "finish failed", FIRST, IS_DONE_AGAIN),
    Race(called_again, "begin", "record second", SECOND, IS_RUNNING_AGAIN),
    Race(called_again, "record second", "begin", FIRST, IS_RUNNING_AGAIN),
    Race(called_again, "record", "record second", SECOND, IS_RUNNING_AGAIN),
    Race(called_again, "record second", "record", FIRST, IS_RUNNING_AGAIN),
    Race(called_again, "unclaim", "record second", SECOND, IS_RUNNING_AGAIN),
    Race(called_again, "record second", "unclaim", FIRST, IS_RUNNING_AGAIN),
    Race(called_again, "refuse", "record second", SECOND, IS_RUNNING_AGAIN),
    Race(called_again, "record second", "refuse", FIRST, IS_RUNNING_AGAIN),
    Race(called_again, "leave open", "record second", SECOND, IS_RUNNING_AGAIN),
    Race(called_again, "record second", "leave open", FIRST, IS_RUNNING_AGAIN),
    # A purge deletes an entry with its log, or keeps both.
    Race(done_long_ago, "purge", "retry", FIRST, None),
    Race(done_long_ago, "retry", "purge", FIRST, RUNS_AGAIN),
    Race(done_long_ago, "purge", "retry by hand", FIRST, None),
    Race(done_long_ago, "retry by hand", "purge", FIRST, RUNS_AGAIN._replace(attempt=1)),
    Race(done_long_ago, "purge", "finish", FIRST, None),
    Race(done_long_ago, "finish", "purge", SECOND, None),
    Race(has_run, "purge", "finish", SECOND, IS_DONE),
    Race(has_run, "finish", "purge", FIRST, IS_DONE),
]

#: Who takes up a claim begins as who has planned before.
RACES += [race._replace(ahead="take up") for race in RACES if race.ahead == "begin"] + [
    race._replace(behind="take up") for race in RACES if race.behind == "begin"
]


def name_of(value: Race) -> str:
    """Return the name that pytest shows."""
    return f"{value.start.__name__}: {value.ahead}, {value.behind}"


@pytest.mark.parametrize("case", RACES, ids=name_of)
async def test_leader_stops_before_its_commit(
    rivals: tuple[Rival, Rival], database: Database, case: Race
) -> None:
    one, other = rivals
    entry = await case.start(one, database)
    results = await race(
        (one, lambda store: CHANGES[case.ahead](store, entry)),
        (other, lambda store: CHANGES[case.behind](store, entry)),
    )
    assert tuple(map(bool, results)) == case.changes
    assert state(database, entry.id) == case.end


def test_every_race_is_run_in_both_orders() -> None:
    met = {(case.start, case.ahead, case.behind) for case in RACES}
    assert len(met) == len(RACES)
    assert [m for m in met if (m[0], m[2], m[1]) not in met] == []
