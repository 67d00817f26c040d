"""What is planned for a submission while Databricks answers less than it should, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.models import Claim, RepairRequest
from orchestrator.core.states import Status
from orchestrator.usecases.jobs import Jobs
from tests.use_cases.answering import START_MS, UNAVAILABLE, Answer, AnsweredWorld, answering, ended, goes_on
from tests.use_cases.test_operator import operator
from tests.world import World

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS)
PARAMETERS = [{"name": "table_name", "default": ""}]
WITH_PARAMETERS: Any = (
    200,
    {"job_id": 5, "settings": {"name": "load", "max_concurrent_runs": 100, "parameters": PARAMETERS}},
)


@pytest.fixture
async def answers(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


def job_declares_parameters(world: AnsweredWorld) -> None:
    """run-now of a job that declares parameters refuses every other style, as Databricks does."""
    start = world.api._run_now

    def run_now(body: dict[str, Any]) -> web.Response:
        if "notebook_params" in body:
            words = "The job declares job parameters: use job_parameters."
            said = {"error_code": "INVALID_PARAMETER_VALUE", "message": words}
            return web.json_response(said, status=400)
        return start(body)

    world.api._run_now = run_now  # type: ignore[method-assign]


async def test_one_403_of_jobs_get_does_not_end_an_entry(answers: AnsweredWorld) -> None:
    job_declares_parameters(answers)
    answers.api.answers["get"] = (403, {"message": "Forbidden"})  # a burst during maintenance
    [entry_id] = await answers.add("sales")
    await answers.trigger()
    await answers.deliver()
    answers.api.answers["get"] = WITH_PARAMETERS
    for _ in range(5):
        await answers.next_pass()
    entry = await answers.entry(entry_id)
    assert entry.status is Status.RUNNING, entry.last_error


async def test_outage_does_not_freeze_a_guess(answers: AnsweredWorld) -> None:
    job_declares_parameters(answers)
    answers.api.answers["get"] = WITH_PARAMETERS
    [entry_id] = await answers.add("sales")
    await answers.trigger()
    # Another instance gets the message, and then the workspace is down for ten minutes.
    answers.jobs = Jobs(runs=answers.runs, workspaces=answers.workspaces, clock=answers.clock)
    answers.api.answers |= {"get": UNAVAILABLE, "run-now": UNAVAILABLE, "runs/list": UNAVAILABLE}
    await answers.deliver()
    for _ in range(8):
        answers.clock.time += 120
        await answers.next_pass(120)
    answers.api.answers = {"get": WITH_PARAMETERS}
    for _ in range(8):
        answers.clock.time += 400
        await answers.next_pass(400)
    entry = await answers.entry(entry_id)
    assert entry.status is Status.RUNNING, (entry.status, entry.last_error, entry.request)


async def test_job_that_has_got_parameters_is_looked_up_again(answers: AnsweredWorld) -> None:
    """The job was deployed with parameters a minute ago; the app still keeps it as it was."""
    await answers.running("other")
    job_declares_parameters(answers)
    answers.api.answers["get"] = WITH_PARAMETERS
    [entry_id] = await answers.add("sales")
    await answers.next_pass(60)
    await answers.next_pass(60)
    entry = await answers.entry(entry_id)
    assert entry.status is not Status.DEAD, entry.last_error


async def test_missing_run_that_cannot_be_cancelled_stops_nothing(
    answers: AnsweredWorld,
) -> None:
    entry = await answers.running()
    answers.api.runs[1000] = FAILED
    await answers.monitor()
    del answers.api.runs[1000]
    answers.api.answers["runs/cancel"] = (
        403,
        {"error_code": "PERMISSION_DENIED", "message": "User lacks CAN MANAGE RUN on run 1000"},
    )
    for _ in range(6):
        answers.clock.time += 400
        await answers.next_pass()
    again = await answers.entry(entry.id)
    assert again.status is Status.RUNNING, again.last_error


async def test_refused_repair_of_an_active_run_starts_no_run_beside_it(answers: AnsweredWorld) -> None:
    """Somebody has just repaired the run: the refusal says so, and runs/get still shows the old end."""
    entry = await answers.running(retry_mode="repair")
    answers.api.runs[1000] = FAILED
    await answers.monitor()
    answers.api.answers["runs/repair"] = (
        400,
        {"error_code": "INVALID_STATE", "message": "Run 1000 cannot be repaired while it is still active."},
    )
    await answers.next_pass()
    answers.api.runs[1000] = goes_on()  # the answers have caught up
    active = [run for run, said in answers.api.runs.items() if "end_time" not in said]
    assert active == [1000], (await answers.entry(entry.id)).runid


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INVALID_PARAMETER_VALUE", "Run 1000 is in progress and cannot be repaired."),
        ("INVALID_PARAMETER_VALUE", "1 is not the latest repair ID of run 1000."),
    ],
)
async def test_refused_repair_starts_no_run_at_once(answers: AnsweredWorld, code: str, message: str) -> None:
    await answers.running(retry_mode="repair")
    answers.api.runs[1000] = FAILED
    await answers.monitor()
    answers.api.answers["runs/repair"] = (400, {"error_code": code, "message": message})
    await answers.next_pass()
    answers.api.runs[1000] = goes_on()
    assert [run for run, said in answers.api.runs.items() if "end_time" not in said] == [1000]


DENIED: Answer = (403, {"error_code": "PERMISSION_DENIED", "message": "no"})
ACTIVE: Answer = (
    400,
    {"error_code": "INVALID_STATE", "message": "Run 1000 cannot be repaired while it is active"},
)


@pytest.mark.parametrize("said", [DENIED, ACTIVE], ids=["denied", "active"])
async def test_repair_that_is_refused_after_a_lost_try_starts_no_run_beside_it(
    answers: AnsweredWorld, said: Answer
) -> None:
    """The first try may have begun the repair; runs/get may show the old end for ten minutes."""
    await answers.running(retry_mode="repair")
    answers.api.runs[1000] = FAILED
    await answers.monitor()
    answers.database.pass_time(3700)
    await answers.trigger()
    tries = 0

    def repair(body: dict[str, Any]) -> web.Response:
        nonlocal tries
        tries += 1
        status, content = UNAVAILABLE if tries == 1 else said
        return web.json_response(content, status=status)

    answers.api._repair = repair  # type: ignore[method-assign]
    for _ in range(8):
        await answers.deliver()
        answers.database.pass_time(60)
        await answers.trigger()
    assert tries >= 2
    assert list(answers.api.runs) == [1000]


async def test_repair_that_begins_after_its_entry_was_resolved_is_cancelled(world: World) -> None:
    entry = await world.running(retry_mode="repair")
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    world.database.pass_time(3600)
    await world.trigger()
    called, go_on = asyncio.Event(), asyncio.Event()
    repair = world.databricks.repair

    async def slow(request: RepairRequest) -> int:
        called.set()
        await go_on.wait()
        return await repair(request)

    world.databricks.repair = slow  # type: ignore[method-assign]
    submission = asyncio.create_task(world.submit(Claim(entry_id=entry.id, submission=2)))
    await called.wait()
    await operator(world).resolve_one(resolve(Resolution.DONE, "loaded by hand"), entry.id)
    go_on.set()
    await submission
    assert world.databricks.cancelled == [1000], "nobody follows the repaired run"
