"""A workspace that the settings do not know, or know no longer: nothing of it dies, and people are told."""

import pytest

from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import Claim
from orchestrator.core.states import Status
from orchestrator.core.waiting import Reason
from tests.use_cases.test_overview import make_passes, overview
from tests.world import World, workspace


def take_away(world: World, name: str) -> None:
    """Take a workspace out of the settings."""
    world.workspaces = {key: each for key, each in world.workspaces.items() if key != name}
    world.runs = {key: each for key, each in world.runs.items() if key != name}
    world.jobs.__init__(runs=world.runs, workspaces=world.workspaces, clock=world.clock)  # type: ignore[misc]


def bring_back(world: World, name: str) -> None:
    world.workspaces = {**world.workspaces, name: workspace(name, job_id=6, cap=200)}
    world.runs = {**world.runs, name: world.eu}
    world.jobs.__init__(runs=world.runs, workspaces=world.workspaces, clock=world.clock)  # type: ignore[misc]


async def reasons(world: World) -> list[str]:
    await make_passes(world)
    found = overview(world)
    found._workspaces = {key: each for key, each in found._workspaces.items() if key in world.workspaces}
    return (await found.health()).reasons


async def test_a_backlog_waits_until_its_workspace_is_known_again(world: World) -> None:
    ids = await world.add(*(f"t{n}" for n in range(120)), workspace="eu")
    take_away(world, "eu")
    for _ in range(3):
        [problem] = await world.trigger()
        assert problem.startswith("workspace 'eu' is not in the settings: 120 waiting and 0 in flight")
        world.database.pass_time(3600)
    entries = [await world.entry(entry_id) for entry_id in ids]
    assert {entry.status for entry in entries} == {Status.PENDING}
    assert {entry.last_error for entry in entries} == {
        "its workspace is not in the settings, which have default: the entry waits until "
        "DATABRICKS_WORKSPACES has it; or cancel the entry and insert it with the right name"
    }
    bring_back(world, "eu")
    assert await world.trigger() == []
    await world.deliver()
    assert {(await world.entry(entry_id)).status for entry_id in ids} == {Status.RUNNING}
    assert {(await world.entry(entry_id)).last_error for entry_id in ids} == {None}


async def test_health_names_a_typing_error_at_once_and_a_cancellation_lets_go(world: World) -> None:
    [entry_id] = await world.add("sales", workspace="defualt")
    [reason] = await reasons(world)
    assert "workspace 'defualt' is not in the settings: 1 waiting and 0 in flight" in reason
    assert f"the oldest since {(await world.entry(entry_id)).available_at:%Y-%m-%d %H:%M:%S} UTC" in reason
    assert [each.reason for each in await overview(world).waiting(None, 9)] == [Reason.WORKSPACE]
    assert [each.reason for each in await overview(world, offline=True).waiting(None, 9)] == [
        Reason.WORKSPACE
    ]
    await world.cancel(entry_id)
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.CANCELED
    assert await reasons(world) == []


async def test_health_names_the_workspaces_with_most_entries(world: World) -> None:
    for number in range(8):
        await world.add(*(f"t{n}" for n in range(number + 1)), workspace=f"w{number}")
    found = await reasons(world)
    assert [reason.partition(" is ")[0] for reason in found[:5]] == [
        f"workspace 'w{n}'" for n in range(7, 2, -1)
    ]
    assert found[5:] == ["3 further workspaces are not in the settings; open entries: 6"]


async def test_running_entries_wait_and_are_named(world: World) -> None:
    [entry_id] = await world.add("sales", workspace="eu")
    await world.trigger()
    await world.deliver()
    take_away(world, "eu")
    world.database.pass_time(86_400)
    [problem] = await world.monitor()
    assert "workspace 'eu' is not in the settings: 0 waiting and 1 in flight" in problem
    [reason] = await reasons(world)
    assert reason == problem
    assert (await world.entry(entry_id)).status is Status.RUNNING


@pytest.mark.parametrize("in_doubt", [False, True])
async def test_a_message_for_a_workspace_that_is_gone_is_put_off(world: World, in_doubt: bool) -> None:
    [entry_id] = await world.add("sales", workspace="eu")
    await world.trigger()
    claim = Claim(entry_id=entry_id, submission=1)
    if in_doubt:
        world.eu.lost_answer = WorkspaceUnavailable("no answer")
        await world.submit(claim)
    take_away(world, "eu")
    await world.submit(claim)
    entry = await world.entry(entry_id)
    assert entry.status is Status.QUEUED
    assert "its workspace is not in the settings" in (entry.last_error or "")
    [reason] = await reasons(world)
    assert "0 waiting and 1 in flight" in reason
    bring_back(world, "eu")
    await world.submit(claim)
    assert (await world.entry(entry_id)).status is Status.RUNNING
    assert len(world.eu.runs) == 1


async def test_thousands_of_unknown_names_take_one_statement(world: World) -> None:
    world.database.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000)"
        " INSERT INTO track_processing (table_name, workspace) SELECT 't', 'w' || n FROM numbers"
    )
    [good] = await world.add("sales")
    problems = await world.trigger()
    assert len(problems) == 6
    assert [claim.entry_id for claim in world.queue.sent] == [good]
