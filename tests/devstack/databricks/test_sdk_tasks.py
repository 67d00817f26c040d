"""Jobs of many kinds of tasks, driven with databricks-sdk."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.jobs import (
    ConditionTask,
    ConditionTaskOp,
    ForEachTask,
    ForEachTaskErrorMessageStats,
    ForEachTaskTaskRunStats,
    JobParameterDefinition,
    NotebookTask,
    QueueSettings,
    RunIf,
    RunJobTask,
    RunResultState,
    RunTask,
    Task,
    TaskDependency,
    TriggerType,
)
from databricks.sdk.service.jobs import Run as SdkRun

from tests.devstack.databricks.helpers import ending, finished, make_job, result_of, results_of, submit


def after(*keys: str, outcome: str | None = None) -> list[TaskDependency]:
    return [TaskDependency(task_key=key, outcome=outcome) for key in keys]


def task_of(run: SdkRun, key: str) -> RunTask:
    """The newest attempt of a task."""
    return [task for task in run.tasks or [] if task.task_key == key][-1]


class TestRunIf:
    @pytest.mark.parametrize(
        ("run_if", "results", "expected"),
        [
            (None, ["SUCCESS", "SUCCESS"], "SUCCESS"),
            (None, ["SUCCESS", "FAILED"], "UPSTREAM_FAILED"),
            (None, ["SUCCESS", "CANCELED"], "UPSTREAM_CANCELED"),
            (None, ["SUCCESS", "EXCLUDED"], "SUCCESS"),
            (None, ["EXCLUDED", "EXCLUDED"], "EXCLUDED"),
            (RunIf.ALL_DONE, ["FAILED", "FAILED"], "SUCCESS"),
            (RunIf.NONE_FAILED, ["SUCCESS", "EXCLUDED"], "SUCCESS"),
            (RunIf.NONE_FAILED, ["SUCCESS", "FAILED"], "UPSTREAM_FAILED"),
            (RunIf.AT_LEAST_ONE_SUCCESS, ["FAILED", "SUCCESS"], "SUCCESS"),
            (RunIf.AT_LEAST_ONE_SUCCESS, ["FAILED", "FAILED"], "UPSTREAM_FAILED"),
            (RunIf.AT_LEAST_ONE_FAILED, ["SUCCESS", "FAILED"], "SUCCESS"),
            (RunIf.AT_LEAST_ONE_FAILED, ["SUCCESS", "SUCCESS"], "EXCLUDED"),
            (RunIf.ALL_FAILED, ["FAILED", "FAILED"], "SUCCESS"),
            (RunIf.ALL_FAILED, ["SUCCESS", "FAILED"], "EXCLUDED"),
        ],
    )
    def test_what_must_have_become_of_the_tasks_before(
        self,
        sdk: WorkspaceClient,
        simulator_url: str,
        run_if: RunIf | None,
        results: Sequence[str],
        expected: str,
    ) -> None:
        name = f"{run_if} {results}"
        for key, result in zip("ab", results, strict=True):
            ending(simulator_url, name, result, task_key=key, run_seconds=0)
        last = Task(task_key="c", depends_on=after("a", "b"), run_if=run_if)
        job = make_job(sdk, Task(task_key="a"), Task(task_key="b"), last)
        run = finished(sdk, submit(sdk, job, notebook_params={"fate": name}))
        assert results_of(run)["c"] == expected

    def test_a_run_whose_last_task_succeeds_after_a_failure_has_failures(
        self, sdk: WorkspaceClient, simulator_url: str
    ) -> None:
        fate = ending(simulator_url, "handled", "FAILED", task_key="a")
        handler = Task(task_key="b", depends_on=after("a"), run_if=RunIf.AT_LEAST_ONE_FAILED)
        run = finished(sdk, submit(sdk, make_job(sdk, Task(task_key="a"), handler), notebook_params=fate))
        assert result_of(run) == RunResultState.SUCCESS_WITH_FAILURES

    def test_a_handler_that_was_not_needed_leaves_a_success(self, sdk: WorkspaceClient) -> None:
        handler = Task(task_key="b", depends_on=after("a"), run_if=RunIf.AT_LEAST_ONE_FAILED)
        run = finished(sdk, submit(sdk, make_job(sdk, Task(task_key="a"), handler)))
        assert results_of(run) == {"a": "SUCCESS", "b": "EXCLUDED"}
        assert result_of(run) == RunResultState.SUCCESS

    def test_a_cancelled_run_starts_nothing_more(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        fate = ending(simulator_url, "held up", task_key="a", run_seconds=600)
        always = Task(task_key="b", depends_on=after("a"), run_if=RunIf.ALL_DONE)
        run_id = submit(sdk, make_job(sdk, Task(task_key="a"), always), notebook_params=fate)
        sdk.jobs.cancel_run(run_id)
        run = finished(sdk, run_id)
        assert results_of(run) == {"a": "CANCELED", "b": "CANCELED"}


class TestIfElse:
    @pytest.mark.parametrize(
        ("op", "value", "outcome"),
        [
            (ConditionTaskOp.EQUAL_TO, "12", "true"),
            (ConditionTaskOp.EQUAL_TO, "12.0", "false"),
            (ConditionTaskOp.NOT_EQUAL, "12.0", "true"),
            (ConditionTaskOp.GREATER_THAN, "100", "true"),
            (ConditionTaskOp.GREATER_THAN_OR_EQUAL, "12.0", "true"),
            (ConditionTaskOp.LESS_THAN, "12", "false"),
            (ConditionTaskOp.LESS_THAN_OR_EQUAL, "12", "true"),
        ],
    )
    def test_only_the_branch_of_its_outcome_runs(
        self, sdk: WorkspaceClient, op: ConditionTaskOp, value: str, outcome: str
    ) -> None:
        condition = ConditionTask(op=op, left="{{job.parameters.rows}}", right="12")
        job = make_job(
            sdk,
            Task(task_key="if", condition_task=condition),
            Task(task_key="then", depends_on=after("if", outcome="true")),
            Task(task_key="else", depends_on=after("if", outcome="false")),
            Task(task_key="more", depends_on=after("else")),
            parameters=[JobParameterDefinition(name="rows", default="")],
        )
        run = finished(sdk, submit(sdk, job, job_parameters={"rows": value}))
        told = task_of(run, "if").condition_task
        assert told is not None
        assert told.outcome == outcome
        assert result_of(run) == RunResultState.SUCCESS
        branches = ("SUCCESS", "EXCLUDED") if outcome == "true" else ("EXCLUDED", "SUCCESS")
        assert results_of(run) == {
            "if": "SUCCESS",
            "then": branches[0],
            "else": branches[1],
            "more": branches[1],
        }

    def test_operands_that_are_not_numbers_fail_it(self, sdk: WorkspaceClient) -> None:
        condition = ConditionTask(op=ConditionTaskOp.LESS_THAN, left="many", right="12")
        run = finished(sdk, submit(sdk, make_job(sdk, Task(task_key="if", condition_task=condition))))
        assert result_of(run) == RunResultState.FAILED
        assert "many" in str(sdk.jobs.get_run_output(cast(int, task_of(run, "if").run_id)).error)

    def test_an_unknown_operator_is_refused(self, sdk: WorkspaceClient) -> None:
        condition = {"op": "ALMOST", "left": "1", "right": "2"}
        body = {"tasks": [{"task_key": "if", "condition_task": condition}]}
        with pytest.raises(InvalidParameterValue, match="op must be one of"):
            sdk.api_client.do("POST", "/api/2.2/jobs/create", body=body)


class TestForEach:
    def make(self, sdk: WorkspaceClient, inputs: str, *, retries: int = 0, concurrency: int = 2) -> int:
        notebook = NotebookTask(notebook_path="/n", base_parameters={"item": "{{input}}"})
        inner = Task(task_key="inner", notebook_task=notebook, max_retries=retries)
        return make_job(
            sdk,
            Task(
                task_key="loop",
                for_each_task=ForEachTask(inputs=inputs, task=inner, concurrency=concurrency),
            ),
            Task(task_key="next", depends_on=after("loop")),
            parameters=[JobParameterDefinition(name="fate", default="")],
        )

    def test_every_item_is_an_iteration(self, sdk: WorkspaceClient) -> None:
        run = finished(sdk, submit(sdk, self.make(sdk, '["x", 2, {"k": 1}]')))
        assert results_of(run) == {"loop": "SUCCESS", "next": "SUCCESS"}
        loop = sdk.jobs.get_run(cast(int, task_of(run, "loop").run_id))
        assert [task.task_key for task in loop.tasks or []] == ["loop"]
        iterations = loop.iterations or []
        assert [iteration.task_key for iteration in iterations] == ["inner"] * 3
        assert len({iteration.run_id for iteration in iterations}) == 3
        starts = [cast(int, iteration.start_time) for iteration in iterations]
        ends = [cast(int, iteration.end_time) for iteration in iterations]
        assert starts[1] < min(ends), "two at once"
        assert starts[2] >= min(ends[:2]), "but not three"

    def test_the_error_of_an_iteration_is_in_its_own_output(
        self, sdk: WorkspaceClient, simulator_url: str
    ) -> None:
        job = self.make(sdk, '["good", "bad"]')
        match = {"item": "bad", "fate": "one bad"}
        ending(simulator_url, "one bad", "FAILED", match=match, error="ValueError: bad item")
        run = finished(sdk, submit(sdk, job, job_parameters={"fate": "one bad"}))
        assert results_of(run) == {"loop": "FAILED", "next": "UPSTREAM_FAILED"}
        task = task_of(run, "loop")
        assert "1 of 2 iterations failed" in str(sdk.jobs.get_run_output(cast(int, task.run_id)).error)
        assert task.for_each_task is not None
        assert task.for_each_task.stats is not None
        assert task.for_each_task.stats.task_run_stats == ForEachTaskTaskRunStats(
            total_iterations=2,
            scheduled_iterations=2,
            active_iterations=0,
            completed_iterations=2,
            succeeded_iterations=1,
            failed_iterations=1,
        )
        assert task.for_each_task.stats.error_message_stats == [
            ForEachTaskErrorMessageStats(
                count=1, error_message="ValueError: bad item", termination_category="RUN_EXECUTION_ERROR"
            )
        ]
        iterations = sdk.jobs.get_run(cast(int, task.run_id)).iterations or []
        errors = [sdk.jobs.get_run_output(cast(int, one.run_id)).error for one in iterations]
        assert errors == [None, "ValueError: bad item"]

    def test_an_iteration_is_tried_again(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        fate = ending(simulator_url, "flaky", "FAILED", "SUCCESS", task_key="inner")
        run = finished(sdk, submit(sdk, self.make(sdk, '["a"]', retries=1), job_parameters=fate))
        assert result_of(run) == RunResultState.SUCCESS
        loop = sdk.jobs.get_run(cast(int, task_of(run, "loop").run_id))
        assert [one.attempt_number for one in loop.iterations or []] == [0, 1]

    @pytest.mark.parametrize(("inputs", "result"), [("[]", "SUCCESS"), ("{}", "FAILED"), ("?", "FAILED")])
    def test_inputs_that_are_empty_or_not_a_list(
        self, sdk: WorkspaceClient, inputs: str, result: str
    ) -> None:
        run = finished(sdk, submit(sdk, self.make(sdk, inputs)))
        assert results_of(run)["loop"] == result

    def test_a_cancellation_ends_its_iterations(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        fate = ending(simulator_url, "endless", task_key="inner", run_seconds=600)
        run_id = submit(sdk, self.make(sdk, "[1, 2, 3]"), job_parameters=fate)
        sdk.jobs.cancel_run(run_id)
        run = finished(sdk, run_id)
        assert results_of(run) == {"loop": "CANCELED", "next": "CANCELED"}
        iterations = sdk.jobs.get_run(cast(int, task_of(run, "loop").run_id)).iterations or []
        assert [one.state and one.state.result_state for one in iterations] == [RunResultState.CANCELED] * 2

    def test_more_than_a_hundred_iterations_take_several_pages(self, sdk: WorkspaceClient) -> None:
        job = self.make(sdk, str(list(range(230))), concurrency=230)
        run = finished(sdk, submit(sdk, job))
        loop_id = task_of(run, "loop").run_id
        page = sdk.api_client.do("GET", "/api/2.2/jobs/runs/get", query={"run_id": loop_id})
        assert isinstance(page, dict)
        assert len(page["iterations"]) == 100
        assert page["next_page_token"]
        loop = sdk.jobs.get_run(cast(int, loop_id))
        assert len({iteration.run_id for iteration in loop.iterations or []}) == 230


class TestRunJob:
    def parent(self, sdk: WorkspaceClient, child: int, **parameters: Any) -> int:
        run_job = RunJobTask(job_id=child, **parameters)
        return make_job(sdk, Task(task_key="call", run_job_task=run_job))

    def child_of(self, sdk: WorkspaceClient, run: SdkRun) -> SdkRun:
        output = sdk.jobs.get_run_output(cast(int, task_of(run, "call").run_id))
        assert output.run_job_output is not None
        return sdk.jobs.get_run(cast(int, output.run_job_output.run_id))

    def test_it_starts_a_run_of_the_other_job(self, sdk: WorkspaceClient) -> None:
        declared = [JobParameterDefinition(name="table_name", default="")]
        child_job = make_job(sdk, parameters=declared)
        parent_job = self.parent(sdk, child_job, job_parameters={"table_name": "sales"})
        run = finished(sdk, submit(sdk, parent_job))
        assert result_of(run) == RunResultState.SUCCESS
        assert run.trigger_info is None
        child = self.child_of(sdk, run)
        (listed,) = sdk.jobs.list_runs(job_id=child_job)
        for told in (child, listed):
            assert told.job_id == child_job
            assert told.trigger == TriggerType.RUN_JOB_TASK
            assert told.trigger_info is not None
            assert told.trigger_info.run_id == task_of(run, "call").run_id
        assert child.job_parameters is not None
        assert child.job_parameters[0].value == "sales"

    def test_the_failure_of_the_child_is_the_tasks(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        fate = ending(simulator_url, "child", "FAILED", error="ValueError: in the child")
        run = finished(sdk, submit(sdk, self.parent(sdk, make_job(sdk), notebook_params=fate)))
        assert results_of(run) == {"call": "FAILED"}
        child = self.child_of(sdk, run)
        assert sdk.jobs.get_run_output(cast(int, child.run_id)).error == "ValueError: in the child"
        assert "in the child" not in str(sdk.jobs.get_run_output(cast(int, task_of(run, "call").run_id)))

    def test_a_cancellation_reaches_the_child(self, sdk: WorkspaceClient, simulator_url: str) -> None:
        fate = ending(simulator_url, "long child", run_seconds=600)
        child_job = make_job(sdk)
        run_id = submit(sdk, self.parent(sdk, child_job, notebook_params=fate))
        while not list(sdk.jobs.list_runs(job_id=child_job)):
            pass  # the test's time-out is the bound
        sdk.jobs.cancel_run(run_id)
        run = finished(sdk, run_id)
        assert result_of(run) == RunResultState.CANCELED
        assert result_of(self.child_of(sdk, run)) == RunResultState.CANCELED

    @pytest.mark.parametrize(("queue", "result"), [(True, "SUCCESS"), (False, "FAILED")])
    def test_a_child_that_has_no_room_waits_or_fails_the_task(
        self, sdk: WorkspaceClient, simulator_url: str, *, queue: bool, result: str
    ) -> None:
        child_job = make_job(sdk, queue=QueueSettings(enabled=queue))
        submit(sdk, child_job, notebook_params=ending(simulator_url, "in the way", run_seconds=1))
        run = finished(sdk, submit(sdk, self.parent(sdk, child_job)))
        assert results_of(run) == {"call": result}
        assert bool(self.child_of(sdk, run).queue_duration) == queue

    def test_a_job_that_does_not_exist_fails_the_task(self, sdk: WorkspaceClient) -> None:
        run = finished(sdk, submit(sdk, self.parent(sdk, 99)))
        details = task_of(run, "call").status
        assert details is not None
        assert details.termination_details is not None
        assert details.termination_details.message == "Job 99 does not exist."


def test_a_run_of_many_tasks_takes_several_pages(sdk: WorkspaceClient, simulator_url: str) -> None:
    fate = ending(simulator_url, "task 249", "FAILED", task_key="task 249")
    keys = [f"task {number}" for number in range(250)]
    job = make_job(sdk, *(Task(task_key=key) for key in keys))
    settings = sdk.jobs.get(job).settings
    assert settings is not None
    assert [task.task_key for task in settings.tasks or []] == keys
    run_id = submit(sdk, job, notebook_params=fate)
    run = finished(sdk, run_id)
    assert [task.task_key for task in run.tasks or []] == keys
    assert results_of(run)["task 249"] == "FAILED"
    page = sdk.api_client.do("GET", "/api/2.2/jobs/runs/get", query={"run_id": run_id})
    assert isinstance(page, dict)
    assert len(page["tasks"]) == 100
    (listed,) = sdk.jobs.list_runs(job_id=job, expand_tasks=True)
    assert len(listed.tasks or []) == 250
    with pytest.raises(InvalidParameterValue, match="Invalid page token"):
        sdk.jobs.get_run(run_id, page_token="x")
