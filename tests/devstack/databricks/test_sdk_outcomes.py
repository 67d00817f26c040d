"""How runs can be asked to end, seen with databricks-sdk."""

from typing import cast

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import Run as SdkRun
from databricks.sdk.service.jobs import (
    RunLifeCycleState,
    RunResultState,
    RunTask,
    Task,
    TerminationCodeCode,
    TerminationDetails,
    TerminationTypeType,
)

from tests.devstack.databricks.helpers import ending, finished, make_job, submit

#: Codes of which Databricks or the cloud is the cause.
TYPES = {
    "SUCCESS": TerminationTypeType.SUCCESS,
    "SUCCESS_WITH_FAILURES": TerminationTypeType.SUCCESS,
    "INTERNAL_ERROR": TerminationTypeType.INTERNAL_ERROR,
    "CLOUD_FAILURE": TerminationTypeType.CLOUD_FAILURE,
}

#: A result is called as its termination code, but for this one.
RESULTS = {"RUN_EXECUTION_ERROR": "FAILED"}


@pytest.fixture(scope="module")
def jobs() -> dict[str, int]:
    """The job of these tests, once it was made."""
    return {}


@pytest.fixture
def job(sdk: WorkspaceClient, jobs: dict[str, int]) -> int:
    if not jobs:
        jobs["job"] = make_job(sdk, max_concurrent_runs=1000)
    return jobs["job"]


def details(run: SdkRun | RunTask) -> TerminationDetails:
    assert run.status is not None
    assert run.status.termination_details is not None
    return run.status.termination_details


def only_task(run: SdkRun) -> RunTask:
    assert run.tasks is not None
    (task,) = run.tasks
    return task


@pytest.mark.parametrize("code", sorted(code.value for code in TerminationCodeCode))
def test_every_termination_code_can_be_asked_for(
    sdk: WorkspaceClient, simulator_url: str, job: int, code: str
) -> None:
    fate = ending(simulator_url, code, RESULTS.get(code, code), run_seconds=0)
    run = finished(sdk, submit(sdk, job, notebook_params=fate))
    for told in (details(run), details(only_task(run))):
        assert told.code == TerminationCodeCode(code)
        assert told.type == TYPES.get(code, TerminationTypeType.CLIENT_ERROR)


@pytest.mark.parametrize(
    ("result", "states"),
    [
        ("SKIPPED", (RunLifeCycleState.SKIPPED, RunResultState.EXCLUDED)),
        ("EXCLUDED", (RunLifeCycleState.SKIPPED, RunResultState.EXCLUDED)),
        ("DISABLED", (RunLifeCycleState.SKIPPED, RunResultState.DISABLED)),
        (
            "MAX_JOB_QUEUE_SIZE_EXCEEDED",
            (RunLifeCycleState.SKIPPED, RunResultState.MAXIMUM_CONCURRENT_RUNS_REACHED),
        ),
        ("BREAKING_CHANGE", (RunLifeCycleState.INTERNAL_ERROR, RunResultState.FAILED)),
        ("CANCELED", (RunLifeCycleState.TERMINATED, RunResultState.CANCELED)),
        ("USER_CANCELED", (RunLifeCycleState.TERMINATED, RunResultState.CANCELED)),
        ("TIMEDOUT", (RunLifeCycleState.TERMINATED, RunResultState.TIMEDOUT)),
    ],
)
def test_the_state_of_a_run_that_ended_so(
    sdk: WorkspaceClient,
    simulator_url: str,
    job: int,
    result: str,
    states: tuple[RunLifeCycleState, RunResultState],
) -> None:
    fate = ending(simulator_url, f"state {result}", result, run_seconds=0)
    run = finished(sdk, submit(sdk, job, notebook_params=fate))
    assert run.state is not None
    assert (run.state.life_cycle_state, run.state.result_state) == states


def test_a_library_failure_is_told_in_the_tasks_termination_details_only(
    sdk: WorkspaceClient, simulator_url: str, job: int
) -> None:
    text = "Library resolution failed: no such package as pandsa"
    fate = ending(simulator_url, "library", "LIBRARY_INSTALLATION_ERROR", error=text)
    run = finished(sdk, submit(sdk, job, notebook_params=fate))
    task = only_task(run)
    assert details(task).message == text
    assert task.execution_duration == 0
    output = sdk.jobs.get_run_output(cast(int, task.run_id))
    assert output.error is None
    elsewhere = (run.state, task.state, details(run), output.metadata and output.metadata.state)
    assert text not in str(elsewhere)


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (None, (True, True, False)),
        (["status"], (True, False, False)),
        (["state"], (False, True, False)),
        (["output"], (False, False, True)),
        ([], (False, False, False)),
    ],
)
def test_the_text_of_an_error_can_be_anywhere(
    sdk: WorkspaceClient,
    simulator_url: str,
    job: int,
    places: list[str] | None,
    told: tuple[bool, bool, bool],
) -> None:
    text = "Driver could not be reached"
    fate = ending(simulator_url, f"in {places}", "CLUSTER_ERROR", error=text, error_in=places)
    task = only_task(finished(sdk, submit(sdk, job, notebook_params=fate)))
    output = sdk.jobs.get_run_output(cast(int, task.run_id))
    assert task.state is not None
    assert (details(task).message == text, task.state.state_message == text, output.error == text) == told


def test_code_and_type_can_be_others_than_usual(sdk: WorkspaceClient, simulator_url: str, job: int) -> None:
    fate = ending(
        simulator_url,
        "other type",
        "FAILED",
        termination_code="DRIVER_ERROR",
        termination_type="INTERNAL_ERROR",
    )
    run = finished(sdk, submit(sdk, job, notebook_params=fate))
    assert details(run).code == TerminationCodeCode.DRIVER_ERROR
    assert details(run).type == TerminationTypeType.INTERNAL_ERROR


def test_a_code_that_the_client_does_not_know(sdk: WorkspaceClient, simulator_url: str, job: int) -> None:
    fate = ending(simulator_url, "news", "FAILED", termination_code="MARS_RETROGRADE")
    run_id = submit(sdk, job, notebook_params=fate)
    assert details(finished(sdk, run_id)).code is None
    answer = sdk.api_client.do("GET", "/api/2.2/jobs/runs/get", query={"run_id": run_id})
    assert "'MARS_RETROGRADE'" in str(answer)


def test_a_cancellation_by_the_api_is_a_users(sdk: WorkspaceClient, simulator_url: str, job: int) -> None:
    run_id = submit(sdk, job, notebook_params=ending(simulator_url, "long", run_seconds=600))
    sdk.jobs.cancel_run(run_id)
    assert details(finished(sdk, run_id)).code == TerminationCodeCode.USER_CANCELED


class TestExitValue:
    def test_it_is_in_the_output_of_the_task(
        self, sdk: WorkspaceClient, simulator_url: str, job: int
    ) -> None:
        value = '{"rows": 17, "path": "überall"}'
        run = finished(sdk, submit(sdk, job, notebook_params=ending(simulator_url, "exit", exit_value=value)))
        for run_id in (run.run_id, only_task(run).run_id):
            output = sdk.jobs.get_run_output(cast(int, run_id)).notebook_output
            assert output is not None
            assert (output.result, output.truncated) == (value, False)

    def test_it_is_cut_after_five_megabytes(self, sdk: WorkspaceClient, simulator_url: str, job: int) -> None:
        value = "x" * (5 * 1024 * 1024 + 1)
        run = finished(sdk, submit(sdk, job, notebook_params=ending(simulator_url, "much", exit_value=value)))
        output = sdk.jobs.get_run_output(cast(int, run.run_id)).notebook_output
        assert output is not None
        assert (output.result, output.truncated) == (value[:-1], True)

    def test_there_is_none_unless_it_is_asked_for(self, sdk: WorkspaceClient, job: int) -> None:
        run = finished(sdk, submit(sdk, job))
        output = sdk.jobs.get_run_output(cast(int, run.run_id)).notebook_output
        assert output is not None
        assert output.result is None


def test_a_task_with_failures_leaves_its_run_with_failures(sdk: WorkspaceClient, simulator_url: str) -> None:
    fate = ending(simulator_url, "partly", "SUCCESS_WITH_FAILURES", task_key="a")
    job = make_job(sdk, Task(task_key="a"), Task(task_key="b"))
    run = finished(sdk, submit(sdk, job, notebook_params=fate))
    assert run.state is not None
    assert run.state.result_state == RunResultState.SUCCESS_WITH_FAILURES
    assert details(run).code == TerminationCodeCode.SUCCESS_WITH_FAILURES
