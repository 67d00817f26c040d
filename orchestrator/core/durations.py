"""How long the runs of a source table usually take, and which run takes far longer. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.models import Entry
from orchestrator.core.states import Status

#: Successes of a table that decide its usual time, the newest.
USUAL_OF = 30

#: A run is far beyond the usual time if it takes more than this many times as long ...
_TIMES = 3.0

#: ... and at least this many seconds more: short runs vary by more than their length.
LEAST_EXCESS_SECONDS = 600.0

_PERCENTILE = 0.95

#: An entry may wait for this long behind a run of its table, if nobody knows how long the table's runs take.
HELD_SECONDS = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Duration:
    """What Databricks said about the time that a run took; in seconds, None = not said."""

    started_at: datetime | None
    finished_at: datetime | None
    queue_seconds: float | None
    setup_seconds: float | None
    execution_seconds: float | None

    @property
    def seconds(self) -> float | None:
        """How long the run took without its wait in Databricks' own queue."""
        if self.execution_seconds:
            return (self.setup_seconds or 0.0) + self.execution_seconds
        # Databricks gives 0 for a run of several tasks.
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds() - (self.queue_seconds or 0.0)


def usual_seconds(successes: Sequence[Duration]) -> float | None:
    """Return the 95th percentile of a table's last successes; None if there are none."""
    known = sorted(each.seconds for each in successes if each.seconds is not None)
    return known[math.ceil(_PERCENTILE * len(known)) - 1] if known else None


def running_seconds(entry: Entry, now: datetime) -> float | None:
    """Return for how long an entry's run has taken compute; None if it has none, or waits in a queue."""
    if entry.status is not Status.RUNNING or entry.submitted_at is None or entry.queue_seconds is None:
        return None
    return (now - entry.submitted_at).total_seconds() - entry.queue_seconds


def is_overdue(entry: Entry, usual: float | None, now: datetime) -> bool:
    """Say whether an entry's run takes far longer than the runs of its table usually do."""
    seconds = running_seconds(entry, now)
    if seconds is None or usual is None:
        return False
    return seconds > _TIMES * usual and seconds >= usual + LEAST_EXCESS_SECONDS
