"""What becomes of entries when a workspace tells the end of a run in each of its ways: over HTTP."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.models import Entry
from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, AnsweredWorld, answering, ended, goes_on
from tests.world import policy


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def end(world: AnsweredWorld, told: dict[str, Any]) -> Entry:
    """End the run of a new entry and return the entry after the next pass."""
    entry = await world.running()
    world.api.runs[1000] = told
    assert await world.monitor() == []
    return await world.entry(entry.id)


@pytest.mark.parametrize(
    "told",
    [
        ended("SKIPPED", "CLIENT_ERROR", message="the condition was not met"),
        ended("EXCLUDED", "CLIENT_ERROR"),
        ended("DISABLED", "CLIENT_ERROR"),
        ended(life_cycle="SKIPPED", result="EXCLUDED"),
        ended(life_cycle="SKIPPED", result="DISABLED"),
        ended(life_cycle="SKIPPED", result="SKIPPED"),
        ended(life_cycle="SKIPPED", message="Run skipped: no material tasks to execute"),
    ],
)
async def test_run_that_its_job_skipped_is_not_retried(world: AnsweredWorld, told: dict[str, Any]) -> None:
    world.policy = policy(max_attempts=0)
    entry = await end(world, told)
    assert entry.status is Status.DEAD
    assert "the job's own conditions let nothing run" in (entry.last_error or "")
    for _ in range(20):
        await world.next_pass()
    assert list(world.api.runs) == [1000]


@pytest.mark.parametrize(
    "code",
    [
        "CLUSTER_REQUEST_LIMIT_EXCEEDED",
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        "MAX_SPARK_CONTEXTS_EXCEEDED",
        "WORKSPACE_RUN_LIMIT_EXCEEDED",
    ],
)
async def test_run_without_a_slot_waits_longer_each_time(world: AnsweredWorld, code: str) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    waits = []
    for run_id in range(1000, 1012):
        world.api.runs[run_id] = ended(code, "CLIENT_ERROR")
        await world.monitor()
        entry = await world.entry(entry.id)
        assert (entry.status, entry.attempt, entry.slot_waits) == (Status.PENDING, 0, run_id - 999)
        assert entry.finished_at is not None
        waits.append((entry.available_at - entry.finished_at).total_seconds())
        await world.next_pass()
    assert waits[0] == pytest.approx(60, rel=0.26)
    assert waits[3] == pytest.approx(480, rel=0.26)
    assert max(waits) == pytest.approx(3600, abs=0.01)
    world.api.runs[1012] = ended("SUCCESS", "SUCCESS")
    await world.monitor()
    assert ((await world.entry(entry.id)).status, (await world.entry(entry.id)).slot_waits) == (
        Status.DONE,
        0,
    )


@pytest.mark.parametrize(
    "told",
    [
        ended(life_cycle="SKIPPED"),
        ended(life_cycle="SKIPPED", message="the limit of 1 maximum concurrent runs has been reached"),
        ended(result="MAXIMUM_CONCURRENT_RUNS_REACHED"),
        ended(life_cycle="INTERNAL_ERROR", result="MAXIMUM_CONCURRENT_RUNS_REACHED"),
    ],
)
async def test_no_slot_told_without_a_code(world: AnsweredWorld, told: dict[str, Any]) -> None:
    world.policy = policy(max_attempts=1)
    entry = await end(world, told)
    assert (entry.status, entry.attempt, entry.slot_waits) == (Status.PENDING, 0, 1)


def ended_as(name: str, **details: str) -> dict[str, Any]:
    """Return the end of a run in a state that the documentation does not have."""
    return {"end_time": START_MS, "status": {"state": name, "termination_details": details}}


@pytest.mark.parametrize(
    "told",
    [
        ended_as("TERMINATED", type="SUCCESS"),
        ended_as("TERMINATED", type="SUCCESS", code="COMPLETED_WITH_WARNINGS"),
        ended_as("COMPLETED", type="SUCCESS", code="SUCCESS"),
        ended(life_cycle="Terminated", result="SUCCESS"),
        ended("success", result="Success"),
    ],
)
async def test_success_in_other_words(world: AnsweredWorld, told: dict[str, Any]) -> None:
    entry = await end(world, told)
    assert (entry.status, entry.last_error) == (Status.DONE, None)
    await world.next_pass()
    assert list(world.api.runs) == [1000]


async def test_failure_in_other_words(world: AnsweredWorld) -> None:
    entry = await end(world, ended_as("FAILED", type="CLIENT_ERROR", code="RUN_EXECUTION_ERROR"))
    assert (entry.status, entry.attempt) == (Status.FAILED, 1)


@pytest.mark.parametrize("told", [{"status": {"state": "COMPLETED"}}, ended(life_cycle="CANCELED")])
async def test_state_that_says_nothing_is_not_silent(world: AnsweredWorld, told: dict[str, Any]) -> None:
    entry = await world.running()
    world.api.unlisted = {1000}
    world.api.runs[1000] = told
    await world.next_pass()
    assert "says neither that it goes on" in ((await world.entry(entry.id)).last_error or "")
    await world.next_pass()
    noted = await world.entry(entry.id)
    assert (noted.status, noted.unreadable_since is None) == (Status.RUNNING, False)
    world.api.runs[1000] = goes_on()
    await world.next_pass()
    well = await world.entry(entry.id)
    assert (well.status, well.last_error, well.unreadable_since) == (Status.RUNNING, None, None)
    assert list(world.api.runs) == [1000]


async def test_skipped_run_makes_the_job_looked_up_again(world: AnsweredWorld) -> None:
    await end(world, ended("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"))
    before = world.api.calls.count("get")
    await world.next_pass(120)
    assert world.api.calls.count("get") == before + 1


@pytest.mark.parametrize(
    "told",
    [
        ended("BREAKING_CHANGE", "CLIENT_ERROR"),
        ended("INTERNAL_ERROR", "INTERNAL_ERROR"),
        ended("CLUSTER_ERROR", "CLOUD_FAILURE"),
        ended("RUN_EXECUTION_ERROR", "INTERNAL_ERROR"),
        ended("SOMETHING_NEW", "CLOUD_FAILURE"),
        ended("CLOUD_FAILURE", "SOMETHING_NEW"),
        ended("INTERNAL_ERROR", "UNSPECIFIED"),
        ended("DRIVER_ERROR", "internal_error"),
        ended(life_cycle="INTERNAL_ERROR"),
        ended(
            life_cycle="INTERNAL_ERROR",
            result="FAILED",
            tasks=[{"run_id": 3, "task_key": "t", **ended("CLOUD_FAILURE", "CLOUD_FAILURE")}],
        ),
    ],
)
async def test_failure_of_the_platform_spends_no_attempt(world: AnsweredWorld, told: dict[str, Any]) -> None:
    world.policy = policy(max_attempts=1, max_platform_retries=2)
    entry = await end(world, told)
    assert (entry.status, entry.attempt, entry.platform_failures) == (Status.FAILED, 0, 1)
    for run_id in (1001, 1002):
        await world.next_pass()
        world.api.runs[run_id] = told
        await world.monitor()
    entry = await world.entry(entry.id)
    assert (entry.status, entry.platform_failures) == (Status.DEAD, 3)
    assert "MAX_PLATFORM_RETRIES" in (entry.last_error or "")
    logs = await world.store.logs(entry.id)
    assert [log.status for log in logs] == [Status.FAILED, Status.FAILED, Status.DEAD]


@pytest.mark.parametrize(
    ("life_cycle", "result"),
    [("INTERNAL_ERROR", "FAILED"), ("TERMINATED", "SUCCESS"), ("RUNNING", "FAILED")],
)
async def test_failure_of_the_job_spends_an_attempt(
    world: AnsweredWorld, life_cycle: str, result: str
) -> None:
    """``termination_details`` decides, whatever the deprecated ``state`` says."""
    world.policy = policy(max_attempts=1)
    told = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", life_cycle=life_cycle, result=result)
    entry = await end(world, told)
    assert (entry.status, entry.attempt) == (Status.DEAD, 1)
    [log] = await world.store.logs(entry.id)
    assert (log.termination_code, log.termination_type) == ("RUN_EXECUTION_ERROR", "CLIENT_ERROR")


@pytest.mark.parametrize(
    "told",
    [
        ended("USER_CANCELED", "CLIENT_ERROR"),
        ended(result="CANCELED"),
        ended("CANCELED", "CLIENT_ERROR", result="CANCELED", message="Run cancelled by user."),
        ended(result="FAILED", message="Run cancelled by user x@y.z"),
    ],
)
@pytest.mark.parametrize("retried", [False, True])
async def test_run_that_a_person_cancelled(world: AnsweredWorld, told: dict[str, Any], retried: bool) -> None:
    world.policy = policy(retry_canceled_runs=retried)
    entry = await end(world, told)
    assert entry.status is (Status.FAILED if retried else Status.CANCELED)
    assert ("RETRY_CANCELED_RUNS" in (entry.last_error or "")) is not retried
    await world.next_pass()
    assert len(world.api.runs) == (2 if retried else 1)


async def test_success_with_failures_keeps_the_errors_of_the_tasks(world: AnsweredWorld) -> None:
    task = {
        "run_id": 1,
        "task_key": "load",
        "attempt_number": 0,
        **ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    }
    world.api.outputs[1] = {"error": "no such table: orders", "error_trace": "Traceback", "metadata": {}}
    entry = await end(world, ended("SUCCESS_WITH_FAILURES", "SUCCESS", tasks=[task]))
    assert entry.status is Status.DONE
    assert (entry.last_error or "").startswith("SUCCESS_WITH_FAILURES: ")
    assert "no such table: orders" in (entry.last_error or "")
    [log] = await world.store.logs(entry.id)
    assert (log.message, log.error_trace) == (entry.last_error, "Traceback")


@pytest.mark.parametrize("kept", [False, True])
async def test_exit_value_is_kept_on_request(world: AnsweredWorld, kept: bool) -> None:
    world.policy = policy(store_results=kept)
    task = {"run_id": 1, "task_key": "load", "attempt_number": 0, "notebook_task": {}}
    world.api.outputs[1] = {"notebook_output": {"result": "17 rows", "truncated": False}, "metadata": {}}
    entry = await end(world, ended("SUCCESS", "SUCCESS", tasks=[{**task, **ended("SUCCESS", "SUCCESS")}]))
    [log] = await world.store.logs(entry.id)
    assert log.result == ("17 rows" if kept else None)
    assert world.api.calls.count("runs/get-output") == int(kept)


async def test_entry_that_found_no_capacity_sends_what_its_row_says_now(world: AnsweredWorld) -> None:
    world.api.answers["run-now"] = (429, {"error_code": "QUOTA_EXCEEDED", "message": "full"})
    [entry_id] = await world.add("sales", parameters='{"day": "1"}')
    await world.next_pass()
    assert (await world.entry(entry_id)).status is Status.PENDING
    world.database.execute('UPDATE track_processing SET parameters = \'{"day": "2"}\'')
    world.api.answers.clear()
    await world.next_pass()
    entry = await world.entry(entry_id)
    assert entry.status is Status.RUNNING
    assert json.loads(entry.request or "")["run_now"]["parameters"] == {"day": "2"}


async def test_answer_about_another_run_decides_nothing(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.unlisted = {1000}
    world.api.answers["runs/get/1000"] = (200, {"run_id": 7, **ended("SUCCESS", "SUCCESS")})
    for _ in range(3):
        await world.next_pass()
    noted = await world.entry(entry.id)
    assert (noted.status, noted.runid) == (Status.RUNNING, 1000)
    assert "asked for run_id 1000 and sent 7" in (noted.last_error or "")
    assert list(world.api.runs) == [1000]
    del world.api.answers["runs/get/1000"]
    world.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    await world.next_pass()
    assert (await world.entry(entry.id)).status is Status.DONE


@pytest.mark.parametrize("attempts", [1, 3])
async def test_repaired_run_goes_on_while_the_deprecated_state_shows_its_old_end(
    world: AnsweredWorld, attempts: int
) -> None:
    world.policy = policy(max_attempts=attempts)
    failed = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", life_cycle="INTERNAL_ERROR", result="FAILED")
    entry = await end(world, failed)
    world.api.runs[1000] = {"state": failed["state"], **goes_on()}
    await world.next_pass()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert list(world.api.runs) == [1000]
    world.api.runs[1000] = ended("SUCCESS", "SUCCESS", end_time=START_MS + 900_000)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
