"""Decide what a run's many states come down to, and which words say why it ended. Pure.

``status.termination_details`` takes precedence over ``state``: a failed task gives its parent run
``INTERNAL_ERROR``/``FAILED`` in ``state`` although nothing went wrong inside Databricks.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from orchestrator.core import redaction
from orchestrator.core.models import LogRow, Run, RunFailure
from orchestrator.core.states import Status

#: ``state.life_cycle_state`` of a run that is over.
_FINAL_LIFE_CYCLE_STATES = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})

#: The same of a run that is not over. Another value means neither: see :func:`is_over`.
_ACTIVE_LIFE_CYCLE_STATES = frozenset(
    {"BLOCKED", "PENDING", "QUEUED", "RUNNING", "TERMINATING", "WAITING", "WAITING_FOR_RETRY"}
)

#: The app's own life-cycle state for a run that Databricks no longer knows; Databricks never sends it.
_GONE = "NOT_FOUND"

_WITH_FAILURES = "SUCCESS_WITH_FAILURES"
_SUCCESS = frozenset({"SUCCESS", _WITH_FAILURES})

#: ``termination_details.type`` of a run that succeeded; it tells a success whose code nobody knows.
_TYPE_OF_SUCCESS = "SUCCESS"

#: The run found no room: in its job, on its cluster or in the workspace. Later there may be some.
_NO_SLOT_CODES = frozenset(
    {
        "CLUSTER_REQUEST_LIMIT_EXCEEDED",
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        "MAX_SPARK_CONTEXTS_EXCEEDED",
        "WORKSPACE_RUN_LIMIT_EXCEEDED",
    }
)

_NO_SLOT_RESULT = "MAXIMUM_CONCURRENT_RUNS_REACHED"

#: Words that tell "no slot" where neither a code nor a result does.
_NO_SLOT_WORDS = re.compile(r"\b(?:concurren|limit|too many\b|capacity\b|quota\b)", re.IGNORECASE)

#: A condition of the job may be about capacity, too, and what it says then tells nothing of a slot.
_CONDITION_WORDS = re.compile(
    r"\b(?:conditions?|if/else|run_if|run if|expression|evaluated)\b", re.IGNORECASE
)

#: What names a lack of room in a code that nobody knows yet.
_NO_SLOT_NAME = re.compile(r"CAPACITY|CONCURREN|LIMIT|QUOTA|QUEUE|TOO_MANY|NO_SLOT")

#: Nothing was run because of how the job is made: its conditions, or a task that is switched off.
_SKIPPED = frozenset({"DISABLED", "EXCLUDED", "SKIPPED"})

#: Words that tell a person's cancellation where the code does not. "By user or time-out" tells neither.
_CANCELED_BY_PERSON = re.compile(r"\bcancell?ed by (?:(?:an? |the )?user\b(?! or\b)|\S+@\S)", re.IGNORECASE)
_RUN_CANCELED_BY_PERSON = re.compile(rf"(?:the )?run (?:was )?{_CANCELED_BY_PERSON.pattern}", re.IGNORECASE)

#: A limit of the job or of Databricks ended the run, not a person.
_TIMED_OUT = re.compile(
    r"\b(?:max(?:imum)?\b[^.;]{0,20}\b(?:duration|run ?time|time)|time(?:d)?[ -]?out|time limit|too long"
    r"|exceed\w*\b[^.;]{0,40}\b(?:duration|time ?out|time))\b",
    re.IGNORECASE,
)

#: ``termination_details.type`` of a failure; another one is not known, and the code decides.
_TYPES_OF_FAILURE = frozenset({"CLIENT_ERROR", "CLOUD_FAILURE", "INTERNAL_ERROR"})

#: The platform's fault. Of the code BREAKING_CHANGE Databricks says that the run is retried with other
#: settings, whoever's fault it is.
_PLATFORM = frozenset({"CLOUD_FAILURE", "INTERNAL_ERROR"})
_ALWAYS_PLATFORM = "BREAKING_CHANGE"

#: The job itself is wrong and stays wrong until somebody corrects it.
_UNRECOVERABLE_CODES = frozenset(
    {"FEATURE_DISABLED", "INVALID_CLUSTER_REQUEST", "INVALID_RUN_CONFIGURATION", "RESOURCE_NOT_FOUND"}
)

#: Codes and results that tell a failure, whatever the type beside them says.
_FAILURES = (
    _NO_SLOT_CODES
    | _SKIPPED
    | _PLATFORM
    | _UNRECOVERABLE_CODES
    | {
        _ALWAYS_PLATFORM,
        _NO_SLOT_RESULT,
        "BUDGET_POLICY_LIMIT_EXCEEDED",
        "CANCELED",
        "CLUSTER_ERROR",
        "CLUSTER_TERMINATED_BY_USER",
        "DRIVER_ERROR",
        "FAILED",
        "LIBRARY_INSTALLATION_ERROR",
        "REPOSITORY_CHECKOUT_FAILED",
        "RUN_EXECUTION_ERROR",
        "STORAGE_ACCESS_ERROR",
        "TIMEDOUT",
        "UNAUTHORIZED_ERROR",
        "UPSTREAM_CANCELED",
        "UPSTREAM_FAILED",
        "USER_CANCELED",
    }
)


class RunOutcome(Enum):
    """What a run's many states come down to."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    #: it found no room and did nothing; later there may be some
    NO_SLOT = "no slot"
    #: the job's own conditions kept it from doing anything; a retry cannot help
    SKIPPED = "skipped"
    #: a person cancelled it, or the app did
    CANCELED = "canceled"
    #: the platform failed it, not the job
    PLATFORM = "platform"
    #: the job is wrong; a retry cannot help
    UNRECOVERABLE = "unrecoverable"
    FAILED = "failed"


def outcome_of(run: Run) -> RunOutcome:
    """Return a run's outcome."""
    if run.life_cycle_state == _GONE:
        return RunOutcome.FAILED
    if not is_over(run.life_cycle_state, ended=_tells_its_end(run)):
        return RunOutcome.ACTIVE
    return RunOutcome.SUCCEEDED if _succeeded(run) else _outcome_without_success(run)


def is_over(life_cycle_state: str, *, ended: bool) -> bool:
    """Say whether a run in this state is over.

    :param ended: whether Databricks says when and how the run ended; decides about a state nobody knows.
    """
    if life_cycle_state in _FINAL_LIFE_CYCLE_STATES:
        return True
    return ended and life_cycle_state not in _ACTIVE_LIFE_CYCLE_STATES


def has_known_state(life_cycle_state: str) -> bool:
    """Say whether a state tells by itself if a run goes on or is over."""
    return life_cycle_state in _ACTIVE_LIFE_CYCLE_STATES | _FINAL_LIFE_CYCLE_STATES


def has_unknown_state(run: Run) -> bool:
    """Say whether nothing tells if a run goes on or is over."""
    known = has_known_state(run.life_cycle_state) or run.life_cycle_state == _GONE
    return not known and not _tells_its_end(run)


def lacks_result(run: Run) -> bool:
    """Say whether a run is over, and nothing tells how it ended: an answer that is not complete yet."""
    told = (run.result_state, run.termination_code, run.termination_type)
    is_terminated = run.life_cycle_state == "TERMINATED" and told == (None, None, None)
    return is_terminated and outcome_of(run) is RunOutcome.FAILED  # its message may tell another outcome


def _tells_its_end(run: Run) -> bool:
    how = (run.result_state, run.termination_code, run.termination_type)
    return run.finished_at is not None and how != (None, None, None)


def _succeeded(run: Run) -> bool:
    if run.termination_code in _FAILURES:
        return False
    if _SUCCESS & {run.termination_code, run.result_state}:  # an unknown code may accompany SUCCESS
        return True
    return run.termination_type == _TYPE_OF_SUCCESS and run.result_state not in _FAILURES


def had_succeeded(log: LogRow) -> bool:
    """Say whether a log row holds the end of a run that succeeded."""
    return bool(_SUCCESS & {log.termination_code, log.result_state}) or log.status is Status.DONE


def _outcome_without_success(run: Run) -> RunOutcome:
    code = run.termination_code
    if _found_no_slot(run):
        return RunOutcome.NO_SLOT
    if _was_skipped(run):
        return RunOutcome.SKIPPED
    if _was_cancelled_by_person(run):
        return RunOutcome.CANCELED
    if _failed_by_platform(run):
        return RunOutcome.PLATFORM
    return RunOutcome.UNRECOVERABLE if code in _UNRECOVERABLE_CODES else RunOutcome.FAILED


def _found_no_slot(run: Run) -> bool:
    if run.termination_code in _NO_SLOT_CODES:
        return True
    if run.result_state == _NO_SLOT_RESULT:
        return run.termination_code not in _SKIPPED
    if _is_only_skipped(run):
        # Older servers skip a run without a word when its job is full.
        said_nothing = run.message is None and run.result_state is None
        return said_nothing or _says_no_slot(run.message or "")
    return run.life_cycle_state == "SKIPPED" and _has_new_code_for_no_slot(run)


def _says_no_slot(message: str) -> bool:
    return _NO_SLOT_WORDS.search(message) is not None and _CONDITION_WORDS.search(message) is None


def _has_new_code_for_no_slot(run: Run) -> bool:
    code = run.termination_code or ""
    return code not in _FAILURES | _SUCCESS and _NO_SLOT_NAME.search(code) is not None


def _was_skipped(run: Run) -> bool:
    return bool(_SKIPPED & {run.termination_code, run.result_state}) or _is_only_skipped(run)


def _is_only_skipped(run: Run) -> bool:
    """Say whether a run was skipped, and neither a code nor a result says why."""
    return (
        run.life_cycle_state == "SKIPPED"
        and run.termination_code is None
        and run.result_state in {None, "SKIPPED"}
    )


def _was_cancelled_by_person(run: Run) -> bool:
    if run.termination_code == "USER_CANCELED":
        return True
    message = run.message or ""
    if run.termination_code is None and run.result_state == "CANCELED" and not _TIMED_OUT.search(message):
        return True
    if was_cancelled(run):
        return _CANCELED_BY_PERSON.search(message) is not None
    # Without a code a message of Databricks itself, which begins so, tells more than FAILED.
    return run.termination_code is None and _RUN_CANCELED_BY_PERSON.match(message) is not None


def _failed_by_platform(run: Run) -> bool:
    """Say whose fault a failure is: the type says it, or else the code, or else the state."""
    if run.termination_code == _ALWAYS_PLATFORM:
        return True
    if run.termination_type in _TYPES_OF_FAILURE:
        return run.termination_type in _PLATFORM
    if run.termination_code is not None:
        return run.termination_code in _PLATFORM
    return run.life_cycle_state == "INTERNAL_ERROR" and run.result_state is None


def has_failures(run: Run) -> bool:
    """Say whether a run succeeded although some of its tasks failed."""
    return _WITH_FAILURES in {run.termination_code, run.result_state}


def was_cancelled(run: Run) -> bool:
    """Say whether a run ended because somebody cancelled it, a person or a program."""
    return "CANCELED" in {run.result_state, run.termination_code} or run.termination_code == "USER_CANCELED"


def run_that_is_gone(run_id: int) -> Run:
    """Return a stand-in for a run that Databricks no longer knows, so that it gets its log row."""
    return Run(run_id=run_id, life_cycle_state=_GONE)


def is_gone(run: Run) -> bool:
    """Say whether this is the stand-in for a run that Databricks no longer knows."""
    return run.life_cycle_state == _GONE


def has_ended_anew(run: Run, logs: Iterable[LogRow]) -> bool:
    """Say whether a run that is over has another end than was logged last: it was repaired meanwhile.

    :param logs: of the run's entry, first to last.
    """
    ends = [log for log in logs if log.runid == run.run_id]
    return bool(ends) and not is_logged_end(run, ends[-1])


def was_repaired_since(run: Run, logs: Iterable[LogRow]) -> bool:
    """Say whether the history of a run that is over holds a repair newer than the last log row.

    Once that end is logged this is False, whatever else the run's times say.

    :param logs: of the run's entry, first to last.
    """
    ends = [log.finished_at for log in logs if log.runid == run.run_id]
    logged, began, ended = ends[-1] if ends else None, run.latest_repair_at, run.finished_at
    if logged is None or began is None or ended is None:
        return False
    return logged < began <= ended


def is_logged_end(run: Run, log: LogRow) -> bool:
    """Say whether a log row may hold this end of a run. A repaired run ends again, at another time.

    Where a time is missing the results decide alone.
    """
    codes = {run.termination_code, log.termination_code} - {None}
    times = {run.finished_at, log.finished_at} - {None}
    return run.result_state == log.result_state and len(codes) <= 1 and len(times) <= 1


def is_same_moment(run: Run, log: LogRow) -> bool:
    """Say whether a run certainly ended when a log row says that it did."""
    return run.finished_at is not None and run.finished_at == log.finished_at and is_logged_end(run, log)


def describe(run: Run, failure: RunFailure) -> str:
    """Say in one line why a run ended: the task's own error if there is one, or else Databricks' message."""
    code = run.termination_code or run.result_state or run.life_cycle_state
    if lacks_result(run):
        code = f"{code} without a result"
    detail = failure.message or run.message
    return f"{code}: {detail}" if detail else code


def without_secrets(run: Run, failure: RunFailure, secrets: Iterable[str]) -> tuple[Run, RunFailure]:
    """Remove secrets from the texts of a run's end: notebooks may quote what they were given."""
    removed = frozenset(secrets)

    def redacted(text: str | None) -> str | None:
        return None if text is None else redaction.without(text, removed)

    safe = RunFailure(message=redacted(failure.message), error_trace=redacted(failure.error_trace))
    return replace(run, message=redacted(run.message)), safe
