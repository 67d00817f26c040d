"""How a monitor pass settles runs, and how many calls that takes."""

import asyncio

import pytest

from orchestrator.core.errors import StoreError
from orchestrator.core.models import Entry, Run
from orchestrator.core.states import Status
from orchestrator.usecases.tasks import gather_all
from tests.fakes import UNAVAILABLE
from tests.world import World, workspace


async def test_run_that_is_gone_fails_with_a_log_row(world: World) -> None:
    entry = await world.running()
    del world.databricks.runs[1000]
    await world.monitor()
    noted = await world.entry(entry.id)
    assert (noted.status, noted.missing_since is None) == (Status.RUNNING, False)
    world.database.pass_time(121)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    [log] = await world.store.logs(entry.id)
    assert log.life_cycle_state == "NOT_FOUND"
    assert "run 1000 does not exist" in (log.message or "")


async def test_run_in_an_unknown_state_stays_running(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "WHO_KNOWS", "A_STATE_OF_TOMORROW")
    assert await world.monitor() == []
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_unreadable_run_does_not_block_others(world: World) -> None:
    ids = await world.add(*(f"t{n}" for n in range(10)))
    await world.trigger()
    await world.deliver()
    for run_id in list(world.databricks.runs):
        world.databricks.end(run_id, "SUCCESS")
    world.databricks.unreadable = {1000}
    [problem] = await world.monitor()
    assert "wrong shape" in problem
    states = [(await world.entry(entry_id)).status for entry_id in ids]
    assert states.count(Status.DONE) == 9


async def test_monitor_lists_the_active_runs_once(world: World) -> None:
    await world.add(*(f"t{n}" for n in range(10)))
    await world.trigger()
    await world.deliver()
    world.databricks.unreadable = set(world.databricks.runs)  # any runs/get would fail
    assert await world.monitor() == []


async def test_runs_that_can_never_be_read_do_not_block_the_others(world: World) -> None:
    """Ten of them have the lowest ids; the eleventh has ended and is settled nevertheless."""
    ids = await world.add(*(f"t{n:02}" for n in range(10)))
    world.databricks.foreign = set()
    await world.trigger()
    await world.deliver()
    world.databricks.unreadable = set(world.databricks.runs)
    for run_id in list(world.databricks.runs):
        world.databricks.end(run_id, "SUCCESS")
    last = ids[-1]
    run_id = (await world.entry(last)).runid or 0
    world.databricks.unreadable.discard(run_id)
    for _ in range(20):
        await world.monitor()
    assert (await world.entry(last)).status is Status.DONE


async def test_unavailable_workspace_gets_few_calls(world: World) -> None:
    world.databricks.foreign = set()
    entries = [await world.running(f"t{n}") for n in range(10)]
    calls = 0

    async def fail(run_id: int, *, with_history: bool = False) -> Run:
        nonlocal calls
        calls += 1
        raise UNAVAILABLE

    for entry in entries:
        world.databricks.end(entry.runid or 0, "SUCCESS")
    world.databricks.get_run = fail  # type: ignore[method-assign]  # only runs/get fails
    monkeyed = [*await world.store.running("default")] * 4
    world.store.running = lambda workspace: _return(monkeyed if workspace == "default" else [])  # type: ignore[method-assign]
    await world.monitor()
    assert calls == 10


async def running_entries(world: World, count: int) -> list[Entry]:
    """Bring entries to their runs, none of which is listed any more."""
    world.workspaces = {"default": workspace(cap=count)}
    await world.add(*(f"t{n:02}" for n in range(count)))
    await world.trigger()
    await world.deliver()
    for run_id in list(world.databricks.runs):
        world.databricks.end(run_id, "SUCCESS")
    return await world.store.running("default")


async def test_a_workspace_that_has_answered_is_not_left_alone(world: World) -> None:
    """Its first run is read; of the next ones twice as many are silent as would show that it is down."""
    entries = await running_entries(world, 30)
    get_run = world.databricks.get_run
    calls = 0
    first_is_settled = asyncio.Event()

    async def flaky(run_id: int, *, with_history: bool = False) -> Run:
        nonlocal calls
        calls += 1
        if calls > 10:  # as many are looked at in one go
            first_is_settled.set()
        if 1 < calls <= 21:
            await first_is_settled.wait()
            raise UNAVAILABLE
        return await get_run(run_id)

    world.databricks.get_run = flaky  # type: ignore[method-assign]
    await world.monitor()
    assert calls == 30
    states = [(await world.entry(entry.id)).status for entry in entries]
    assert (states.count(Status.DONE), states.count(Status.RUNNING)) == (10, 20)


async def test_each_pass_looks_at_the_runs_in_another_order(world: World) -> None:
    """Runs that fail in every pass would otherwise always be the first ones."""
    entries = await running_entries(world, 8)
    orders: list[list[int]] = []

    async def fail(run_id: int, *, with_history: bool = False) -> Run:
        orders[-1].append(run_id)
        raise UNAVAILABLE

    world.databricks.get_run = fail  # type: ignore[method-assign]
    for _ in range(2):
        orders.append([])
        await world.monitor()
    by_id = [entry.runid for entry in entries]
    assert sorted(orders[0]) == sorted(orders[1]) == by_id
    assert orders[0] != orders[1]
    assert by_id not in orders


async def _return(entries: list[Entry]) -> list[Entry]:
    return entries


async def test_running_entries_of_a_removed_workspace_are_reported(world: World) -> None:
    entry = await world.running("sales", workspace="eu")
    world.workspaces = {"default": world.workspaces["default"]}
    [problem] = await world.monitor()
    assert "workspace 'eu' is not in the settings: 0 waiting and 1 in flight" in problem
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_nothing_still_runs_after_a_failed_pass() -> None:
    """The command line closes the store right after a pass, even a failed one."""
    ended: list[str] = []

    async def fails() -> None:
        raise StoreError("no database")

    async def takes_longer() -> None:
        await asyncio.sleep(0.05)
        ended.append("done")

    with pytest.raises(StoreError):
        await gather_all([fails(), takes_longer()])
    assert ended == ["done"]
