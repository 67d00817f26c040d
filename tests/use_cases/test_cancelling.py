"""Cancel a run in Databricks first: after a cancel request, or when it takes too long."""

import pytest

from orchestrator.core.models import Run
from orchestrator.core.states import Status
from tests.fakes import UNAVAILABLE
from tests.world import World, policy


async def test_cancelling_a_running_entry_cancels_its_run_first(world: World) -> None:
    entry = await world.running()
    await world.cancel(entry.id)
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    assert (await world.entry(entry.id)).status is Status.RUNNING  # until a pass sees that the run is over
    await world.monitor()
    cancelled = await world.entry(entry.id)
    assert cancelled.status is Status.CANCELED
    [log] = await world.store.logs(entry.id)
    assert (log.status, log.result_state) == (Status.CANCELED, "CANCELED")


async def test_cancelling_an_entry_after_a_lost_answer_finds_and_cancels_its_run(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    await world.cancel(entry_id)
    world.database.pass_time(31)
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.QUEUED
    await world.deliver()
    await world.monitor()
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    assert (await world.entry(entry_id)).status is Status.CANCELED


@pytest.mark.parametrize("state", ["BLOCKED", "WAITING_FOR_RETRY"])
async def test_cancellation_reaches_runs_that_are_not_listed_as_active(world: World, state: str) -> None:
    entry = await world.running()
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state=state)
    await world.cancel(entry.id)
    await world.monitor()
    assert world.databricks.cancelled == [1000]


async def test_run_over_its_time_limit_is_cancelled_and_fails(world: World) -> None:
    world.policy = policy(run_timeout_seconds=100)
    entry = await world.running()
    world.database.pass_time(99)
    await world.monitor()
    assert world.databricks.cancelled == []
    world.database.pass_time(2)
    await world.monitor()
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    failed = await world.entry(entry.id)
    assert failed.status is Status.FAILED
    assert "RUN_TIMEOUT_SECONDS" in (failed.last_error or "")
