"""The records that the layers exchange: entries, claims, runs, jobs, log rows. Times are aware UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import Any

from orchestrator.core.addresses import Elsewhere
from orchestrator.core.states import NoStatus, Status


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One submission of an entry that may now be made; the content of a queue message."""

    #: ``track_processing.id``
    entry_id: int
    #: the number of the submission; a message of an older submission is stale
    submission: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of ``track_processing``: a table with new data that needs one successful run."""

    id: int
    #: GUID of the entry, unique even if the database is recreated; part of the idempotency token
    entry_guid: str
    #: name of the Databricks workspace in the settings
    workspace: str
    #: the source table that has new data
    table_name: str
    #: Databricks job, None = the workspace's default job
    job_id: int | None
    #: the field of ``run-now`` that takes the parameters
    parameter_style: str
    #: JSON text, None = ``{"table_name": …}``; never logged. Longer texts than the app accepts are cut.
    parameters: str | None = field(default=None, repr=False)
    #: higher numbers are claimed first
    priority: int
    #: ``NoStatus`` = the column holds none of the states, and ``last_error`` says which word it holds
    status: Status | NoStatus
    #: run of the current submission, None until Databricks has accepted it
    runid: int | None
    #: number of the latest submission, 0 before the first; rises only once the previous one is settled
    submission: int
    #: attempts begun: runs accepted or refused for good; a skipped run does not count
    attempt: int
    #: limit of attempts, None = the setting, 0 = no limit
    max_attempts: int | None
    #: not claimed before this time
    available_at: datetime
    #: when the message counts as lost; set only while QUEUED
    lease_expires_at: datetime | None
    #: calls of ``run-now`` for this submission that may have started a run, under way or without an answer;
    #: above 0 a run may exist although ``runid`` is unknown
    deliveries: int
    cancel_requested: bool
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime | None
    finished_at: datetime | None
    #: name of the Databricks job, used where ``job_id`` is None
    job_name: str | None = None
    #: JSON text with further fields of ``run-now``
    options: str | None = None
    #: ``run`` or ``repair``: how a retry runs the entry again; None = the setting
    retry_mode: str | None = None
    #: limit of the run's execution, None = the setting, 0 = no limit
    run_timeout_seconds: int | None = None
    #: limit of the run's wait in Databricks' own queue, None = the setting, 0 = no limit
    queue_timeout_seconds: int | None = None
    #: the latest run of all submissions; somebody may repair it, and then it is active again
    last_runid: int | None = None
    #: JSON text of the current submission's call, as it was first made; a repeated call is the same
    request: str | None = field(default=None, repr=False)
    #: a call of the current submission before the latest one may have started a run. Until the submission is
    #: settled, a refusal is no proof that there is none: Databricks does not document whether it looks up the
    #: token before it refuses a call
    in_doubt: bool = False
    claimed_at: datetime | None = None
    #: waits of the current submission for a workspace that took no call; decides the length of the next one
    postponements: int = 0
    #: times in a row that the current submission's message was sent again without any call
    resends: int = 0
    #: times in a row that there was no slot for the entry's run
    slot_waits: int = 0
    #: times in a row that the platform failed the entry's run
    platform_failures: int = 0
    #: how long the run waited in Databricks' own queue, as far as known; None = it waits there now
    queue_seconds: float | None = None
    #: why the app itself asked Databricks to cancel the run (:class:`StopReason`)
    stop_reason: str | None = None
    #: JSON text: what was heard of the current submission that is believed only once it is repeated
    #: (:class:`~orchestrator.core.doubts.Doubt`), how often, and since when
    doubts: str | None = None
    #: since when Databricks says that the run does not exist
    missing_since: datetime | None = None
    #: when the run vanished together with others, or could be read again after that; None = it is not doubted
    vanished_at: datetime | None = None
    #: since when Databricks does not let the app read the run, or cancel one that is to be cancelled
    unreadable_since: datetime | None = None
    #: when Databricks first and last accepted a call to cancel the run
    cancel_asked_at: datetime | None = None
    cancel_repeated_at: datetime | None = None
    #: Databricks' state of a run that neither executes nor ends, and since when the app sees it
    run_state: str | None = None
    run_state_since: datetime | None = None
    #: where the calls of the latest submission are made, and where the latest run is, by
    #: :func:`~orchestrator.core.addresses.address_of`; None = not kept: taken for the one in the settings
    workspace_address: str | None = None
    #: the first submission that was made there; None = all were
    address_submission: int | None = None
    #: characters that ``parameters`` has in the database; None = the entry was read without its parameters
    parameters_length: int | None = 0
    #: characters that ``options`` has in the database
    options_length: int = 0

    @property
    def job_key(self) -> "JobKey":
        """How the entry names its job."""
        return JobKey(job_id=self.job_id, job_name=self.job_name)

    def is_at(self, address: str) -> bool:
        """Whether the latest run and submission are at an address."""
        return self.workspace_address in {None, address}

    def made_here(self, logs: "Sequence[LogRow]") -> "list[LogRow]":
        """Return the log rows of submissions that were made where the latest one is."""
        return [log for log in logs if log.submission >= (self.address_submission or 0)]

    @property
    def with_failures(self) -> bool:
        """Whether the run succeeded although tasks of it failed; ``last_error`` says which."""
        return self.status is Status.DONE and self.last_error is not None

    @property
    def was_called_for(self) -> bool:
        """Whether a call of the app began what the run does now; if not, a person repaired it."""
        return self.request is not None


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """A run of an entry that is over or waits; somebody may have repaired it."""

    entry: Entry
    run_id: int

    @property
    def is_last(self) -> bool:
        """Whether no later submission of the entry has a run."""
        return self.run_id == self.entry.last_runid


@dataclass(frozen=True, kw_only=True)
class StrayRun:
    """A run that Databricks told of when its entry had gone on without it; nobody wants it."""

    workspace: str
    run_id: int
    entry_id: int
    since: datetime
    #: the job that was asked for; None = not known
    job_id: int | None = None
    #: where it is; None = not kept, so taken for the workspace's address in the settings
    address: str | None = None
    #: what keeps the app from cancelling it
    problem: str | None = None
    #: when it was last to be cancelled; None = never
    asked_at: datetime | None = None


class StopReason(StrEnum):
    """Why the app asks Databricks to cancel a run that nobody asked to cancel."""

    RUN_TIMEOUT = "RUN_TIMEOUT"  #: it executed for too long
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"  #: it waited for too long in Databricks' own queue
    RESTART = "RESTART"  #: an operator wants the entry to start anew


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """The values of a new entry; all other columns get the table's defaults."""

    table_name: str
    workspace: str = "default"
    job_id: int | None = None
    parameter_style: str = "auto"
    parameters: str | None = field(default=None, repr=False)
    priority: int = 0
    max_attempts: int | None = None
    job_name: str | None = None
    options: str | None = None
    retry_mode: str | None = None
    run_timeout_seconds: int | None = None
    queue_timeout_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The state that an entry must still have when it is changed: what the operator saw when deciding."""

    states: frozenset[Status] = frozenset(Status)
    #: None = any
    submission: int | None = None

    def fits(self, status: Status | NoStatus, submission: int) -> bool:
        """Say whether an entry is as expected."""
        return status in self.states and self.submission in {None, submission}


ANYTHING = Expected()


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """What distinguishes a repeated request from a new one."""

    #: the header Idempotency-Key
    key: str
    #: SHA-256 of the request's body, in hexadecimal
    body_hash: str


@dataclass(frozen=True, kw_only=True)
class TakenUp:
    """What became of a claim whose message has come."""

    #: the entry as it waited for the message
    waiting: Entry
    #: what its workspace has open at another address
    elsewhere: Elsewhere | None
    #: False = the request was not known at once: it has to be planned, and then the submission is begun
    is_planned: bool = False
    #: the entry with its submission begun; None = it is not
    begun: Entry | None = None


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One ``run-now`` request: https://docs.databricks.com/api/workspace/jobs/runnow"""

    job_id: int
    #: at most 64 characters; repeating a token returns the same run
    idempotency_token: str
    #: ``notebook_params``, ``python_params``, … (``run_requests.PARAMETER_STYLES``)
    parameter_style: str
    #: an object or a list of strings, depending on the style
    parameters: dict[str, str] | list[str] = field(repr=False)
    #: further fields of the request: ``only``, ``queue``, ``performance_target``, …
    options: Mapping[str, Any] = field(default_factory=dict)
    #: True = the job could not be read, so the style is assumed
    is_guess: bool = False
    #: when the entry was claimed for the first call, by the database's clock: its run is younger
    claimed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RepairRequest:
    """One ``runs/repair`` request: https://docs.databricks.com/api/workspace/jobs/repairrun"""

    run_id: int
    #: newest repair that the caller knows; Databricks refuses the request if there is a newer one
    latest_repair_id: int | None
    #: as in :class:`RunRequest`; a repair without parameters may run without those of its run
    parameter_style: str
    parameters: dict[str, str] | list[str] = field(repr=False)
    #: when the run was over as the caller saw it; a later end is that of a repair
    ended_at: datetime | None = None
    #: since when no call is made any more, by the database's clock: it only remains to see whether an earlier
    #: one has begun the repair. None = calls are made
    quiet_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """One attempt of one task of a run."""

    run_id: int
    task_key: str
    #: 0 for the first
    attempt_number: int
    life_cycle_state: str
    #: or the termination code, if only that was sent
    result_state: str | None
    #: whose fault its end is
    termination_type: str | None = None
    #: the field that describes the task: ``notebook_task``, ``for_each_task``, …; None = unknown
    kind: str | None = None
    #: what Databricks says about its end; the error of the task's own code is in its output
    message: str | None = None
    started_at: datetime | None = None
    #: the run that a *Run Job* task started, if the task names it; its output does as well
    child_run_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as returned by ``runs/get``. Unknown values of Databricks' enums are kept, in capital letters."""

    run_id: int
    #: ``state.life_cycle_state``, or ``status.state`` if that stands alone or contradicts it
    life_cycle_state: str
    result_state: str | None = None
    #: ``status.termination_details.code``; more precise than the result state
    termination_code: str | None = None
    #: ``status.termination_details.type``, or that of its failed tasks: whose fault it is
    termination_type: str | None = None
    message: str | None = None
    run_page_url: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queue_seconds: float | None = None
    setup_seconds: float | None = None
    execution_seconds: float | None = None
    #: at most 100, further ones follow on the next pages
    tasks: tuple[TaskRun, ...] = ()
    #: asks for the next page of tasks; None = all are here
    next_page_token: str | None = None
    #: whether the repairs were asked for; the next page has to be asked for in the same way
    with_history: bool = False
    #: newest repair of the run; None = it was never repaired, or the history was not asked for
    latest_repair_id: int | None = None
    #: when that repair began; None = Databricks did not say
    latest_repair_at: datetime | None = None
    #: None = Databricks did not send it
    job_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class ActiveRun:
    """A run as ``runs/list`` shows it while it is active."""

    run_id: int
    job_id: int | None = None
    #: it waits in Databricks' own queue and uses no compute
    queued: bool = False
    #: a *Run Job* task of another run started it, and waits for it
    is_child: bool = False
    #: a schedule, a file, a table or a continuous trigger started it, so no call did
    is_unasked: bool = False
    #: how long it was queued, None = not said
    queue_seconds: float | None = None
    #: as :attr:`Run.life_cycle_state`; None = not said
    life_cycle_state: str | None = None
    #: when it began, also if it was repaired since; None = not said
    started_at: datetime | None = None

    @property
    def takes_slot(self) -> bool:
        """Whether a foreign run takes a slot of the workspace's cap: a child belongs to its parent."""
        return not self.queued and not self.is_child


@dataclass(frozen=True, kw_only=True)
class AliveRun:
    """An active run of an entry that is not in flight: somebody repaired it, or it came too late."""

    entry_id: int
    run_id: int
    #: the table that it keeps busy; None = the entry has let go of it
    table_name: str | None


@dataclass(frozen=True, kw_only=True)
class JobKey:
    """How an entry names its job; both None = the workspace's default job."""

    job_id: int | None = None
    job_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobLimit:
    """How many runs of a job may be active at a time."""

    job_id: int
    max_concurrent_runs: int


@dataclass(frozen=True, kw_only=True)
class RunFailure:
    """Why a run failed, from the errors of its tasks; long texts are cut."""

    message: str | None = None
    error_trace: str | None = None


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """One row of ``process_log``: a run that ended or a submission that was refused."""

    entry_id: int
    submission: int
    #: number of the attempt, from 1
    attempt: int
    #: the state that the entry went to
    status: Status | NoStatus
    runid: int | None = None
    life_cycle_state: str | None = None
    result_state: str | None = None
    termination_code: str | None = None
    message: str | None = None
    error_trace: str | None = None
    run_page_url: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queue_seconds: float | None = None
    setup_seconds: float | None = None
    execution_seconds: float | None = None
    termination_type: str | None = None
    #: the notebook's exit value, if the setting STORE_RESULTS keeps it
    result: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """The settings of a Databricks job that decide how entries run on it."""

    job_id: int
    name: str
    #: Databricks' default is 1, its maximum 1000
    max_concurrent_runs: int
    #: True = runs over the limit wait instead of being skipped
    queue_enabled: bool
    #: True = Databricks keeps one run going; ``run-now`` would restart it
    continuous: bool = False
    #: names of the job parameters that the job declares; with any of them it refuses the older styles
    parameters: tuple[str, ...] = ()
    #: True = it could not be read, and all but its id is assumed
    is_assumed: bool = False
    settings: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class LastPass:
    """The last pass of a timer function."""

    name: str
    #: start of the last pass
    started_at: datetime
    #: end of the last pass that finished; a pass that failed or was cut off does not count
    finished_at: datetime | None
    #: outcome of the last pass that is over: ``ok`` or its problems
    outcome: str | None
    #: who asked for the last pass; None = an older version of the app made it
    asked_by: str | None = None
    #: since when each pass has ended with a problem; None = the last one had none
    troubled_since: datetime | None = None


class AskedBy(StrEnum):
    """Who asks for a pass."""

    TIMER = "timer"
    API = "API"
    COMMAND_LINE = "command line"


class Unanswered(Enum):
    """Why a call of ``run-now`` had no usable answer, and whether it counts against its entry."""

    #: it was not made: what has to be known first could not be read
    NOT_MADE = auto()
    #: it certainly started no run, so it does not count
    NO_EFFECT = auto()
    #: the workspace answers no other call either: not the entry's fault, so it does not count; the doubt
    #: remains
    OUTAGE = auto()
    #: the workspace answers other calls, so it counts
    ENTRY = auto()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of an entry: its next state, error and delay."""

    to: Status
    #: for ``last_error`` and the log; None if there is no error
    error: str | None
    #: how long the entry must wait before it may be claimed, in seconds
    delay_seconds: float = 0.0
    #: False = the attempt does not count: the run had no slot, or the platform failed
    attempt_spent: bool = True
    #: the entry's new count of times in a row without a slot
    slot_waits: int = 0
    #: the entry's new count of failures of the platform in a row
    platform_failures: int = 0
    #: what it keeps of a refusal that is not its own (:mod:`~orchestrator.core.refused_jobs`)
    refusal: str | None = None
