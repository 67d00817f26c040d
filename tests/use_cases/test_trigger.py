"""Which entries a trigger pass claims, and what prevents it."""

import pytest

from orchestrator.adapters.store.reports import Reports
from orchestrator.core.errors import Unauthorized
from orchestrator.core.models import Run
from orchestrator.core.states import Status
from tests.world import World, policy


async def test_nothing_is_claimed_when_the_active_runs_cannot_be_listed(world: World) -> None:
    [entry_id] = await world.add("sales")
    [in_eu] = await world.add("orders", workspace="eu")
    world.databricks.down = Unauthorized("token not accepted", status=401)
    [problem] = await world.trigger()
    assert "workspace default: nothing claimed" in problem
    assert (await world.entry(entry_id)).status is Status.PENDING
    assert (await world.entry(in_eu)).status is Status.QUEUED  # the other workspace is not affected


async def test_caps_are_per_workspace(world: World) -> None:
    world.eu.foreign = {1}
    await world.add(*(f"t{n}" for n in range(12)))
    await world.add(*(f"t{n}" for n in range(12)), workspace="eu")
    await world.trigger()
    reports = {report.name: report for report in await Reports(world.store.pool).status()}
    assert [reports[name].open[Status.QUEUED] for name in ("default", "eu")] == [10, 1]


async def test_queue_that_accepts_nothing_loses_nothing(world: World) -> None:
    [entry_id] = await world.add("sales")
    world.database.stop_clock()
    world.queue.full = True
    assert await world.trigger() == ["queue: 1 of 1 messages were not taken; the next pass sends them again"]
    world.queue.full = False
    world.database.pass_time(1)
    await world.monitor()
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def test_name_of_a_workspace_cannot_forge_a_log_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await world.add("sales", workspace="eu\nERROR all is lost")
    await world.trigger()
    assert r"workspace 'eu\nERROR all is lost' is not in the settings" in caplog.text
    assert not [line for line in caplog.text.splitlines() if line.startswith("ERROR")]


async def test_store_error_for_one_entry_does_not_block_others(world: World) -> None:
    bad, good = await world.running("bad"), await world.running("good")
    world.database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON process_log WHEN NEW.entry_id = 1"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    for entry in (bad, good):
        world.databricks.end(entry.runid or 0, "SUCCESS")
    [other] = await world.add("other", workspace="eu")
    [problem] = await world.trigger()
    assert "not this one" in problem
    assert (await world.entry(bad.id)).status is Status.RUNNING
    assert (await world.entry(good.id)).status is Status.DONE
    assert (await world.entry(other)).status is Status.QUEUED


async def test_repaired_run_of_a_dead_entry_is_noticed_where_nothing_waits(world: World) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.databricks.end(entry.runid or 0, "FAILED")
    assert await world.trigger() == []
    assert (await world.entry(entry.id)).status is Status.DEAD
    assert [each.name for each in await world.store.open_workspaces()] == []
    world.databricks.runs[entry.runid or 0] = Run(run_id=entry.runid or 0, life_cycle_state="RUNNING")
    [same_table] = await world.add("sales")
    assert await world.trigger() == []
    repaired = await world.entry(entry.id)
    assert (repaired.status, repaired.runid, repaired.submission) == (Status.RUNNING, entry.runid, 2)
    assert (await world.entry(same_table)).status is Status.PENDING  # its table is busy again
    world.databricks.end(entry.runid or 0, "SUCCESS")
    await world.trigger()
    assert (await world.entry(entry.id)).status is Status.DONE
    assert (await world.entry(same_table)).status is Status.QUEUED


async def test_repaired_run_that_cannot_be_looked_up_is_a_problem_and_holds_up_no_claim(world: World) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    run_id = entry.runid or 0
    world.databricks.end(run_id, "FAILED")
    await world.trigger()
    world.databricks.runs[run_id] = Run(run_id=run_id, life_cycle_state="RUNNING")
    world.databricks.unreadable.add(run_id)
    [other] = await world.add("orders")
    [problem] = await world.trigger()
    assert "1 of 1 runs that seem to be repaired cannot be looked up" in problem
    assert (await world.entry(entry.id)).status is Status.DEAD
    assert (await world.entry(other)).status is Status.QUEUED
