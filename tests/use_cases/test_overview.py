"""The overview for operators, also with incomplete settings and without Databricks."""

import re
from dataclasses import replace

import pytest

from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.errors import ListIncomplete, SettingsError, Unauthorized
from orchestrator.core.models import ActiveRun, RunRequest
from orchestrator.core.reports import Known, KnownWorkspace
from orchestrator.core.waiting import Reason
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.listing import list_active
from orchestrator.usecases.overview import ActiveRuns, Overview
from orchestrator.usecases.timer_pass import OK, TIMER_FUNCTIONS
from tests.fakes import FakeClock, FakeRuns
from tests.world import World, overview_of, policy

HOST = "https://adb-1.2.azuredatabricks.net"


def known(workspace_id: int | None = None) -> Known:
    workspaces = (
        KnownWorkspace(name="default", host=HOST, workspace_id=workspace_id, job_id=5, cap=2),
        KnownWorkspace(name="eu", host="https://eu", job_id=None, cap=1),
    )
    return Known(workspaces=workspaces, policy=policy(), pass_late_seconds=600)


def overview(
    world: World,
    *,
    complete: bool = True,
    offline: bool = False,
    workspace_id: int | None = None,
    active: ActiveRuns | None = None,
) -> Overview:
    listing = None if offline or not complete else active or ActiveRuns(world.runs, FakeClock())
    return overview_of(world, known(workspace_id) if complete else None, listing)


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
    assert elsewhere.active.error == "not in the settings"
    assert (eu.report.open, eu.in_use, eu.free) == ({}, 0, 1)


async def test_status_says_which_timer_function_is_late(world: World) -> None:
    late = {each.name: each.late for each in (await overview(world).status()).passes}
    assert late == {"trigger": True, "monitor": True}
    await make_passes(world)
    passes = (await overview(world).status()).passes
    assert [(each.name, each.late) for each in passes] == [("trigger", False), ("monitor", False)]
    assert [each.last is not None for each in passes] == [True, True]


async def test_a_setting_that_azure_has_not_resolved_is_a_reason(world: World) -> None:
    await make_passes(world)
    settings = replace(known(), unresolved=("ALERT_WEBHOOK_URL",))
    [reason] = (await overview_of(world, settings, None).health()).reasons
    assert reason.startswith(
        "ALERT_WEBHOOK_URL holds a reference that Azure has not resolved, so the app does"
    )


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
        ("f", Reason.WORKSPACE),
        ("d", Reason.UNREACHABLE),
        ("e", Reason.UNREACHABLE),
    ]
    one_each = await overview(world).waiting(None, 3)
    assert [each.entry.table_name for each in one_each] == ["a", "f", "d"]
    assert [each.entry.table_name for each in await overview(world).waiting("eu", 3)] == ["d", "e"]


class Moments(FakeRuns):
    """A workspace whose list of active runs is on its way while other things happen."""

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        listed = await super().active_runs()
        await self.meanwhile()
        return listed

    async def meanwhile(self) -> None:
        """Do what happens once the list is made, before it arrives."""


def put_in(world: World, runs: FakeRuns) -> None:
    """Let the default workspace be another one."""
    world.databricks = runs
    world.runs = {"default": runs, "eu": world.eu}
    world.jobs = Jobs(runs=world.runs, workspaces=world.workspaces, clock=world.clock)


async def test_runs_that_have_just_ended_are_not_foreign(world: World) -> None:
    """The list of active runs is kept for some seconds, and their entries are over meanwhile."""
    found = overview(world)
    ended, retried = await world.running("sales"), await world.running("orders")
    world.databricks.foreign = {1}
    assert [each.foreign for each in (await found.status()).workspaces] == [1, 0]
    world.database.pass_time(3)
    world.databricks.end(ended.runid or 0, "SUCCESS")
    world.databricks.end(retried.runid or 0, "FAILED")
    await world.monitor()
    default, _ = (await found.status()).workspaces
    assert (default.report.in_flight, default.foreign, default.in_use, default.free) == (0, 1, 1, 1)
    # The second run is still in the kept list when the entry has its next one.
    world.database.pass_time(120)
    await world.trigger()
    await world.deliver()
    default, _ = (await found.status()).workspaces
    assert (default.report.in_flight, default.foreign, default.in_use, default.free) == (1, 1, 2, 0)


async def test_an_entry_that_waits_behind_runs_that_have_just_ended_is_next(world: World) -> None:
    await make_passes(world)
    found = overview(world)
    running = [await world.running(table) for table in ("sales", "orders")]
    await world.add("flights")
    assert [each.reason for each in await found.waiting("default", 9)] == [Reason.CAP]
    for entry in running:
        world.databricks.end(entry.runid or 0, "SUCCESS")
    await world.monitor()
    assert [each.reason for each in await found.waiting("default", 9)] == [Reason.NEXT]
    assert (await found.health()).reasons == []


async def test_a_run_that_ends_while_the_active_runs_are_listed_is_not_foreign(world: World) -> None:
    class Ending(Moments):
        async def meanwhile(self) -> None:
            if self.runs and self.runs[1000].life_cycle_state == "RUNNING":
                self.end(1000, "SUCCESS")
                await world.monitor()

    put_in(world, Ending())
    await world.running("sales")
    default, _ = (await overview(world).status()).workspaces
    assert (default.report.in_flight, default.foreign) == (0, 0)


async def test_runs_that_ended_since_the_trigger_listed_them_are_not_foreign(world: World) -> None:
    """While a new list takes too long, the trigger's last one is shown; it is minutes old."""
    clock, entry = FakeClock(), await world.running("sales")
    lists = {"default": await list_active(world.databricks, clock, seconds=5)}
    for _ in range(2):
        world.database.pass_time(60)
        await clock.sleep(60)
        world.databricks.end(entry.runid or 0, "SUCCESS")
        await world.monitor()
    world.databricks.down = ListIncomplete("no more", status=0, error_code="", runs=())
    default, _ = (await overview(world, active=ActiveRuns(world.runs, clock, lists)).status()).workspaces
    assert (default.active.error, len(default.active.runs)) == (None, 1), "the list of the trigger"
    assert (default.report.in_flight, default.foreign, default.in_use) == (0, 0, 0)


async def test_a_run_that_is_accepted_while_the_active_runs_are_listed_is_not_foreign(world: World) -> None:
    """Databricks lists the run before the response to run-now has arrived."""
    looks: list[tuple[int, int, int]] = []

    class Accepting(Moments):
        async def run_now(self, request: RunRequest) -> int:
            run_id = await super().run_now(request)
            default, _ = (await overview(world).status()).workspaces
            looks.append((default.report.in_flight, default.foreign, default.in_use))
            return run_id

    put_in(world, Accepting())
    world.databricks.foreign = {1}
    await world.add("sales")
    await world.trigger()
    assert [each.foreign for each in (await overview(world).status()).workspaces] == [1, 0]
    await world.deliver()
    assert looks == [(1, 1, 2)]


async def test_a_call_that_began_after_the_list_hides_no_foreign_run(world: World) -> None:
    looks: list[int] = []
    found = overview(world)

    class Calling(Moments):
        async def run_now(self, request: RunRequest) -> int:
            default, _ = (await found.status()).workspaces
            looks.append(default.foreign)
            return await super().run_now(request)

    put_in(world, Calling())
    world.databricks.foreign = {1}
    found = overview(world)
    await world.add("sales")
    await world.trigger()
    await found.status()
    world.database.pass_time(5)
    await world.deliver()
    assert looks == [1]


async def test_a_workspace_that_does_not_answer_is_a_reason_although_nothing_waits(world: World) -> None:
    await make_passes(world)
    world.eu.down = Unauthorized("token not accepted", status=401)
    await world.trigger()
    world.database.pass_time(301)
    assert (await overview(world).health()).reasons == [], "one pass is not enough"
    await world.trigger()
    [reason] = (await overview(world).health()).reasons
    assert re.fullmatch(
        r"workspace eu has not answered since [-\d]+ [:\d]+ UTC, "
        r"so nothing is claimed there: token not accepted",
        reason,
    )
    assert (await overview(world, offline=True).health()).reasons == [reason], "the store knows it, too"
    world.eu.down = None
    await world.trigger()
    assert (await overview(world).health()).reasons == []
    world.eu.down = Unauthorized("token not accepted", status=401)
    for _ in range(3):
        await world.trigger()
    world.database.pass_time(240)
    assert (await overview(world).health()).reasons == [], "it is not five minutes yet"


async def test_a_workspace_that_does_not_answer_has_one_reason_if_entries_wait(world: World) -> None:
    await world.add("sales")
    world.databricks.down = Unauthorized("token not accepted", status=401)
    await world.trigger()
    world.database.pass_time(3600)
    await world.trigger()
    await make_passes(world)
    [reason] = (await overview(world).health()).reasons
    assert "workspace default has not answered since" in reason


@pytest.mark.parametrize(("listed", "reasons"), [((), 1), ((ActiveRun(run_id=7),), 0)])
async def test_a_workspace_that_lists_nothing_in_time_is_silent_and_one_that_lists_a_part_is_not(
    world: World, listed: tuple[ActiveRun, ...], reasons: int
) -> None:
    world.databricks.down = ListIncomplete("no more", status=0, error_code="", runs=listed)
    for _ in range(2):
        await world.trigger()
        world.database.pass_time(301)
    await make_passes(world)
    found = (await overview(world, offline=True).health()).reasons
    assert len(found) == reasons
    assert all(reason.startswith("workspace default has not answered since") for reason in found)


async def test_a_workspace_that_the_settings_no_longer_name_is_not_waited_for(world: World) -> None:
    await world.store.note_silence("gone", "no answer")
    await world.store.note_silence("gone", "no answer")
    world.database.pass_time(301)
    await make_passes(world)
    assert (await overview(world).health()).reasons == []


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
