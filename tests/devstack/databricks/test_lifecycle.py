"""How runs move from their start to their end, on a clock that is set by hand."""

import pytest

from devstack.databricks.errors import ApiError
from devstack.databricks.results import ENDS, OUTCOMES, PRECEDENCE, State
from devstack.databricks.runs import Output
from tests.devstack.databricks.helpers import LONG_ENOUGH, FakeExecutor, SimulatedWorkspace


def test_a_run_is_pending_then_running_then_over(world: SimulatedWorkspace) -> None:
    world.decide(pending_seconds=2, run_seconds=5)
    run = world.start(world.job())
    assert run.state == State.PENDING
    assert world.state_after(run, 1.9) == State.PENDING
    assert world.state_after(run, 0.2) == State.RUNNING
    assert world.state_after(run, 4.8) == State.RUNNING
    assert world.state_after(run, 60) == State.TERMINATED
    assert (run.attempts[0].setup_seconds, run.attempts[0].execution_seconds) == (2, 5)
    assert run.ended_at == run.created_at + 7, "it ends at its time, not when it is looked at"


def test_default_durations_vary_by_a_quarter_at_most(world: SimulatedWorkspace) -> None:
    runs = [world.start(world.job()) for _ in range(50)]
    world.clock.advance(LONG_ENOUGH)
    world.workspace.settle()
    spans = {run.attempts[0].execution_seconds for run in runs}
    assert len(spans) > 40
    assert 7.5 <= min(spans) <= max(spans) <= 12.5


@pytest.mark.parametrize("result", sorted(OUTCOMES))
def test_every_result_can_be_asked_for(world: SimulatedWorkspace, result: str) -> None:
    world.decide(match={"table_name": "t7"}, results=[result], error="boom", error_trace="trace")
    asked, other = world.start(world.job(), table_name="t7"), world.start(world.job(), table_name="t8")
    assert world.result_of(asked) == ENDS[result].result_state
    assert world.result_of(other) == "SUCCESS"
    end = asked.attempts[0].end
    assert end is not None
    assert (end.code, end.type) == (ENDS[result].code, ENDS[result].type)
    assert asked.end is not None
    assert (asked.end.code, asked.end.type) == (end.code, end.type)


def test_every_end_has_its_rank() -> None:
    assert set(PRECEDENCE) == OUTCOMES | {"UPSTREAM_FAILED", "UPSTREAM_CANCELED"}


def test_a_failed_task_leaves_its_run_in_internal_error(world: SimulatedWorkspace) -> None:
    world.decide(results=["FAILED"], error="ValueError: boom")
    run = world.start(world.job())
    assert world.result_of(run) == "FAILED"
    assert run.end is not None
    assert run.end.life_cycle_state == State.INTERNAL_ERROR
    assert run.end.code == "RUN_EXECUTION_ERROR"
    assert "Task main failed with message" in run.end.message
    assert run.attempts[0].state == State.TERMINATED
    assert run.attempts[0].output.error == "ValueError: boom"


def test_the_nth_match_gets_the_nth_result_and_the_last_repeats(world: SimulatedWorkspace) -> None:
    world.decide(match={"table_name": "t"}, results=["FAILED", "TIMEDOUT", "SUCCESS"])
    job = world.job()
    results = [world.result_of(world.start(job, table_name="t")) for _ in range(4)]
    assert results == ["FAILED", "TIMEDOUT", "SUCCESS", "SUCCESS"]


def test_a_newer_rule_goes_before_an_older_one(world: SimulatedWorkspace) -> None:
    world.decide(results=["FAILED"])
    world.decide(match={"table_name": "t"}, results=["CANCELED"])
    job = world.job()
    assert world.result_of(world.start(job, table_name="t")) == "CANCELED"
    assert world.result_of(world.start(job, table_name="u")) == "FAILED"


class TestRetries:
    def test_a_failed_task_is_tried_again_as_a_new_attempt(self, world: SimulatedWorkspace) -> None:
        world.decide(results=["FAILED", "FAILED", "SUCCESS"], pending_seconds=1, run_seconds=1)
        run = world.start(
            world.job({"task_key": "main", "max_retries": 3, "min_retry_interval_millis": 4000})
        )
        assert world.state_after(run, 2.5) == State.RUNNING
        assert run.attempts[1].state == State.WAITING_FOR_RETRY
        world.clock.advance(100)
        assert world.result_of(run) == "SUCCESS"
        assert [(a.number, a.result) for a in run.attempts] == [(0, "FAILED"), (1, "FAILED"), (2, "SUCCESS")]
        assert {a.original_run_id for a in run.attempts} == {run.attempts[0].run_id}
        assert len({a.run_id for a in run.attempts}) == 3
        assert run.attempts[1].started_at == run.created_at + 6

    def test_no_retries_left_fails_the_run(self, world: SimulatedWorkspace) -> None:
        world.decide(results=["FAILED"], run_seconds=1)
        run = world.start(world.job({"task_key": "main", "max_retries": 2}))
        assert world.result_of(run) == "FAILED"
        assert len(run.attempts) == 3

    @pytest.mark.parametrize("result", ["TIMEDOUT", "CANCELED"])
    def test_neither_a_timeout_nor_a_cancellation_is_retried(
        self, world: SimulatedWorkspace, result: str
    ) -> None:
        world.decide(results=[result])
        run = world.start(world.job({"task_key": "main", "max_retries": 2}))
        assert world.result_of(run) == result
        assert len(run.attempts) == 1

    def test_retries_without_end_do_not_stop_the_clock(self, world: SimulatedWorkspace) -> None:
        world.decide(results=["FAILED"], pending_seconds=0, run_seconds=0)
        run = world.start(world.job({"task_key": "main", "max_retries": -1}))
        assert world.state_after(run, 1.0) == State.RUNNING
        assert 90 <= len(run.attempts) <= 110


class TestTasks:
    CHAIN = ({"task_key": "a"}, {"task_key": "b", "depends_on": [{"task_key": "a"}]})

    def test_a_task_waits_for_those_it_depends_on(self, world: SimulatedWorkspace) -> None:
        world.decide(pending_seconds=1, run_seconds=1)
        run = world.start(world.job(*self.CHAIN))
        assert world.state_after(run, 1.5) == State.RUNNING
        assert [a.state for a in run.attempts] == [State.RUNNING, State.BLOCKED]
        assert world.result_of(run) == "SUCCESS"
        assert run.attempts[1].started_at == run.attempts[0].ended_at

    def test_what_depends_on_a_failed_task_is_not_run(self, world: SimulatedWorkspace) -> None:
        world.decide(task_key="a", results=["FAILED"])
        run = world.start(world.job(*self.CHAIN, {"task_key": "c"}))
        assert world.result_of(run) == "FAILED"
        assert [a.result for a in run.attempts] == ["FAILED", "UPSTREAM_FAILED", "SUCCESS"]
        assert run.attempts[1].state == State.SKIPPED
        assert run.attempts[1].started_at is None

    def test_a_dependency_waits_for_the_last_retry(self, world: SimulatedWorkspace) -> None:
        world.decide(task_key="a", results=["FAILED", "SUCCESS"], run_seconds=1)
        run = world.start(world.job({"task_key": "a", "max_retries": 1}, self.CHAIN[1]))
        world.clock.advance(LONG_ENOUGH)
        assert world.result_of(run) == "SUCCESS"


class TestCancel:
    def test_a_running_run_terminates_and_is_then_canceled(self, world: SimulatedWorkspace) -> None:
        run = world.start(world.job(*TestTasks.CHAIN))
        assert world.state_after(run, 2) == State.RUNNING
        world.workspace.cancel(run.run_id)
        assert run.state == State.TERMINATING
        assert world.state_after(run, 1) == State.TERMINATED
        assert [a.result for a in run.attempts] == ["USER_CANCELED", "USER_CANCELED"]
        assert run.end == ENDS["USER_CANCELED"]

    def test_a_run_that_waits_for_a_retry_is_not_tried_again(self, world: SimulatedWorkspace) -> None:
        world.decide(results=["FAILED"], pending_seconds=1, run_seconds=1)
        task = {"task_key": "main", "max_retries": 5, "min_retry_interval_millis": 60_000}
        run = world.start(world.job(task))
        world.state_after(run, 3)
        world.workspace.cancel(run.run_id)
        assert world.state_after(run, 300) == State.TERMINATED
        assert [a.result for a in run.attempts] == ["FAILED", "USER_CANCELED"]

    def test_a_queued_run_never_starts(self, world: SimulatedWorkspace) -> None:
        job = world.job(max_concurrent_runs=1, queue={"enabled": True})
        first, waiting = world.start(job), world.start(job)
        world.workspace.cancel(waiting.run_id)
        assert waiting.state == State.TERMINATED
        assert world.result_of(first) == "SUCCESS"
        assert waiting.attempts == []

    def test_a_run_that_is_over_stays_as_it_is(self, world: SimulatedWorkspace) -> None:
        run = world.start(world.job())
        assert world.result_of(run) == "SUCCESS"
        world.workspace.cancel(run.run_id)
        assert world.result_of(run) == "SUCCESS"

    def test_an_unknown_run_cannot_be_canceled(self, world: SimulatedWorkspace) -> None:
        with pytest.raises(ApiError, match=r"Run 5 does not exist\."):
            world.workspace.cancel(5)


class TestRealFiles:
    TASK = (
        {"task_key": "main", "notebook_task": {"notebook_path": "/real/n", "base_parameters": {"a": "0"}}},
    )

    def test_the_executor_runs_it_and_reports_its_end(self) -> None:
        executor = FakeExecutor()
        world = SimulatedWorkspace(executor=executor)
        run = world.start(world.job(*self.TASK), a="1", b="2")
        assert executor.started == []
        assert world.state_after(run, LONG_ENOUGH) == State.RUNNING
        attempt_id = run.attempts[0].run_id
        assert executor.started == [(attempt_id, "/real/n", ["--a", "1", "--b", "2"])]
        assert world.state_after(run, 10_000) == State.RUNNING
        world.workspace.attempt_over(attempt_id, "FAILED", Output(error="boom"))
        assert run.state == State.INTERNAL_ERROR
        assert run.attempts[0].output.error == "boom"

    def test_a_cancelled_one_is_stopped_and_ends_when_it_has_stopped(self) -> None:
        executor = FakeExecutor()
        world = SimulatedWorkspace(executor=executor)
        run = world.start(world.job(*self.TASK))
        world.state_after(run, LONG_ENOUGH)
        world.workspace.cancel(run.run_id)
        assert executor.stopped == [run.attempts[0].run_id]
        assert world.state_after(run, 100) == State.TERMINATING
        world.workspace.attempt_over(run.attempts[0].run_id, "SUCCESS", Output())
        assert world.result_of(run) == "CANCELED"

    def test_one_cancelled_before_it_started_never_starts(self) -> None:
        executor = FakeExecutor()
        world = SimulatedWorkspace(executor=executor)
        run = world.start(world.job(*self.TASK))
        world.workspace.cancel(run.run_id)
        assert world.result_of(run) == "CANCELED"
        assert executor.started == []

    def test_python_arguments_replace_those_of_the_task(self, world: SimulatedWorkspace) -> None:
        executor = FakeExecutor()
        world = SimulatedWorkspace(executor=executor)
        task = {"task_key": "m", "spark_python_task": {"python_file": "/real/p", "parameters": ["x"]}}
        world.start(world.job(task))
        world.clock.advance(LONG_ENOUGH)
        world.workspace.settle()
        assert executor.started[0][2] == ["x"]
