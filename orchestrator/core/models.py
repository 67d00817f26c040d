"""The records that pass between the parts: frozen and keyword-only. Times are aware UTC datetimes."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from orchestrator.core.states import Status

#: From so many ``deliveries`` on an earlier call than the present one may have started a run. An outage and a
#: new turn (the claim) bring the count down to it, no further: a late answer to the first call must not pass
#: for that to the only one.
IN_DOUBT = 2


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row's turn: all that a queue message holds."""

    #: ``track_processing.id``
    entry_id: int
    #: the submission that the turn is for; a message of an older one is stale
    submission: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of ``track_processing``."""

    id: int
    #: GUID of the row, unique even when the database is made anew; part of the idempotency token
    entry_guid: str
    #: name of the Databricks workspace in the settings
    workspace: str
    #: the source table that has new data
    table_name: str
    #: Databricks job, None = the workspace's default job
    job_id: int | None
    #: which parameter field of ``run-now`` the parameters go to
    parameter_style: str
    #: JSON text, None = ``{"table_name": …}``; never shown in a log
    parameters: str | None = field(repr=False)
    #: higher is claimed first
    priority: int
    status: Status
    #: run of the current submission, None until Databricks accepted it
    runid: int | None
    #: number of the latest submission, 0 before the first; rises only when the earlier one is settled
    submission: int
    #: attempts begun, that is runs accepted or refused for good; a skipped run gives its attempt back
    attempt: int
    #: limit of attempts, None = the setting, 0 = no limit
    max_attempts: int | None
    #: not claimed before this time
    available_at: datetime
    #: when the message counts as lost, only while QUEUED
    lease_expires_at: datetime | None
    #: calls of ``run-now`` for this submission that may have started a run; above 0 one may exist although
    #: ``runid`` is not known
    deliveries: int
    cancel_requested: bool
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """What an insert gives; the rest are the table's defaults."""

    table_name: str
    workspace: str = "default"
    job_id: int | None = None
    parameter_style: str = "notebook_params"
    parameters: str | None = field(default=None, repr=False)
    priority: int = 0
    max_attempts: int | None = None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How a row must still be when it is changed, for a person who decided by the look of it."""

    states: frozenset[Status] = frozenset(Status)
    #: None = any
    submission: int | None = None

    def fits(self, status: Status, submission: int) -> bool:
        """Say whether a row is as expected."""
        return status in self.states and self.submission in {None, submission}


ANYTHING = Expected()


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One ``run-now``: https://docs.databricks.com/api/workspace/jobs/runnow"""

    job_id: int
    #: at most 64 characters; a repeat of the same token returns the same run
    idempotency_token: str
    #: ``notebook_params``, ``python_params``, … (``decisions.PARAMETER_STYLES``)
    parameter_style: str
    #: an object or a list of strings, as the style asks
    parameters: dict[str, str] | list[str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """One attempt of one task of a run."""

    run_id: int
    task_key: str
    #: 0 for the first
    attempt_number: int
    life_cycle_state: str
    result_state: str | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as ``runs/get`` tells it. Unknown values of Databricks' enums are kept as they came."""

    run_id: int
    #: ``state.life_cycle_state``, or what ``status.state`` corresponds to when only that was sent
    life_cycle_state: str
    result_state: str | None = None
    #: ``status.termination_details.code``; more exact than the result state
    termination_code: str | None = None
    message: str | None = None
    run_page_url: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queue_seconds: float | None = None
    setup_seconds: float | None = None
    execution_seconds: float | None = None
    tasks: tuple[TaskRun, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunFailure:
    """Why a run failed, as its tasks tell it, cut to a sane length."""

    message: str | None = None
    error_trace: str | None = None


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """One row of ``process_log``: a run that ended or a submission that was refused."""

    entry_id: int
    submission: int
    #: which attempt of the row this was, the first is 1
    attempt: int
    #: the state that the row went to
    status: Status
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


@dataclass(frozen=True, kw_only=True)
class Job:
    """The part of a Databricks job that ``check`` looks at."""

    job_id: int
    name: str
    #: Databricks' default is 1, the most is 1000
    max_concurrent_runs: int
    #: runs over the limit wait instead of being skipped
    queue_enabled: bool
    settings: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class LastPass:
    """The passes of a timer function."""

    name: str
    #: of the last one
    started_at: datetime
    #: when one last came to its end; a pass that failed or was cut off did not
    finished_at: datetime | None
    #: of the last one that is over: ``ok``, or what went wrong
    outcome: str | None


class Unanswered(Enum):
    """What a ``run-now`` without a usable answer says of its row."""

    #: it surely started no run, so it does not count
    NO_EFFECT = auto()
    #: the workspace answers no other call either: not the row's fault, so it does not count; a doubt stays
    OUTAGE = auto()
    #: the workspace answers other calls
    ROW = auto()


@dataclass(frozen=True, kw_only=True)
class CallsElsewhere:
    """How ``run-now`` fares for the other rows of a workspace."""

    #: one of them has a run since not long ago
    accepted: bool
    #: one of them waits for an answer, too
    unanswered: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a row whose submission is settled."""

    to: Status
    #: for ``last_error`` and the log; None when all is well
    error: str | None
    #: how long the row is held back, in seconds
    delay_seconds: float = 0.0
    #: the attempt is given back (the run never had a chance)
    attempt_spent: bool = True
