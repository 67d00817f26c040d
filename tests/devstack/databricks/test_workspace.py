"""Who may start, who waits, what is found again: the workspace on a clock that is set by hand."""

import pytest

from devstack.databricks.errors import ApiError
from devstack.databricks.requests import ListRuns, RunNow
from devstack.databricks.results import State
from tests.devstack.databricks.helpers import LONG_ENOUGH, SimulatedWorkspace


class TestTokens:
    def test_a_repeat_returns_the_same_run_also_when_it_is_over(self, world: SimulatedWorkspace) -> None:
        job = world.job()
        world.decide(results=["FAILED"])
        run = world.start(job, token="x")
        assert world.start(job, token="x") is run
        assert world.result_of(run) == "FAILED"
        assert world.start(job, token="x") is run
        assert world.workspace.runs_created == 1

    def test_a_repeat_of_a_skipped_run_does_not_start_it(self, world: SimulatedWorkspace) -> None:
        job = world.job(max_concurrent_runs=0)
        run = world.start(job, token="x")
        assert run.state == State.SKIPPED
        assert world.start(job, token="x") is run

    def test_a_repeat_is_answered_also_when_the_workspace_is_full(self) -> None:
        world = SimulatedWorkspace(max_active_runs=1)
        job = world.job()
        run = world.start(job, token="x")
        assert world.start(job, token="x") is run

    def test_the_token_of_a_removed_run_is_an_error(self, world: SimulatedWorkspace) -> None:
        job = world.job()
        run = world.start(job, token="x")
        assert world.result_of(run) == "SUCCESS"
        world.workspace.remove(run.run_id)
        with pytest.raises(ApiError, match=f"Run {run.run_id} does not exist"):
            world.start(job, token="x")

    def test_runs_without_a_token_are_all_different(self, world: SimulatedWorkspace) -> None:
        job = world.job()
        assert world.start(job) is not world.start(job)

    def test_a_refused_request_does_not_use_its_token(self) -> None:
        world = SimulatedWorkspace(max_active_runs=1)
        job = world.job()
        first = world.start(job)
        with pytest.raises(ApiError):
            world.start(job, token="x")
        assert world.result_of(first) == "SUCCESS"
        assert world.start(job, token="x").state == State.PENDING


class TestConcurrentRunsOfAJob:
    def test_one_at_a_time_is_the_default_and_the_rest_is_skipped(self, world: SimulatedWorkspace) -> None:
        job = world.workspace.create_job({"tasks": [{"task_key": "main"}]}).job_id
        first, second = world.start(job), world.start(job)
        assert first.state == State.PENDING
        assert second.end is not None
        assert (second.state, second.end.result_state) == (State.SKIPPED, "MAXIMUM_CONCURRENT_RUNS_REACHED")
        assert second.end.code == "MAX_CONCURRENT_RUNS_EXCEEDED"
        assert second.end.message == (
            "Skipping this run because the limit of 1 maximum concurrent runs has been reached."
        )
        assert world.workspace.max_active == 1
        assert world.result_of(first) == "SUCCESS"
        assert world.start(job).state == State.PENDING

    def test_with_queueing_they_start_one_after_the_other(self, world: SimulatedWorkspace) -> None:
        world.decide(pending_seconds=1, run_seconds=4)
        job = world.job(max_concurrent_runs=1, queue={"enabled": True})
        runs = [world.start(job) for _ in range(3)]
        assert [run.state for run in runs] == [State.PENDING, State.QUEUED, State.QUEUED]
        assert runs[1].queue_reason == "MAX_CONCURRENT_RUNS_REACHED"
        world.clock.advance(100)
        world.workspace.settle()
        assert [run.ended_at and run.ended_at - run.created_at for run in runs] == [5, 10, 15]
        assert [run.queue_seconds for run in runs] == [0, 5, 10]

    @pytest.mark.parametrize(
        ("of_job", "of_run", "state"), [(True, False, "SKIPPED"), (False, True, "QUEUED")]
    )
    def test_the_request_decides_before_the_job(
        self, world: SimulatedWorkspace, of_job: bool, of_run: bool, state: str
    ) -> None:
        job = world.job(max_concurrent_runs=1, queue={"enabled": of_job})
        world.start(job)
        run_id = world.workspace.run_now(RunNow(job_id=job, queue_enabled=of_run))
        assert run_id is not None
        assert world.run(run_id).state == state

    def test_a_full_job_does_not_hold_up_another(self, world: SimulatedWorkspace) -> None:
        full, other = (world.job(max_concurrent_runs=1, queue={"enabled": True}) for _ in range(2))
        for _ in range(3):
            world.start(full)
        assert world.start(other).state == State.PENDING


class TestWorkspaceLimit:
    def test_over_it_no_run_is_created(self) -> None:
        world = SimulatedWorkspace(max_active_runs=2)
        job = world.job()
        world.start(job)
        world.start(job)
        with pytest.raises(ApiError, match=r"There are already 2 active runs \(limit: 2\)") as refused:
            world.start(job)
        assert refused.value.status == 429
        assert world.workspace.runs_created == 2

    def test_with_queueing_a_run_waits_for_a_slot(self) -> None:
        world = SimulatedWorkspace(max_active_runs=1)
        job = world.job(queue={"enabled": True})
        first, second = world.start(job), world.start(job)
        assert (second.state, second.queue_reason) == (State.QUEUED, "ACTIVE_RUNS_LIMIT_REACHED")
        assert world.result_of(first) == "SUCCESS"
        assert second.started_at == first.ended_at

    def test_runs_of_others_take_slots(self) -> None:
        world = SimulatedWorkspace(max_active_runs=3)
        job = world.job()
        world.workspace.add_foreign_runs(3, 5.0)
        with pytest.raises(ApiError, match="active runs"):
            world.start(job)
        world.clock.advance(5.0)
        assert world.active() == []
        assert world.start(job).state == State.PENDING
        assert world.workspace.runs_created == 1

    def test_the_most_active_runs_are_counted_between_requests_too(self, world: SimulatedWorkspace) -> None:
        world.decide(pending_seconds=0, run_seconds=10)
        job = world.job()
        for _ in range(5):
            world.start(job)
        world.clock.advance(10)
        for _ in range(3):
            world.start(job)
        assert (world.workspace.active(), world.workspace.max_active) == (3, 5)


class TestListing:
    def test_pages_hold_every_run_once_newest_first(self, world: SimulatedWorkspace) -> None:
        runs = [world.start(world.job()) for _ in range(50)]
        listed, token, pages = [], "", 0
        while token or not pages:
            page, token = world.workspace.list_runs(ListRuns(limit=24, page_token=token))
            listed += page
            pages += 1
        assert listed == runs[::-1]
        assert pages == 3

    def test_a_page_does_not_shift_when_new_runs_come(self, world: SimulatedWorkspace) -> None:
        job = world.job()
        runs = [world.start(job) for _ in range(6)]
        first, token = world.workspace.list_runs(ListRuns(limit=3))
        for _ in range(4):
            world.start(job)
        second, last = world.workspace.list_runs(ListRuns(limit=3, page_token=token))
        assert first + second == runs[::-1]
        assert last == ""

    def test_a_page_that_is_full_and_the_last_has_no_next(self, world: SimulatedWorkspace) -> None:
        for _ in range(3):
            world.start(world.job())
        assert world.workspace.list_runs(ListRuns(limit=3))[1] == ""

    def test_active_ones_are_queued_pending_running_and_terminating(self, world: SimulatedWorkspace) -> None:
        world.decide(pending_seconds=5, run_seconds=5)
        job = world.job(max_concurrent_runs=4, queue={"enabled": True})
        running, terminating = world.start(job), world.start(job)
        world.clock.advance(6)
        pending, also_pending, queued = (world.start(job) for _ in range(3))
        world.workspace.cancel(terminating.run_id)
        assert world.active() == [queued, also_pending, pending, terminating, running]
        states = {run.state for run in world.active()}
        assert states == {State.QUEUED, State.PENDING, State.RUNNING, State.TERMINATING}
        over = world.workspace.list_runs(ListRuns(completed_only=True))[0]
        assert over == []
        world.clock.advance(4)
        assert running not in world.active()
        assert set(world.workspace.list_runs(ListRuns(completed_only=True))[0]) == {running, terminating}

    def test_filters(self, world: SimulatedWorkspace) -> None:
        ours, theirs = world.job(), world.job()
        early = world.start(ours)
        world.clock.advance(10)
        late = world.start(theirs)
        at = round(late.created_at * 1000)

        def listed(query: ListRuns) -> list[int]:
            return [run.run_id for run in world.workspace.list_runs(query)[0]]

        assert listed(ListRuns(job_id=ours)) == [early.run_id]
        assert listed(ListRuns(start_time_from=at)) == [late.run_id]
        assert listed(ListRuns(start_time_to=at - 1)) == [early.run_id]
        assert listed(ListRuns(run_type="JOB_RUN")) == [late.run_id, early.run_id]
        assert listed(ListRuns(run_type="SUBMIT_RUN")) == []

    @pytest.mark.parametrize("token", ["x", "YWJj", "=", "é"])
    def test_a_strange_page_token_is_refused(self, world: SimulatedWorkspace, token: str) -> None:
        with pytest.raises(ApiError, match="Invalid page token"):
            world.workspace.list_runs(ListRuns(page_token=token))


def test_ids_are_too_large_for_32_bits_and_never_repeat(world: SimulatedWorkspace) -> None:
    job = world.job()
    runs = [world.start(job) for _ in range(200)]
    ids = [run.run_id for run in runs] + [run.attempts[0].run_id for run in runs]
    assert len(set(ids)) == 400
    assert min(ids) > 2**32


def test_an_active_run_cannot_be_removed(world: SimulatedWorkspace) -> None:
    run = world.start(world.job())
    with pytest.raises(ApiError, match="is active"):
        world.workspace.remove(run.run_id)


def test_a_removed_run_is_gone_from_everywhere(world: SimulatedWorkspace) -> None:
    run = world.start(world.job())
    world.clock.advance(LONG_ENOUGH)
    world.workspace.remove(run.run_id)
    assert world.workspace.runs() == []
    assert world.workspace.attempt(run.attempts[0].run_id) is None
    with pytest.raises(ApiError, match="does not exist"):
        world.run(run.run_id)


def test_an_unknown_job_is_refused(world: SimulatedWorkspace) -> None:
    with pytest.raises(ApiError, match=r"Job 99 does not exist\.") as refused:
        world.start(99)
    assert (refused.value.status, refused.value.body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_it_knows_when_something_happens_next(world: SimulatedWorkspace) -> None:
    assert world.workspace.seconds_to_next() is None
    world.decide(pending_seconds=3)
    world.start(world.job())
    world.clock.advance(1)
    assert world.workspace.seconds_to_next() == pytest.approx(2)
