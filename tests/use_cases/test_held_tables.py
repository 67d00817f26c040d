"""Tables that are held by runs which nobody follows, and what health says of them. Over HTTP."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.health import Trouble
from orchestrator.core.models import Entry
from orchestrator.core.states import Status
from orchestrator.core.waiting import Reason
from orchestrator.usecases.overview import Overview
from tests.use_cases.answering import (
    START_MS,
    UNAVAILABLE,
    AnsweredWorld,
    answering,
    ended,
    goes_on,
    overview_at,
)
from tests.world import policy

SUCCESS = ended("SUCCESS", "SUCCESS", end_time=START_MS + 60_000)

NO_JOB = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 5 does not exist."})

HOUR = 3600.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


def overview(world: AnsweredWorld) -> Overview:
    return overview_at(world, "https://adb-1.2.azuredatabricks.net")


async def told(world: AnsweredWorld, trouble: Trouble) -> list[str]:
    """Return the reasons in health that speak of a trouble."""
    return [reason for reason in (await overview(world).health()).reasons if trouble in reason]


async def told_after_seven_hours(world: AnsweredWorld) -> tuple[int, datetime, str]:
    """Let an entry of the held table wait; return it, since when it waits, and what health says of it."""
    [other] = await world.add("sales")
    began = await world.store.now()
    await world.next_pass(5 * HOUR)
    assert await told(world, Trouble.TABLE_HELD) == []
    await world.next_pass(2 * HOUR)
    [reason] = await told(world, Trouble.TABLE_HELD)
    return other, began, reason


async def in_doubt(world: AnsweredWorld, **run: Any) -> Entry:
    """Return an entry that ended in doubt, and let Databricks have begun run 77 at its first call."""
    [entry_id] = await world.add("sales", job_id=5)
    await world.trigger()
    began = await world.store.now() + timedelta(seconds=run.pop("seconds", 0.0))
    world.api.runs[77] = goes_on(start_time=int(began.timestamp() * 1000), **run)
    for answer in (UNAVAILABLE, NO_JOB):
        world.api.answers["run-now"] = answer
        await world.deliver()
        await world.next_pass(1000)
    del world.api.answers["run-now"]
    entry = await world.entry(entry_id)
    assert (entry.status, entry.deliveries >= 2) == (Status.DEAD, True)
    return entry


async def test_run_that_an_entry_in_doubt_may_have_holds_its_table(world: AnsweredWorld) -> None:
    entry = await in_doubt(world)
    [other] = await world.add("sales")
    for _ in range(3):
        await world.next_pass()
    assert ((await world.entry(other)).status, list(world.api.runs)) == (Status.PENDING, [77])
    [waiting] = await overview(world).waiting("default", 10)
    assert waiting.reason is Reason.ACTIVE_RUN
    [reason] = await told(world, Trouble.IN_DOUBT)
    assert f"1 entry, for example entry {entry.id} since {entry.finished_at:%Y-%m-%d %H:%M:%S} UTC" in reason
    assert "run 77 of job 5 may be its run" in reason
    world.api.runs[77] = SUCCESS
    await world.next_pass()
    assert (await world.entry(other)).status is Status.RUNNING
    assert await told(world, Trouble.IN_DOUBT) == []


@pytest.mark.parametrize(
    "run",
    [
        {"seconds": -HOUR},
        {"seconds": 2 * HOUR},
        {"job_id": 6},
        {"trigger": "RUN_JOB_TASK"},
        {"trigger": "PERIODIC"},
        {"start_time": START_MS},
    ],
    ids=["before", "after", "another job", "a child", "of a schedule", "long before"],
)
async def test_run_that_cannot_be_the_entry_s_holds_nothing(
    world: AnsweredWorld, run: dict[str, Any]
) -> None:
    await in_doubt(world, **{name: value for name, value in run.items() if name != "start_time"})
    world.api.runs[77].update({name: value for name, value in run.items() if name == "start_time"})
    [other] = await world.add("sales")
    await world.next_pass(60)
    assert (await world.entry(other)).status is Status.RUNNING
    assert await told(world, Trouble.IN_DOUBT) == []


async def test_run_of_unknown_start_may_be_the_entry_s(world: AnsweredWorld) -> None:
    await in_doubt(world)
    del world.api.runs[77]["start_time"]
    [other] = await world.add("sales")
    await world.next_pass(60)
    assert (await world.entry(other)).status is Status.PENDING
    assert len(await told(world, Trouble.IN_DOUBT)) == 1


async def test_entry_in_doubt_finds_its_own_run(world: AnsweredWorld) -> None:
    entry = await in_doubt(world)
    await world.add("sales")
    world.api.by_token[f"{entry.entry_guid}-1"] = 77
    assert await world.retry(entry.id)
    await world.next_pass()
    found = await world.entry(entry.id)
    assert (found.status, found.runid, list(world.api.runs)) == (Status.RUNNING, 77, [77])


async def test_entry_in_doubt_that_is_claimed_again_still_began_its_run_at_the_first_call(
    world: AnsweredWorld,
) -> None:
    entry = await in_doubt(world)
    world.api.answers["run-now"] = NO_JOB
    assert await world.retry(entry.id)
    await world.next_pass(5 * HOUR)
    assert (await world.entry(entry.id)).status is Status.DEAD
    del world.api.answers["run-now"]
    [other] = await world.add("sales")
    await world.next_pass()
    assert (await world.entry(other)).status is Status.PENDING


async def test_resolution_frees_the_table(world: AnsweredWorld) -> None:
    entry = await in_doubt(world)
    [other] = await world.add("sales")
    await world.next_pass()
    action = resolve(Resolution.DONE, "run 77 is not its run")
    assert await Operations(world.store.pool).change(action, [entry.id]) == [entry.id]
    await world.next_pass()
    assert (await world.entry(other)).status is Status.RUNNING
    assert await told(world, Trouble.IN_DOUBT) == []


async def test_table_is_not_held_where_tables_are_not_serialized(world: AnsweredWorld) -> None:
    world.policy = policy(serialize_tables=False)
    await in_doubt(world)
    [other] = await world.add("sales")
    await world.next_pass()
    assert (await world.entry(other)).status is Status.RUNNING
    assert len(await told(world, Trouble.IN_DOUBT)) == 1


async def test_wait_behind_a_run_that_somebody_repaired_is_told(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    world.api.runs[1000] = goes_on()
    other, began, reason = await told_after_seven_hours(world)
    assert f"1 entry, for example entry {other} since {began:%Y-%m-%d %H:%M}" in reason
    assert f"table sales is held by run 1000 of entry {entry.id}, active although" in reason
    world.api.runs[1000] = SUCCESS
    await world.next_pass()
    assert await told(world, Trouble.TABLE_HELD) == []


async def test_entry_that_has_waited_long_does_not_speak_of_a_repair_a_moment_ago(
    world: AnsweredWorld,
) -> None:
    await world.running()
    await world.add("sales")
    world.database.pass_time(9 * HOUR)
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    world.api.runs[1000] = goes_on()
    await world.next_pass(60)
    assert await told(world, Trouble.TABLE_HELD) == []


async def test_wait_behind_a_running_entry_is_told(world: AnsweredWorld) -> None:
    entry = await world.running()
    other, began, reason = await told_after_seven_hours(world)
    assert f"1 entry, for example entry {other} since {began:%Y-%m-%d %H:%M}" in reason
    assert f"table sales is held by run 1000 of entry {entry.id}, RUNNING" in reason


async def test_run_that_takes_as_long_as_usual_is_no_trouble(world: AnsweredWorld) -> None:
    await world.running()
    five_hours = {"execution_duration": int(5 * HOUR * 1000), "start_time": START_MS}
    world.api.runs[1000] = {**SUCCESS, **five_hours}
    await world.monitor()
    await world.running()
    await world.add("sales")
    await world.next_pass(8 * HOUR)
    assert await told(world, Trouble.TABLE_HELD) == []
    await world.next_pass(8 * HOUR)
    assert len(await told(world, Trouble.TABLE_HELD)) == 1
