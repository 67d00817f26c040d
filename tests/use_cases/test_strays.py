"""A run that Databricks tells of when its entry has gone on without it: it is kept, cancelled and awaited."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.reports import Reports
from orchestrator.core import health
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.states import Status
from tests.use_cases.answering import UNAVAILABLE, AnsweredWorld, answering, ended, goes_on

DENIED = (403, {"error_code": "PERMISSION_DENIED", "message": "no"})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def came_too_late(world: AnsweredWorld, resolution: Resolution) -> int:
    """Resolve an entry while its run-now is on its way, and let the cancellation of its run fail."""
    [entry_id] = await world.add("sales")
    await world.trigger()

    async def resolved_meanwhile(claim: Any, *args: Any, **more: Any) -> bool:
        world.store.record_run = record_run  # type: ignore[method-assign]
        action = resolve(resolution, "it hangs")
        assert await Operations(world.store.pool).change(action, [entry_id]) == [entry_id]
        return await record_run(claim, *args, **more)

    record_run, world.store.record_run = world.store.record_run, resolved_meanwhile  # type: ignore[method-assign]
    world.api.answers["runs/cancel"] = UNAVAILABLE
    await world.deliver()
    return entry_id


@pytest.mark.parametrize("is_over", [False, True])
async def test_run_of_another_entry_that_came_too_late_is_not_cancelled(
    world: AnsweredWorld, is_over: bool
) -> None:
    """A gateway answers run-now with what it has answered before."""
    other = await world.running("orders")
    if is_over:
        world.api.runs[1000] = ended("SUCCESS", "SUCCESS")
        await world.monitor()
        world.api.runs[1000] = goes_on()  # somebody has repaired it
    world.api.answers["run-now"] = (200, {"run_id": 1000})
    await came_too_late(world, Resolution.FAILED)
    del world.api.answers["runs/cancel"]
    await world.monitor()
    assert (world.api.cancelled, await world.store.strays("default")) == ([], [])
    assert (await world.entry(other.id)).status is (Status.DONE if is_over else Status.RUNNING)


def active(world: AnsweredWorld) -> list[int]:
    return [run_id for run_id, run in world.api.runs.items() if "end_time" not in run]


async def reasons(world: AnsweredWorld) -> list[str]:
    found = await Reports(world.store.pool).troubled(queued_seconds=1800)
    return [health.troubled(each) for each in found]


@pytest.mark.parametrize("resolution", Resolution)
async def test_run_that_came_too_late_is_cancelled_by_a_later_pass(
    world: AnsweredWorld, resolution: Resolution
) -> None:
    entry_id = await came_too_late(world, resolution)
    settled = (await world.entry(entry_id)).status
    world.database.pass_time(60)
    await world.monitor()
    [reason] = await reasons(world)
    assert f"entry {entry_id}" in reason
    assert "run 1000, which came when the entry had gone on without it" in reason
    del world.api.answers["runs/cancel"]
    world.database.pass_time(120)
    await world.monitor()
    assert (active(world), world.api.cancelled) == ([], [1000])
    assert (await reasons(world)) == []
    await world.monitor()
    assert await world.store.strays("default") == []
    assert (await world.entry(entry_id)).status is settled


async def test_retry_waits_for_the_run_that_came_too_late(world: AnsweredWorld) -> None:
    entry_id = await came_too_late(world, Resolution.FAILED)
    assert await world.retry(entry_id)
    await world.next_pass()
    waiting = await world.entry(entry_id)
    assert (waiting.status, active(world)) == (Status.PENDING, [1000])
    world.api.unlisted = {1000}
    await world.next_pass()
    waiting = await world.entry(entry_id)
    assert (waiting.status, active(world)) == (Status.QUEUED, [1000])
    assert "run 1000, which an earlier call of this entry began, is still active" in (
        waiting.last_error or ""
    )
    del world.api.answers["runs/cancel"]
    await world.next_pass()
    assert ((await world.entry(entry_id)).runid, active(world)) == (1001, [1001])


@pytest.mark.parametrize("resolution", Resolution)
async def test_table_is_held_while_the_run_that_came_too_late_is_active(
    world: AnsweredWorld, resolution: Resolution
) -> None:
    await came_too_late(world, resolution)
    [other] = await world.add("sales")
    for _ in range(3):
        await world.next_pass()
    assert ((await world.entry(other)).status, active(world)) == (Status.PENDING, [1000])
    del world.api.answers["runs/cancel"]
    await world.next_pass()
    await world.next_pass()
    assert ((await world.entry(other)).runid, active(world)) == (1001, [1001])


async def test_cancellation_without_effect_is_told(world: AnsweredWorld) -> None:
    await came_too_late(world, Resolution.DONE)
    world.api.answers["runs/cancel"] = (200, {})
    world.database.pass_time(60)
    await world.monitor()
    assert await reasons(world) == []
    world.database.pass_time(1000)
    await world.monitor()
    [reason] = await reasons(world)
    assert "cancelled again and again, without effect" in reason


async def test_calls_to_cancel_grow_apart(world: AnsweredWorld) -> None:
    await came_too_late(world, Resolution.DONE)
    world.api.answers["runs/cancel"] = (200, {})
    called: list[int] = []
    for minute in range(300):
        before = world.api.calls.count("runs/cancel")
        await world.make_monitor()()  # in a process of its own
        called += [minute] * (world.api.calls.count("runs/cancel") - before)
        world.database.pass_time(60)
    pauses = [later - earlier for earlier, later in pairwise(called)]
    assert all(later >= earlier - 1 for earlier, later in pairwise(pauses))
    assert (called[0], pauses[0] <= 2, pauses[-1] in {60, 61}) == (1, True, True)
    assert 8 <= len(called) <= 12


async def test_no_stray_run_hides_others(world: AnsweredWorld) -> None:
    await came_too_late(world, Resolution.DONE)
    world.api.answers["runs/cancel"] = (200, {})
    for run_id in range(2000, 2060):
        world.api.runs[run_id] = goes_on()
        await world.store.note_stray("default", run_id, 1)
    for _ in range(4):
        await world.make_monitor()()  # each in a process of its own
        world.database.pass_time(30)
    assert world.api.calls.count("runs/cancel") >= 61


async def test_new_stray_run_is_cancelled_before_old_ones_are_looked_at_again(world: AnsweredWorld) -> None:
    [entry_id] = await world.add("sales")
    world.api.answers["runs/cancel"] = DENIED
    for run_id in range(2000, 2020):
        world.api.runs[run_id] = goes_on()
        await world.store.note_stray("default", run_id, entry_id)
    for _ in range(70):
        await world.make_monitor()()
        world.database.pass_time(60)
    world.api.runs[3000] = goes_on()
    await world.store.note_stray("default", 3000, entry_id)
    del world.api.answers["runs/cancel"]
    await world.make_monitor()()
    assert 3000 in world.api.cancelled


async def test_run_of_another_job_is_not_cancelled_in_its_place(world: AnsweredWorld) -> None:
    """A gateway mixes up answers: the run that nobody wants is awaited until the answer is about it."""
    entry_id = await came_too_late(world, Resolution.FAILED)
    world.api.answers.pop("runs/cancel")
    ours, world.api.runs[1000] = world.api.runs[1000], goes_on(job_id=99)
    world.database.pass_time(120)
    await world.monitor()
    assert world.api.cancelled == []
    [reason] = await reasons(world)
    assert "Databricks shows run 1000 as one of job 99" in reason
    assert await world.retry(entry_id)
    await world.next_pass(60)
    assert active(world) == [1000]
    world.api.runs[1000] = ours
    world.database.pass_time(120)
    await world.monitor()
    assert world.api.cancelled == [1000]


async def test_run_that_is_gone_is_forgotten(world: AnsweredWorld) -> None:
    await came_too_late(world, Resolution.DONE)
    del world.api.runs[1000]
    await world.monitor()
    assert len(await world.store.strays("default")) == 1, "a new run may not be known at once"
    world.database.pass_time(130)
    await world.monitor()
    assert await world.store.strays("default") == []
