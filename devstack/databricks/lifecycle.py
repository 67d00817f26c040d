"""The life of a run from start to end: its tasks, their attempts, retries, dependencies, cancellation."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from devstack.databricks import dependencies, references, results
from devstack.databricks.errors import ApiError
from devstack.databricks.executor import Executor
from devstack.databricks.results import ENDS, End, State
from devstack.databricks.runs import Attempt, Output, Plan, Run
from devstack.databricks.tasks import Condition, ForEach, Task
from devstack.databricks.timeline import Timeline

#: How long a cancelled simulated attempt stays TERMINATING; a workspace takes seconds to minutes.
CANCEL_SECONDS = 0.1

#: Time passes between two attempts, so that a task that is retried without end cannot stop the clock.
MIN_RETRY_SECONDS = 0.01


#: How a Run Job task ends, by the result of the run that it started; FAILED after every other one.
_RESULTS_OF_CHILDREN = {
    "SUCCESS": results.SUCCESS,
    "SUCCESS_WITH_FAILURES": results.SUCCESS_WITH_FAILURES,
    "CANCELED": results.CANCELED,
    "TIMEDOUT": results.TIMEDOUT,
}


class LifeCycle:
    """Moves runs on as their time comes.

    :param plan: how the next attempt of a task of a run goes when it is simulated.
    :param start_child: starts the run that a Run Job task asks for, at a time, or raises ``ApiError``.
    :param on_over: called with a run that is over and the time.
    """

    def __init__(
        self,
        *,
        timeline: Timeline,
        executor: Executor | None,
        new_id: Callable[[], int],
        plan: Callable[[Run, Task], Plan],
        start_child: Callable[[Run, Attempt, float], None],
        on_over: Callable[[Run, float], None],
    ) -> None:
        self._timeline = timeline
        self._executor = executor
        self._new_id = new_id
        self._plan = plan
        self._start_child = start_child
        self._on_over = on_over
        self._attempts: dict[int, tuple[Run, Attempt]] = {}

    def attempt(self, run_id: int) -> tuple[Run, Attempt] | None:
        """The attempt with this run id, and the run that it belongs to."""
        return self._attempts.get(run_id)

    def forget(self, run: Run) -> None:
        """Drop the attempts of a run that is removed."""
        for attempt in run.attempts:
            for each in (attempt, *attempt.iterations):
                del self._attempts[each.run_id]

    # -- runs

    def start(self, run: Run, at: float) -> None:
        """Let a run leave the queue, or begin without having waited."""
        run.started_at = at
        selected = run.job.select(run.request.only)
        for task in run.job.tasks:
            attempt = self._new_attempt(run, task, state=State.BLOCKED)
            if task.disabled or task.key not in selected:
                attempt.finish(results.DISABLED, at)
        self._move_on(run, at)

    def repair(self, run: Run, keys: Collection[str], repair_id: int, at: float) -> None:
        """Run tasks of a run that is over again, as attempts that follow the earlier ones."""
        run.reopen(repair_id, at)
        latest = run.last_attempts()
        for task in run.job.tasks:
            if task.key in keys:
                self._new_attempt(run, task, state=State.BLOCKED, before=latest[task.key])
        self._move_on(run, at)

    def end_unstarted(self, run: Run, end: End, at: float) -> None:
        """End a run that was never started: skipped, or cancelled while it waited in the queue."""
        run.finish(end, at)
        self._on_over(run, at)

    def cancel(self, run: Run, at: float) -> None:
        """Cancel a run; its attempts that hold compute take a moment to end."""
        if run.end or run.cancel_requested:
            return
        run.cancel_requested = True
        if run.started_at is None:
            self.end_unstarted(run, ENDS[results.USER_CANCELED], at)
        for attempt in run.last_attempts().values():
            self._cancel_attempt(run, attempt, at)
        self._finish_run(run, at)

    def _move_on(self, run: Run, at: float) -> None:
        """Start or skip the tasks whose time has come, and end the run when none is left."""
        moved = not run.cancel_requested
        while moved:
            moved = False
            latest = run.last_attempts()
            for attempt in [attempt for attempt in latest.values() if attempt.state == State.BLOCKED]:
                verdict = dependencies.verdict(attempt.task, latest)
                if verdict == dependencies.RUN:
                    self._launch(run, attempt, at)
                elif verdict:
                    attempt.finish(verdict, at)
                moved = moved or bool(verdict)
        self._finish_run(run, at)

    def _finish_run(self, run: Run, at: float) -> None:
        ends = {key: (last.result, last.end) for key, last in run.last_attempts().items() if last.end}
        if run.end or len(ends) < len(run.job.tasks):
            return
        run.finish(results.run_end(ends, run.job.leaves), at)
        self._on_over(run, at)

    # -- attempts

    def _new_attempt(
        self,
        run: Run,
        task: Task,
        *,
        state: State,
        before: Attempt | None = None,
        parent: Attempt | None = None,
        retries: int = 0,
    ) -> Attempt:
        """Make the next attempt of a task, or of an iteration.

        :param before: the one before it, None = there is none.
        :param parent: the For each task whose iteration it is.
        """
        run_id = self._new_id()
        attempt = Attempt(
            run_id=run_id,
            task=task,
            number=before.number + 1 if before else 0,
            retries=retries,
            original_run_id=before.original_run_id if before else run_id,
            state=state,
            parent=parent,
        )
        if parent is None:
            run.add(attempt)
        else:
            parent.iterations.append(attempt)
        self._attempts[run_id] = (run, attempt)
        return attempt

    def _launch(self, run: Run, attempt: Attempt, at: float) -> None:
        if attempt.end:  # cancelled while it waited for its retry
            return
        attempt.started_at = at
        task = attempt.task
        if task.condition is not None:
            self._decide(run, attempt, task.condition, at)
        elif task.for_each is not None:
            self._iterate(run, attempt, task.for_each, at)
        elif task.run_job is not None:
            attempt.state, attempt.executing_at = State.RUNNING, at
            self._timeline.schedule(at, partial(self._call_job, run, attempt))
        else:
            attempt.state = State.PENDING
            plan = self._plan(run, task)
            self._timeline.schedule(at + plan.pending_seconds, partial(self._execute, run, attempt, plan))

    def _execute(self, run: Run, attempt: Attempt, plan: Plan, at: float) -> None:
        if attempt.state != State.PENDING:
            return
        over = partial(self.finish, run, attempt, plan.result, plan.output, end=plan.end)
        if plan.result in results.NEVER_EXECUTED:
            over(at)
            return
        attempt.state = State.RUNNING
        attempt.executing_at = at
        if self._executor is not None and self._executor.accepts(attempt.task.path):
            attempt.real = True
            self._executor.start(
                attempt.run_id, attempt.task.path, references.arguments_of(run, attempt.task)
            )
            return
        self._timeline.schedule(at + plan.run_seconds, over)

    def finish(
        self, run: Run, attempt: Attempt, result: str, output: Output, at: float, *, end: End | None = None
    ) -> None:
        """End an attempt, then do what follows from it: a retry, the next tasks, the end of the run.

        :param end: in place of the usual one for the result.
        """
        if attempt.end:  # it was cancelled a moment before
            return
        if run.cancel_requested:
            result, end = results.USER_CANCELED, None
        attempt.finish(result, at, output=output, end=end)
        if self._may_retry(attempt):
            self._retry(run, attempt, at)
        elif attempt.parent is not None:
            self._next_iterations(run, attempt.parent, at)
        else:
            self._move_on(run, at)

    def _may_retry(self, attempt: Attempt) -> bool:
        limit = attempt.task.max_retries
        return attempt.result in results.RETRIED and (limit == -1 or attempt.retries < limit)

    def _retry(self, run: Run, failed: Attempt, at: float) -> None:
        attempt = self._new_attempt(
            run,
            failed.task,
            state=State.WAITING_FOR_RETRY,
            before=failed,
            parent=failed.parent,
            retries=failed.retries + 1,
        )
        wait = max(failed.task.retry_interval, MIN_RETRY_SECONDS)
        self._timeline.schedule(at + wait, partial(self._launch, run, attempt))

    def _cancel_attempt(self, run: Run, attempt: Attempt, at: float) -> None:
        if attempt.end:
            return
        if attempt.state in {State.BLOCKED, State.WAITING_FOR_RETRY}:
            attempt.finish(results.USER_CANCELED, at)
            return
        attempt.state = State.TERMINATING
        if attempt.task.for_each:
            attempt.items.clear()
            for iteration in attempt.last_iterations():
                self._cancel_attempt(run, iteration, at)
            self._next_iterations(run, attempt, at)
        elif attempt.child is not None:
            self.cancel(attempt.child, at)
        elif attempt.real and self._executor is not None:
            self._executor.stop(attempt.run_id)
        else:
            over = partial(self.finish, run, attempt, results.USER_CANCELED, Output())
            self._timeline.schedule(at + CANCEL_SECONDS, over)

    # -- tasks of other kinds

    def _decide(self, run: Run, attempt: Attempt, condition: Condition, at: float) -> None:
        attempt.executing_at = at
        try:
            attempt.outcome = str(references.decide(run, condition)).lower()
        except ValueError as error:
            attempt.finish(results.FAILED, at, output=Output(error=str(error)))
        else:
            attempt.finish(results.SUCCESS, at)

    def _iterate(self, run: Run, attempt: Attempt, for_each: ForEach, at: float) -> None:
        attempt.state, attempt.executing_at = State.RUNNING, at
        try:
            attempt.items = references.inputs_of(run, for_each.inputs)
        except ValueError as error:
            attempt.finish(results.FAILED, at, output=Output(error=f"Invalid inputs: {error}"))
            return
        attempt.total = len(attempt.items)
        if attempt.items:
            self._next_iterations(run, attempt, at)
        else:
            attempt.finish(results.SUCCESS, at)

    def _next_iterations(self, run: Run, attempt: Attempt, at: float) -> None:
        """Begin as many iterations as may run at once, and end the For each task when none is left."""
        for_each, latest = attempt.task.for_each, attempt.last_iterations()
        active = sum(1 for iteration in latest if not iteration.end)
        while for_each and attempt.items and active < for_each.concurrency:
            task = references.with_input(for_each.task, attempt.items.pop(0))
            self._launch(run, self._new_attempt(run, task, state=State.BLOCKED, parent=attempt), at)
            active += 1
        if active or attempt.end:
            return
        failed = sum(1 for iteration in latest if iteration.result not in results.NOT_FAILED)
        error = f"{failed} of {len(latest)} iterations failed." if failed else ""
        result = results.FAILED if failed else results.SUCCESS
        self.finish(run, attempt, result, Output(error=error), at)

    def _call_job(self, run: Run, attempt: Attempt, at: float) -> None:
        if attempt.end or attempt.state == State.TERMINATING:
            return
        try:
            self._start_child(run, attempt, at)
        except ApiError as error:
            end = replace(ENDS[results.INVALID_RUN_CONFIGURATION], message=str(error))
            self.finish(run, attempt, results.INVALID_RUN_CONFIGURATION, Output(), at, end=end)

    def child_over(self, child: Run, at: float) -> None:
        """Let the Run Job task end that started a run which is over."""
        if child.parent is None or child.end is None:
            return
        self.finish(
            *child.parent, _RESULTS_OF_CHILDREN.get(child.end.result_state, results.FAILED), Output(), at
        )
