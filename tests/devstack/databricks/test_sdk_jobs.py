"""What a job's own settings decide, driven with databricks-sdk: parameters, chosen tasks, continuity."""

from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.jobs import (
    Continuous,
    JobParameter,
    JobParameterDefinition,
    PauseStatus,
    PerformanceTarget,
    PipelineParams,
    RunResultState,
    Task,
    TaskDependency,
    TerminationCodeCode,
    TriggerType,
)

from tests.devstack.databricks.helpers import finished, make_chained_job, make_job, results_of, steer, submit

DECLARED = [JobParameterDefinition(name="table_name", default="none")]


class TestParameters:
    def test_a_job_tells_the_parameters_that_it_declares(self, sdk: WorkspaceClient) -> None:
        settings = sdk.jobs.get(make_job(sdk, parameters=DECLARED)).settings
        assert settings is not None
        assert settings.parameters == DECLARED

    def test_a_run_has_those_that_it_was_given_and_the_defaults_of_the_rest(
        self, sdk: WorkspaceClient
    ) -> None:
        job = make_job(sdk, parameters=[*DECLARED, JobParameterDefinition(name="mode", default="full")])
        run = sdk.jobs.get_run(submit(sdk, job, job_parameters={"table_name": "sales"}))
        assert run.job_parameters == [
            JobParameter(name="table_name", default="none", value="sales"),
            JobParameter(name="mode", default="full", value="full"),
        ]

    @pytest.mark.parametrize(
        ("style", "value"), [("notebook_params", {"table_name": "sales"}), ("python_params", ["sales"])]
    )
    def test_a_job_that_declares_parameters_refuses_those_of_tasks(
        self, sdk: WorkspaceClient, style: str, value: Any
    ) -> None:
        job = make_job(sdk, parameters=DECLARED)
        with pytest.raises(InvalidParameterValue, match=f"so {style} cannot be used; use job_parameters"):
            sdk.jobs.run_now(job, **{style: value})
        assert list(sdk.jobs.list_runs(job_id=job)) == []

    @pytest.mark.parametrize("names", [["a b"], ["a", "a"]])
    def test_a_bad_name_is_refused(self, sdk: WorkspaceClient, names: list[str]) -> None:
        with pytest.raises(InvalidParameterValue):
            make_job(sdk, parameters=[JobParameterDefinition(name=name, default="") for name in names])


def test_a_name_finds_every_job_that_has_it_whatever_its_case(sdk: WorkspaceClient) -> None:
    tasks = [Task(task_key="main")]
    names = ["Nightly load", "nightly LOAD", "nightly load 2", "nightly"]
    ids = [sdk.jobs.create(name=name, tasks=tasks).job_id for name in names]
    assert [job.job_id for job in sdk.jobs.list(name="NIGHTLY load", limit=1)] == [ids[1], ids[0]]
    assert list(sdk.jobs.list(name="load")) == []


def test_the_list_of_jobs_has_their_tasks_only_when_asked_for(sdk: WorkspaceClient) -> None:
    job_id = make_job(sdk, parameters=DECLARED)
    for expand_tasks, keys in [(False, []), (True, ["main"])]:
        job = next(job for job in sdk.jobs.list(expand_tasks=expand_tasks) if job.job_id == job_id)
        assert job.settings is not None
        assert [task.task_key for task in job.settings.tasks or []] == keys
        assert job.settings.parameters == DECLARED


def test_a_deleted_job_does_not_exist(sdk: WorkspaceClient) -> None:
    job = make_job(sdk)
    sdk.jobs.delete(job)
    with pytest.raises(InvalidParameterValue, match=f"Job {job} does not exist"):
        sdk.jobs.run_now(job)
    assert job not in [listed.job_id for listed in sdk.jobs.list()]


class TestOnly:
    """The job is a -> b -> c, and d by itself."""

    @pytest.fixture
    def job(self, sdk: WorkspaceClient) -> int:
        return make_chained_job(sdk)

    @pytest.mark.parametrize(
        ("only", "run"),
        [(["b"], "b"), (["+b"], "ab"), (["b+"], "bc"), (["+b+"], "abc"), (["c", "d"], "cd"), ([], "abcd")],
    )
    def test_the_chosen_tasks_run_and_the_others_are_disabled(
        self, sdk: WorkspaceClient, job: int, only: list[str], run: str
    ) -> None:
        ended = finished(sdk, submit(sdk, job, only=only))
        assert ended.state is not None
        assert ended.state.result_state == RunResultState.SUCCESS
        assert results_of(ended) == {key: "SUCCESS" if key in run else "DISABLED" for key in "abcd"}

    def test_an_unknown_task_is_refused(self, sdk: WorkspaceClient, job: int) -> None:
        with pytest.raises(InvalidParameterValue, match="The job has no task 'e'"):
            sdk.jobs.run_now(job, only=["+e"])


def test_a_task_that_is_disabled_in_the_job_does_not_run(sdk: WorkspaceClient) -> None:
    job = make_job(
        sdk,
        Task(task_key="a", disabled=True),
        Task(task_key="b", depends_on=[TaskDependency(task_key="a")]),
    )
    run = finished(sdk, submit(sdk, job))
    assert results_of(run) == {"a": "DISABLED", "b": "SUCCESS"}
    alone = finished(sdk, submit(sdk, make_job(sdk, Task(task_key="a", disabled=True))))
    assert alone.status is not None
    assert alone.status.termination_details is not None
    assert alone.status.termination_details.code == TerminationCodeCode.DISABLED


def test_a_run_tells_its_performance_target_and_its_pipeline_parameters(sdk: WorkspaceClient) -> None:
    run_id = submit(
        sdk,
        make_job(sdk),
        performance_target=PerformanceTarget.STANDARD,
        pipeline_params=PipelineParams(full_refresh=True),
    )
    run = sdk.jobs.get_run(run_id)
    assert run.effective_performance_target == PerformanceTarget.STANDARD
    assert run.overriding_parameters is not None
    assert run.overriding_parameters.pipeline_params == PipelineParams(full_refresh=True)


def run_now(sdk: WorkspaceClient, job: int) -> object:
    """``run-now`` as the client sends it; its own method expects a run id in every answer."""
    return sdk.api_client.do("POST", "/api/2.2/jobs/run-now", body={"job_id": job})


class TestContinuous:
    def test_its_run_is_started_anew_and_the_answer_names_none(self, sdk: WorkspaceClient) -> None:
        job = make_job(sdk, continuous=Continuous())
        (first,) = sdk.jobs.list_runs(job_id=job, active_only=True)
        assert first.run_id is not None
        assert first.trigger == TriggerType.CONTINUOUS
        assert run_now(sdk, job) == {}
        stopped = finished(sdk, first.run_id)
        assert stopped.state is not None
        assert stopped.state.result_state == RunResultState.CANCELED
        (second,) = sdk.jobs.list_runs(job_id=job, active_only=True)
        assert second.run_id != first.run_id
        assert second.trigger == TriggerType.CONTINUOUS_RESTART

    def test_a_run_that_failed_is_followed_by_another(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        steer(simulator_url, "outcomes", {"task_key": "stream", "results": ["FAILED", "SUCCESS"]})
        job = make_job(sdk, Task(task_key="stream"), continuous=Continuous())
        while len(runs := list(sdk.jobs.list_runs(job_id=job))) < 2:
            pass  # the test's time-out is the bound
        first = runs[-1]
        assert first.state is not None
        assert first.state.result_state == RunResultState.FAILED
        sdk.jobs.delete(job)

    def test_a_paused_one_runs_only_when_it_is_told_to(self, sdk: WorkspaceClient) -> None:
        job = make_job(sdk, continuous=Continuous(pause_status=PauseStatus.PAUSED))
        assert list(sdk.jobs.list_runs(job_id=job)) == []
        assert run_now(sdk, job) == {}
        (run,) = sdk.jobs.list_runs(job_id=job, active_only=True)
        assert run.run_id is not None
        sdk.jobs.cancel_run(run.run_id)
        finished(sdk, run.run_id)
        assert list(sdk.jobs.list_runs(job_id=job, active_only=True)) == []

    def test_several_runs_at_once_are_refused(self, sdk: WorkspaceClient) -> None:
        with pytest.raises(InvalidParameterValue, match="must have max_concurrent_runs 1"):
            make_job(sdk, continuous=Continuous(), max_concurrent_runs=2)
