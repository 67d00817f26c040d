"""The database's clock goes back by hours, as after a restore or on another host: nothing waits for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.reports import Reports
from orchestrator.core import time_limits
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.doubts import Doubt
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import Claim, Run, StrayRun
from orchestrator.core.states import Status
from tests.world import World


@pytest.mark.parametrize("hours", [1, 2, 30])
async def test_a_lease_of_before_is_over(world: World, hours: int) -> None:
    [entry_id] = await world.add("sales")
    world.database.pass_time(3600 * hours)
    await world.trigger()
    world.queue.sent.clear()  # the message is lost
    world.database.pass_time(-3600 * hours)
    await world.monitor()
    assert world.queue.sent == [Claim(entry_id=entry_id, submission=1)]
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING


@pytest.mark.parametrize("seconds", [0, 30, 899])
async def test_a_lease_of_now_is_kept(world: World, seconds: int) -> None:
    """Also when the clock is set right by some seconds."""
    await world.add("sales")
    await world.trigger()
    world.queue.sent.clear()
    world.database.pass_time(seconds if seconds > 30 else -seconds)
    await world.monitor()
    assert world.queue.sent == []


async def test_a_wait_that_databricks_asked_for_is_kept(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    error = WorkspaceUnavailable("slow down", status=429)
    error.retry_after = 3600.0
    world.databricks.errors = [error]
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.QUEUED
    world.database.pass_time(3500)
    await world.monitor()
    assert world.queue.sent == []
    world.database.pass_time(-2 * 3600)
    await world.monitor()
    assert len(world.queue.sent) == 1


TWO_HOURS = 7200
INSERTED_IN_TWO_HOURS = (
    "INSERT INTO track_processing (table_name, available_at, created_at, updated_at) VALUES "
    "('sales', datetime('now', '2 hours'), datetime('now', '2 hours'), datetime('now', '2 hours'))"
)


async def test_an_entry_that_was_inserted_before_begins_now(world: World) -> None:
    world.database.execute(INSERTED_IN_TWO_HOURS)
    await world.trigger()
    assert (await world.entry(1)).status is Status.QUEUED


@pytest.mark.parametrize("column", ["created_at", "updated_at"])
async def test_it_begins_now_although_its_times_are_of_several_precisions(world: World, column: str) -> None:
    """A ``datetime`` of a team's own may come some milliseconds behind the ``datetime2(3)`` of one moment."""
    world.database.execute(INSERTED_IN_TWO_HOURS)
    world.database.execute(
        "UPDATE track_processing"
        " SET available_at = strftime('%Y-%m-%d %H:%M:%f', available_at, '+0.003 seconds')"
    )
    other = {"created_at": "updated_at", "updated_at": "created_at"}[column]
    world.database.execute(f"UPDATE track_processing SET {other} = datetime('now', '-1 day')")
    await world.trigger()
    assert (await world.entry(1)).status is Status.QUEUED


async def test_a_time_that_people_chose_is_kept(world: World) -> None:
    world.database.execute(
        "INSERT INTO track_processing (table_name, available_at, created_at, updated_at) VALUES "
        "('sales', datetime('now', '3 hours'), datetime('now', '2 hours'), datetime('now', '2 hours'))"
    )
    await world.trigger()
    assert (await world.entry(1)).status is Status.PENDING


@pytest.mark.parametrize("before_its_end", [0, TWO_HOURS / 2, TWO_HOURS])
async def test_an_entry_that_ended_begins_at_once_when_it_is_run_again(
    world: World, before_its_end: float
) -> None:
    """Whether it ended before the clock went back, after it, or in between."""
    world.database.execute(INSERTED_IN_TWO_HOURS)
    world.database.pass_time(TWO_HOURS - before_its_end)
    await Operations(world.store.pool).change(resolve(Resolution.FAILED, "by hand"), [1])
    world.database.pass_time(before_its_end - TWO_HOURS)
    world.database.execute("UPDATE track_processing SET status = 'PENDING'")
    await world.trigger()
    assert (await world.entry(1)).status is Status.QUEUED


async def test_an_entry_cancelled_after_the_jump_begins_at_once_when_it_is_run_again(world: World) -> None:
    world.database.pass_time(TWO_HOURS)
    entry = await world.running()
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    world.database.pass_time(-TWO_HOURS)
    await world.cancel(entry.id)
    await world.store.cancel_waiting(limit=10)
    assert (await world.entry(entry.id)).status is Status.CANCELED
    world.database.execute("UPDATE track_processing SET status = 'PENDING', cancel_requested = 0")
    await world.trigger()
    assert (await world.entry(entry.id)).status is Status.QUEUED


async def test_a_back_off_of_before_is_over(world: World) -> None:
    world.database.pass_time(TWO_HOURS)
    entry = await world.running()
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    world.database.pass_time(-TWO_HOURS)
    await world.trigger()
    assert (await world.entry(entry.id)).status is Status.QUEUED


async def test_a_run_that_was_missed_before_is_judged_as_usual(world: World) -> None:
    world.database.pass_time(TWO_HOURS)
    entry = await world.running()
    world.database.pass_time(200)  # so new a run may not be known yet
    world.databricks.gone.add(1000)
    world.databricks.runs[1000] = replace(world.databricks.runs[1000], life_cycle_state="TERMINATED")
    await world.monitor()
    assert (await world.entry(entry.id)).missing_since is not None
    world.database.pass_time(-TWO_HOURS)
    for _ in range(2):
        world.database.pass_time(150)
        await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED


async def test_a_cancellation_without_effect_is_repeated(world: World) -> None:
    world.database.pass_time(TWO_HOURS)
    entry = await world.running()
    await world.cancel(entry.id)
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="RUNNING")  # it goes on all the same
    world.database.pass_time(-TWO_HOURS)
    for _ in range(2):
        await world.monitor()
        world.database.pass_time(1000)
    assert world.databricks.cancelled == [1000, 1000]


async def test_a_run_that_nobody_wants_is_cancelled_again() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    later = now + timedelta(hours=2)
    stray = StrayRun(workspace="default", run_id=1, entry_id=1, since=later, asked_at=later)
    assert time_limits.may_cancel_stray(stray, now)


async def test_a_doubt_of_before_counts_from_now(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    entry = await world.entry(entry_id)
    world.database.pass_time(TWO_HOURS)
    await world.store.hear(entry, Doubt.LAST_RUN)
    world.database.pass_time(-TWO_HOURS)
    await world.store.hear(entry, Doubt.LAST_RUN)
    world.database.pass_time(150)
    heard = await world.store.hear(entry, Doubt.LAST_RUN)
    assert heard.times == 3
    assert heard.seconds == pytest.approx(150, abs=5)


async def test_a_silence_of_before_counts_from_now(world: World) -> None:
    reports = Reports(world.store.pool)
    world.database.pass_time(TWO_HOURS)
    await world.store.note_silence("eu", "no answer")
    world.database.pass_time(-TWO_HOURS)
    await world.store.note_silence("eu", "no answer")
    world.database.pass_time(400)
    assert [each.workspace for each in await reports.silences(passes=2, seconds=300)] == ["eu"]
