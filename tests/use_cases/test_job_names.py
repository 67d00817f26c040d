"""A job's name that stands for no job, or for two, while jobs are deployed anew: no entry ends for it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.states import Status
from tests.use_cases.answering import UNAVAILABLE, AnsweredWorld, answering

GONE = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 5 does not exist."})


def named(*job_ids: int) -> tuple[int, dict[str, Any]]:
    return 200, {"jobs": [{"job_id": job_id, "settings": {"name": "nightly"}} for job_id in job_ids]}


#: How jobs/list looks while a job is deployed anew.
MOMENTARY = {"empty": (200, {}), "no jobs": named(), "old and new": named(5, 6)}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        made.api.answers["list"] = named(5)
        yield made


async def later(world: AnsweredWorld, seconds: float) -> None:
    """Let time pass, also for the jobs that the app keeps, and make a pass."""
    world.clock.time += seconds
    await world.next_pass(seconds)


@pytest.mark.parametrize("how", list(MOMENTARY))
async def test_a_name_that_is_unclear_for_a_moment_ends_no_entry(world: AnsweredWorld, how: str) -> None:
    world.api.answers["list"] = MOMENTARY[how]
    [entry_id] = await world.add("sales", job_name="nightly")
    for _ in range(3):  # passes come as often as they like
        await later(world, 31)
        entry = await world.entry(entry_id)
        assert entry.status is Status.QUEUED
        assert "named 'nightly'" in (entry.last_error or "")
        assert "believed once the same is said again" in (entry.last_error or "")
    world.api.answers["list"] = named(6)
    await later(world, 130)
    entry = await world.entry(entry_id)
    assert (entry.status, '"job_id": 6' in (entry.request or "")) == (Status.RUNNING, True)


@pytest.mark.parametrize(("accepted", "passes"), [(True, 4), (False, 5)])
async def test_a_name_that_stays_unclear_ends_the_entry(
    world: AnsweredWorld, accepted: bool, passes: int
) -> None:
    world.api.answers["list"] = named()
    [entry_id] = await world.add("sales", job_name="nightly")
    for number in range(1, passes + 1):
        if accepted:
            await world.add(f"other{number}")
        await later(world, 301)
        entry = await world.entry(entry_id)
        assert entry.status is (Status.DEAD if number == passes else Status.QUEUED)
    assert (entry.last_error or "").startswith("there is no job named 'nightly'")
    assert "believed" not in (entry.last_error or "")


async def test_it_is_not_believed_within_two_minutes_however_often_it_is_said(world: AnsweredWorld) -> None:
    world.api.answers["list"] = named()
    await world.add("other")
    [entry_id] = await world.add("sales", job_name="nightly")
    await later(world, 1)
    for _ in range(10):
        world.database.execute("UPDATE track_processing SET lease_expires_at = '2000-01-01' WHERE id = 2")
        await later(world, 10)
        assert (await world.entry(entry_id)).status is Status.QUEUED


async def test_an_outage_before_it_proves_nothing(world: AnsweredWorld) -> None:
    world.api.answers["list"] = UNAVAILABLE
    [entry_id] = await world.add("sales", job_name="nightly")
    await world.add("other")
    for _ in range(6):
        await later(world, 301)
    world.api.answers["list"] = named()
    await later(world, 301)
    assert (await world.entry(entry_id)).status is Status.QUEUED
    world.api.answers["list"] = named(5)
    await later(world, 301)
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def waits_until_the_job_is_there(world: AnsweredWorld, call: str) -> None:
    """Add an entry, which waits while a call says that the job is gone, and runs on the job's successor."""
    [entry_id] = await world.add("sales", job_name="nightly")
    await later(world, 31)
    assert (await world.entry(entry_id)).status is Status.QUEUED
    del world.api.answers[call]
    world.api.answers["list"] = named(6)
    await later(world, 31)
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def test_a_job_that_vanishes_between_two_calls_is_looked_for_again(world: AnsweredWorld) -> None:
    """The name still stands for the job that jobs/get no longer has."""
    world.api.answers["get"] = GONE
    await waits_until_the_job_is_there(world, "get")


async def test_a_job_that_run_now_no_longer_has_is_looked_for_again(world: AnsweredWorld) -> None:
    """The app knew the job from a minute ago; run-now refuses it, and its successor is not there yet."""
    await world.running("first", job_name="nightly")
    world.api.answers |= {"run-now": GONE, "list": named()}
    await waits_until_the_job_is_there(world, "run-now")


async def test_a_job_listed_twice_is_one_job(world: AnsweredWorld) -> None:
    world.api.answers["list"] = named(5, 5)
    await world.running(job_name="nightly")


async def test_a_job_on_a_later_page_is_found(world: AnsweredWorld) -> None:
    """The first page is empty and says that there is more."""
    world.api.by_page["list"] = {None: (200, {"has_more": True, "next_page_token": "2"}), "2": named(6)}
    entry = await world.running(job_name="nightly")
    assert '"job_id": 6' in (entry.request or "")


@pytest.mark.parametrize(
    "answer",
    [
        {"error_code": "X", "message": "oops"},
        {"has_more": True},
        {"has_more": True, "next_page_token": "again"},
        {"jobs": "none"},
    ],
)
async def test_what_is_no_whole_list_of_jobs_says_nothing_of_a_name(
    world: AnsweredWorld, answer: dict[str, Any]
) -> None:
    world.api.answers["list"] = (200, answer)
    [entry_id] = await world.add("sales", job_name="nightly")
    for _ in range(8):
        await later(world, 301)
    entry = await world.entry(entry_id)
    assert entry.status is Status.QUEUED
    assert "no job named" not in (entry.last_error or "")


#: Refusals of jobs/list: none of them speaks of one job.
REFUSED: dict[str, tuple[int, dict[str, Any] | str]] = {
    "not permitted": (
        403,
        {"error_code": "PERMISSION_DENIED", "message": "not permitted to view this job list"},
    ),
    "no permission on jobs": (
        403,
        {"error_code": "PERMISSION_DENIED", "message": "User does not have View permission on job 5."},
    ),
    "a parameter": (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Cannot resolve the request"}),
    "a wrong parameter": (
        400,
        {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid name parameter"},
    ),
    "no job": (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Job does not exist."}),
    "malformed": (400, {"error_code": "MALFORMED_REQUEST", "message": "Could not parse the request"}),
    "unprocessable": (422, {"error_code": "INVALID_STATE", "message": "no"}),
    "no such path": (404, "<html>not found</html>"),
}


@pytest.mark.parametrize("how", list(REFUSED))
async def test_refused_lists_of_jobs_end_no_entry(world: AnsweredWorld, how: str) -> None:
    """However often it is said, and although entries that name a job by its id are accepted meanwhile."""
    world.api.answers["list"] = REFUSED[how]
    ids = await world.add("sales", "orders", job_name="nightly")
    for number in range(8):
        [other] = await world.add(f"other{number}")
        await later(world, 301)
        assert (await world.entry(other)).status is Status.RUNNING
    entries = [await world.entry(entry_id) for entry_id in ids]
    assert [(entry.status, entry.attempt, entry.deliveries) for entry in entries] == [
        (Status.QUEUED, 0, 0)
    ] * 2
    assert "jobs/list" in (entries[0].last_error or "")
    world.api.answers["list"] = named(5)
    await later(world, 301)
    assert {(await world.entry(entry_id)).status for entry_id in ids} == {Status.RUNNING}


@pytest.mark.parametrize("how", list(REFUSED))
async def test_a_name_that_is_known_outlives_refused_lists(world: AnsweredWorld, how: str) -> None:
    await world.running("first", job_name="nightly")
    world.api.answers["list"] = REFUSED[how]
    [entry_id] = await world.add("sales", job_name="nightly")
    await later(world, 61)
    entry = await world.entry(entry_id)
    assert (entry.status, '"job_id": 5' in (entry.request or "")) == (Status.RUNNING, True)
