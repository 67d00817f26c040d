"""Repairs, driven with databricks-sdk: the same run is active again, and ends once more."""

from typing import cast

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.jobs import (
    JobParameterDefinition,
    NotebookTask,
    RepairHistoryItem,
    RepairHistoryItemType,
    RepairRunResponse,
    RunLifecycleStateV2State,
    RunResultState,
    Task,
)

from tests.devstack.databricks.helpers import (
    ending,
    finished,
    make_chained_job,
    make_job,
    result_of,
    steer,
    submit,
)


def repair(sdk: WorkspaceClient, run_id: int, **arguments: object) -> int:
    """``runs/repair``; return the repair's id."""
    answer = cast(RepairRunResponse, sdk.jobs.repair_run(run_id, **arguments).response)  # type: ignore[arg-type]
    assert answer.repair_id is not None
    return answer.repair_id


def repair_failed(sdk: WorkspaceClient, run_id: int, latest: int | None = None) -> int:
    return repair(sdk, run_id, rerun_all_failed_tasks=True, latest_repair_id=latest)


def history(sdk: WorkspaceClient, run_id: int) -> list[RepairHistoryItem]:
    return sdk.jobs.get_run(run_id, include_history=True).repair_history or []


class TestOneTask:
    def test_the_same_run_is_active_again_and_ends_anew(
        self, sdk: WorkspaceClient, simulator_url: str
    ) -> None:
        fate = ending(simulator_url, "one", "FAILED", "SUCCESS")
        job = make_job(sdk)
        run_id = submit(sdk, job, notebook_params=fate)
        failed = finished(sdk, run_id)
        assert result_of(failed) == RunResultState.FAILED
        repair_failed(sdk, run_id)
        (active,) = sdk.jobs.list_runs(job_id=job, active_only=True)
        assert (active.run_id, active.end_time) == (run_id, 0)
        assert active.status is not None
        assert active.status.state in {RunLifecycleStateV2State.PENDING, RunLifecycleStateV2State.RUNNING}
        repaired = finished(sdk, run_id)
        assert result_of(repaired) == RunResultState.SUCCESS
        assert repaired.start_time == failed.start_time
        assert cast(int, repaired.end_time) > cast(int, failed.end_time)
        assert repaired.overriding_parameters is not None
        assert repaired.overriding_parameters.notebook_params == fate
        assert [(t.task_key, t.attempt_number) for t in repaired.tasks or []] == [("main", 0), ("main", 1)]

    def test_the_history_tells_every_part(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        run_id = submit(
            sdk,
            make_job(sdk),
            notebook_params=ending(simulator_url, "twice", "FAILED", "TIMEDOUT", "SUCCESS"),
        )
        finished(sdk, run_id)
        (original,) = history(sdk, run_id)
        assert (original.type, original.id) == (RepairHistoryItemType.ORIGINAL, None)
        first = repair_failed(sdk, run_id)
        finished(sdk, run_id)
        second = repair_failed(sdk, run_id, first)
        run = finished(sdk, run_id)
        parts = history(sdk, run_id)
        assert [(part.type, part.id) for part in parts] == [
            (RepairHistoryItemType.ORIGINAL, None),
            (RepairHistoryItemType.REPAIR, first),
            (RepairHistoryItemType.REPAIR, second),
        ]
        assert [part.state and part.state.result_state for part in parts] == [
            RunResultState.FAILED,
            RunResultState.TIMEDOUT,
            RunResultState.SUCCESS,
        ]
        assert [part.task_run_ids for part in parts] == [[task.run_id] for task in run.tasks or []]
        assert parts[0].start_time == run.start_time
        assert parts[-1].end_time == run.end_time
        spans = [cast(int, part.end_time) - cast(int, part.start_time) for part in parts]
        assert run.run_duration == pytest.approx(sum(spans), abs=3)
        assert sdk.jobs.get_run(run_id).repair_history == []

    def test_the_last_repair_must_be_named(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        run_id = submit(sdk, make_job(sdk), notebook_params=ending(simulator_url, "guarded", "FAILED"))
        finished(sdk, run_id)
        with pytest.raises(InvalidParameterValue, match="5 is not the latest repair ID"):
            repair_failed(sdk, run_id, 5)
        first = repair_failed(sdk, run_id)
        finished(sdk, run_id)
        with pytest.raises(InvalidParameterValue, match="latest repair ID needs to be provided"):
            repair_failed(sdk, run_id)
        repair_failed(sdk, run_id, first)
        finished(sdk, run_id)
        with pytest.raises(InvalidParameterValue, match="is not the latest repair ID"):
            repair_failed(sdk, run_id, first)

    def test_a_repair_whose_answer_was_lost_is_not_made_twice(
        self, sdk: WorkspaceClient, simulator_url: str
    ) -> None:
        """The client sends it again by itself, and the run is in progress, or it needs the repair's id."""
        run_id = submit(sdk, make_job(sdk), notebook_params=ending(simulator_url, "lost", "FAILED"))
        finished(sdk, run_id)
        steer(simulator_url, "faults", {"match": "runs/repair", "kind": "drop_after"})
        with pytest.raises(InvalidParameterValue, match=r"in progress|needs to be provided"):
            repair_failed(sdk, run_id)
        assert len(history(sdk, run_id)) == 2

    def test_a_run_in_progress_is_refused(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        run_id = submit(sdk, make_job(sdk), notebook_params=ending(simulator_url, "slow", run_seconds=60))
        with pytest.raises(InvalidParameterValue, match=f"Run {run_id} is in progress"):
            repair_failed(sdk, run_id)
        sdk.jobs.cancel_run(run_id)
        assert result_of(finished(sdk, run_id)) == RunResultState.CANCELED
        repair_failed(sdk, run_id)
        sdk.jobs.cancel_run(run_id)
        assert result_of(finished(sdk, run_id)) == RunResultState.CANCELED

    def test_a_run_that_succeeded_or_was_skipped_has_nothing_to_repair(
        self, sdk: WorkspaceClient, simulator_url: str
    ) -> None:
        job = make_job(sdk)
        run_id = submit(sdk, job, notebook_params=ending(simulator_url, "held", run_seconds=2))
        skipped = submit(sdk, job)
        with pytest.raises(InvalidParameterValue, match="was never started"):
            repair_failed(sdk, skipped)
        finished(sdk, run_id)
        with pytest.raises(InvalidParameterValue, match="has no failed tasks"):
            repair_failed(sdk, run_id)
        repair(sdk, run_id, rerun_tasks=["main"])
        assert result_of(finished(sdk, run_id)) == RunResultState.SUCCESS

    def test_a_repair_has_retries_of_its_own(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        fate = ending(simulator_url, "retried", "FAILED", "FAILED", "FAILED", "SUCCESS")
        task = Task(task_key="main", notebook_task=NotebookTask(notebook_path="/n"), max_retries=1)
        run_id = submit(sdk, make_job(sdk, task), notebook_params=fate)
        assert result_of(finished(sdk, run_id)) == RunResultState.FAILED
        repair_failed(sdk, run_id)
        run = finished(sdk, run_id)
        assert result_of(run) == RunResultState.SUCCESS
        assert [task.attempt_number for task in run.tasks or []] == [0, 1, 2, 3]

    def test_parameters_of_a_repair_replace_those_of_their_style(
        self, sdk: WorkspaceClient, simulator_url: str
    ) -> None:
        ending(simulator_url, "bad", "FAILED")
        job = make_job(sdk, parameters=[JobParameterDefinition(name="fate", default="")])
        run_id = submit(sdk, job, job_parameters={"fate": "bad"})
        finished(sdk, run_id)
        with pytest.raises(InvalidParameterValue, match="notebook_params cannot be used"):
            repair(sdk, run_id, rerun_all_failed_tasks=True, notebook_params={"fate": "good"})
        repair(sdk, run_id, rerun_all_failed_tasks=True, job_parameters={"fate": "good"})
        assert result_of(finished(sdk, run_id)) == RunResultState.SUCCESS


class TestSeveralTasks:
    """The job is a -> b -> c, and d by itself."""

    @pytest.fixture
    def job(self, sdk: WorkspaceClient) -> int:
        return make_chained_job(sdk)

    def repaired(self, sdk: WorkspaceClient, run_id: int) -> str:
        """The keys of the tasks that the newest repair ran, in the job's order."""
        run = finished(sdk, run_id)
        newest = history(sdk, run_id)[-1].task_run_ids or []
        return "".join(task.task_key for task in run.tasks or [] if task.run_id in newest)

    def test_the_failed_task_and_what_was_left_out_because_of_it(
        self, sdk: WorkspaceClient, simulator_url: str, job: int
    ) -> None:
        fate = ending(simulator_url, "b fails", "FAILED", "SUCCESS", task_key="b")
        run_id = submit(sdk, job, notebook_params=fate)
        assert result_of(finished(sdk, run_id)) == RunResultState.FAILED
        repair_failed(sdk, run_id)
        assert self.repaired(sdk, run_id) == "bc"
        assert result_of(sdk.jobs.get_run(run_id)) == RunResultState.SUCCESS

    @pytest.mark.parametrize(("dependents", "run"), [(False, "b"), (True, "bc")])
    def test_tasks_that_are_named(
        self, sdk: WorkspaceClient, job: int, *, dependents: bool, run: str
    ) -> None:
        run_id = submit(sdk, job)
        finished(sdk, run_id)
        repair(sdk, run_id, rerun_tasks=["b"], rerun_dependent_tasks=dependents)
        assert self.repaired(sdk, run_id) == run

    def test_what_is_no_choice_is_refused(self, sdk: WorkspaceClient, job: int) -> None:
        run_id = submit(sdk, job)
        finished(sdk, run_id)
        with pytest.raises(InvalidParameterValue, match=f"Run {run_id} has no task e"):
            repair(sdk, run_id, rerun_tasks=["e"])
        for both_or_none in ({}, {"rerun_tasks": ["a"], "rerun_all_failed_tasks": True}):
            with pytest.raises(InvalidParameterValue, match="Exactly one of"):
                repair(sdk, run_id, **both_or_none)
