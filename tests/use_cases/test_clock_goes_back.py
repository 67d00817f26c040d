"""The database's clock goes back by hours, as after a restore or on another host: nothing waits for them."""

import pytest

from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import Claim
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
