"""The records that operators read: status, health, history and tables, for API and command line. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.core import durations
from orchestrator.core.addresses import address_of
from orchestrator.core.models import ActiveRun, Entry, JobKey, LastPass, LogRow
from orchestrator.core.policy import Policy
from orchestrator.core.refused_jobs import setting_of
from orchestrator.core.states import NoStatus, Status
from orchestrator.core.version import VERSION

#: A chart or a table counts at most this many runs, the newest.
MAX_COUNTED = 75_000

#: Most days that a chart looks back; at this age a run's own page in Databricks is gone.
MAX_DAYS = 60

#: A chart of at most this many hours has one bar per hour, a longer one has one bar per day.
HOURLY_UP_TO = 48


@dataclass(frozen=True, kw_only=True)
class TimedEntry:
    """One entry at one moment, and how long the runs of its table usually take."""

    entry: Entry
    #: None = none has succeeded yet
    usual_seconds: float | None
    #: the time by the database's clock
    now: datetime

    @property
    def overdue(self) -> bool:
        """Whether the entry's run takes far longer than usual."""
        return durations.is_overdue(self.entry, self.usual_seconds, self.now)


@dataclass(frozen=True, kw_only=True)
class Story(TimedEntry):
    """One entry and its last settled submissions, first to last."""

    logs: list[LogRow]
    #: the submission that earlier ones were settled before; None = these are all
    earlier_before: int | None = None


@dataclass(frozen=True, kw_only=True)
class Period:
    """Two times by the database's clock."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class WorkspaceReport:
    """The entries of a workspace, counted."""

    name: str
    #: entries in each state that is not final
    open: Mapping[Status, int] = field(default_factory=dict)
    #: entries that ended in the last hour and day, by their final state
    finished_hour: Mapping[Status, int] = field(default_factory=dict)
    finished_day: Mapping[Status, int] = field(default_factory=dict)
    #: how long the entry that waits longest could have been claimed; None = no entry waits
    oldest_waiting_seconds: float | None = None
    #: runs of the entries in flight, as far as they are known
    run_ids: frozenset[int] = frozenset()
    #: runs of the entries that left flight since the active runs were listed
    late_run_ids: frozenset[int] = frozenset()
    #: jobs of the entries for which ``run-now`` was called before that and has not answered, one for each:
    #: Databricks may list a run before its id is known here
    called_jobs: tuple[JobKey, ...] = ()
    #: jobs of the entries in flight, one for each
    in_flight_jobs: tuple[JobKey, ...] = ()

    @property
    def in_flight(self) -> int:
        """Slots that the workspace's entries hold."""
        return self.open.get(Status.QUEUED, 0) + self.open.get(Status.RUNNING, 0)


@dataclass(frozen=True, kw_only=True)
class OpenWorkspace:
    """The open entries that name a workspace."""

    name: str
    waiting: int
    in_flight: int
    #: since when the oldest of them may be claimed
    since: datetime


@dataclass(frozen=True, kw_only=True)
class JobUse:
    """Waiting entries that name the same job and parameter style."""

    key: JobKey
    parameter_style: str
    entries: int


@dataclass(frozen=True, kw_only=True)
class KnownWorkspace:
    """A workspace of the settings."""

    name: str
    #: its address, ``https://…`` without a slash at the end
    host: str
    #: tells the workspaces behind one host apart; None = the host has one workspace
    workspace_id: int | None = None
    #: job of entries that name none; None = the settings give its name, or every entry must name its own
    job_id: int | None
    job_name: str | None = None
    #: most active runs at a time, foreign runs included
    cap: int

    @property
    def address(self) -> str:
        """Where it is, as it is kept with its runs."""
        return address_of(self.host, self.workspace_id)

    @property
    def setting(self) -> str:
        """What is refused when its own job is (:func:`~orchestrator.core.refused_jobs.setting_of`)."""
        return setting_of(self.job_id, self.job_name)


@dataclass(frozen=True, kw_only=True)
class Known:
    """The settings that explain what the store holds."""

    workspaces: tuple[KnownWorkspace, ...]
    policy: Policy
    #: a timer function is late if it has not begun for this many seconds
    pass_late_seconds: float
    #: settings that the app does without, since Azure has not resolved what they refer to
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Active:
    """The active runs of a workspace, as Databricks lists them."""

    #: as far as they are known
    runs: tuple[ActiveRun, ...] = ()
    #: why they are unknown, or only some of them known; None = all are known
    error: str | None = None
    #: when the listing took place; None = they are unknown
    listed: Period | None = None


@dataclass(frozen=True, kw_only=True)
class WorkspaceStatus:
    """The state of one workspace: its entries, its slots and who holds them."""

    report: WorkspaceReport
    #: most active runs at a time; None = the settings do not name the workspace, or are incomplete
    cap: int | None
    active: Active
    #: job of entries that name none; None = it is not known
    job_id: int | None = None

    @property
    def foreign_runs(self) -> list[ActiveRun]:
        """The active runs of no entry in flight, as far as they are known.

        A run that belonged to an entry when the runs were listed, or later, is not one of them.
        """
        ours = self.report.run_ids | self.report.late_run_ids
        unknown = [run for run in self.active.runs if run.run_id not in ours]
        for key in self.report.called_jobs:
            job_id = self.job_id if key == JobKey() else key.job_id
            called = next((run for run in unknown if job_id is None or run.job_id in {None, job_id}), None)
            if called is not None:
                unknown.remove(called)
        return unknown

    @property
    def foreign(self) -> int:
        """How many slots foreign runs take."""
        return sum(run.takes_slot for run in self.foreign_runs)

    @property
    def foreign_queued(self) -> int:
        """How many foreign runs wait in Databricks' own queue and take no slot."""
        return sum(run.queued for run in self.foreign_runs)

    @property
    def in_use(self) -> int:
        """How many slots are taken."""
        return self.report.in_flight + self.foreign

    @property
    def free(self) -> int | None:
        """How many slots are free; None = the cap is unknown."""
        return None if self.cap is None else max(0, self.cap - self.in_use)


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A workspace that does not answer the passes."""

    workspace: str
    #: the first pass without an answer
    since: datetime
    #: what the last pass met
    problem: str


@dataclass(frozen=True, kw_only=True)
class PassStatus:
    """The last pass of one timer function."""

    name: str
    #: None = the function has never begun a pass
    last: LastPass | None
    #: it should have begun again by now; False if the settings are incomplete
    late: bool


@dataclass(frozen=True, kw_only=True)
class StatusReport:
    """The state of everything at one moment of the database's clock."""

    #: of the app
    version: str = VERSION
    #: the newest version of the schema that the app knows; ``check`` says which one the database has
    schema_version: int
    workspaces: list[WorkspaceStatus]
    passes: list[PassStatus]
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether the app does its work."""

    #: why it does not, one line each
    reasons: list[str] = field(default_factory=list)
    #: what could not be found out, and why; None = nothing
    unknown: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The runs that ended in one hour or on one day."""

    start: datetime
    #: runs that succeeded
    done: int
    #: runs that failed and submissions that were refused
    failed: int
    #: mean time that a run waited in Databricks, in seconds
    queue_seconds_mean: float | None
    execution_seconds_mean: float | None


@dataclass(frozen=True, kw_only=True)
class History:
    """Hours or days, oldest first; those without a run are omitted."""

    buckets: list[Bucket]
    #: runs settled earlier are not counted: the requested time, or a later one if there are too many runs
    since: datetime


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """The runs of one source table, summarized."""

    table: str
    workspace: str
    #: runs that succeeded or failed
    runs: int
    failed: int
    #: of the execution, in seconds
    mean_seconds: float | None
    max_seconds: float | None
    #: the state that the last run gave its entry, and when
    last_status: Status | NoStatus
    last_finished_at: datetime | None

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None if no run succeeded or failed."""
        return (self.runs - self.failed) / self.runs if self.runs else None


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Source tables, those with most failures first."""

    tables: list[TableReport]
    #: as in :class:`History`
    since: datetime
