"""Runs that the app stops: over a time limit, or for a restart. A wait is not execution. Over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import RESTART
from orchestrator.core.models import StopReason
from orchestrator.core.states import Status
from tests.use_cases.answering import UNAVAILABLE, AnsweredWorld, answering, ended, goes_on
from tests.world import policy

SUCCESS = ended("SUCCESS", "SUCCESS")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def test_wait_in_databricks_queue_is_not_execution(world: AnsweredWorld) -> None:
    world.policy = policy(run_timeout_seconds=100)
    entry = await world.running()
    world.api.runs[1000] = goes_on("QUEUED")
    for _ in range(3):
        await world.monitor()
        world.database.pass_time(3600)
    assert (await world.entry(entry.id)).queue_seconds is None
    world.api.runs[1000] = goes_on("RUNNING")
    await world.monitor()
    assert (await world.entry(entry.id)).queue_seconds == pytest.approx(3 * 3600, abs=5)
    world.database.pass_time(90)
    await world.monitor()
    assert world.api.cancelled == []
    world.database.pass_time(20)
    await world.monitor()
    assert world.api.cancelled == [1000]
    assert (await world.entry(entry.id)).stop_reason == StopReason.RUN_TIMEOUT
    await world.monitor()
    failed = await world.entry(entry.id)
    assert (failed.status, failed.attempt) == (Status.FAILED, 1)
    assert "longer than RUN_TIMEOUT_SECONDS (100 s)" in (failed.last_error or "")


async def test_databricks_own_figure_of_the_wait_is_preferred(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = goes_on("QUEUED")
    await world.monitor()
    world.database.pass_time(3600)
    world.api.runs[1000] = goes_on("RUNNING", queue_duration=1_800_000)
    world.api.unlisted = {1000}
    await world.monitor()
    assert (await world.entry(entry.id)).queue_seconds == 1800


@pytest.mark.parametrize("unlisted", [set(), {1000}])
async def test_wait_that_no_pass_saw_is_not_execution(world: AnsweredWorld, unlisted: set[int]) -> None:
    world.policy = policy(run_timeout_seconds=3600)
    entry = await world.running()
    world.api.unlisted = unlisted
    world.api.runs[1000] = goes_on("RUNNING", queue_duration=3_000_000)
    world.database.pass_time(6500)
    await world.monitor()
    assert (await world.entry(entry.id)).queue_seconds == 3000
    assert world.api.cancelled == []
    world.database.pass_time(200)
    await world.monitor()
    assert world.api.cancelled == [1000]


async def test_wait_before_the_submission_does_not_count(world: AnsweredWorld) -> None:
    world.policy = policy(run_timeout_seconds=100)
    await world.running()
    world.api.runs[1000] = goes_on("RUNNING", queue_duration=3_000_000)
    world.database.pass_time(101)
    await world.monitor()
    assert world.api.cancelled == [1000]


async def test_wait_that_databricks_does_not_measure_is_what_was_seen(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = goes_on("QUEUED", queue_duration=0)
    await world.monitor()
    world.database.pass_time(3600)
    world.api.runs[1000] = goes_on("RUNNING", queue_duration=0)
    await world.monitor()
    assert (await world.entry(entry.id)).queue_seconds == pytest.approx(3600, abs=5)


async def test_wait_told_by_its_details_is_not_execution(world: AnsweredWorld) -> None:
    world.policy = policy(run_timeout_seconds=3600)
    entry = await world.running()
    details = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": "Queued due to reaching maximum runs"}
    world.api.runs[1000] = {"status": {"state": "PENDING", "queue_details": details}}
    for _ in range(2):
        world.database.pass_time(4200)
        await world.monitor()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.queue_seconds, waiting.stop_reason) == (Status.RUNNING, None, None)
    assert world.api.cancelled == []


@pytest.mark.parametrize("own", [None, 100])
async def test_too_long_a_wait_in_the_queue_gives_the_attempt_back(
    world: AnsweredWorld, own: int | None
) -> None:
    world.policy = policy(queue_timeout_seconds=100 if own is None else 0, max_attempts=1)
    entry = await world.running(queue_timeout_seconds=own)
    world.api.runs[1000] = goes_on("QUEUED")
    await world.monitor()
    assert world.api.cancelled == []
    world.database.pass_time(101)
    await world.monitor()
    assert world.api.cancelled == [1000]
    await world.monitor()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.attempt, waiting.slot_waits) == (Status.PENDING, 0, 1)
    name = "QUEUE_TIMEOUT_SECONDS" if own is None else "queue_timeout_seconds"
    assert f"longer than {name} (100 s) in Databricks' queue" in (waiting.last_error or "")


async def test_entry_s_own_limit_takes_precedence(world: AnsweredWorld) -> None:
    world.policy = policy(run_timeout_seconds=1000)
    short = await world.running("short", run_timeout_seconds=10)
    long = await world.running("long", run_timeout_seconds=0)
    world.database.pass_time(11)
    await world.monitor()
    assert world.api.cancelled == [1000]
    world.database.pass_time(10_000)
    await world.monitor()
    assert (await world.entry(short.id)).status is Status.FAILED
    assert (await world.entry(long.id)).status is Status.RUNNING


async def test_stop_is_asked_for_until_the_run_is_over(world: AnsweredWorld) -> None:
    world.policy = policy(run_timeout_seconds=100)
    entry = await world.running()
    world.database.pass_time(101)
    world.api.answers["runs/cancel"] = UNAVAILABLE
    for _ in range(2):
        assert "503" in (await world.monitor())[0]
    world.api.answers.clear()
    await world.monitor()
    await world.monitor()
    assert world.api.cancelled == [1000]
    assert (await world.entry(entry.id)).status is Status.FAILED


@pytest.mark.parametrize("succeeds", [False, True])
async def test_restart_awaits_the_end_of_the_run(world: AnsweredWorld, succeeds: bool) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    assert await world.store.note_stop(entry, StopReason.RESTART)
    if succeeds:
        world.api.answers["runs/cancel"] = (200, {})
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    if succeeds:
        world.api.runs[1000] = SUCCESS
    await world.monitor()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.attempt) == (Status.PENDING, 0)
    await world.next_pass(0)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1001, 2)
    [log] = await world.store.logs(entry.id)
    assert (log.runid, log.status) == (1000, Status.PENDING)


async def test_restart_begins_a_new_run_where_a_retry_would_repair(world: AnsweredWorld) -> None:
    entry = await world.running(retry_mode="repair")
    assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    await world.monitor()
    await world.monitor()
    await world.next_pass(0)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.stop_reason) == (Status.RUNNING, 1001, None)


async def test_restart_of_a_failed_entry_begins_a_new_run(world: AnsweredWorld) -> None:
    entry = await world.running(retry_mode="repair")
    world.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
    await world.monitor()
    assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    await world.next_pass(0)
    assert (await world.entry(entry.id)).runid == 1001


async def test_restart_ends_a_repair_that_a_person_began_and_logs_it(world: AnsweredWorld) -> None:
    entry = await world.running(retry_mode="repair")
    world.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
    await world.monitor()
    assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    world.api.runs[1000] = goes_on()
    for _ in range(3):
        await world.next_pass(60)
    again = await world.entry(entry.id)
    assert (world.api.cancelled, again.runid, again.stop_reason) == ([1000], 1001, None)
    assert [log.runid for log in await world.store.logs(entry.id)] == [1000, 1000]
