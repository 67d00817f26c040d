"""Decide what becomes of an entry: done, retried and when, or dead; and what is logged. Pure."""

from dataclasses import replace

from orchestrator.core.models import Entry, LogRow, Run, RunFailure, StopReason, Verdict
from orchestrator.core.outcomes import RunOutcome, has_failures, outcome_of, was_cancelled
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status
from orchestrator.core.time_limits import limit_in_words

#: Longest wait before a retry.
_MAX_BACKOFF_SECONDS = 3600.0

#: First wait of an entry whose attempt was given back: long enough not to add load to a full workspace.
_GIVEN_BACK_SECONDS = 60.0

#: First and longest wait before a message is sent again after a call without a usable answer. The client
#: itself rides out a few seconds; a longer outage should not get more load.
POSTPONE_SECONDS = 30.0
_MAX_POSTPONE_SECONDS = 300.0

#: Longest wait before a message is sent again, whoever asks for it.
LONGEST_WAIT_SECONDS = 3600.0

#: A run that was accepted this recently shows that the workspace takes submissions: twice the longest wait
#: before a call is repeated.
ACCEPTED_WITHIN_SECONDS = 2 * _MAX_POSTPONE_SECONDS


def _backoff_seconds(attempt: int, base_seconds: float, jitter: float) -> float:
    """Return the wait before the next attempt: doubled with each attempt, then changed by up to a quarter.

    :param attempt: attempts begun so far, at least 1.
    :param jitter: from 0 up to 1; without it, entries that failed together would be retried together.
    """
    doubled = base_seconds * 2.0 ** min(max(attempt, 1) - 1, 30)
    return min(_MAX_BACKOFF_SECONDS, doubled * (0.75 + jitter / 2))


def _given_back_seconds(times: int, jitter: float) -> float:
    """Return the wait of an entry whose attempt was given back: a minute, doubled each time, up to an hour.

    :param times: how many times in a row that has happened, at least 1.
    """
    return _backoff_seconds(times, _GIVEN_BACK_SECONDS, jitter)


def postponement_seconds(waits: int, policy: Policy) -> float:
    """Return the wait after a call without a usable answer: doubled with each wait, never above the lease.

    :param waits: how many waits of this submission there are with this one.
    """
    doubled = POSTPONE_SECONDS * 2.0 ** min(max(waits, 1) - 1, 30)
    return min(_MAX_POSTPONE_SECONDS, policy.submit_lease_seconds, doubled)


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


def verdict_without_slot(entry: Entry, error: str, *, jitter: float) -> Verdict:
    """Return PENDING with a wait that grows: there was no slot, which is not the entry's fault."""
    times = entry.slot_waits + 1
    return Verdict(
        to=Status.PENDING,
        error=error,
        delay_seconds=_given_back_seconds(times, jitter),
        attempt_spent=False,
        slot_waits=times,
        platform_failures=entry.platform_failures,
    )


def _verdict_on_platform(entry: Entry, error: str, *, policy: Policy, jitter: float) -> Verdict:
    """Return FAILED with a wait that grows and no attempt spent, or DEAD after too many times in a row."""
    times = entry.platform_failures + 1
    verdict = Verdict(
        to=Status.FAILED,
        error=error,
        delay_seconds=_given_back_seconds(times, jitter),
        attempt_spent=False,
        platform_failures=times,
    )
    if times <= policy.max_platform_retries:
        return verdict
    text = f"{error} (times in a row that the platform failed: {times}; see MAX_PLATFORM_RETRIES)"
    return replace(verdict, to=Status.DEAD, error=text, delay_seconds=0.0)


def verdict_on_giving_up(entry: Entry) -> Verdict:
    """Return the end of an entry whose calls never start a run that is known. There may be a run."""
    last = entry.last_error or "its process ended, or the outcome could not be stored"
    error = (
        f"given up: {entry.deliveries} calls started no run that is known, while other entries' calls were "
        f"accepted; the last: {last} (a retry first looks for the run of these calls; resolve the entry to "
        "let go of it)"
    )
    return Verdict(to=Status.CANCELED if entry.cancel_requested else Status.DEAD, error=error)


def verdict_on_run(entry: Entry, run: Run, error: str, *, policy: Policy, jitter: float) -> Verdict:
    """Return what becomes of a RUNNING entry whose run is over.

    A run that succeeded before its cancellation took effect is DONE: its data is there. A restart does not
    care how the run ended: somebody wants another one.
    """
    if entry.stop_reason == StopReason.RESTART and not entry.cancel_requested:
        text = f"restarted by an operator; the run before it ended with {error}"
        return Verdict(to=Status.PENDING, error=text, attempt_spent=False)
    outcome = outcome_of(run)
    if outcome is RunOutcome.SUCCEEDED:
        return Verdict(to=Status.DONE, error=error if has_failures(run) else None)
    if entry.cancel_requested:
        return Verdict(to=Status.CANCELED, error=error)
    if entry.stop_reason is not None and was_cancelled(run):
        verdict = _verdict_on_time_out(entry, error, policy=policy, jitter=jitter)
    else:
        verdict = _verdict_on_outcome(entry, outcome, error, policy=policy, jitter=jitter)
    return (
        verdict
        if verdict.attempt_spent or entry.was_called_for
        else _nothing_given_back(entry, verdict, policy)
    )


def _nothing_given_back(entry: Entry, verdict: Verdict, policy: Policy) -> Verdict:
    """Return the verdict on a run that a person repaired: it took no attempt, so it gives none back."""
    if attempts_left(entry, entry.attempt, policy):
        return replace(verdict, attempt_spent=True)
    error = f"{verdict.error} (a person repaired the run, and no attempts are left)"
    return replace(verdict, to=Status.DEAD, error=error, delay_seconds=0.0, attempt_spent=True)


def _verdict_on_time_out(entry: Entry, error: str, *, policy: Policy, jitter: float) -> Verdict:
    """Return what becomes of an entry whose run the app cancelled because it took too long."""
    limit = limit_in_words(entry, policy)
    if entry.stop_reason == StopReason.QUEUE_TIMEOUT:
        text = f"the run waited longer than {limit} in Databricks' queue and was cancelled; {error}"
        return verdict_without_slot(entry, text, jitter=jitter)
    text = f"the run took longer than {limit} and was cancelled; {error}"
    return verdict_on_failure(entry, entry.attempt, text, permanent=False, policy=policy, jitter=jitter)


def _verdict_on_outcome(
    entry: Entry, outcome: RunOutcome, error: str, *, policy: Policy, jitter: float
) -> Verdict:
    """Return what becomes of an entry whose run ended by itself, or by other people's hands."""
    if outcome is RunOutcome.NO_SLOT:
        return verdict_without_slot(entry, error, jitter=jitter)
    if outcome is RunOutcome.PLATFORM:
        return _verdict_on_platform(entry, error, policy=policy, jitter=jitter)
    if outcome is RunOutcome.CANCELED and not policy.retry_canceled_runs:
        text = f"{error} (cancelled in Databricks, not by the app; see RETRY_CANCELED_RUNS)"
        return Verdict(to=Status.CANCELED, error=text)
    if outcome is RunOutcome.SKIPPED:
        error = f"{error} (the job's own conditions let nothing run, so a retry cannot help)"
    permanent = outcome in {RunOutcome.SKIPPED, RunOutcome.UNRECOVERABLE}
    return verdict_on_failure(entry, entry.attempt, error, permanent=permanent, policy=policy, jitter=jitter)


def log_of_run(
    entry: Entry, run: Run, failure: RunFailure, verdict: Verdict, *, result: str | None = None
) -> LogRow:
    """Return the log row of a run that is over.

    :param result: the exit value of the run's notebook, if it is kept.
    """
    return LogRow(
        entry_id=entry.id,
        submission=entry.submission,
        attempt=entry.attempt,
        status=verdict.to,
        runid=run.run_id,
        life_cycle_state=run.life_cycle_state,
        result_state=run.result_state,
        termination_code=run.termination_code,
        termination_type=run.termination_type,
        message=verdict.error,
        error_trace=failure.error_trace,
        run_page_url=run.run_page_url,
        started_at=run.started_at,
        finished_at=run.finished_at,
        queue_seconds=run.queue_seconds,
        setup_seconds=run.setup_seconds,
        execution_seconds=run.execution_seconds,
        result=result,
    )


def log_of_refusal(entry: Entry, verdict: Verdict) -> LogRow:
    """Return the log row of a submission that was refused for good: there is no run."""
    return LogRow(
        entry_id=entry.id,
        submission=entry.submission,
        attempt=entry.attempt + int(verdict.attempt_spent),
        status=verdict.to,
        message=verdict.error,
    )
