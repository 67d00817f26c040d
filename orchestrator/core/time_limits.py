"""Decide whether a run has waited or executed for too long, and when to ask for its end. Pure.

Waiting in Databricks' own queue and executing have a limit each, so that a run that waited for a day still
gets its time.
"""

from datetime import datetime, timedelta

from orchestrator.core.durations import running_seconds
from orchestrator.core.models import Entry, StopReason, StrayRun
from orchestrator.core.outcomes import is_over
from orchestrator.core.policy import Policy

#: Longest pause between two calls to cancel a run that goes on all the same. The pauses double up to it.
_CANCEL_PAUSE = timedelta(minutes=15)

#: Shortest and longest pause between two calls to cancel a run that nobody wants. The pauses double.
_STRAY_PAUSES = timedelta(minutes=1), timedelta(hours=1)

#: "Does not exist" is not believed of a younger run: not every server of Databricks knows a new run at once.
_YOUNG = timedelta(minutes=2)

#: A cancellation takes some minutes at most. After this time people are told that it had no effect.
_CANCEL_TAKES = timedelta(minutes=15)

#: States of a run in which it is no wonder that nothing changes; the wait in the queue is noted elsewhere.
_AT_WORK = frozenset({"QUEUED", "RUNNING"})

#: A cluster may take some minutes to start. Before this time a run's state is not worth a write.
_START_TAKES = timedelta(minutes=15)

#: Databricks itself ends a run that was queued for so long.
QUEUE_TAKES = timedelta(hours=48)

#: After this time in a state people are told that the run stands still.
_TERMINATION_TAKES = timedelta(hours=1)
_STATE_TAKES = timedelta(days=1)


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
    is_of_queue = entry.stop_reason == StopReason.QUEUE_TIMEOUT  # people may write another word there
    reason = StopReason.QUEUE_TIMEOUT if is_of_queue else StopReason.RUN_TIMEOUT
    name, limit = _limit(entry, policy, reason)
    return f"{name} ({limit:g} s)" if limit else name  # it may have been lifted since


def may_ask_to_cancel(entry: Entry, now: datetime) -> bool:
    """Say whether it is time for a call, or one more call, to cancel a run.

    Databricks may accept a call that has no effect, so it is repeated: each time after as long again as the
    run has gone on since the first one, and at the latest after a quarter of an hour.
    """
    if entry.cancel_asked_at is None or entry.cancel_repeated_at is None:
        return True
    asked_for = entry.cancel_repeated_at - entry.cancel_asked_at
    return now - entry.cancel_repeated_at >= min(asked_for, _CANCEL_PAUSE)


def may_cancel_stray(stray: StrayRun, now: datetime) -> bool:
    """Say whether it is time for a call, or one more call, to cancel a run that nobody wants."""
    if stray.asked_at is None:
        return True
    least, most = _STRAY_PAUSES
    if stray.asked_at > now:  # the database's clock has gone back since
        return True
    return now - stray.asked_at >= min(max(stray.asked_at - stray.since, least), most)


def heeds_no_cancellation(asked_at: datetime | None, now: datetime) -> bool:
    """Say whether a run goes on long after Databricks was asked to cancel it; None = it was not."""
    return asked_at is not None and now - asked_at >= _CANCEL_TAKES


def is_young(since: datetime | None, now: datetime) -> bool:
    """Say whether a run is so new that some server of Databricks may not know it; None = age unknown."""
    return since is not None and now - since < _YOUNG


def state_worth_noting(entry: Entry, state: str, now: datetime) -> str | None:
    """Return the state of a run that neither executes nor waits in the queue; None while it is a new run.

    A run that is followed and over shows its end before a repair, which is worth noting at once.
    """
    if is_over(state, ended=False):
        return state
    is_new = entry.submitted_at is None or now - entry.submitted_at < _START_TAKES
    return None if is_new or state in _AT_WORK else state


def in_state_since(entry: Entry) -> datetime | None:
    """Return since when the run of an entry is queued, or stands still; None = it does neither."""
    return entry.submitted_at if entry.queue_seconds is None else entry.run_state_since


def stands_still(entry: Entry, now: datetime) -> bool:
    """Say whether the run of an entry is in one state for far longer than runs are."""
    since = in_state_since(entry)
    takes = _TERMINATION_TAKES if entry.run_state == "TERMINATING" else _STATE_TAKES
    if entry.queue_seconds is None:
        takes = QUEUE_TAKES
    return since is not None and now - since >= takes


def _limit(entry: Entry, policy: Policy, reason: StopReason) -> tuple[str, float]:
    """Return the name and the seconds of a limit: the entry's own, or that of the settings; 0 = no limit."""
    if reason is StopReason.QUEUE_TIMEOUT:
        own, of_all, name = entry.queue_timeout_seconds, policy.queue_timeout_seconds, "queue_timeout_seconds"
    else:
        own, of_all, name = entry.run_timeout_seconds, policy.run_timeout_seconds, "run_timeout_seconds"
    return (name.upper(), of_all) if own is None else (name, own)
