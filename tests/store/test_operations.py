"""What an operator's restart and resolution write, from every state, and what they leave alone."""

import asyncio

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import RESTART, RETRY, Resolution, Retry, resolve
from orchestrator.core.models import Claim, Entry, Expected, LogRow
from orchestrator.core.policy import RetryMode
from orchestrator.core.states import EDGES, Status
from tests.store.helpers import (
    LEASE_SECONDS,
    add,
    begun,
    claim,
    entry_of,
    finish,
    queued,
    request_cancel,
    running,
    verdict,
)

REPAIR = Retry(
    name="retry",
    states=RETRY.states,
    by_default=RETRY.by_default,
    refusal=RETRY.refusal,
    mode=RetryMode.REPAIR,
)


@pytest.fixture
def operations(store: Store) -> Operations:
    return Operations(store.pool)


async def entry_in(store: Store, status: Status) -> Entry:
    """Bring an entry into a state."""
    if status is Status.PENDING:
        return await entry_of(store, (await add(store, "sales"))[0])
    if status is Status.QUEUED:
        return await begun(store, await queued(store))
    entry = await running(store, 77)
    if status is not Status.RUNNING:
        assert await finish(store, entry, status)
    return await entry_of(store, entry.id)


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("status", Status)
async def test_an_entry_in_any_state_is_resolved_with_one_log_row(
    store: Store, operations: Operations, status: Status, resolution: Resolution
) -> None:
    before = await entry_in(store, status)
    logs = await store.logs(before.id)
    action = resolve(resolution, "  by\nhand ")
    changed = await operations.change(action, [before.id, 999])
    after = await entry_of(store, before.id)
    if status is action.to:
        assert (changed, after, await store.logs(before.id)) == ([], before, logs)
        return
    assert changed == [before.id]
    assert action.to in EDGES[status]
    is_logged = any(log.submission == before.submission for log in logs)
    run_id = None if is_logged else before.runid
    assert (after.status, after.runid, after.last_runid, after.deliveries) == (action.to, run_id, None, 0)
    assert after.lease_expires_at is None
    assert after.finished_at is not None
    assert after.last_error == (None if resolution is Resolution.DONE else "resolved by hand: by hand")
    assert not after.with_failures
    assert after.submission == before.submission + (status not in {Status.QUEUED, Status.RUNNING})
    [*earlier, new] = await store.logs(before.id)
    assert earlier == logs
    assert new == LogRow(
        entry_id=before.id,
        submission=after.submission,
        attempt=1,
        status=action.to,
        runid=run_id,
        message="resolved by hand: by hand",
    )


async def test_who_is_late_changes_nothing_that_was_resolved(store: Store, operations: Operations) -> None:
    action = resolve(Resolution.RELEASE, "nobody may see its run")
    ran, waited = await running(store, 77, "a"), await begun(store, await queued(store, "b"))
    assert await operations.change(action, [ran.id, waited.id]) == [ran.id, waited.id]
    assert await claim(store) == []
    message = Claim(entry_id=waited.id, submission=waited.submission)
    assert await store.begin_submission(message, LEASE_SECONDS, "{}") is None
    assert not await store.record_run(message, 78)
    assert not await finish(store, ran, Status.DONE)
    assert not await store.note_trouble(ran, "gone", missing=True)
    assert not await store.unclaim(waited, verdict(Status.PENDING))
    for entry in (ran, waited):
        assert (await entry_of(store, entry.id)).status is Status.CANCELED
        assert len(await store.logs(entry.id)) == 1
    assert await store.ended_runs("default", [77]) == []


async def test_a_resolved_entry_frees_its_table_and_its_slot(store: Store, operations: Operations) -> None:
    stuck = await running(store, 77)
    [behind] = await add(store, "sales")
    assert await claim(store, cap=1) == []
    await operations.change(resolve(Resolution.DONE, "loaded by hand"), [stuck.id])
    assert [each.entry_id for each in await claim(store, cap=1)] == [behind]


async def test_a_resolved_entry_runs_again_under_a_new_number(store: Store, operations: Operations) -> None:
    """Its run is no longer known, so that nothing waits for it."""
    in_doubt = await begun(store, await queued(store))
    await operations.change(resolve(Resolution.FAILED, "no answer for days"), [in_doubt.id])
    assert await operations.change(RETRY, [in_doubt.id]) == [in_doubt.id]
    [claimed] = await claim(store)
    assert claimed.submission == in_doubt.submission + 1


async def test_resolutions_at_once_write_one_log_row(
    store: Store, other_store: Store, operations: Operations
) -> None:
    entry = await running(store, 77)
    action = resolve(Resolution.DONE, "twice")
    other = Operations(other_store.pool)
    results = await asyncio.gather(
        *(each.change(action, [entry.id]) for each in [operations, other] * 4),
        finish(store, entry, Status.DEAD),
    )
    assert len(await store.logs(entry.id)) == (2 if results[-1] else 1)
    assert sum(bool(each) for each in results[:-1]) == 1
    assert (await entry_of(store, entry.id)).status is Status.DONE


async def test_a_resolution_expects_what_was_seen(store: Store, operations: Operations) -> None:
    entry = await running(store, 77)
    action = resolve(Resolution.DONE, "x")
    for other in (
        Expected(states=frozenset({Status.DEAD})),
        Expected(submission=entry.submission + 1),
    ):
        assert await operations.change(action, [entry.id], other) == []
    seen = Expected(states=frozenset({Status.RUNNING}), submission=entry.submission)
    assert await operations.change(action, [entry.id], seen) == [entry.id]


@pytest.mark.parametrize("status", Status)
async def test_a_restart_asks_for_the_end_of_a_live_run(
    store: Store, operations: Operations, status: Status
) -> None:
    before = await entry_in(store, status)
    logs = await store.logs(before.id)
    changed = await operations.change(RESTART, [before.id])
    after = await entry_of(store, before.id)
    assert await store.logs(before.id) == logs
    if status in {Status.PENDING, Status.QUEUED}:
        assert (changed, after) == ([], before)
    elif status is Status.RUNNING:
        assert (changed, after.status, after.stop_reason) == ([before.id], Status.RUNNING, "RESTART")
        assert (after.runid, after.attempt, after.submission) == (77, 1, 1)
    else:  # the next submission has to know that it starts anew
        to = Status.FAILED if status is Status.FAILED else Status.PENDING
        assert (changed, after.status, after.stop_reason) == ([before.id], to, "RESTART")


async def test_the_last_wish_of_an_operator_counts(store: Store, operations: Operations) -> None:
    entry = await running(store, 77)
    assert await request_cancel(store, entry.id)
    assert await operations.change(RESTART, [entry.id]) == [entry.id]
    assert not (await entry_of(store, entry.id)).cancel_requested
    assert await request_cancel(store, entry.id)
    assert (await entry_of(store, entry.id)).cancel_requested


async def test_the_mode_of_a_retry_is_kept(store: Store, operations: Operations) -> None:
    entry = await running(store, 77)
    await finish(store, entry, Status.DEAD)
    await operations.change(RETRY, [entry.id])
    assert (await entry_of(store, entry.id)).retry_mode is None
    [claimed] = await claim(store)
    await begun(store, claimed)
    await store.record_run(claimed, 78)
    await finish(store, await entry_of(store, entry.id), Status.FAILED)
    assert await operations.change(REPAIR, [entry.id]) == [entry.id]
    assert await operations.change(RETRY, [entry.id]) == [entry.id]
    assert (await entry_of(store, entry.id)).retry_mode == "repair"
