"""What each change writes into its entry: these columns and no other, in this entry and no other."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.doubts import Doubt
from orchestrator.core.models import Claim, Entry, StopReason, Unanswered
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

PENDING, QUEUED, RUNNING, DONE = Status.PENDING, Status.QUEUED, Status.RUNNING, Status.DONE
FAILED, DEAD, CANCELED = Status.FAILED, Status.DEAD, Status.CANCELED

LONG_AGO = "2020-01-01 00:00:00"

#: Seconds from now, to the nearest ten.
NOW = 0.0


class Effect(NamedTuple):
    """A change, the state that it is made in, and the columns that have another value afterwards."""

    name: str
    status: Status
    change: Callable[[Store, Entry], Awaitable[object]]
    #: a time in seconds from now
    columns: dict[str, object]
    cancel_requested: int = 0
    deliveries: int = 1
    stop_reason: str = "RUN_TIMEOUT"


#: What the passes have noted about a run, as times, and what else goes with it.
NOTED = (
    "missing_since",
    "vanished_at",
    "unreadable_since",
    "cancel_asked_at",
    "cancel_repeated_at",
    "run_state_since",
)
NOTHING_NOTED = {**dict.fromkeys(NOTED), "run_state": None}
NO_TROUBLE = {"slot_waits": 0, "platform_failures": 0, "stop_reason": None}
DOUBTS = '{"REPAIR": [1, "2020-01-01T00:00:00+00:00"]}'

WAITS_AGAIN = {"available_at": 60.0, "last_error": "why", "lease_expires_at": None}

EFFECTS = [
    Effect(
        "claim",
        PENDING,
        lambda store, _: claim(store, 1),
        {
            "postponements": 0,
            "resends": 0,
            "queue_seconds": None,
            "stop_reason": None,
            "doubts": None,
            "status": QUEUED,
            "submission": 2,
            "deliveries": 0,
            "in_doubt": False,
            "runid": None,
            "submitted_at": None,
            "request": None,
            "finished_at": None,
            "lease_expires_at": LEASE_SECONDS,
            "claimed_at": NOW,
        },
    ),
    Effect(
        "begin",
        QUEUED,
        lambda store, e: store.begin_submission(claim_of(e), LEASE_SECONDS, "{}"),
        {"resends": 0, "deliveries": 2, "lease_expires_at": LEASE_SECONDS},
    ),
    Effect(
        "take up",
        QUEUED,
        lambda store, e: take_up(store, claim_of(e)),
        {"resends": 0, "deliveries": 2, "lease_expires_at": LEASE_SECONDS},
    ),
    Effect(
        "record",
        QUEUED,
        lambda store, e: store.record_run(claim_of(e), 11),
        {
            "postponements": 0,
            "stop_reason": None,
            "doubts": None,
            **NOTHING_NOTED,
            "status": RUNNING,
            "runid": 11,
            "last_runid": 11,
            "queue_seconds": 0.0,
            "in_doubt": False,
            "attempt": 3,
            "lease_expires_at": None,
            "last_error": None,
            "submitted_at": NOW,
        },
    ),
    Effect(
        "unclaim",
        QUEUED,
        lambda store, e: store.unclaim(e, verdict(PENDING, 60)),
        {
            "slot_waits": 0,
            "doubts": None,
            "status": PENDING,
            "deliveries": 0,
            "in_doubt": False,
            "request": None,
            **WAITS_AGAIN,
        },
    ),
    Effect(
        "leave open",
        QUEUED,
        lambda store, e: store.leave_open(e, verdict(FAILED, 60)),
        {
            "stop_reason": None,
            "doubts": None,
            "status": FAILED,
            "attempt": 3,
            "finished_at": NOW,
            **WAITS_AGAIN,
        },
    ),
    Effect(
        "refuse",
        QUEUED,
        lambda store, e: refuse(store, e, FAILED, delay_seconds=60),
        {
            **NO_TROUBLE,
            "doubts": None,
            "status": FAILED,
            "attempt": 3,
            "deliveries": 0,
            "in_doubt": False,
            "finished_at": NOW,
            **WAITS_AGAIN,
        },
    ),
    Effect(
        "postpone",
        QUEUED,
        lambda store, e: store.postpone(claim_of(e), seconds=30, reason="why"),
        {"resends": 0, "lease_expires_at": 30.0, "last_error": "why"},
    ),
    Effect(
        "take back",
        QUEUED,
        lambda store, e: store.postpone(
            claim_of(e), seconds=30, reason="why", unanswered=Unanswered.NO_EFFECT
        ),
        {"resends": 0, "lease_expires_at": 30.0, "last_error": "why", "deliveries": 1, "postponements": 6},
        deliveries=2,
    ),
    Effect(
        "note trouble",
        RUNNING,
        lambda store, e: store.note_trouble(e, "why", missing=True),
        {"last_error": "why", "unreadable_since": None},
    ),
    Effect(
        "note queue",
        RUNNING,
        lambda store, e: store.note_queue(e, 8.5),
        {"queue_seconds": 8.5},
    ),
    Effect(
        "note stop",
        RUNNING,
        lambda store, e: store.note_stop(e, StopReason.QUEUE_TIMEOUT),
        {},  # the first reason stays
    ),
    Effect(
        "recover",
        QUEUED,
        lambda store, _: store.recover(lease_seconds=LEASE_SECONDS, limit=1),
        {"lease_expires_at": 4.0 * LEASE_SECONDS, "resends": 7, "claimed_at": NOW},
    ),
    Effect(
        "finish",
        RUNNING,
        lambda store, e: finish(store, e, DONE),
        {
            **NO_TROUBLE,
            **NOTHING_NOTED,
            "status": DONE,
            "available_at": NOW,
            "last_error": None,
            "deliveries": 0,
            "in_doubt": False,
            "finished_at": NOW,
        },
    ),
    Effect(
        "give an attempt back",
        RUNNING,
        lambda store, e: finish(store, e, PENDING, 60, attempt_spent=False),
        {
            **NO_TROUBLE,
            **NOTHING_NOTED,
            "status": PENDING,
            "available_at": 60.0,
            "last_error": "why",
            "attempt": 1,
            "deliveries": 0,
            "in_doubt": False,
            "finished_at": NOW,
        },
    ),
    Effect(
        "finish for a restart",
        RUNNING,
        lambda store, e: finish(store, e, PENDING, attempt_spent=False),
        {
            "slot_waits": 0,
            "platform_failures": 0,
            "status": PENDING,
            "available_at": NOW,
            "last_error": "why",
            "attempt": 1,
            "deliveries": 0,
            "in_doubt": False,
            "finished_at": NOW,
            **NOTHING_NOTED,
        },
        stop_reason="RESTART",  # the next submission has to know it
    ),
    Effect(
        "finish although a restart was asked for",
        RUNNING,
        lambda store, e: finish(store, e, CANCELED),
        {
            "status": CANCELED,
            "available_at": NOW,
            "last_error": "why",
            "deliveries": 0,
            "in_doubt": False,
            "finished_at": NOW,
            **NO_TROUBLE,
            **NOTHING_NOTED,
        },
        cancel_requested=1,
        stop_reason="RESTART",
    ),
    Effect(
        "follow a run again",
        QUEUED,
        lambda store, e: store.record_run(claim_of(e), 11, deliveries=0),
        {
            "status": RUNNING,
            "runid": 11,
            "last_runid": 11,
            "request": None,  # otherwise a call would have been accepted
            "queue_seconds": 0.0,
            "postponements": 0,
            "doubts": None,
            "lease_expires_at": None,
            "last_error": None,
            "submitted_at": NOW,
            **NOTHING_NOTED,
        },
        deliveries=0,
        stop_reason="RESTART",  # it is the run that is to end
    ),
    Effect(
        "record the run of a restart",
        QUEUED,
        lambda store, e: store.record_run(claim_of(e), 11),
        {
            "status": RUNNING,
            "runid": 11,
            "last_runid": 11,
            "attempt": 3,
            "queue_seconds": 0.0,
            "in_doubt": False,
            "postponements": 0,
            "stop_reason": None,  # the restart is over
            "doubts": None,
            "lease_expires_at": None,
            "last_error": None,
            "submitted_at": NOW,
            **NOTHING_NOTED,
        },
        stop_reason="RESTART",
    ),
    Effect(
        "request cancel", RUNNING, lambda store, e: request_cancel(store, e.id), {"cancel_requested": True}
    ),
    Effect(
        "cancel",
        QUEUED,
        lambda store, _: store.cancel_waiting(1),
        {
            "stop_reason": None,
            "status": CANCELED,
            "last_error": None,
            "lease_expires_at": None,
            "finished_at": NOW,
        },
        cancel_requested=1,
        deliveries=0,
    ),
    Effect(
        "retry",
        DONE,
        lambda store, e: retry(store, e.id),
        {
            **NO_TROUBLE,
            "doubts": None,
            "status": PENDING,
            "attempt": 0,
            "cancel_requested": False,
            "available_at": NOW,
        },
        cancel_requested=1,
    ),
    Effect(
        "revive",
        DEAD,
        lambda store, e: store.revive(e, e.last_runid or 0, "why"),
        {
            "stop_reason": None,
            **NOTHING_NOTED,
            "status": RUNNING,
            "submission": 2,
            "last_error": "why",
            "queue_seconds": 0.0,
            "request": None,
            "deliveries": 0,
            "in_doubt": False,
            "submitted_at": NOW,
            "finished_at": None,
            "cancel_requested": False,
        },
        cancel_requested=1,
    ),
    Effect(
        "retry now",
        FAILED,
        lambda store, e: retry(store, e.id),
        {
            **NO_TROUBLE,
            "doubts": None,
            "attempt": 0,
            "cancel_requested": False,
            "available_at": NOW,
        },
        cancel_requested=1,
    ),
]


async def insert(store: Store, database: Database, effect: Effect, run_id: int) -> Entry:
    """Insert an entry whose every column has a value."""
    times = ", ".join([f"'{LONG_AGO}'"] * 6)
    noted = ", ".join([f"'{LONG_AGO}'"] * len(NOTED))
    database.execute(
        "INSERT INTO track_processing (table_name, status, submission, attempt, deliveries, runid,"
        " last_error, cancel_requested, available_at, lease_expires_at, created_at, updated_at,"
        " submitted_at, finished_at, last_runid, request, in_doubt, slot_waits, platform_failures,"
        f" postponements, resends, queue_seconds, stop_reason, doubts, run_state, {', '.join(NOTED)})"
        f" VALUES (?, ?, 1, 2, ?, ?, 'old', ?, {times}, ?, 'call', ?,"
        f" 3, 4, 5, 6, 7.5, ?, ?, 'BLOCKED', {noted})",
        f"table of {run_id}",
        effect.status,
        effect.deliveries,
        run_id,
        effect.cancel_requested,
        run_id,
        int(effect.deliveries > 0),
        effect.stop_reason,
        DOUBTS,
    )
    return await entry_of(store, database.execute("SELECT MAX(id) FROM track_processing")[0][0])


async def queued_in(store: Store, workspace: str) -> Claim:
    """Insert an entry of a workspace and claim it."""
    await add(store, "sales", workspace=workspace)
    [claimed] = await claim(store, workspace=workspace)
    return claimed


def difference(before: Entry, after: Entry, now: datetime) -> dict[str, Any]:
    """Return the columns that changed, with their new values; times in seconds from now."""
    old, new = asdict(before), asdict(after)
    return {
        name: round((value - now).total_seconds(), -1) if isinstance(value, datetime) else value
        for name, value in new.items()
        if value != old[name]
    }


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.name)
async def test_columns_that_a_change_writes(store: Store, database: Database, effect: Effect) -> None:
    row = await insert(store, database, effect, 5)
    bystander = await insert(store, database, effect, 6)
    assert await effect.change(store, row)
    changed = difference(row, await entry_of(store, row.id), await store.now())
    assert changed == {"updated_at": NOW, **effect.columns}
    assert await entry_of(store, bystander.id) == bystander


async def test_each_doubt_counts_by_itself(store: Store, database: Database) -> None:
    entry = await begun(store, await queued(store, "a"))
    bystander = await begun(store, await queued(store, "b"))
    assert [(await store.hear(entry, Doubt.REPAIR)).times for _ in range(3)] == [1, 2, 3]
    assert (await store.hear(entry, Doubt.NAME)).times == 1
    await store.forget(entry, Doubt.REPAIR)
    assert (await store.hear(entry, Doubt.REPAIR)).times == 1
    assert (await store.hear(entry, Doubt.NAME)).times == 2
    assert (await entry_of(store, bystander.id)).doubts is None
    assert await store.record_run(claim_of(entry), 11)
    assert (await entry_of(store, entry.id)).doubts is None
    await store.hear(entry, Doubt.NAME)
    assert (await entry_of(store, entry.id)).doubts is None, "it is RUNNING"
    database.execute("UPDATE track_processing SET doubts = '[1]' WHERE id = ?", bystander.id)
    assert (await store.hear(bystander, Doubt.NAME)).times == 1, "what cannot be read was never heard"


async def test_open_submission_keeps_its_number_whatever_else_is_settled(store: Store) -> None:
    """Neither another entry's log nor that of an earlier submission settles it."""
    left_open = await begun(store, await queued(store, "a"))
    refused = await begun(store, await queued(store, "b"))
    assert await store.leave_open(left_open, verdict(FAILED))
    assert await refuse(store, refused, FAILED)
    claims = {c.entry_id: c for c in await claim(store)}
    assert claims == {left_open.id: claim_of(left_open, 1), refused.id: claim_of(refused, 2)}
    assert await store.leave_open(await begun(store, claim_of(refused, 2)), verdict(FAILED))
    assert await claim(store) == [claim_of(refused, 2)]


async def test_times_of_one_timer_function(store: Store, database: Database) -> None:
    """The pass of one function leaves the record of the other alone."""
    for name in ("monitor", "trigger"):
        await PassLog(store.pool).pass_started(name)
        await PassLog(store.pool).pass_finished(name, f"outcome of {name}")
    database.execute(f"UPDATE orchestrator_tick SET started_at = '{LONG_AGO}', finished_at = '{LONG_AGO}'")
    before = await PassLog(store.pool).passes()
    await PassLog(store.pool).pass_started("monitor")
    begun, other = await PassLog(store.pool).passes()
    assert (begun.finished_at, begun.outcome, other) == (before[0].finished_at, before[0].outcome, before[1])
    assert abs((begun.started_at - await store.now()).total_seconds()) < 5
    await PassLog(store.pool).pass_finished("monitor", "ok")
    ended, other = await PassLog(store.pool).passes()
    assert (ended.started_at, ended.outcome, other) == (begun.started_at, "ok", before[1])
    assert ended.finished_at is not None
    await PassLog(store.pool).pass_failed("monitor", "it broke")
    failed, other = await PassLog(store.pool).passes()
    assert (failed, other) == (
        replace(ended, outcome="it broke", troubled_since=failed.troubled_since),
        before[1],
    )
    assert failed.troubled_since is not None


async def test_finish_is_about_one_entry_one_submission_and_one_run(store: Store) -> None:
    """Each workspace numbers its own runs, so two entries may have runs with the same number."""
    entry = await running(store, 5)
    claim_of_other = await queued_in(store, "eu")
    await begun(store, claim_of_other)
    assert await store.record_run(claim_of_other, 5)
    assert not await finish(store, replace(entry, submission=2), DONE)
    assert await finish(store, entry, DONE)
    assert (await entry_of(store, claim_of_other.entry_id)).status is RUNNING


async def test_finish_keeps_a_run_that_an_older_version_recorded(store: Store, database: Database) -> None:
    """The older version does not know the column, and it ran beside this one during a deployment."""
    entry = await running(store, 5)
    database.execute("UPDATE track_processing SET last_runid = NULL WHERE id = ?", entry.id)
    assert await finish(store, entry, DONE)
    assert (await entry_of(store, entry.id)).last_runid == 5


async def test_running_entries_of_a_workspace(store: Store) -> None:
    entry = await running(store, 5, "a")
    await finish(store, await running(store, 6, "b"), DONE)
    await queued(store, "c")
    of_other = await queued_in(store, "eu")
    assert await store.record_run(of_other, 5)
    await queued_in(store, "us")
    assert [row.id for row in await store.running("default")] == [entry.id]


async def test_entry_without_a_lease_is_recovered(store: Store, database: Database) -> None:
    """No change of the app leaves it so; a person or another system may."""
    claimed = await queued(store)
    database.execute("UPDATE track_processing SET lease_expires_at = NULL")
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == [claimed]


async def test_recovery_is_not_used_up_by_entries_that_need_none(store: Store, database: Database) -> None:
    await finish(store, await running(store, 5, "over"), DONE)
    await queued(store, "in time")
    late = await queued(store, "late")
    database.execute(
        f"UPDATE track_processing SET lease_expires_at = '{LONG_AGO}' WHERE id = ?", late.entry_id
    )
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=1) == [late]


async def test_cancelling_is_not_used_up_by_entries_that_have_to_wait(store: Store) -> None:
    [unasked] = await add(store, "unasked")
    over = await running(store, 4, "over")
    assert await request_cancel(store, over.id)
    assert await finish(store, over, DONE)
    has_run = await running(store, 5, "has run")
    in_doubt = await begun(store, await queued(store, "in doubt"))
    [waiting] = await add(store, "waiting")
    for entry_id in (has_run.id, in_doubt.id, waiting):
        assert await request_cancel(store, entry_id)
    assert await store.cancel_waiting(1) == 1
    assert (await entry_of(store, waiting)).status is CANCELED
    assert (await entry_of(store, unasked)).status is not CANCELED


async def test_purge_is_not_used_up_by_entries_that_stay(store: Store, database: Database) -> None:
    retried = await running(store, 5, "retried")
    await finish(store, retried, DONE)
    assert await retry(store, retried.id)
    left_open = await begun(store, await queued(store, "left open"))
    assert await store.leave_open(left_open, verdict(Status.DEAD))
    await finish(store, await running(store, 6, "recent"), DONE)
    old = await running(store, 7, "old")
    await finish(store, old, DONE)
    for entry_id in (retried.id, left_open.id, old.id):
        database.execute(f"UPDATE track_processing SET finished_at = '{LONG_AGO}' WHERE id = ?", entry_id)
    assert await store.purge(older_than_seconds=60, limit=1) == 1
    assert await store.get(old.id) is None
