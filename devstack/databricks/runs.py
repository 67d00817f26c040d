"""Runs and the attempts of their tasks. Times are epoch seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from devstack.databricks.jobs import Job
from devstack.databricks.requests import RunNow
from devstack.databricks.results import ENDS, End, State
from devstack.databricks.tasks import Task


class Trigger(StrEnum):
    """``trigger`` of a run."""

    ONE_TIME = "ONE_TIME"
    RUN_JOB_TASK = "RUN_JOB_TASK"
    CONTINUOUS = "CONTINUOUS"  #: by the job itself
    CONTINUOUS_RESTART = "CONTINUOUS_RESTART"  #: by ``run-now`` of a continuous job


@dataclass(frozen=True, kw_only=True)
class Output:
    """What ``runs/get-output`` tells of an attempt."""

    #: the error in one line
    error: str = ""
    error_trace: str = ""
    #: standard output
    logs: str = ""
    logs_truncated: bool = False
    #: what a notebook returned, None = nothing
    result: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a simulated attempt goes. Durations are in seconds."""

    pending_seconds: float
    run_seconds: float
    #: a key of ``results.ENDS``
    result: str
    end: End
    output: Output = field(default_factory=Output)


@dataclass(kw_only=True, eq=False)
class Attempt:
    """One attempt of one task."""

    run_id: int
    task: Task
    #: 0 for the first
    number: int
    #: how many attempts the job's own retries have made before, since the run's start or its last repair
    retries: int
    #: run id of the first attempt of the task
    original_run_id: int
    state: State
    #: the attempt of the For each task whose iteration it is
    parent: "Attempt | None" = None
    #: of a For each task: every attempt of every iteration, the items that have not been begun, and how many
    #: there were at first
    iterations: "list[Attempt]" = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    total: int = 0
    #: of an If/else task that is over: ``true`` or ``false``
    outcome: str = ""
    #: of a Run Job task: the run that it started
    child: "Run | None" = None
    #: the executor runs it
    real: bool = False
    #: began to wait for compute
    started_at: float | None = None
    #: began to execute
    executing_at: float | None = None
    ended_at: float | None = None
    #: a key of ``results.ENDS``, empty until it is over
    result: str = ""
    end: End | None = None
    output: Output = field(default_factory=Output)

    def finish(self, result: str, at: float, *, output: Output | None = None, end: End | None = None) -> None:
        """Be over.

        :param result: a key of ``results.ENDS``.
        :param end: in place of the usual one for the result.
        """
        self.result, self.end = result, end or ENDS[result]
        self.state = self.end.life_cycle_state
        self.ended_at = at
        self.output = output or Output()

    def last_iterations(self) -> "list[Attempt]":
        """The latest attempt of each iteration of a For each task."""
        return list({attempt.original_run_id: attempt for attempt in self.iterations}.values())

    @property
    def setup_seconds(self) -> float:
        """How long it waited for compute."""
        return _span(self.started_at, self.executing_at if self.executing_at is not None else self.ended_at)

    @property
    def execution_seconds(self) -> float:
        """How long it executed."""
        return _span(self.executing_at, self.ended_at)


@dataclass(kw_only=True, eq=False)
class Part:
    """A run as it was started, or one repair of it."""

    #: None for the run as it was started
    repair_id: int | None
    started_at: float
    attempts: list[Attempt] = field(default_factory=list)
    ended_at: float | None = None
    end: End | None = None


@dataclass(kw_only=True, eq=False)
class Run:
    """One run of a job."""

    run_id: int
    #: place in the order of creation
    number: int
    job: Job
    request: RunNow
    created_at: float
    #: created by the simulator itself, in place of other users
    foreign: bool = False
    #: what started it
    trigger: Trigger = Trigger.ONE_TIME
    #: the run, and the attempt of its Run Job task, that started it
    parent: "tuple[Run, Attempt] | None" = None
    #: left the queue, None while it waits and when it was skipped
    started_at: float | None = None
    ended_at: float | None = None
    #: ``queue_details.code``, empty when the run never waited
    queue_reason: str = ""
    cancel_requested: bool = False
    end: End | None = None
    #: of all parts, oldest first
    attempts: list[Attempt] = field(default_factory=list)
    #: the run as it was started, then its repairs
    parts: list[Part] = field(init=False)

    def __post_init__(self) -> None:
        self.parts = [Part(repair_id=None, started_at=self.created_at)]

    def add(self, attempt: Attempt) -> None:
        """Take in a new attempt."""
        self.attempts.append(attempt)
        self.parts[-1].attempts.append(attempt)

    def finish(self, end: End, at: float) -> None:
        """Be over."""
        self.end = self.parts[-1].end = end
        self.ended_at = self.parts[-1].ended_at = at

    def reopen(self, repair_id: int, at: float) -> None:
        """Be active again: a repair begins."""
        self.end = self.ended_at = None
        self.cancel_requested = False
        self.parts.append(Part(repair_id=repair_id, started_at=at))

    @property
    def parameters(self) -> dict[str, str]:
        """All named parameters that the run was given, with the job's defaults."""
        return {**self.job.parameters, **self.request.named}

    @property
    def state(self) -> State:
        """``life_cycle_state``."""
        if self.end:
            return self.end.life_cycle_state
        if self.cancel_requested:
            return State.TERMINATING
        if self.started_at is None:
            return State.QUEUED
        executing = any(attempt.executing_at is not None for attempt in self.parts[-1].attempts)
        return State.RUNNING if executing else State.PENDING

    @property
    def queue_seconds(self) -> float:
        """How long it waited in the queue."""
        return _span(self.created_at, self.started_at if self.started_at is not None else self.ended_at)

    @property
    def active_seconds(self) -> float:
        """How long the run and its repairs took that are over, the queue included."""
        return sum(_span(part.started_at, part.ended_at) for part in self.parts)

    def last_attempts(self) -> dict[str, Attempt]:
        """The latest attempt of each task, by task key, in the job's order."""
        return {attempt.task.key: attempt for attempt in self.attempts}


def _span(start: float | None, end: float | None) -> float:
    return 0.0 if start is None or end is None else end - start
