"""Which entries a claim takes, and how many."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.session import Session
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.errors import StoreError
from orchestrator.core.models import ActiveRun, JobKey, JobLimit
from orchestrator.core.refused_jobs import Mark, setting_of
from orchestrator.core.states import Status
from tests.store.conftest import Database
from tests.store.helpers import (
    add,
    begun,
    claim,
    counts,
    entry_of,
    finish,
    queued,
    refuse,
    retry,
    running,
    verdict,
)


async def test_plain_insert_is_enough(store: Store, database: Database) -> None:
    database.execute("INSERT INTO track_processing (table_name) VALUES ('sales')")
    [claimed] = await claim(store)
    entry = await entry_of(store, claimed.entry_id)
    assert (entry.table_name, entry.workspace, entry.parameter_style) == (
        "sales",
        "default",
        "auto",
    )
    assert (entry.status, entry.submission, entry.attempt) == (Status.QUEUED, 1, 0)
    assert len(entry.entry_guid) == 36
    assert entry.lease_expires_at is not None
    assert 899 < (entry.lease_expires_at - await store.now()).total_seconds() <= 900


async def test_every_entry_has_its_own_guid(store: Store) -> None:
    ids = await add(store, *(f"t{n}" for n in range(50)))
    assert len({(await entry_of(store, entry_id)).entry_guid for entry_id in ids}) == 50


async def test_higher_priority_first_then_older(store: Store) -> None:
    [low] = await add(store, "low", priority=-5)
    first, second = await add(store, "first", "second")
    [high] = await add(store, "high", priority=7)
    assert [c.entry_id for c in await claim(store, 3)] == [high, first, second]
    assert [c.entry_id for c in await claim(store, 4)] == [low]


async def test_entries_in_flight_and_foreign_runs_take_slots(store: Store) -> None:
    entry = await running(store, 11, "running")
    await queued(store, "queued")
    await add(store, "a", "b", "c")
    assert await claim(store, 5, active=[11, 90, 91, 92]) == []
    assert len(await claim(store, 6, active=[11, 90, 91, 92])) == 1
    assert entry.runid == 11


async def test_run_of_an_entry_that_just_ended_counts_as_foreign_until_the_next_listing(store: Store) -> None:
    entry = await running(store, 11)
    await finish(store, entry, Status.DONE)
    await add(store, "next")
    assert await claim(store, 1, active=[11]) == []
    assert len(await claim(store, 1, active=[])) == 1


async def test_one_entry_of_a_table_in_flight(store: Store) -> None:
    first, _second, other = await add(store, "sales", "sales", "orders")
    assert [c.entry_id for c in await claim(store)] == [first, other]
    assert await claim(store) == []


async def test_same_table_in_two_workspaces_is_two_tables(store: Store) -> None:
    await add(store, "sales")
    await add(store, "sales", workspace="eu")
    assert len(await claim(store)) == 1
    assert len(await claim(store, workspace="eu")) == 1


async def test_serialisation_can_be_switched_off(store: Store) -> None:
    await add(store, "sales", "sales", "sales")
    assert len(await claim(store, serialize=False)) == 3


async def test_entry_held_back_is_claimed_when_its_time_comes(store: Store, database: Database) -> None:
    entry = await running(store, 11)
    await finish(store, entry, Status.FAILED, delay_seconds=60)
    database.pass_time(59)
    assert await claim(store) == []
    database.pass_time(2)
    [again] = await claim(store)
    assert (again.entry_id, again.submission) == (entry.id, 2)


@pytest.mark.parametrize(
    ("limit", "default", "claimed"), [(None, 1, 0), (None, 2, 1), (2, 1, 1), (0, 1, 1), (None, 0, 1)]
)
async def test_attempts_left(store: Store, limit: int | None, default: int, claimed: int) -> None:
    entry = await running(store, 11, max_attempts=limit)
    assert entry.attempt == 1
    await finish(store, entry, Status.FAILED)
    assert len(await claim(store, max_attempts=default)) == claimed


async def test_submission_rises_after_a_run_and_after_a_refusal(store: Store) -> None:
    entry = await running(store, 11)
    await finish(store, entry, Status.FAILED)
    [second] = await claim(store)
    assert second.submission == 2
    refused = await begun(store, second)
    await refuse(store, refused, Status.FAILED)
    [third] = await claim(store)
    assert third.submission == 3


async def test_submission_stays_while_its_outcome_is_unknown(store: Store, database: Database) -> None:
    claimed = await queued(store)
    await begun(store, claimed)
    # An operator makes the entry wait by SQL although run-now may have been accepted.
    database.execute("UPDATE track_processing SET status = 'PENDING' WHERE id = ?", claimed.entry_id)
    assert await claim(store) == []
    await store.put_right(max_attempts=3, limit=10)
    put_back = await entry_of(store, claimed.entry_id)
    assert (put_back.status, put_back.submission, put_back.in_doubt) == (Status.QUEUED, 1, True)


async def test_released_entry_waits_without_spending_an_attempt(store: Store, database: Database) -> None:
    entry = await begun(store, await queued(store))
    assert await store.unclaim(entry, verdict(Status.PENDING, 60))
    waiting = await entry_of(store, entry.id)
    assert (waiting.status, waiting.attempt, waiting.deliveries) == (Status.PENDING, 0, 0)
    assert await claim(store) == []
    database.pass_time(61)
    assert len(await claim(store)) == 1


async def test_two_triggers_at_once_never_pass_the_cap(store: Store, other_store: Store) -> None:
    await add(store, *(f"t{n}" for n in range(60)))
    claims = await asyncio.gather(*(claim(s, 10) for s in [store, other_store] * 5))
    taken = [c.entry_id for batch in claims for c in batch]
    assert len(taken) == len(set(taken)) == 10
    assert (await counts(store))["default"][Status.QUEUED] == 10


async def test_open_workspaces(store: Store) -> None:
    await add(store, "a", workspace="nowhere")
    await queued(store, "b")
    found = {each.name: (each.waiting, each.in_flight) for each in await store.open_workspaces()}
    assert found == {"nowhere": (1, 0), "default": (0, 1)}


async def test_waiting_entries_of_unknown_workspaces_get_an_error_that_says_so(store: Store) -> None:
    lost, known = await add(store, "a", workspace="Default") + await add(store, "b")
    assert await store.note_unknown(["default", "eu"], reason="why", limit=10) == 1
    assert await store.note_unknown(["default", "eu"], reason="other", limit=10) == 0
    assert (await entry_of(store, lost)).last_error == "why"
    assert (await entry_of(store, known)).last_error is None


async def test_table_whose_entry_is_running_is_busy(store: Store) -> None:
    await running(store, 11, "sales")
    await add(store, "sales", "orders")
    assert len(await claim(store)) == 1
    assert (await counts(store))["default"][Status.PENDING] == 1


async def test_entry_put_back_by_sql_starts_anew(store: Store, database: Database) -> None:
    entry = await running(store, 11)
    await finish(store, entry, Status.DEAD)
    database.execute("UPDATE track_processing SET status = 'PENDING' WHERE id = ?", entry.id)
    assert len(await claim(store, max_attempts=1)) == 1
    assert (await entry_of(store, entry.id)).attempt == 0


async def test_failed_entry_at_a_lowered_limit_waits_for_an_operator(store: Store) -> None:
    entry = await running(store, 11)
    await finish(store, entry, Status.FAILED)
    assert await claim(store, max_attempts=1) == []
    assert await retry(store, entry.id)
    assert len(await claim(store, max_attempts=1)) == 1


async def test_workspaces_differ_by_case(store: Store) -> None:
    await add(store, "a", workspace="Default")
    await add(store, "b")
    assert {each.name for each in await store.open_workspaces()} == {"Default", "default"}
    assert len(await claim(store)) == 1


@pytest.mark.parametrize(("result", "problem"), [(-1, "held by another process"), (-999, "returned -999")])
async def test_lock_that_is_not_free_claims_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, result: int, problem: str
) -> None:
    await add(store, "a")
    rows = Session.rows

    def closed(session: Session, name: str, *parameters: object) -> list[dict[str, Any]]:
        return [{"result": result}] if name == "acquire_lock" else rows(session, name, *parameters)

    monkeypatch.setattr(Session, "rows", closed)
    with pytest.raises(StoreError, match=problem):
        await claim(store)
    monkeypatch.undo()
    assert (await counts(store))["default"] == {Status.PENDING: 1}


async def test_an_entry_without_a_next_submission_stops_no_claim(store: Store, database: Database) -> None:
    last, other = await add(store, "a", "b")
    database.execute("UPDATE track_processing SET submission = 2147483647 WHERE id = ?", last)
    assert [each.entry_id for each in await claim(store)] == [other]


async def test_a_call_is_repeated_only_where_it_was_made(store: Store, database: Database) -> None:
    """While something is open at another address, nothing else is claimed."""
    open_there = await running(store, 7, "open there")
    here, there, new, moved = await add(store, "here", "there", "new", "moved")
    change = "UPDATE track_processing SET deliveries = 1, submission = 1, workspace_address = ? WHERE id = ?"
    database.execute(change, "https://here", here)
    for entry_id in (there, open_there.id):
        database.execute(change, "https://there", entry_id)
    database.execute(change.replace("= 1", "= 0", 1), "https://here", moved)
    claims = await claim(store, address="https://here")
    assert [each.entry_id for each in claims] == [here]
    assert [(await entry_of(store, each)).status for each in (new, moved)] == [Status.PENDING] * 2


async def test_of_a_table_the_entry_with_the_highest_priority_is_claimed(store: Store) -> None:
    """Also where its job has one slot left."""
    await add(store, "a", priority=1, job_id=5)
    [high] = await add(store, "a", priority=2, job_id=5)
    await add(store, "b", priority=1, job_id=5)
    one = {JobKey(job_id=5): JobLimit(job_id=5, max_concurrent_runs=1)}
    assert [each.entry_id for each in await claim(store, jobs=one)] == [high]


async def test_of_a_refused_job_who_has_not_heard_it_tries_first_then_who_heard_it_longest_ago(
    store: Store, database: Database
) -> None:
    """Whatever their priorities: those that were refused would otherwise try again and again."""
    lately, long_ago = await add(store, "a", "b", priority=9)
    [new] = await add(store, "c")
    now, setting = await store.now(), setting_of(5, None)
    for entry_id, seconds in ((lately, 400), (long_ago, 600)):
        heard = now - timedelta(seconds=seconds)
        mark = Mark(
            entry_id=entry_id, job=JobKey(), what=setting, heard_by=3, since=now - timedelta(seconds=600),
            first_at=heard, heard_at=heard,
        )  # fmt: skip
        database.execute(
            "UPDATE track_processing SET doubts = ?, available_at = ?, updated_at = ? WHERE id = ?",
            mark.kept(),
            *[database.connector.to_database(heard)] * 2,
            entry_id,
        )
    order = []
    for _ in range(3):
        [claimed] = await store.claim(
            "default",
            cap=9,
            active=[],
            jobs={},
            lease_seconds=900,
            max_attempts=3,
            serialize_tables=True,
            setting=setting,
        )
        order.append(claimed.entry_id)
        database.execute("UPDATE track_processing SET status = 'DONE' WHERE id = ?", claimed.entry_id)
    assert order == [new, long_ago, lately]


async def test_of_a_job_with_one_slot_the_entry_comes_first_that_has_not_waited_for_it(
    store: Store, database: Database
) -> None:
    """Of one table as well; of those that have not waited, the older one."""
    had_none, other, _ = await add(store, "a", "b", "c", job_id=5)
    same, newer = await add(store, "d", "d")
    database.execute("UPDATE track_processing SET slot_waits = 1 WHERE id = ?", same)
    database.execute("UPDATE track_processing SET slot_waits = 1 WHERE id = ?", had_none)
    one = {JobKey(job_id=5): JobLimit(job_id=5, max_concurrent_runs=1)}
    assert [each.entry_id for each in await claim(store, jobs=one)] == [other, newer]


async def test_a_claim_reads_nothing_before_it_holds_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's write lock would hide it: the count has to be the one of the moment in which it claims."""
    await add(store, "a")
    asked: list[str] = []
    for method in ("rows", "change"):
        real = getattr(Session, method)

        def noted(session: Session, name: str, *parameters: object, real: Any = real) -> Any:
            asked.append(name)
            return real(session, name, *parameters)

        monkeypatch.setattr(Session, method, noted)
    assert len(await claim(store)) == 1
    assert asked[0] == "acquire_lock"
    assert asked.index("in_flight") < asked.index("claimable") < asked.index("claim")


BY_ID, BY_NAME = JobKey(job_id=5), JobKey(job_name="load")


async def test_no_more_entries_of_a_job_than_it_has_slots(store: Store) -> None:
    """The job's limit holds for all ways in which entries name it, and its other active runs count."""
    await add(store, "a", "b", job_id=5)
    await add(store, "c", "d", job_name="load", priority=1)
    [other] = await add(store, "e", job_id=6)
    limit = JobLimit(job_id=5, max_concurrent_runs=3)
    active = [ActiveRun(run_id=1, job_id=5), ActiveRun(run_id=2, job_id=5, queued=True)]
    first = await claim(store, active=active, jobs={BY_ID: limit, BY_NAME: limit})
    tables = [(await entry_of(store, each.entry_id)).table_name for each in first]
    assert tables == ["c", "d", "e"]
    assert other in {each.entry_id for each in first}
    assert await claim(store, active=active, jobs={BY_ID: limit, BY_NAME: limit}) == []
    one_more = {BY_ID: replace(limit, max_concurrent_runs=4), BY_NAME: limit}
    assert len(await claim(store, active=active, jobs=one_more)) == 1


async def test_a_full_job_does_not_keep_other_entries_from_the_free_slots(store: Store) -> None:
    await add(store, "a", "b", "c", job_id=5, priority=9)
    [other] = await add(store, "z", job_id=6)
    claims = await claim(store, 2, jobs={BY_ID: JobLimit(job_id=5, max_concurrent_runs=1)})
    assert [each.entry_id for each in claims][1:] == [other]


async def test_foreign_runs_that_wait_or_are_children_take_no_slot(store: Store) -> None:
    await add(store, "a", "b")
    active = [ActiveRun(run_id=1, queued=True), ActiveRun(run_id=2, is_child=True), ActiveRun(run_id=3)]
    assert len(await claim(store, 2, active=active)) == 1


@pytest.mark.parametrize("serialize", [True, False])
async def test_an_entry_whose_last_run_is_active_again_is_not_claimed(store: Store, serialize: bool) -> None:
    over = await running(store, 7, "sales")
    assert await finish(store, over, Status.FAILED)
    [second] = await add(store, "sales")
    claims = await claim(store, active=[7], serialize=serialize)
    assert [each.entry_id for each in claims] == ([] if serialize else [second])
    assert over.id in {each.entry_id for each in await claim(store, serialize=False)}


async def test_a_done_entry_whose_run_is_repaired_keeps_its_table_busy(store: Store) -> None:
    assert await finish(store, await running(store, 7, "sales"), Status.DONE)
    await add(store, "sales")
    assert await claim(store, active=[7]) == []
    assert len(await claim(store)) == 1


async def test_revived_run_is_followed_under_a_submission_of_its_own(store: Store) -> None:
    over = await running(store, 7, "sales")
    assert await finish(store, over, Status.DEAD)
    [dead] = await store.ended_runs("default", [7, 8])
    assert dead.is_last
    assert await store.revive(dead.entry, 7, "repaired")
    assert not await store.revive(dead.entry, 7, "repaired"), "another pass has done it"
    revived = await entry_of(store, over.id)
    assert (revived.status, revived.runid, revived.submission) == (Status.RUNNING, 7, over.submission + 1)
    assert await finish(store, revived, Status.DONE)
    assert [log.submission for log in await store.logs(over.id)] == [over.submission, over.submission + 1]


async def test_run_is_not_followed_in_place_of_a_call_that_has_begun_since(store: Store) -> None:
    over = await running(store, 7, "sales")
    assert await finish(store, over, Status.FAILED)
    [seen] = await store.ended_runs("default", [7])
    [again] = await claim(store)
    assert await store.leave_open(await begun(store, again), verdict(Status.DEAD))
    assert not await store.revive(replace(seen.entry, submission=again.submission), 7, "repaired")


async def test_last_run_comes_before_earlier_ones(store: Store) -> None:
    over = await running(store, 9, "sales")
    for run_id in (8, 7):  # ids say nothing of an order
        assert await finish(store, await entry_of(store, over.id), Status.FAILED)
        [again] = await claim(store)
        assert await store.record_run(again, run_id)
    assert await finish(store, await entry_of(store, over.id), Status.DEAD)
    found = {
        asked: [(ended.run_id, ended.is_last) for ended in await store.ended_runs("default", list(asked))]
        for asked in ((9,), (8, 9), (7, 8, 9), (6,))
    }
    assert found == {(9,): [(9, False)], (8, 9): [(8, False)], (7, 8, 9): [(7, True)], (6,): []}


async def test_repeated_submission_keeps_its_request(store: Store) -> None:
    claimed = await queued(store)
    first = await store.begin_submission(claimed, 900, '{"n": 1}')
    second = await store.begin_submission(claimed, 900, '{"n": 2}')
    assert first is not None
    assert second is not None
    assert second.request == first.request == '{"n": 1}'
    assert await store.leave_open(second, verdict(Status.FAILED))
    [again] = await claim(store)
    assert (await entry_of(store, again.entry_id)).request == '{"n": 1}'


async def test_attempts_are_the_apps_own(store: Store) -> None:
    """A claim that finds its last run repaired makes no call, and so begins no attempt."""
    over = await running(store, 7, "sales")
    assert await finish(store, over, Status.FAILED)
    [again] = await claim(store)
    assert await store.record_run(again, 7, deliveries=0)
    assert (await entry_of(store, over.id)).attempt == 1


async def test_repair_by_a_person_does_not_show_that_calls_are_accepted(
    store: Store, database: Database
) -> None:
    over, again = await running(store, 7, "a"), await running(store, 8, "b")
    for entry in (over, again):
        assert await finish(store, entry, Status.FAILED)
    [other] = await add(store, "other")
    looking = await entry_of(store, other)
    assert await store.calls_accepted(looking.workspace, within_seconds=600)
    database.execute(
        "UPDATE track_processing SET submitted_at = '2020-01-01 00:00:00' WHERE submitted_at IS NOT NULL"
    )
    assert await store.revive(await entry_of(store, over.id), 7, "repaired")
    [claimed, *_] = [each for each in await claim(store) if each.entry_id == again.id]
    assert await store.record_run(claimed, 8, deliveries=0)
    assert not await store.calls_accepted(looking.workspace, within_seconds=600)
    assert await finish(store, await entry_of(store, over.id), Status.FAILED)
    assert not await store.calls_accepted(looking.workspace, within_seconds=600)


async def test_latest_success_is_the_one_that_started_last(store: Store, database: Database) -> None:
    """Not that of the entry which was changed last."""
    for run_id in (7, 8):
        assert await finish(store, await running(store, run_id, "sales"), Status.DONE)
        database.execute(
            "UPDATE process_log SET started_at = ? WHERE runid = ?", f"2026-01-0{run_id} 00:00:00", run_id
        )
    database.execute("UPDATE track_processing SET updated_at = '2026-02-01 00:00:00' WHERE runid = 7")
    latest = await store.last_success("default", "sales")
    assert latest is not None
    assert latest.day == 8
    assert await store.last_success("default", "other") is None


async def test_resolution_by_hand_is_no_start_of_a_run(store: Store) -> None:
    [entry_id] = await add(store, "sales")
    action = resolve(Resolution.DONE, "not needed")
    assert await Operations(store.pool).change(action, [entry_id]) == [entry_id]
    assert await store.last_success("default", "sales") is None
