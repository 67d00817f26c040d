"""What people ask of the rows, and the answers: for dashboard, HTTP API and command line. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from orchestrator.core.models import Entry, LogRow
from orchestrator.core.states import Status

#: A chart or a table of runs counts so many at most, the newest.
MAX_COUNTED = 75_000


#: The charts look back no further; at this age a run's own page in Databricks is gone.
MAX_DAYS = 60

#: Up to here a chart has a bar an hour, above a bar a day.
HOURLY_UP_TO = 48


@dataclass(frozen=True, kw_only=True)
class Story:
    """One row and every settled submission of it, first to last."""

    entry: Entry
    logs: list[LogRow]


@dataclass(frozen=True, kw_only=True)
class WorkspaceReport:
    """How a workspace's rows stand."""

    name: str
    #: rows in each state that is not over
    waiting: Mapping[Status, int] = field(default_factory=dict)
    #: rows that ended in the last hour and day, by the state they ended in
    finished_hour: Mapping[Status, int] = field(default_factory=dict)
    finished_day: Mapping[Status, int] = field(default_factory=dict)
    #: how long the row that may be claimed since the longest time has waited; None = none waits
    oldest_waiting_seconds: float | None = None
    #: runs of the rows in flight, as far as they are known
    run_ids: frozenset[int] = frozenset()

    @property
    def in_flight(self) -> int:
        """Slots that the workspace's rows hold."""
        return self.waiting.get(Status.QUEUED, 0) + self.waiting.get(Status.RUNNING, 0)

    def foreign(self, active_run_ids: frozenset[int]) -> int:
        """Return how many of a workspace's active runs belong to no row in flight."""
        return len(active_run_ids - self.run_ids)


class Reason(StrEnum):
    """Why a row still waits."""

    CANCEL = "cancel"  #: its cancellation is asked for
    BACK_OFF = "back-off"  #: its ``available_at`` is not reached
    SAME_TABLE = "same table"  #: another row of its table is in flight or comes first
    ATTEMPTS = "attempts"  #: its attempts are spent, since the limit was lowered: it is not claimed
    CAP = "cap"  #: no slot is free
    NEXT = "next"  #: the next trigger claims it
    UNREACHABLE = "unreachable"  #: Databricks cannot be asked what is active, so nothing is claimed


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A row that waits, and why."""

    entry: Entry
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """What ended in one hour or day."""

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
    """Hours or days, oldest first; those without a run are left out."""

    buckets: list[Bucket]
    #: what was settled before is not counted: the time asked for, or later where there are too many runs
    since: datetime


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """How the runs of one source table went."""

    table: str
    workspace: str
    #: runs that succeeded or failed
    runs: int
    failed: int
    #: of the execution, in seconds
    mean_seconds: float | None
    max_seconds: float | None
    #: what the last run brought its row to, and when
    last_status: Status
    last_finished_at: datetime | None

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None when nothing succeeded or failed."""
        return (self.runs - self.failed) / self.runs if self.runs else None


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Source tables, most failures first."""

    tables: list[TableReport]
    #: as in :class:`History`
    since: datetime
