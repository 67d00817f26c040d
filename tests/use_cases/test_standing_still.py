"""Runs that are over or stand still without any sign of it: they are found, or noted; over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.states import Status
from tests.use_cases.answering import AnsweredWorld, answering, ended, goes_on
from tests.world import policy

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
SUCCESS = ended("SUCCESS", "SUCCESS")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def passes(world: AnsweredWorld, minutes: float) -> None:
    """Make two passes a minute."""
    for _ in range(round(2 * minutes)):
        world.database.pass_time(30)
        await world.monitor()


def list_as_it_was(world: AnsweredWorld) -> None:
    """Have the list show for ever the runs that go on now."""
    runs = [{"run_id": run_id, "job_id": 5, **goes_on()} for run_id in world.api.runs]
    world.api.answers["runs/list"] = (200, {"runs": runs})


@pytest.mark.parametrize(("told", "status"), [(SUCCESS, Status.DONE), (FAILED, Status.FAILED)])
async def test_run_that_is_over_is_found_although_the_list_still_has_it(
    world: AnsweredWorld, told: dict[str, Any], status: Status
) -> None:
    entry = await world.running()
    list_as_it_was(world)
    world.api.runs[1000] = told
    await passes(world, 14)
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert world.api.calls.count("runs/get") == 0
    await passes(world, 2)
    assert (await world.entry(entry.id)).status is status
    await world.next_pass(7200)
    assert list(world.api.runs) == [1000], "a run that is listed as active keeps its entry from another one"


HALF = {
    "state": {"life_cycle_state": "TERMINATED", "state_message": "boom"},
    "status": {"state": "TERMINATED"},
}


@pytest.mark.parametrize(
    "half", [HALF, {**HALF, "end_time": 1}, {"status": {"state": "TERMINATED"}, "end_time": 1}]
)
async def test_end_without_a_result_is_waited_for(world: AnsweredWorld, half: dict[str, Any]) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.api.unlisted = {1000}
    world.api.runs[1000] = half
    await passes(world, 5)
    noted = await world.entry(entry.id)
    assert (noted.status, noted.attempt, noted.unreadable_since is None) == (Status.RUNNING, 1, False)
    assert "does not say how it ended" in (noted.last_error or "")
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    assert ((await world.entry(entry.id)).status, (await world.entry(entry.id)).last_error) == (
        Status.DONE,
        None,
    )


async def test_end_that_never_gets_a_result_is_a_failure_that_says_so(world: AnsweredWorld) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.api.unlisted = {1000}
    world.api.answers["runs/get"] = (403, {"error_code": "PERMISSION_DENIED", "message": "Not yours."})
    await passes(world, 60)
    del world.api.answers["runs/get"]
    world.api.runs[1000] = HALF
    await passes(world, 10)
    assert (await world.entry(entry.id)).status is Status.RUNNING, "what was wrong before does not count"
    await passes(world, 2)
    dead = await world.entry(entry.id)
    assert (dead.status, dead.last_error) == (Status.DEAD, "TERMINATED without a result: boom")


async def test_run_that_goes_on_after_half_an_end_is_followed(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.unlisted = {1000}
    world.api.runs[1000] = HALF
    await passes(world, 5)
    world.api.runs[1000] = goes_on()
    await world.monitor()
    well = await world.entry(entry.id)
    assert (well.status, well.last_error, well.unreadable_since) == (Status.RUNNING, None, None)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("state", ["RUNNING", "TERMINATING"])
async def test_cancellation_without_effect_is_repeated_less_and_less_often(
    world: AnsweredWorld, state: str, listed: bool
) -> None:
    entry = await world.running()
    world.api.runs[1000] = goes_on(state)
    world.api.unlisted = set() if listed else {1000}
    world.api.answers["runs/cancel"] = (200, {})
    await world.cancel(entry.id)
    await passes(world, 60)
    assert 8 <= world.api.calls.count("runs/cancel") <= 12
    noted = await world.entry(entry.id)
    assert noted.status is Status.RUNNING
    assert noted.cancel_asked_at is not None
    assert (
        f"its run goes on although Databricks accepted a call to cancel it at {noted.cancel_asked_at:%Y}"
        in (noted.last_error or "")
    )
    del world.api.answers["runs/cancel"]
    await passes(world, 16)
    cancelled = await world.entry(entry.id)
    assert (cancelled.status, cancelled.cancel_asked_at) == (Status.CANCELED, None)


async def test_run_over_its_time_limit_that_goes_on_is_noted_for_its_next_submission_no_more(
    world: AnsweredWorld,
) -> None:
    world.policy = policy(run_timeout_seconds=600)
    entry = await world.running()
    world.api.answers["runs/cancel"] = (200, {})
    await passes(world, 30)
    assert "goes on although" in ((await world.entry(entry.id)).last_error or "")
    world.api.runs[1000] = FAILED
    await world.monitor()
    await world.next_pass()
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.cancel_asked_at) == (Status.RUNNING, 1001, None)
    assert again.last_error is None


@pytest.mark.parametrize("state", ["PENDING", "BLOCKED", "WAITING", "TERMINATING"])
async def test_state_of_a_run_that_stands_still_is_kept_until_it_executes(
    world: AnsweredWorld, state: str
) -> None:
    entry = await world.running()
    world.api.runs[1000] = goes_on(state)
    await passes(world, 10)
    assert (await world.entry(entry.id)).run_state is None, "a cluster is starting"
    await passes(world, 10)
    noted = await world.entry(entry.id)
    await passes(world, 10)
    later = await world.entry(entry.id)
    assert noted.run_state is not None
    assert (later.run_state, later.run_state_since) == (noted.run_state, noted.run_state_since)
    assert later.updated_at == noted.updated_at, "it is written once"
    world.api.runs[1000] = goes_on()
    await world.monitor()
    at_work = await world.entry(entry.id)
    assert (at_work.run_state, at_work.run_state_since) == (None, None)
