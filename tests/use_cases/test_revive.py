"""A run that is over becomes active again: somebody repaired it, and its entry follows it again."""

import pytest

from orchestrator.core.models import ActiveRun, Entry, Run
from orchestrator.core.states import Status
from orchestrator.usecases import revive
from orchestrator.usecases.revive import revive_repaired
from tests.fakes import UNAVAILABLE
from tests.world import World, policy


async def over(world: World, result: str = "FAILED") -> Entry:
    """Return an entry whose run is over."""
    entry = await world.running()
    world.databricks.end(1000, result)
    await world.monitor()
    return await world.entry(entry.id)


def repair(world: World, run_id: int = 1000) -> None:
    """Make a run active again, as *Repair run* does."""
    world.databricks.runs[run_id] = Run(run_id=run_id, life_cycle_state="RUNNING")


async def look(world: World, *run_ids: int) -> list[str]:
    active = [ActiveRun(run_id=run_id) for run_id in run_ids]
    return await revive_repaired(world.store, world.databricks, "default", active, jitter=world.clock.jitter)


@pytest.mark.parametrize("limit", [1, 3])
async def test_entry_follows_its_repaired_run(world: World, limit: int) -> None:
    world.policy = policy(max_attempts=limit)
    ended = await over(world)
    assert ended.status is (Status.DEAD if limit == 1 else Status.FAILED)
    repair(world)
    assert await look(world, 1000, 4711) == []
    entry = await world.entry(ended.id)
    assert (entry.status, entry.runid, entry.submission) == (Status.RUNNING, 1000, 2)
    assert (entry.attempt, entry.finished_at) == (1, None)
    assert entry.last_error == "its run is active again: somebody repaired it in Databricks"


async def test_list_that_is_older_than_the_end_revives_nothing(world: World) -> None:
    ended = await over(world)
    assert await look(world, 1000) == []
    assert await world.entry(ended.id) == ended


async def test_done_stays_done(world: World) -> None:
    ended = await over(world, "SUCCESS")
    repair(world)
    assert await look(world, 1000) == []
    assert (await world.entry(ended.id)).status is Status.DONE


async def test_run_that_cannot_be_looked_up_is_a_problem(world: World) -> None:
    ended = await over(world)
    repair(world)
    world.databricks.down = UNAVAILABLE
    [problem] = await look(world, 1000)
    assert "1 of 1 runs that seem to be repaired cannot be looked up: no answer" in problem
    assert await world.entry(ended.id) == ended


async def test_of_many_runs_that_seem_repaired_each_is_looked_up_at_some_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up that says nothing new is made in each pass, and there may be more than a pass looks up."""
    monkeypatch.setattr(revive, "_BATCH", 1)
    first = await over(world)
    second = await world.running()
    world.databricks.end(1001, "FAILED")
    await world.monitor()
    repair(world, 1001)
    for _ in range(30):
        await look(world, 1000, 1001)  # the list is out of date: the first run is over
    assert (await world.entry(first.id)).status is not Status.RUNNING
    assert (await world.entry(second.id)).status is Status.RUNNING


async def test_run_of_another_workspace_is_not_the_entry_s(world: World) -> None:
    ended = await over(world)
    world.eu.runs[1000] = Run(run_id=1000, life_cycle_state="RUNNING")
    active = [ActiveRun(run_id=1000)]
    assert await revive_repaired(world.store, world.eu, "eu", active, jitter=world.clock.jitter) == []
    assert await world.entry(ended.id) == ended
