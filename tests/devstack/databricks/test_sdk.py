"""databricks-sdk, the real client, against the simulator as a process."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    InvalidParameterValue,
    OperationFailed,
    PermissionDenied,
    ResourceDoesNotExist,
)
from databricks.sdk.service.jobs import (
    NotebookTask,
    QueueDetailsCodeCode,
    QueueSettings,
    RunLifeCycleState,
    RunLifecycleStateV2State,
    RunResultState,
    Task,
    TaskDependency,
    TerminationCodeCode,
)

from tests.devstack.databricks.conftest import JOB_ID
from tests.devstack.databricks.helpers import WAIT, finished, make_job, sdk_client, steer, submit


def test_submit_and_wait(sdk: WorkspaceClient) -> None:
    run = sdk.jobs.run_now(JOB_ID, notebook_params={"table_name": "sales"}).result(timeout=WAIT)
    assert run.state is not None
    assert run.state.life_cycle_state == RunLifeCycleState.TERMINATED
    assert run.state.result_state == RunResultState.SUCCESS
    assert run.status is not None
    assert run.status.state == RunLifecycleStateV2State.TERMINATED
    assert run.status.termination_details is not None
    assert run.status.termination_details.code == TerminationCodeCode.SUCCESS
    assert run.job_id == JOB_ID
    assert run.number_in_job == run.run_id
    assert run.overriding_parameters is not None
    assert run.overriding_parameters.notebook_params == {"table_name": "sales"}
    assert run.run_page_url is not None
    assert run.run_page_url.endswith(f"#job/{JOB_ID}/run/{run.run_id}")
    times = (run.start_time, run.end_time, run.run_duration, run.setup_duration, run.execution_duration)
    start, end, whole, setup, execution = (time or 0 for time in times)
    assert start > 1_700_000_000_000
    assert end - start == pytest.approx(whole, abs=2)
    assert setup + execution == pytest.approx(whole, abs=2)
    assert execution >= 75


def test_a_token_finds_its_run_again(sdk: WorkspaceClient) -> None:
    first = submit(sdk, JOB_ID, idempotency_token="again")
    assert submit(sdk, JOB_ID, idempotency_token="again") == first
    assert submit(sdk, JOB_ID, idempotency_token="other") != first


def test_a_lost_answer_makes_no_second_run(sdk: WorkspaceClient, simulator_url: str) -> None:
    """The SDK sends the request again by itself when the connection breaks."""
    job = make_job(sdk, max_concurrent_runs=10)
    steer(simulator_url, "faults", {"match": "run-now", "kind": "drop_after"})
    run_id = submit(sdk, job, idempotency_token="lost")
    assert [run.run_id for run in sdk.jobs.list_runs(job_id=job)] == [run_id]


def test_listing_goes_over_several_pages(sdk: WorkspaceClient) -> None:
    job = make_job(sdk, max_concurrent_runs=1000)
    assert list(sdk.jobs.list_runs(job_id=job)) == []
    ids = [submit(sdk, job) for _ in range(30)]
    assert [run.run_id for run in sdk.jobs.list_runs(job_id=job, limit=7)] == ids[::-1]
    with_tasks = list(sdk.jobs.list_runs(job_id=job, expand_tasks=True))
    assert [len(run.tasks or []) for run in with_tasks] == [1] * 30
    for run_id in ids:
        finished(sdk, run_id)
    assert list(sdk.jobs.list_runs(job_id=job, active_only=True)) == []
    assert len(list(sdk.jobs.list_runs(job_id=job, completed_only=True))) == 30


def test_active_and_completed_exclude_each_other(sdk: WorkspaceClient) -> None:
    with pytest.raises(InvalidParameterValue):
        list(sdk.jobs.list_runs(active_only=True, completed_only=True))


def test_a_failed_run_tells_why_through_its_task(sdk: WorkspaceClient, simulator_url: str) -> None:
    rule = {
        "match": {"table_name": "bad"},
        "results": ["FAILED"],
        "error": "ValueError: boom",
        "error_trace": "t\nr",
    }
    steer(simulator_url, "outcomes", rule)
    run_id = submit(sdk, JOB_ID, notebook_params={"table_name": "bad"})
    with pytest.raises(OperationFailed, match="INTERNAL_ERROR"):
        sdk.jobs.wait_get_run_job_terminated_or_skipped(run_id, timeout=WAIT)
    run = sdk.jobs.get_run(run_id)
    assert run.state is not None
    assert run.state.result_state == RunResultState.FAILED
    assert run.status is not None
    assert run.status.state == RunLifecycleStateV2State.TERMINATED
    assert run.status.termination_details is not None
    assert run.status.termination_details.code == TerminationCodeCode.RUN_EXECUTION_ERROR
    assert run.tasks is not None
    task_run_id = run.tasks[0].run_id
    assert task_run_id is not None
    output = sdk.jobs.get_run_output(task_run_id)
    assert (output.error, output.error_trace) == ("ValueError: boom", "t\nr")
    assert output.metadata is not None
    assert output.metadata.run_id == task_run_id
    assert sdk.jobs.get_run(task_run_id).job_run_id == run_id
    assert sdk.jobs.get_run_output(run_id).error == "ValueError: boom"


def test_the_output_of_a_run_of_several_tasks_is_refused(sdk: WorkspaceClient) -> None:
    run_id = submit(sdk, make_job(sdk, Task(task_key="a"), Task(task_key="b")))
    with pytest.raises(InvalidParameterValue, match="multiple tasks is not supported"):
        sdk.jobs.get_run_output(run_id)


def test_every_attempt_of_every_task_is_listed(sdk: WorkspaceClient, simulator_url: str) -> None:
    path = NotebookTask(notebook_path="/simulated", base_parameters={"kind": "retried"})
    job = make_job(
        sdk,
        Task(task_key="extract", notebook_task=path, max_retries=2),
        Task(task_key="load", notebook_task=path, depends_on=[TaskDependency(task_key="extract")]),
    )
    rule = {"match": {"kind": "retried"}, "task_key": "extract", "results": ["FAILED", "SUCCESS"]}
    steer(simulator_url, "outcomes", rule)
    run = sdk.jobs.run_now(job).result(timeout=WAIT)
    assert run.tasks is not None
    assert [(t.task_key, t.attempt_number) for t in run.tasks] == [
        ("extract", 0),
        ("load", 0),
        ("extract", 1),
    ]
    states = [t.state.result_state for t in run.tasks if t.state]
    assert states == [RunResultState.FAILED, RunResultState.SUCCESS, RunResultState.SUCCESS]
    assert run.state is not None
    assert run.state.result_state == RunResultState.SUCCESS
    assert (run.setup_duration, run.execution_duration) == (0, 0)


def test_cancel(sdk: WorkspaceClient, simulator_url: str) -> None:
    steer(simulator_url, "outcomes", {"match": {"table_name": "slow"}, "run_seconds": 60})
    run_id = submit(sdk, JOB_ID, notebook_params={"table_name": "slow"})
    run = sdk.jobs.cancel_run(run_id).result(timeout=WAIT)
    assert run.state is not None
    assert run.state.result_state == RunResultState.CANCELED
    assert run.state.user_cancelled_or_timedout is True
    assert run.status is not None
    assert run.status.termination_details is not None
    assert run.status.termination_details.code == TerminationCodeCode.USER_CANCELED
    assert sdk.jobs.cancel_run(run_id).result(timeout=WAIT).end_time == run.end_time


def test_a_job_skips_or_queues_over_its_limit(sdk: WorkspaceClient, simulator_url: str) -> None:
    steer(simulator_url, "outcomes", {"match": {"table_name": "held"}, "run_seconds": 600})
    job = make_job(sdk)
    first_id = submit(sdk, job, notebook_params={"table_name": "held"})
    skipped = finished(sdk, submit(sdk, job))
    assert skipped.state is not None
    assert skipped.state.life_cycle_state == RunLifeCycleState.SKIPPED
    assert skipped.state.result_state == RunResultState.MAXIMUM_CONCURRENT_RUNS_REACHED
    queued = sdk.jobs.get_run(submit(sdk, job, queue=QueueSettings(enabled=True)))
    assert queued.status is not None
    assert queued.status.state == RunLifecycleStateV2State.QUEUED
    assert queued.status.queue_details is not None
    assert queued.status.queue_details.code == QueueDetailsCodeCode.MAX_CONCURRENT_RUNS_REACHED
    sdk.jobs.cancel_run(first_id)
    assert queued.run_id is not None
    released = finished(sdk, queued.run_id)
    assert released.state is not None
    assert released.state.result_state == RunResultState.SUCCESS
    assert released.queue_duration


def test_jobs_are_created_shown_and_listed(sdk: WorkspaceClient) -> None:
    job_id = make_job(sdk, max_concurrent_runs=40, queue=QueueSettings(enabled=True))
    job = sdk.jobs.get(job_id)
    assert job.settings is not None
    assert (job.settings.name, job.settings.max_concurrent_runs) == ("made by the test", 40)
    assert job.settings.queue == QueueSettings(enabled=True)
    assert job_id in [listed.job_id for listed in sdk.jobs.list(name="Made by the test", limit=1)]


def test_errors_become_the_clients_own_exceptions(sdk: WorkspaceClient, simulator_url: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"Job 99 does not exist\."):
        sdk.jobs.run_now(99)
    with pytest.raises(ResourceDoesNotExist, match=r"Job 99 does not exist\."):
        sdk.jobs.get(99)
    with pytest.raises(ResourceDoesNotExist, match=r"Run 99 does not exist\."):
        sdk.jobs.get_run(99)
    with pytest.raises(ResourceDoesNotExist, match=r"Run 99 does not exist\."):
        sdk.jobs.get_run_output(99)
    with pytest.raises(InvalidParameterValue, match="cannot exceed 10000 bytes"):
        sdk.jobs.run_now(JOB_ID, notebook_params={"a": "x" * 10_000})
    stranger = sdk_client(simulator_url, "wrong")
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        stranger.jobs.get(JOB_ID)


def test_a_fault_reaches_the_client_as_its_exception(sdk: WorkspaceClient, simulator_url: str) -> None:
    body = {"error_code": "PERMISSION_DENIED", "message": "No permission on this job."}
    steer(simulator_url, "faults", {"match": "run-now", "kind": "status", "status": 403, "body": body})
    with pytest.raises(PermissionDenied, match="No permission on this job"):
        sdk.jobs.run_now(JOB_ID)


def test_the_client_waits_out_a_rate_limit(sdk: WorkspaceClient, simulator_url: str) -> None:
    body = {"error_code": "RESOURCE_EXHAUSTED", "message": "Too many requests."}
    fault = {
        "match": "jobs/get",
        "kind": "status",
        "status": 429,
        "body": body,
        "headers": {"Retry-After": 1},
    }
    steer(simulator_url, "faults", fault)
    assert sdk.jobs.get(JOB_ID).job_id == JOB_ID
