"""Decide what a run's state means for its entry: done, retry and when, or dead; and what is logged. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from orchestrator.core import redaction
from orchestrator.core.models import Entry, LogRow, Run, RunFailure, Verdict
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status

#: Longest wait before a retry.
_MAX_BACKOFF_SECONDS = 3600.0

#: Wait after "no capacity" and after a skipped run: long enough not to add load to a full workspace.
CAPACITY_DELAY_SECONDS = 60.0

#: First and longest wait before a message is sent again after a call without a usable answer. The client
#: itself rides out a few seconds; a longer outage should not get more load.
_POSTPONE_SECONDS = 30.0
MAX_POSTPONE_SECONDS = 300.0

#: ``state.life_cycle_state`` of a run that is over. Every other value, known or new, means that it is not
#: over.
_FINAL_LIFE_CYCLE_STATES = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})

#: The app's own life-cycle state for a run that Databricks no longer knows; Databricks never sends it.
_GONE = "NOT_FOUND"

_SUCCESS = frozenset({"SUCCESS", "SUCCESS_WITH_FAILURES"})

#: The run never had a slot, which is not the entry's fault.
_NO_SLOT_CODES = frozenset(
    {
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        "MAX_SPARK_CONTEXTS_EXCEEDED",
        "SKIPPED",
        "WORKSPACE_RUN_LIMIT_EXCEEDED",
    }
)

#: The job itself is wrong and stays wrong until somebody repairs it.
_UNRECOVERABLE_CODES = frozenset(
    {
        "BREAKING_CHANGE",
        "FEATURE_DISABLED",
        "INVALID_CLUSTER_REQUEST",
        "INVALID_RUN_CONFIGURATION",
        "RESOURCE_NOT_FOUND",
    }
)


class RunOutcome(Enum):
    """What a run's many states come down to."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    NO_SLOT = "no slot"
    FAILED = "failed"
    PLATFORM = "platform"
    CANCELED = "canceled"
    UNRECOVERABLE = "unrecoverable"


def outcome_of(run: Run) -> RunOutcome:
    """Return a run's outcome.

    ``termination_details.code`` takes precedence over ``state``: a failed task gives its parent run
    ``INTERNAL_ERROR``/``FAILED`` there although nothing went wrong inside Databricks.
    """
    if run.life_cycle_state == _GONE:
        return RunOutcome.FAILED
    if run.life_cycle_state not in _FINAL_LIFE_CYCLE_STATES:
        return RunOutcome.ACTIVE
    if _SUCCESS & {run.termination_code, run.result_state}:  # an unknown code may accompany SUCCESS
        return RunOutcome.SUCCEEDED
    if run.termination_code in _UNRECOVERABLE_CODES:
        return RunOutcome.UNRECOVERABLE
    if run.termination_code in _NO_SLOT_CODES or _skipped_without_code(run):
        return RunOutcome.NO_SLOT
    return RunOutcome.FAILED


def _skipped_without_code(run: Run) -> bool:
    return (
        run.termination_code is None
        and run.life_cycle_state == "SKIPPED"
        and run.result_state in {None, "MAXIMUM_CONCURRENT_RUNS_REACHED"}
    )


def was_cancelled(run: Run) -> bool:
    """Say whether a run ended because somebody cancelled it."""
    return "CANCELED" in {run.result_state, run.termination_code} or run.termination_code == "USER_CANCELED"


def run_that_is_gone(run_id: int) -> Run:
    """Return a stand-in for a run that Databricks no longer knows, so that it gets its log row."""
    return Run(run_id=run_id, life_cycle_state=_GONE)


def _backoff_seconds(attempt: int, base_seconds: float, jitter: float) -> float:
    """Return the wait before the next attempt: doubled with each attempt, then changed by up to a quarter.

    :param attempt: attempts begun so far, at least 1.
    :param jitter: from 0 up to 1; without it, entries that failed together would be retried together.
    """
    doubled = base_seconds * 2.0 ** min(max(attempt, 1) - 1, 30)
    return min(_MAX_BACKOFF_SECONDS, doubled * (0.75 + jitter / 2))


def given_back_seconds(times: int, jitter: float) -> float:
    """Return the wait of an entry whose attempt was given back: a minute, doubled each time, up to an hour.

    :param times: how many times in a row that has happened, at least 1.
    :param jitter: from 0 up to 1.
    """
    return _backoff_seconds(times, CAPACITY_DELAY_SECONDS, jitter)


def verdict_without_slot(entry: Entry, error: str, *, jitter: float) -> Verdict:
    """Return PENDING with a wait that grows: there was no slot, which is not the entry's fault."""
    times = entry.slot_waits + 1
    return Verdict(
        to=Status.PENDING,
        error=error,
        delay_seconds=given_back_seconds(times, jitter),
        attempt_spent=False,
        slot_waits=times,
        platform_failures=entry.platform_failures,
    )


def postponement_seconds(waits: int, policy: Policy) -> float:
    """Return the wait after a call without a usable answer: doubled with each wait, never above the lease.

    :param waits: how many waits of this submission there are with this one.
    """
    doubled = _POSTPONE_SECONDS * 2.0 ** min(max(waits, 1) - 1, 30)
    return min(MAX_POSTPONE_SECONDS, policy.submit_lease_seconds, doubled)


def attempts_left(entry: Entry, attempt: int, policy: Policy) -> bool:
    """Say whether an entry may begin another attempt. A limit of 0 means no limit.

    :param attempt: attempts begun so far.
    """
    limit = policy.max_attempts if entry.max_attempts is None else entry.max_attempts
    return limit == 0 or attempt < limit


def verdict_on_failure(
    entry: Entry, attempt: int, error: str, *, permanent: bool, policy: Policy, jitter: float
) -> Verdict:
    """Return FAILED with its back-off, or DEAD if a retry cannot help or no attempt is left."""
    if permanent or not attempts_left(entry, attempt, policy):
        return Verdict(to=Status.DEAD, error=error)
    delay = _backoff_seconds(attempt, policy.retry_backoff_seconds, jitter)
    return Verdict(to=Status.FAILED, error=error, delay_seconds=delay)


def verdict_on_giving_up(entry: Entry) -> Verdict:
    """Return the end of an entry whose calls of ``run-now`` never had a known outcome. There may be a run."""
    last = entry.last_error or "its process ended, or the outcome could not be stored"
    error = (
        f"given up: {entry.deliveries} calls of run-now without a known outcome; the last: {last} "
        "(a retry first looks for the run of these calls)"
    )
    return Verdict(to=Status.CANCELED if entry.cancel_requested else Status.DEAD, error=error)


def verdict_on_run(entry: Entry, run: Run, error: str, *, policy: Policy, jitter: float) -> Verdict:
    """Return what becomes of a RUNNING entry whose run is over.

    A run that succeeded before its cancellation took effect is DONE: its data is there.
    """
    outcome = outcome_of(run)
    if outcome is RunOutcome.SUCCEEDED:
        return Verdict(to=Status.DONE, error=None)
    if entry.cancel_requested:
        return Verdict(to=Status.CANCELED, error=error)
    if outcome is RunOutcome.NO_SLOT:
        return Verdict(
            to=Status.PENDING, error=error, delay_seconds=CAPACITY_DELAY_SECONDS, attempt_spent=False
        )
    return verdict_on_failure(
        entry,
        entry.attempt,
        error,
        permanent=outcome is RunOutcome.UNRECOVERABLE,
        policy=policy,
        jitter=jitter,
    )


def without_secrets(
    run: Run, failure: RunFailure, secrets: Iterable[str], *, keep: str
) -> tuple[Run, RunFailure]:
    """Remove secrets from the texts of a run's end: notebooks may quote what they were given.

    :param keep: the table's name, without which an error is of little use.
    """
    removed = frozenset(secrets)

    def redacted(text: str | None) -> str | None:
        return None if text is None else redaction.without(text, removed, keep=keep)

    safe = RunFailure(message=redacted(failure.message), error_trace=redacted(failure.error_trace))
    return replace(run, message=redacted(run.message)), safe


def describe(run: Run, failure: RunFailure) -> str:
    """Say in one line why a run ended: the task's own error if there is one, or else Databricks' message."""
    code = run.termination_code or run.result_state or run.life_cycle_state
    detail = failure.message or run.message
    return f"{code}: {detail}" if detail else code


def log_of_run(entry: Entry, run: Run, failure: RunFailure, verdict: Verdict) -> LogRow:
    """Return the log row of a run that is over."""
    return LogRow(
        entry_id=entry.id,
        submission=entry.submission,
        attempt=entry.attempt,
        status=verdict.to,
        runid=run.run_id,
        life_cycle_state=run.life_cycle_state,
        result_state=run.result_state,
        termination_code=run.termination_code,
        message=verdict.error or _note_on_success(run),
        error_trace=failure.error_trace,
        run_page_url=run.run_page_url,
        started_at=run.started_at,
        finished_at=run.finished_at,
        queue_seconds=run.queue_seconds,
        setup_seconds=run.setup_seconds,
        execution_seconds=run.execution_seconds,
    )


def _note_on_success(run: Run) -> str | None:
    code = run.termination_code or run.result_state
    return run.message or code if code == "SUCCESS_WITH_FAILURES" else None


def log_of_refusal(entry: Entry, verdict: Verdict) -> LogRow:
    """Return the log row of a submission that was refused for good: there is no run."""
    return LogRow(
        entry_id=entry.id,
        submission=entry.submission,
        attempt=entry.attempt + 1,
        status=verdict.to,
        message=verdict.error,
    )
