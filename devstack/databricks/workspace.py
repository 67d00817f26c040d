"""A workspace: its jobs and runs, who may start, and what is over. No I/O; the time comes from a clock."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from devstack.databricks import references, results
from devstack.databricks.continuous import STREAM_SECONDS, ContinuousJobs
from devstack.databricks.errors import invalid, no_such_job, no_such_run
from devstack.databricks.executor import Executor
from devstack.databricks.jobs import MAX_CONCURRENT_RUNS, Job, check_parameters, parse_job
from devstack.databricks.lifecycle import LifeCycle
from devstack.databricks.listing import select
from devstack.databricks.outcomes import Outcomes
from devstack.databricks.paging import take_page
from devstack.databricks.repairs import RepairRun, check_repair, tasks_to_rerun
from devstack.databricks.requests import ListRuns, RunNow
from devstack.databricks.runs import Attempt, Output, Plan, Run, Trigger
from devstack.databricks.slots import WORKSPACE_FULL, Slots
from devstack.databricks.tasks import Task
from devstack.databricks.timeline import Timeline

#: Task runs at once in one workspace: https://docs.databricks.com/resources/limits
DEFAULT_ACTIVE_RUNS = 2000

#: The parameter by which runs of other users carry how long they take.
FOREIGN_SECONDS = "seconds"


class Workspace:
    """The model behind the API. Every method first lets happen what is due by now.

    :param clock: returns epoch seconds.
    :param rng: makes the ids.
    :param max_active_runs: the most runs at once, those in the queue not counted.
    :param executor: runs the files of tasks; None simulates every task.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        outcomes: Outcomes,
        max_active_runs: int = DEFAULT_ACTIVE_RUNS,
        executor: Executor | None = None,
        on_over: Callable[[Run], None] | None = None,
    ) -> None:
        self.outcomes = outcomes
        #: runs made by ``run-now``
        self.runs_created = 0
        #: idempotency token → run id, also of removed runs
        self.tokens: dict[str, int] = {}
        self._clock = clock
        self._rng = rng
        self._on_over = on_over
        self._executor = executor
        self._slots = Slots(max_active_runs)
        self._numbers = count(1)
        self._used_ids: set[int] = set()
        self._jobs: dict[int, Job] = {}
        self._foreign_job: Job | None = None
        self._runs: dict[int, Run] = {}
        self._timeline = Timeline()
        self._life = LifeCycle(
            timeline=self._timeline,
            executor=executor,
            new_id=self._new_id,
            plan=self._plan,
            start_child=self._start_child,
            on_over=self._over,
        )
        self._continuous = ContinuousJobs(
            timeline=self._timeline, start=self._start_by_itself, cancel=self._life.cancel
        )

    # -- time

    def settle(self) -> float:
        """Let happen what is due, and return the time."""
        now = self._clock()
        self._timeline.run_until(now)
        return now

    def seconds_to_next(self) -> float | None:
        """How long nothing happens by itself, None when nothing is under way."""
        now = self.settle()
        return None if self._timeline.next_at is None else max(0.0, self._timeline.next_at - now)

    # -- jobs

    def create_job(self, settings: Mapping[str, Any], job_id: int | None = None) -> Job:
        """Create a job. :raises ApiError: its settings are not acceptable, or name a file that is missing.

        :param job_id: of a job that the workspace has from the start; it may do without its files.
        """
        job = parse_job(
            settings,
            job_id=self._new_id() if job_id is None else job_id,
            number=next(self._numbers),
            created_at=self._clock(),
        )
        if job_id is None and self._executor is not None:
            for path in job.paths:
                self._executor.check(path)
        self._jobs[job.job_id] = job
        self._continuous.created(job, self._clock())
        return job

    def delete_job(self, job_id: int) -> None:
        """Delete a job; its runs stay, and go on. :raises ApiError: there is none."""
        self._continuous.deleted(self.job(job_id))
        del self._jobs[job_id]

    def job(self, job_id: int) -> Job:
        """Return a job. :raises ApiError: there is none."""
        if job_id not in self._jobs:
            raise no_such_job(job_id)
        return self._jobs[job_id]

    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        return list(reversed(self._jobs.values()))

    # -- runs

    def run_now(self, request: RunNow) -> int | None:
        """Start a run, or find the one that the same token started, and return its run id.

        A continuous job starts its run anew instead, and nobody learns the run id: None.

        :raises ApiError: there is no such job, no room in the workspace, or the token's run was removed.
        """
        now = self.settle()
        job = self.job(request.job_id)
        if request.token in self.tokens:
            return self.run(self.tokens[request.token]).run_id
        job.select(request.only)
        check_parameters(job, request.parameters)
        if job.continuous:
            self._continuous.restart(job, now)
            return None
        queue = job.queue_enabled if request.queue_enabled is None else request.queue_enabled
        reason = self._slots.why_full(job)
        if reason == WORKSPACE_FULL and not queue:
            raise self._slots.refusal()
        run = self._new_run(job, request, now)
        self.runs_created += 1
        if request.token:
            self.tokens[request.token] = run.run_id
        self._admit(run, reason, now, queue=queue)
        return run.run_id

    def run(self, run_id: int) -> Run:
        """Return a run. :raises ApiError: there is none, or no longer."""
        self.settle()
        if run_id not in self._runs:
            raise no_such_run(run_id)
        return self._runs[run_id]

    def attempt(self, run_id: int) -> tuple[Run, Attempt] | None:
        """Return the attempt of a task that has this run id, with its run; None when it is not a task's."""
        self.settle()
        return self._life.attempt(run_id)

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        self.settle()
        return list(reversed(self._runs.values()))

    def list_runs(self, query: ListRuns) -> tuple[list[Run], str]:
        """Return a page of runs, the newest first, and the token of the next page (empty: none)."""
        self.settle()
        source = self._slots.active if query.active_only else self._runs
        selected = select(reversed(source.values()), query)
        return take_page(selected, limit=query.limit, page_token=query.page_token)

    def cancel(self, run_id: int) -> None:
        """Ask for a run's end; harmless when it is over. :raises ApiError: there is no such run."""
        run = self.run(run_id)
        self._life.cancel(run, self.settle())

    def repair(self, request: RepairRun) -> int:
        """Run tasks of a run that is over again and return the repair's id.

        The run is active again under its own id. It takes a slot, but the job's limit does not hold it up.

        :raises ApiError: there is no such run, it cannot be repaired so, or the workspace has no room.
        """
        now = self.settle()
        run = self.run(request.run_id)
        check_repair(run, request)
        check_parameters(self.job(run.job.job_id), request.parameters)
        keys = tasks_to_rerun(run, request)
        if self._slots.why_full(run.job) == WORKSPACE_FULL:
            raise self._slots.refusal()
        run.request = replace(run.request, parameters={**run.request.parameters, **request.parameters})
        self._slots.enter(run)
        self._slots.count()
        repair_id = self._new_id()
        self._life.repair(run, keys, repair_id, now)
        return repair_id

    def attempt_over(self, attempt_id: int, result: str, output: Output) -> None:
        """Take in the end of an attempt that the executor carried out."""
        now = self.settle()
        known = self._life.attempt(attempt_id)
        if known:
            self._life.finish(*known, result, output, now)

    def remove(self, run_id: int) -> None:
        """Remove a run, as a user may and as Databricks does after 60 days.

        :raises ApiError: it is active.
        """
        run = self.run(run_id)
        if run.end is None:
            raise invalid(f"Run {run_id} is active; cancel it first.")
        self._life.forget(run)
        del self._runs[run_id]

    def add_foreign_runs(self, runs: int, seconds: float) -> list[int]:
        """Start runs of other users, each ``seconds`` long. They take slots but obey no limit."""
        now = self.settle()
        if self._foreign_job is None:
            tasks = [{"task_key": "main"}]
            settings = {"name": "of other users", "max_concurrent_runs": MAX_CONCURRENT_RUNS, "tasks": tasks}
            self._foreign_job = self.create_job(settings)
        request = RunNow(
            job_id=self._foreign_job.job_id, parameters={"job_parameters": {FOREIGN_SECONDS: str(seconds)}}
        )
        started = [self._new_run(self._foreign_job, request, now, foreign=True) for _ in range(runs)]
        for run in started:
            self._life.start(run, now)
        self._slots.count()
        return [run.run_id for run in started]

    @property
    def max_active(self) -> int:
        """The most runs that were ever active at the same time, other users' and queued ones included."""
        return self._slots.most

    def active(self) -> int:
        """How many runs are active now: queued, pending, running or terminating."""
        self.settle()
        return len(self._slots.active)

    # -- inside

    def _new_id(self) -> int:
        """A fresh id of 15 digits, as a workspace's are."""
        while (new := self._rng.randrange(10**14, 10**15)) in self._used_ids:
            pass
        self._used_ids.add(new)
        return new

    def _admit(self, run: Run, reason: str, at: float, *, queue: bool) -> None:
        """Start a new run, or let it wait or be skipped for a reason."""
        if not reason:
            self._life.start(run, at)
        elif queue:
            self._slots.wait(run, reason)
        else:
            self._life.end_unstarted(run, results.skipped(run.job.max_concurrent_runs), at)
        self._slots.count()

    def _start_child(self, run: Run, attempt: Attempt, at: float) -> None:
        """Start the run that a Run Job task asks for; it waits in the queue when the workspace is full."""
        wanted = attempt.task.run_job
        if wanted is None:
            return
        job, parameters = self.job(wanted.job_id), references.parameters_of(run, wanted.parameters)
        check_parameters(job, parameters)
        if job.continuous:
            raise invalid(f"Job {job.job_id} is continuous and cannot be run by a task.")
        reason = self._slots.why_full(job)
        request = RunNow(job_id=job.job_id, parameters=parameters)
        attempt.child = self._new_run(job, request, at, trigger=Trigger.RUN_JOB_TASK, parent=(run, attempt))
        self._admit(attempt.child, reason, at, queue=job.queue_enabled or reason == WORKSPACE_FULL)

    def _start_by_itself(self, job: Job, trigger: Trigger, at: float) -> Run:
        """Start the run of a continuous job. It takes a slot but obeys no limit."""
        run = self._new_run(job, RunNow(job_id=job.job_id), at, trigger=trigger)
        self._life.start(run, at)
        self._slots.count()
        return run

    def _new_run(
        self,
        job: Job,
        request: RunNow,
        now: float,
        *,
        foreign: bool = False,
        trigger: Trigger = Trigger.ONE_TIME,
        parent: tuple[Run, Attempt] | None = None,
    ) -> Run:
        run = Run(
            run_id=self._new_id(),
            number=next(self._numbers),
            job=job,
            request=request,
            created_at=now,
            foreign=foreign,
            trigger=trigger,
            parent=parent,
        )
        self._runs[run.run_id] = run
        self._slots.enter(run)
        return run

    def _plan(self, run: Run, task: Task) -> Plan:
        if run.foreign:
            seconds = float(run.parameters[FOREIGN_SECONDS])
            end = results.ENDS[results.SUCCESS]
            return Plan(pending_seconds=0.0, run_seconds=seconds, result=results.SUCCESS, end=end)
        usual = STREAM_SECONDS if run.job.continuous else None
        return self.outcomes.plan(references.arguments_of(run, task), task.key, run_seconds=usual)

    def _over(self, run: Run, at: float) -> None:
        """A slot is free: let those start that wait for it, oldest first."""
        if self._on_over is not None:
            self._on_over(run)
        self._slots.leave(run)
        self._continuous.over(run, at)
        self._life.child_over(run, at)
        while waiting := self._slots.next_waiting():
            self._life.start(waiting, at)
