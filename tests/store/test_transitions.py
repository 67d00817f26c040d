"""Every change of state names the state that it starts from; a stale writer changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.errors import StoreError
from orchestrator.core.models import Claim, Entry, Unanswered
from orchestrator.core.states import EDGES, Status
from tests.store.conftest import Database
from tests.store.helpers import (
    LEASE_SECONDS,
    add,
    begun,
    claim,
    entry_of,
    finish,
    queued,
    refuse,
    request_cancel,
    retry,
    run_log,
    running,
    status_of,
    take_up,
    verdict,
)


async def test_from_claim_to_done(store: Store) -> None:
    claimed = await queued(store)
    entry = await begun(store, claimed)
    assert entry.deliveries == 1
    assert await store.record_run(claimed, 77)
    entry = await entry_of(store, claimed.entry_id)
    assert (entry.status, entry.runid, entry.attempt, entry.lease_expires_at) == (Status.RUNNING, 77, 1, None)
    assert entry.submitted_at is not None
    assert [row.id for row in await store.running("default")] == [entry.id]
    assert await finish(store, entry, Status.DONE)
    done = await entry_of(store, entry.id)
    assert (done.status, done.last_error, done.runid) == (Status.DONE, None, 77)
    assert done.finished_at is not None
    [log] = await store.logs(entry.id)
    assert (log.submission, log.attempt, log.runid, log.status) == (1, 1, 77, Status.DONE)


async def test_second_monitor_writes_nothing(store: Store, other_store: Store) -> None:
    entry = await running(store, 77)
    assert await finish(store, entry, Status.FAILED)
    assert not await finish(other_store, entry, Status.DONE)
    assert (await entry_of(store, entry.id)).status is Status.FAILED
    assert len(await store.logs(entry.id)) == 1


async def test_monitors_at_once_write_one_log_row(store: Store, other_store: Store) -> None:
    entry = await running(store, 77)
    results = await asyncio.gather(*(finish(s, entry, Status.DONE) for s in [store, other_store] * 8))
    assert sum(results) == 1
    assert len(await store.logs(entry.id)) == 1


async def test_skipped_run_gives_its_attempt_back(store: Store) -> None:
    entry = await running(store, 77)
    assert await finish(store, entry, Status.PENDING, attempt_spent=False)
    waiting = await entry_of(store, entry.id)
    assert (waiting.status, waiting.attempt) == (Status.PENDING, 0)
    [again] = await claim(store)
    assert again.submission == 2


async def test_refused_for_good_has_its_log_row(store: Store) -> None:
    entry = await begun(store, await queued(store))
    assert await refuse(store, entry, Status.DEAD)
    dead = await entry_of(store, entry.id)
    assert (dead.status, dead.last_error, dead.attempt) == (Status.DEAD, "why", 1)
    [log] = await store.logs(entry.id)
    assert (log.runid, log.status, log.message, log.attempt) == (None, Status.DEAD, "why", 1)


async def test_refusal_does_not_settle_what_another_delivery_has_begun(store: Store) -> None:
    claimed = await queued(store)
    first = await begun(store, claimed)
    await begun(store, claimed)
    assert not await refuse(store, first, Status.DEAD)
    assert not await store.unclaim(first, verdict(Status.PENDING))
    assert not await store.leave_open(first, verdict(Status.DEAD))
    assert await store.record_run(claimed, 77)


async def test_stale_submission_changes_nothing(store: Store) -> None:
    entry = await running(store, 77)
    stale = Claim(entry_id=entry.id, submission=1)
    await finish(store, entry, Status.FAILED)
    [fresh] = await claim(store)
    assert fresh.submission == 2
    assert await store.begin_submission(stale, LEASE_SECONDS, "{}") is None
    assert not await store.record_run(stale, 99)
    assert not await store.postpone(stale, seconds=0, reason="stale")
    assert not await finish(store, entry, Status.DONE)
    assert (await entry_of(store, entry.id)).status is Status.QUEUED


async def test_two_entries_never_follow_one_run(store: Store) -> None:
    await running(store, 77, "sales")
    claimed = await queued(store, "orders")
    await begun(store, claimed)
    with pytest.raises(StoreError):
        await store.record_run(claimed, 77)
    assert (await entry_of(store, claimed.entry_id)).status is Status.QUEUED


async def test_status_and_log_row_come_together_or_not_at_all(store: Store, database: Database) -> None:
    entry = await running(store, 77)
    database.execute(
        "INSERT INTO process_log (entry_id, submission, attempt, status) VALUES (?, 1, 1, 'DONE')", entry.id
    )
    with pytest.raises(StoreError):
        await finish(store, entry, Status.DONE)
    assert status_of(database, entry.id) == "RUNNING"


async def test_lost_message_is_found_by_its_lease(store: Store, database: Database) -> None:
    claimed = await queued(store)
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == []
    database.pass_time(LEASE_SECONDS + 1)
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == [claimed]
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == []


async def test_a_second_call_leaves_the_first_one_in_doubt(store: Store) -> None:
    """It may still be under way, whatever becomes of the second."""
    claimed = await queued(store)
    assert not (await begun(store, claimed)).in_doubt
    assert (await begun(store, claimed)).in_doubt


@pytest.mark.parametrize(
    ("calls", "workspace_of_other", "may_begin"),
    [
        ((0, None), "default", False),
        ((0, "https://here"), "default", False),
        ((1, "https://here"), "default", True),
        ((1, "https://third"), "default", False),
        ((0, None), "eu", True),
    ],
)
async def test_no_call_begins_while_something_is_open_at_another_address(
    store: Store,
    database: Database,
    calls: tuple[int, str | None],
    workspace_of_other: str,
    may_begin: bool,
) -> None:
    """A call that was made here may be repeated: its token finds its run."""
    claimed = await queued(store)
    other = await running(store, 7, "other")
    database.execute(
        "UPDATE track_processing SET workspace = ?, workspace_address = 'https://elsewhere' WHERE id = ?",
        workspace_of_other,
        other.id,
    )
    database.execute(
        "UPDATE track_processing SET deliveries = ?, workspace_address = ? WHERE id = ?",
        *calls,
        claimed.entry_id,
    )
    entry = await store.begin_submission(claimed, LEASE_SECONDS, "{}", address="https://here")
    assert (entry is not None) is may_begin


async def test_a_wait_that_is_longer_than_a_lease_is_kept(store: Store, database: Database) -> None:
    """Databricks has asked for it. A first lease that is as long was given before the clock went back."""
    asked, other = await queued(store, "a"), await queued(store, "b")
    entry = await begun(store, asked)
    waits = {"seconds": 4 * LEASE_SECONDS, "reason": "429"}
    assert await store.postpone(asked, unanswered=Unanswered.NO_EFFECT, **waits)  # type: ignore[arg-type]  # two
    assert await store.postpone(other, **waits)  # type: ignore[arg-type]  # as if the clock had gone back
    assert (await entry_of(store, entry.id)).postponements == 1
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == [other]


async def test_a_lease_that_was_doubled_is_kept(store: Store, database: Database) -> None:
    """Nobody looked at its messages: the second lease is as long, the third one twice as long."""
    claimed = await queued(store)
    for seconds in (LEASE_SECONDS, LEASE_SECONDS, 2 * LEASE_SECONDS):
        assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == []
        database.pass_time(seconds + 1)
        assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == [claimed]
    entry = await entry_of(store, claimed.entry_id)
    assert entry.resends == 3


async def test_recovery_is_bounded_and_shared(store: Store, other_store: Store, database: Database) -> None:
    await add(store, *(f"t{n}" for n in range(20)))
    await claim(store)
    database.pass_time(LEASE_SECONDS + 1)
    batches = await asyncio.gather(
        *(s.recover(lease_seconds=LEASE_SECONDS, limit=7) for s in [store, other_store] * 2)
    )
    # An engine without READPAST shows two the same entries; the one that comes second leaves them alone then.
    for _ in range(2):
        batches.append(await store.recover(lease_seconds=LEASE_SECONDS, limit=7))
    found = [c for batch in batches for c in batch]
    assert all(len(batch) <= 7 for batch in batches)
    assert len(found) == len(set(found)) == 20


async def test_postponed_message_is_sent_again_earlier(store: Store, database: Database) -> None:
    claimed = await queued(store)
    assert await store.postpone(claimed, seconds=30, reason="no answer")
    database.pass_time(31)
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == [claimed]
    assert (await entry_of(store, claimed.entry_id)).last_error == "no answer"


@pytest.mark.parametrize(
    ("unanswered", "calls", "counted"),
    [
        (Unanswered.NO_EFFECT, 1, 0),
        (Unanswered.NO_EFFECT, 2, 1),
        (Unanswered.OUTAGE, 1, 1),
        (Unanswered.OUTAGE, 2, 1),
        (Unanswered.OUTAGE, 3, 2),
        (Unanswered.ENTRY, 3, 3),
    ],
)
async def test_calls_that_count(store: Store, unanswered: Unanswered, calls: int, counted: int) -> None:
    claimed = await queued(store)
    for _ in range(calls):
        await begun(store, claimed)
    assert await store.postpone(claimed, seconds=30, reason="no answer", unanswered=unanswered)
    assert (await entry_of(store, claimed.entry_id)).deliveries == counted


@pytest.mark.parametrize("doubtful", [Unanswered.OUTAGE, Unanswered.ENTRY])
async def test_only_a_settled_submission_ends_the_doubt(store: Store, doubtful: Unanswered) -> None:
    claimed = await queued(store)
    assert not (await begun(store, claimed)).in_doubt
    assert await store.postpone(claimed, seconds=30, reason="no answer", unanswered=doubtful)
    assert (await entry_of(store, claimed.entry_id)).in_doubt
    for _ in range(3):
        assert (await begun(store, claimed)).in_doubt
        assert await store.postpone(claimed, seconds=30, reason="429", unanswered=Unanswered.NO_EFFECT)
    entry = await entry_of(store, claimed.entry_id)
    assert (entry.in_doubt, entry.deliveries) == (True, 1)
    assert await store.record_run(claimed, 7)
    assert not (await entry_of(store, claimed.entry_id)).in_doubt


async def test_call_settles_nothing_once_another_one_has_begun(store: Store) -> None:
    """The first has left its doubt to both."""
    claimed = await queued(store)
    await begun(store, claimed)
    second = await begun(store, claimed)
    third = await begun(store, claimed)
    assert second.in_doubt
    assert not await refuse(store, second, Status.FAILED)
    assert not await store.unclaim(second, verdict(Status.PENDING))
    assert not await store.leave_open(second, verdict(Status.FAILED))
    assert await refuse(store, third, Status.FAILED)


async def test_call_that_saw_no_doubt_settles_nothing_once_there_is_one(store: Store) -> None:
    """The number of calls is the same as before: the second one has left a doubt and was subtracted."""
    claimed = await queued(store)
    first = await begun(store, claimed)
    second = await begun(store, claimed)
    assert await store.postpone(claimed, seconds=30, reason="no answer", unanswered=Unanswered.OUTAGE)
    assert (await entry_of(store, first.id)).deliveries == first.deliveries
    assert not await refuse(store, first, Status.FAILED)
    assert not await store.unclaim(first, verdict(Status.PENDING))
    assert not await store.leave_open(second, verdict(Status.FAILED)), "another call has ended since"


async def test_calls_are_counted_anew_at_a_claim_but_the_doubt_stays(store: Store) -> None:
    claimed = await queued(store)
    for _ in range(5):
        entry = await begun(store, claimed)
    assert await store.leave_open(entry, verdict(Status.DEAD))
    assert await retry(store, entry.id)
    [again] = await claim(store)
    assert again == claimed
    repeated = await entry_of(store, entry.id)
    assert (repeated.deliveries, repeated.in_doubt) == (1, True)


async def test_cancelling_entries_that_surely_have_no_run(store: Store) -> None:
    [waiting] = await add(store, "waiting")
    assert await request_cancel(store, waiting)
    untouched = await queued(store, "untouched")
    failed = await running(store, 1, "failed")
    await finish(store, failed, Status.FAILED, delay_seconds=60)
    for entry_id in (untouched.entry_id, failed.id):
        assert await request_cancel(store, entry_id)
    assert await store.cancel_waiting(10) == 3
    for entry_id in (waiting, untouched.entry_id, failed.id):
        assert (await entry_of(store, entry_id)).status is Status.CANCELED
    assert await store.begin_submission(untouched, LEASE_SECONDS, "{}") is None


async def test_cancelling_an_entry_that_may_have_a_run_waits_for_its_answer(store: Store) -> None:
    claimed = await queued(store)
    await begun(store, claimed)
    assert await request_cancel(store, claimed.entry_id)
    assert await store.cancel_waiting(10) == 0
    assert (await begun(store, claimed)).deliveries == 2  # the token is replayed to find the run
    assert await store.record_run(claimed, 77)


async def test_cancellation_before_the_first_call_stops_the_call(store: Store) -> None:
    claimed = await queued(store)
    await request_cancel(store, claimed.entry_id)
    assert await store.begin_submission(claimed, LEASE_SECONDS, "{}") is None


async def test_final_entries_are_not_cancelled(store: Store) -> None:
    entry = await running(store, 77)
    await finish(store, entry, Status.DONE)
    assert not await request_cancel(store, entry.id)
    assert not await request_cancel(store, 10**15)


@pytest.mark.parametrize("final", [Status.DONE, Status.DEAD, Status.CANCELED])
async def test_operator_runs_a_final_entry_again(store: Store, final: Status) -> None:
    entry = await running(store, 77)
    await request_cancel(store, entry.id)
    await finish(store, entry, final)
    assert await retry(store, entry.id)
    [again] = await claim(store)
    assert again.submission == 2
    fresh = await entry_of(store, entry.id)
    assert (fresh.attempt, fresh.cancel_requested, fresh.runid) == (0, False, None)


async def test_operator_does_not_wait_for_the_back_off(store: Store) -> None:
    entry = await running(store, 77)
    await finish(store, entry, Status.FAILED, delay_seconds=3600)
    assert await claim(store) == []
    assert await retry(store, entry.id)
    assert len(await claim(store)) == 1
    assert not await retry(store, entry.id)  # in flight


async def test_passes(store: Store) -> None:
    await PassLog(store.pool).pass_started("monitor")
    [last_pass] = await PassLog(store.pool).passes()
    assert (last_pass.name, last_pass.finished_at) == ("monitor", None)
    await PassLog(store.pool).pass_finished("monitor", "ok")
    await PassLog(store.pool).pass_started("monitor")
    await PassLog(store.pool).pass_finished("monitor", "queue: 1 of 2 messages were not taken")
    [last_pass] = await PassLog(store.pool).passes()
    assert last_pass.finished_at is not None
    assert last_pass.outcome == "queue: 1 of 2 messages were not taken"
    await PassLog(store.pool).pass_started("monitor")
    await PassLog(store.pool).pass_failed("monitor", "it broke")
    [failed] = await PassLog(store.pool).passes()
    assert (failed.finished_at, failed.outcome) == (last_pass.finished_at, "it broke")


Change = Callable[[Store, Entry], Awaitable[object]]

CHANGES: dict[str, Change] = {
    "claim": lambda store, _: claim(store),
    "begin": lambda store, e: store.begin_submission(
        Claim(entry_id=e.id, submission=e.submission), LEASE_SECONDS, "{}"
    ),
    "take up": lambda store, e: take_up(store, Claim(entry_id=e.id, submission=e.submission)),
    "record": lambda store, e: store.record_run(Claim(entry_id=e.id, submission=e.submission), 5),
    "release": lambda store, e: store.unclaim(e, verdict(Status.PENDING)),
    "refuse": lambda store, e: refuse(store, e, Status.DEAD),
    "leave open": lambda store, e: store.leave_open(e, verdict(Status.FAILED)),
    "finish": lambda store, e: finish(store, replace(e, runid=e.runid or 0), Status.DONE),
    "recover": lambda store, _: store.recover(lease_seconds=60, limit=10),
    "cancel": lambda store, _: store.cancel_waiting(10),
    "retry": lambda store, e: retry(store, e.id),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("status", list(Status))
async def test_no_change_takes_an_edge_that_is_not_drawn(
    store: Store, database: Database, status: Status, name: str
) -> None:
    [entry_id] = await add(store, "sales")
    database.execute(
        "UPDATE track_processing SET status = ?, submission = 1, runid = ?, cancel_requested = ?,"
        " lease_expires_at = available_at WHERE id = ?",
        status,
        4 if status is Status.RUNNING else None,
        1 if name == "cancel" else 0,
        entry_id,
    )
    await CHANGES[name](store, await entry_of(store, entry_id))
    after = Status(status_of(database, entry_id))
    assert after is status or after in EDGES[status]


async def test_changes_do_take_the_edges_that_are_drawn(store: Store, database: Database) -> None:
    """The counterpart of the test above, which a store that changes nothing would pass."""
    taken: set[tuple[Status, Status]] = set()
    for number, (name, change) in enumerate(CHANGES.items()):
        for status in Status:
            [entry_id] = await add(store, f"t{number}{status}")
            database.execute(
                "UPDATE track_processing SET status = ?, submission = 1, runid = ?, cancel_requested = ?,"
                " lease_expires_at = available_at WHERE id = ?",
                status,
                1000 + entry_id if status is Status.RUNNING else None,
                1 if name == "cancel" else 0,
                entry_id,
            )
            before = await entry_of(store, entry_id)
            await change(store, before)
            taken.add((status, Status(status_of(database, entry_id))))
            database.execute("DELETE FROM process_log")
            database.execute("DELETE FROM track_processing")
    moved = {edge for edge in taken if edge[0] is not edge[1]}
    drawn = {(start, end) for start, ends in EDGES.items() for end in ends if start is not end}
    assert moved <= drawn
    assert {end for start, end in moved if start is Status.QUEUED} == {
        Status.RUNNING,
        Status.PENDING,
        Status.FAILED,
        Status.DEAD,
        Status.CANCELED,
    }
    assert {start for start, end in moved if end is Status.QUEUED} == {Status.PENDING, Status.FAILED}


async def test_begin_renews_the_lease(store: Store, database: Database) -> None:
    claimed = await queued(store)
    database.pass_time(LEASE_SECONDS - 1)
    await begun(store, claimed)
    database.pass_time(2)
    assert await store.recover(lease_seconds=LEASE_SECONDS, limit=10) == []


async def test_earlier_run_is_not_taken_for_that_of_a_call_under_way(store: Store) -> None:
    claimed = await queued(store)
    entry = await begun(store, claimed)
    assert not await store.record_run(claimed, 77, deliveries=0)
    assert await store.put_right(max_attempts=3, limit=9) == 0
    assert await entry_of(store, entry.id) == entry
    assert await store.record_run(claimed, 78, new_in="default")


async def test_refused_entry_can_be_cancelled_while_it_waits(store: Store) -> None:
    entry = await begun(store, await queued(store))
    await refuse(store, entry, Status.FAILED)
    await request_cancel(store, entry.id)
    assert await store.cancel_waiting(10) == 1


async def test_finish_names_its_run(store: Store) -> None:
    entry = await running(store, 77)
    assert not await finish(store, replace(entry, runid=78), Status.DONE)
    assert await store.logs(entry.id) == []


async def test_submission_left_open_keeps_its_number(store: Store, database: Database) -> None:
    claimed = await queued(store)
    await begun(store, claimed)
    entry = await begun(store, claimed)
    assert await store.leave_open(entry, verdict(Status.FAILED, 60))
    assert await store.logs(entry.id) == []
    database.pass_time(61)
    assert await claim(store) == [claimed]
    repeated = await entry_of(store, entry.id)
    assert (repeated.deliveries, repeated.in_doubt) == (1, True)


async def test_long_texts_of_databricks_fit_their_columns(store: Store) -> None:
    entry = await running(store, 77)
    wide = "\U0001f600" * 5000
    log = replace(
        run_log(entry, Status.FAILED),
        life_cycle_state="X" * 100,
        termination_code="Y" * 100,
        message=wide,
        error_trace=wide,
        run_page_url="https://" + "z" * 5000,
    )
    assert await store.finish(entry, replace(verdict(Status.FAILED), error=wide), log)
    [stored] = await store.logs(entry.id)
    assert stored.message == "\U0001f600" * 2000
    assert (stored.error_trace, stored.life_cycle_state) == (wide, "X" * 64)
