"""The overview for operators, also with incomplete settings and without Databricks."""

from dataclasses import replace

import pytest

from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.errors import SettingsError, Unauthorized
from orchestrator.core.reports import Known, KnownWorkspace
from orchestrator.core.waiting import Reason
from orchestrator.usecases.overview import ActiveRuns, Overview
from orchestrator.usecases.timer_pass import OK, TIMER_FUNCTIONS
from tests.fakes import FakeClock
from tests.world import World, policy

HOST = "https://adb-1.2.azuredatabricks.net"


def known(workspace_id: int | None = None) -> Known:
    workspaces = (
        KnownWorkspace(name="default", host=HOST, workspace_id=workspace_id, job_id=5, cap=2),
        KnownWorkspace(name="eu", host="https://eu", job_id=None, cap=1),
    )
    return Known(workspaces=workspaces, policy=policy(), pass_late_seconds=600)


def overview(
    world: World, *, complete: bool = True, offline: bool = False, workspace_id: int | None = None
) -> Overview:
    async def check_schema() -> None:
        return

    return Overview(
        reports=Reports(world.store.pool),
        pass_log=PassLog(world.store.pool),
        check_schema=check_schema,
        known=known(workspace_id) if complete else None,
        active=None if offline or not complete else ActiveRuns(world.runs, FakeClock()),
    )


async def make_passes(world: World) -> None:
    log = PassLog(world.store.pool)
    for name in TIMER_FUNCTIONS:
        await log.pass_started(name)
        await log.pass_finished(name, OK)


async def test_status_counts_the_slots_of_known_and_unknown_workspaces(world: World) -> None:
    await world.add("sales")
    await world.trigger()
    await world.add("orders", workspace="elsewhere")
    world.databricks.foreign = {1, 2}
    default, elsewhere, eu = (await overview(world).status()).workspaces
    assert (default.report.name, default.cap, default.foreign, default.in_use, default.free) == (
        "default", 2, 2, 3, 0,
    )  # fmt: skip
    assert (elsewhere.cap, elsewhere.free) == (None, None)
    assert elsewhere.active.error == "the settings name no such workspace"
    assert (eu.report.open, eu.in_use, eu.free) == ({}, 0, 1)


async def test_status_says_which_timer_function_is_late(world: World) -> None:
    late = {each.name: each.late for each in (await overview(world).status()).passes}
    assert late == {"trigger": True, "monitor": True}
    await make_passes(world)
    passes = (await overview(world).status()).passes
    assert [(each.name, each.late) for each in passes] == [("trigger", False), ("monitor", False)]
    assert [each.last is not None for each in passes] == [True, True]


async def test_incomplete_settings_leave_the_store(world: World) -> None:
    await world.add("sales")
    partial = overview(world, complete=False)
    found = await partial.status()
    [default] = found.workspaces
    assert (default.cap, default.free) == (None, None)
    assert "the settings are incomplete" in (default.active.error or "")
    assert [each.late for each in found.passes] == [False, False]
    health = await partial.health()
    assert health.reasons == []
    assert "the settings are incomplete" in (health.unknown or "")
    with pytest.raises(SettingsError, match="incomplete"):
        await partial.waiting(None, 10)


async def test_offline_nobody_asks_databricks(world: World) -> None:
    world.databricks.down = Unauthorized("token not accepted", status=401)
    await make_passes(world)
    await world.add("sales")
    offline = overview(world, offline=True)
    assert [each.active.error for each in (await offline.status()).workspaces] == ["not asked for"] * 2
    health = await offline.health()
    assert (health.reasons, health.unknown) == (
        [],
        "whether entries wait for no reason is not known: --offline",
    )
    assert [each.reason for each in await offline.waiting(None, 10)] == [Reason.NEXT]


async def test_waiting_entries_of_every_workspace_have_their_reason(world: World) -> None:
    await world.add("a", "a", "b", "c")
    await world.add("d", "e", workspace="eu")
    await world.add("f", workspace="elsewhere")
    world.eu.down = Unauthorized("token not accepted", status=401)
    found = await overview(world).waiting(None, 30)
    assert [(each.entry.table_name, each.reason) for each in found] == [
        ("a", Reason.NEXT),
        ("a", Reason.SAME_TABLE),
        ("b", Reason.NEXT),
        ("c", Reason.CAP),
        ("f", Reason.NEXT),
        ("d", Reason.UNREACHABLE),
        ("e", Reason.UNREACHABLE),
    ]
    one_each = await overview(world).waiting(None, 3)
    assert [each.entry.table_name for each in one_each] == ["a", "f", "d"]
    assert [each.entry.table_name for each in await overview(world).waiting("eu", 3)] == ["d", "e"]


async def test_page_of_a_run(world: World) -> None:
    [with_default, with_own] = await world.add("a") + await world.add("b", job_id=9)
    [with_requested] = await world.add("c", workspace="eu")
    found = overview(world)
    assert found.run_page(await world.entry(with_default)) is None  # there is no run yet
    await world.trigger()
    await world.deliver()
    first, second = await world.entry(with_default), await world.entry(with_own)
    assert found.run_page(first) == f"{HOST}/#job/5/run/{first.runid}"
    assert found.run_page(second) == f"{HOST}/#job/9/run/{second.runid}"
    third = await world.entry(with_requested)
    assert found.run_page(third) == f"https://eu/#job/6/run/{third.runid}"  # as the run was asked for
    assert found.run_page(replace(third, request=None)) is None
    shared = overview(world, workspace_id=6123)
    assert shared.run_page(first) == f"{HOST}/?o=6123#job/5/run/{first.runid}"
    assert overview(world, complete=False).run_page(first) is None
    # The default job's page would be the wrong one.
    assert found.run_page(replace(first, job_name="nightly", request=None)) is None
