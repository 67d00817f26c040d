"""Runs that somebody repairs in Databricks: their entries follow them again. Over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, AnsweredWorld, answering, ended, goes_on
from tests.world import policy

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS)
SUCCESS = ended("SUCCESS", "SUCCESS", end_time=START_MS + 60_000)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


@pytest.mark.parametrize("limit", [1, 3])
async def test_repaired_run_is_followed_to_its_success(world: AnsweredWorld, limit: int) -> None:
    world.policy = policy(max_attempts=limit)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    assert (await world.entry(entry.id)).status is (Status.DEAD if limit == 1 else Status.FAILED)
    world.api.runs[1000] = goes_on()
    await world.add("sales")
    await world.next_pass()
    assert list(world.api.runs) == [1000]
    followed = await world.entry(entry.id)
    assert (followed.status, followed.runid, followed.submission) == (Status.RUNNING, 1000, 2)
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
    logs = [(log.submission, log.runid, log.status) for log in await world.store.logs(entry.id)]
    first = Status.DEAD if limit == 1 else Status.FAILED
    assert logs == [(1, 1000, first), (2, 1000, Status.DONE)]


async def test_monitor_sees_a_repair_where_it_lists_anyway(world: AnsweredWorld) -> None:
    await world.running("other")
    entry = await world.running()
    world.api.runs[1001] = FAILED
    await world.monitor()
    world.api.runs[1001] = goes_on()
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_monitor_lists_nothing_where_nothing_runs(world: AnsweredWorld) -> None:
    await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    before = list(world.api.calls)
    await world.monitor()
    assert world.api.calls == before


async def test_each_repair_has_a_log_row(world: AnsweredWorld) -> None:
    entry = await world.running()
    for repairs in range(4):
        world.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS + repairs)
        await world.monitor()
        assert (await world.entry(entry.id)).status is Status.FAILED
        world.api.runs[1000] = goes_on()
        await world.next_pass(0)
        assert (await world.entry(entry.id)).status is Status.RUNNING
    logs = await world.store.logs(entry.id)
    assert [(log.submission, log.runid) for log in logs] == [(n, 1000) for n in (1, 2, 3, 4)]


async def test_old_end_is_not_taken_for_the_end_of_the_repair(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = goes_on()
    await world.next_pass(0)
    world.api.runs[1000] = FAILED  # an answer from before the repair
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert len(await world.store.logs(entry.id)) == 1
    world.database.pass_time(601)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    assert len(await world.store.logs(entry.id)) == 2


@pytest.mark.parametrize("end", [SUCCESS, {**FAILED, "end_time": START_MS + 1}])
async def test_repair_that_nobody_saw_is_reported(world: AnsweredWorld, end: dict[str, object]) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    assert await world.notify(1000)
    assert not await world.notify(1000)
    world.api.runs[1000] = end
    assert await world.notify(1000)
    assert not await world.notify(1000)
    assert (await world.entry(entry.id)).status is (Status.DONE if end is SUCCESS else Status.DEAD)
    assert len(await world.store.logs(entry.id)) == 2


async def test_cancelled_entry_follows_its_repaired_run(world: AnsweredWorld) -> None:
    entry = await world.running()
    await world.cancel(entry.id)
    await world.monitor()
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.CANCELED
    world.api.runs[1000] = goes_on()
    await world.next_pass(60)
    followed = await world.entry(entry.id)
    assert (followed.status, followed.cancel_requested) == (Status.RUNNING, False)
    await world.next_pass(60)
    assert world.api.cancelled == [1000], "the request was about the run before its repair"


async def test_cancellation_of_a_waiting_entry_reaches_its_repaired_run(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    failed = await world.entry(entry.id)
    world.api.runs[1000] = goes_on()
    await world.cancel(entry.id)
    assert await world.store.revive(failed, "repaired")
    await world.monitor()
    await world.monitor()
    assert (world.api.cancelled, (await world.entry(entry.id)).status) == ([1000], Status.CANCELED)
