"""The life of a run from start to end: its tasks, their attempts, retries, dependencies, cancellation."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol

from devstack.databricks import dependencies, results
from devstack.databricks.jobs import Task
from devstack.databricks.results import ENDS, End, State
from devstack.databricks.runs import Attempt, Output, Plan, Run
from devstack.databricks.timeline import Timeline

#: How long a cancelled simulated attempt stays TERMINATING; a workspace takes seconds to minutes.
CANCEL_SECONDS = 0.1

#: Time passes between two attempts, so that a task that is retried without end cannot stop the clock.
MIN_RETRY_SECONDS = 0.01


class Executor(Protocol):
    """Carries out attempts for real. It reports their end to ``Workspace.attempt_over``."""

    def accepts(self, path: str) -> bool:
        """Whether ``path`` names a file that can be run."""
        ...

    def start(self, attempt_id: int, path: str, arguments: Sequence[str]) -> None:
        """Begin an attempt."""
        ...

    def stop(self, attempt_id: int) -> None:
        """Make a running attempt end soon."""
        ...


class LifeCycle:
    """Moves runs on as their time comes.

    :param plan: how the next attempt of a task of a run goes when it is simulated.
    :param on_over: called with a run that is over and the time.
    """

    def __init__(
        self,
        *,
        timeline: Timeline,
        executor: Executor | None,
        new_id: Callable[[], int],
        plan: Callable[[Run, Task], Plan],
        on_over: Callable[[Run, float], None],
    ) -> None:
        self._timeline = timeline
        self._executor = executor
        self._new_id = new_id
        self._plan = plan
        self._on_over = on_over
        self._attempts: dict[int, tuple[Run, Attempt]] = {}

    def attempt(self, run_id: int) -> tuple[Run, Attempt] | None:
        """The attempt with this run id, and the run that it belongs to."""
        return self._attempts.get(run_id)

    def forget(self, run: Run) -> None:
        """Drop the attempts of a run that is removed."""
        for attempt in run.attempts:
            del self._attempts[attempt.run_id]

    def start(self, run: Run, at: float) -> None:
        """Let a run leave the queue, or begin without having waited."""
        run.started_at = at
        selected = run.job.select(run.request.only)
        for task in run.job.tasks:
            attempt = self._new_attempt(run, task, state=State.BLOCKED)
            if task.disabled or task.key not in selected:
                self._end_attempt(attempt, results.DISABLED, Output(), at)
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
            self.end_unstarted(run, ENDS[results.CANCELED], at)
        for attempt in run.last_attempts().values():
            self._cancel_attempt(run, attempt, at)

    def finish(self, run: Run, attempt: Attempt, result: str, output: Output, at: float) -> None:
        """End an attempt, then do what follows from it: a retry, the next tasks, the end of the run."""
        if attempt.end:  # it was cancelled a moment before
            return
        self._end_attempt(attempt, results.CANCELED if run.cancel_requested else result, output, at)
        if self._may_retry(attempt):
            self._retry(run, attempt, at)
        else:
            self._move_on(run, at)

    def _end_attempt(self, attempt: Attempt, result: str, output: Output, at: float) -> None:
        attempt.result, attempt.end = result, ENDS[result]
        attempt.state = attempt.end.life_cycle_state
        attempt.ended_at = at
        attempt.output = output

    def _new_attempt(
        self, run: Run, task: Task, *, state: State, before: Attempt | None = None, retries: int = 0
    ) -> Attempt:
        """Make the next attempt of a task. ``before`` is the one before it, None = there is none."""
        run_id = self._new_id()
        attempt = Attempt(
            run_id=run_id,
            task=task,
            number=before.number + 1 if before else 0,
            retries=retries,
            original_run_id=before.original_run_id if before else run_id,
            state=state,
        )
        run.add(attempt)
        self._attempts[run_id] = (run, attempt)
        return attempt

    def _launch(self, run: Run, attempt: Attempt, at: float) -> None:
        if attempt.end:  # cancelled while it waited for its retry
            return
        attempt.state = State.PENDING
        attempt.started_at = at
        plan = self._plan(run, attempt.task)
        self._timeline.schedule(at + plan.pending_seconds, partial(self._execute, run, attempt, plan))

    def _execute(self, run: Run, attempt: Attempt, plan: Plan, at: float) -> None:
        if attempt.state != State.PENDING:
            return
        attempt.state = State.RUNNING
        attempt.executing_at = at
        if self._executor is not None and self._executor.accepts(attempt.task.path):
            attempt.real = True
            self._executor.start(attempt.run_id, attempt.task.path, arguments_of(run, attempt.task))
            return
        over = partial(self.finish, run, attempt, plan.result, plan.output)
        self._timeline.schedule(at + plan.run_seconds, over)

    def _may_retry(self, attempt: Attempt) -> bool:
        limit = attempt.task.max_retries
        return attempt.result in results.RETRIED and (limit == -1 or attempt.retries < limit)

    def _retry(self, run: Run, failed: Attempt, at: float) -> None:
        attempt = self._new_attempt(
            run,
            failed.task,
            state=State.WAITING_FOR_RETRY,
            before=failed,
            retries=failed.retries + 1,
        )
        wait = max(failed.task.retry_interval, MIN_RETRY_SECONDS)
        self._timeline.schedule(at + wait, partial(self._launch, run, attempt))

    def _move_on(self, run: Run, at: float) -> None:
        """Start or skip the tasks whose time has come, and end the run when none is left."""
        moved = True
        while moved:
            moved = False
            latest = run.last_attempts()
            for attempt in [attempt for attempt in latest.values() if attempt.state == State.BLOCKED]:
                verdict = dependencies.verdict(attempt.task, latest)
                if verdict == dependencies.RUN:
                    self._launch(run, attempt, at)
                elif verdict:
                    self._end_attempt(attempt, verdict, Output(), at)
                moved = moved or bool(verdict)
        self._finish_run(run, at)

    def _finish_run(self, run: Run, at: float) -> None:
        latest = run.last_attempts()
        if run.end or not all(attempt.end for attempt in latest.values()):
            return
        run.finish(results.run_end((key, attempt.result) for key, attempt in latest.items()), at)
        self._on_over(run, at)

    def _cancel_attempt(self, run: Run, attempt: Attempt, at: float) -> None:
        if attempt.end:
            return
        over = partial(self.finish, run, attempt, results.CANCELED, Output())
        if attempt.state in {State.BLOCKED, State.WAITING_FOR_RETRY}:
            over(at)
            return
        attempt.state = State.TERMINATING
        if attempt.real and self._executor is not None:
            self._executor.stop(attempt.run_id)
        else:
            self._timeline.schedule(at + CANCEL_SECONDS, over)


def arguments_of(run: Run, task: Task) -> list[str]:
    """The command line of a task: its named parameters as ``--key value``, then its plain arguments."""
    named = {**run.job.parameters, **task.base_parameters, **run.request.named}
    words = [word for key, value in named.items() for word in (f"--{key}", value)]
    return [*words, *(run.request.listed or task.arguments)]
