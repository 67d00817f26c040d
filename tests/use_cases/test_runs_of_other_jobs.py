"""Answers that show an entry's run as one of another job: nothing is judged by them; over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, AnsweredWorld, answering, ended, goes_on
from tests.world import policy, workspace

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
LATER = START_MS + 60_000
SUCCESS = ended("SUCCESS", "SUCCESS", end_time=LATER)
FOREIGN = {"job_id": 99}
WORDS = "Databricks shows run 1000 as one of job 99, and that of the entry is of job 5"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


@pytest.mark.parametrize("told", [SUCCESS, FAILED, goes_on()])
async def test_run_of_another_job_settles_nothing(world: AnsweredWorld, told: dict[str, Any]) -> None:
    world.policy = policy(run_timeout_seconds=3600)
    entry = await world.running()
    world.api.runs[1000] = {**told, **FOREIGN}
    await world.cancel(entry.id)
    for _ in range(3):
        await world.next_pass(7200)
        assert WORDS in (await world.monitor())[-1]
    noted = await world.entry(entry.id)
    assert (noted.status, noted.unreadable_since is None) == (Status.RUNNING, False)
    assert WORDS in (noted.last_error or "")
    assert (world.api.cancelled, len(world.api.by_token)) == ([], 1)
    world.api.runs[1000] = goes_on()
    await world.monitor()
    assert (await world.entry(entry.id)).last_error is None
    await world.next_pass(60)
    assert (await world.entry(entry.id)).status is Status.CANCELED


@pytest.mark.parametrize("job_id", [5, None])
async def test_list_that_shows_another_job_is_checked(world: AnsweredWorld, job_id: int | None) -> None:
    entry = await world.running()
    listed = {"run_id": 1000, **goes_on(), **FOREIGN}
    world.api.answers["runs/list"] = (200, {"runs": [listed]})
    world.api.runs[1000] = {**SUCCESS, "job_id": job_id}
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE


@pytest.mark.parametrize("max_attempts", [1, 3])
async def test_run_of_another_job_is_not_followed(world: AnsweredWorld, max_attempts: int) -> None:
    world.policy = policy(max_attempts=max_attempts)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = {**goes_on(), **FOREIGN}
    world.database.pass_time(7200)
    assert any(WORDS in problem for problem in await world.trigger())
    await world.deliver()
    world.api.runs[1000] = {**SUCCESS, **FOREIGN}
    await world.notify(1000)
    await world.next_pass(7200)
    left = await world.entry(entry.id)
    if max_attempts == 1:
        assert (left.status, left.runid) == (Status.DEAD, 1000)
    else:
        assert (left.status, left.runid) == (Status.RUNNING, 1001)
    assert world.api.cancelled == []


async def test_last_run_of_another_job_that_goes_on_is_waited_for(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.database.pass_time(7200)
    await world.trigger()
    world.api.runs[1000] = {**goes_on(), **FOREIGN}
    await world.deliver()
    waiting = await world.entry(entry.id)
    assert (waiting.status, WORDS in (waiting.last_error or "")) == (Status.QUEUED, True)
    world.api.runs[1000] = {**SUCCESS, **FOREIGN}
    await world.next_pass(3700)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, world.api.cancelled) == (Status.RUNNING, 1001, [])


async def test_entry_that_names_another_job_than_its_last_run_gets_a_new_run(
    world: AnsweredWorld,
) -> None:
    world.policy = policy(retry_mode="repair", max_attempts=1)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.database.execute("UPDATE track_processing SET job_id = 6")
    assert await world.retry(entry.id)
    await world.next_pass()
    again = await world.entry(entry.id)
    assert (again.status, again.runid) == (Status.RUNNING, 1001)


async def test_repaired_run_is_followed_although_a_later_submission_named_another_job(
    world: AnsweredWorld,
) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.database.execute("UPDATE track_processing SET job_id = 6")
    refusal = {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 6 does not exist."}
    world.api.answers["run-now"] = (400, refusal)
    await world.next_pass()
    assert (await world.entry(entry.id)).status is Status.DEAD
    world.api.runs[1000] = goes_on()
    await world.next_pass()
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_last_run_that_was_judged_gone_gives_way_once_it_is_seen_to_be_over(
    world: AnsweredWorld,
) -> None:
    """The settings name another job since."""
    entry = await world.running()
    world.database.pass_time(600)
    world.api.runs.clear()
    await world.monitor()
    world.database.pass_time(60)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    world.workspaces = {"default": workspace(job_id=6)}
    world.api.runs[1000] = FAILED
    await world.next_pass(600)
    assert (await world.entry(entry.id)).status is Status.QUEUED, "one answer may be a mixed-up one"
    for _ in range(10):
        await world.next_pass(300)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, world.api.cancelled) == (Status.RUNNING, 1001, [])


@pytest.mark.parametrize("shown", [goes_on(), SUCCESS])
async def test_earlier_run_of_another_job_is_not_followed(
    world: AnsweredWorld, shown: dict[str, Any]
) -> None:
    entry = await world.running()
    for run_id in (1000, 1001):
        world.api.runs[run_id] = FAILED
        await world.monitor()
        if run_id == 1000:
            await world.next_pass(3600)
    assert (await world.entry(entry.id)).status is Status.FAILED
    world.database.pass_time(7200)
    await world.trigger()
    world.api.runs[1000] = {**shown, **FOREIGN}
    await world.deliver()
    found = await world.entry(entry.id)
    if shown == SUCCESS:
        assert (found.status, found.runid) == (Status.RUNNING, 1002)
    else:
        assert (found.status, WORDS in (found.last_error or "")) == (Status.QUEUED, True)
    assert world.api.cancelled == []
