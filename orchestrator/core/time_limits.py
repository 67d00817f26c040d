"""Decide whether a run has waited or executed for too long. Pure.

Waiting in Databricks' own queue and executing have a limit each, so that a run that waited for a day still
gets its time.
"""

from datetime import datetime

from orchestrator.core.durations import running_seconds
from orchestrator.core.models import Entry, StopReason
from orchestrator.core.policy import Policy


def seconds_since_submission(entry: Entry, now: datetime) -> float:
    """Return how long ago Databricks accepted the run, or a person repaired it."""
    return (now - entry.submitted_at).total_seconds() if entry.submitted_at else 0.0


def exceeded_limit(entry: Entry, now: datetime, policy: Policy) -> StopReason | None:
    """Return which limit the run of an entry is over, or None."""
    seconds, reason = running_seconds(entry, now), StopReason.RUN_TIMEOUT
    if seconds is None:
        seconds, reason = seconds_since_submission(entry, now), StopReason.QUEUE_TIMEOUT
    _, limit = _limit(entry, policy, reason)
    return reason if 0 < limit < seconds else None


def limit_in_words(entry: Entry, policy: Policy) -> str:
    """Return the name of the limit that the app stopped the run of an entry for, and its seconds."""
    name, limit = _limit(entry, policy, StopReason(entry.stop_reason or StopReason.RUN_TIMEOUT))
    return f"{name} ({limit:g} s)" if limit else name  # it may have been lifted since


def _limit(entry: Entry, policy: Policy, reason: StopReason) -> tuple[str, float]:
    """Return the name and the seconds of a limit: the entry's own, or that of the settings; 0 = no limit."""
    if reason is StopReason.QUEUE_TIMEOUT:
        own, of_all, name = entry.queue_timeout_seconds, policy.queue_timeout_seconds, "queue_timeout_seconds"
    else:
        own, of_all, name = entry.run_timeout_seconds, policy.run_timeout_seconds, "run_timeout_seconds"
    return (name.upper(), of_all) if own is None else (name, own)
