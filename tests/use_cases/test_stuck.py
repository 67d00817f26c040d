"""Entries that people set by SQL, or whose limit was lowered: none of them stands still for ever."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import RESTART, Resolution, resolve
from orchestrator.core.models import Entry, Run
from orchestrator.core.states import Status
from tests.world import World, policy


async def failed(world: World, table: str = "sales") -> Entry:
    """Return an entry whose first run has failed, with attempts left."""
    entry = await world.running(table)
    assert entry.runid is not None
    world.databricks.end(entry.runid, "FAILED")
    await world.monitor()
    entry = await world.entry(entry.id)
    assert (entry.status, entry.attempt) == (Status.FAILED, 1)
    return entry


async def dead(world: World) -> Entry:
    """Return an entry whose only run has failed."""
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.databricks.end(entry.runid or 0, "FAILED")
    await world.monitor()
    entry = await world.entry(entry.id)
    assert entry.status is Status.DEAD
    return entry


async def test_failed_entries_end_when_the_limit_is_lowered(world: World) -> None:
    by_setting, by_column, left = [await failed(world, table) for table in ("a", "b", "c")]
    world.database.execute("UPDATE track_processing SET max_attempts = 1 WHERE id = ?", by_column.id)
    world.database.execute("UPDATE track_processing SET max_attempts = 0 WHERE id = ?", left.id)
    world.policy = policy(max_attempts=1)
    assert await world.monitor() == []
    ended = [await world.entry(each.id) for each in (by_setting, by_column, left)]
    assert [entry.status for entry in ended] == [Status.DEAD, Status.DEAD, Status.FAILED]
    assert "task of 1000 failed" in (ended[0].last_error or "")
    assert ended[0].finished_at is not None
    assert [log.status for log in await world.store.logs(by_setting.id)] == [Status.FAILED]


@pytest.mark.parametrize(("asked", "end"), [(0, Status.DEAD), (1, Status.CANCELED)])
async def test_open_failed_entry_without_attempts_ends_and_stays_open(
    world: World, asked: int, end: Status
) -> None:
    entry = await failed(world)
    world.database.execute(
        "UPDATE track_processing SET attempt = 3, runid = NULL, submission = 2, deliveries = 2,"
        " cancel_requested = ? WHERE id = ?",
        asked,
        entry.id,
    )
    await world.monitor()
    ended = await world.entry(entry.id)
    assert (ended.status, ended.deliveries, ended.submission) == (end, 2, 2)


async def test_entry_without_a_further_submission_ends(world: World) -> None:
    [entry_id] = await world.add("sales")
    world.database.execute("UPDATE track_processing SET submission = 2147483647")
    await world.trigger()
    ended = await world.entry(entry_id)
    assert ended.status is Status.DEAD
    assert "no further submission" in (ended.last_error or "")


async def test_dead_entry_set_to_failed_is_dead_again(world: World) -> None:
    entry = await dead(world)
    world.database.execute("UPDATE track_processing SET status = 'FAILED'")
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DEAD


async def test_dead_entry_set_to_running_is_what_the_log_says(world: World) -> None:
    entry = await dead(world)
    world.database.execute("UPDATE track_processing SET status = 'RUNNING', lease_expires_at = NULL")
    assert await world.monitor() == []
    again = await world.entry(entry.id)
    assert (again.status, again.last_error) == (Status.DEAD, entry.last_error)
    assert len(await world.store.logs(entry.id)) == 1


async def test_dead_entry_set_to_running_after_a_repair_follows_the_run(world: World) -> None:
    entry = await dead(world)
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="RUNNING", latest_repair_id=1)
    world.database.execute("UPDATE track_processing SET status = 'RUNNING'")
    for _ in range(2):  # the first may look for repaired runs before the entry is put right
        await world.trigger()
    assert ((await world.entry(entry.id)).status, (await world.entry(entry.id)).submission) == ("RUNNING", 2)
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
    assert [log.submission for log in await world.store.logs(entry.id)] == [1, 2]


async def test_dead_entry_set_to_queued_runs_again(world: World) -> None:
    entry = await dead(world)
    world.database.execute("UPDATE track_processing SET status = 'QUEUED'")
    for _ in range(2):  # a pass claims beside putting right what was changed by SQL, so it may come too early
        await world.trigger()
    await world.deliver()
    again = await world.entry(entry.id)
    assert (again.status, again.submission, again.runid) == (Status.RUNNING, 2, 1001)
    assert len(world.databricks.requests) == 2


async def test_another_run_of_somebody_is_a_submission_of_its_own(world: World) -> None:
    entry = await dead(world)
    world.databricks.runs[77] = Run(run_id=77, life_cycle_state="RUNNING")
    world.database.execute("UPDATE track_processing SET status = 'RUNNING', runid = 77")
    await world.monitor()
    assert ((await world.entry(entry.id)).status, (await world.entry(entry.id)).submission) == ("RUNNING", 2)
    world.databricks.end(77, "SUCCESS")
    assert await world.monitor() == []
    assert (await world.entry(entry.id)).status is Status.DONE
    assert [(log.submission, log.runid) for log in await world.store.logs(entry.id)] == [(1, 1000), (2, 77)]


@pytest.mark.parametrize("submission", [0, 1, 2])
async def test_a_lower_submission_number_begins_above_the_log(world: World, submission: int) -> None:
    """Its token would find an earlier run, and the log has one row for each submission."""
    entry = await failed(world)
    for run_id in (1001, 1002):
        world.database.pass_time(7200)
        await world.trigger()
        await world.deliver()
        world.databricks.end(run_id, "FAILED")
        await world.monitor()
    world.database.execute(
        "UPDATE track_processing SET status = 'PENDING', submission = ?, runid = NULL", submission
    )
    await world.trigger()
    await world.deliver()
    again = await world.entry(entry.id)
    assert (again.status, again.submission, again.runid) == (Status.RUNNING, 4, 1003)
    world.databricks.end(1003, "SUCCESS")
    assert await world.monitor() == []
    assert (await world.entry(entry.id)).status is Status.DONE


async def test_a_lower_submission_number_can_be_resolved(world: World) -> None:
    entry = await failed(world)
    world.database.execute("UPDATE track_processing SET submission = 0")
    done = resolve(Resolution.DONE, "loaded")
    assert await Operations(world.store.pool).change(done, [entry.id]) == [entry.id]
    assert [log.submission for log in await world.store.logs(entry.id)] == [1, 2]


async def test_a_run_without_a_slot_gives_no_attempt_back_that_was_set_to_none(world: World) -> None:
    entry = await world.running()
    world.database.execute("UPDATE track_processing SET attempt = 0")
    run = world.databricks.runs[1000]
    world.databricks.runs[1000] = replace(
        run, life_cycle_state="SKIPPED", termination_code="MAX_CONCURRENT_RUNS_EXCEEDED"
    )
    assert await world.monitor() == []
    assert ((await world.entry(entry.id)).status, (await world.entry(entry.id)).attempt) == ("PENDING", 0)


@pytest.mark.parametrize("column", ["attempt", "deliveries", "submission"])
async def test_numbers_below_zero_do_not_stop_the_claim_of_others(world: World, column: str) -> None:
    ids = await world.add("a", "b")
    with closing(sqlite3.connect(world.database.path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE track_processing SET {column} = -5 WHERE id = ?", [ids[0]])
    assert await world.trigger() == []
    await world.deliver()
    states = [(await world.entry(entry_id)).status for entry_id in ids]
    assert states == [Status.RUNNING, Status.RUNNING]
    assert (await world.entry(ids[0])).submission == 1


async def test_restart_is_not_taken_for_a_change_by_sql(world: World) -> None:
    entry = await world.running()
    await Operations(world.store.pool).change(RESTART, [entry.id])
    await world.monitor()
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.PENDING
