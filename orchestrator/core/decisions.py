"""The rules as pure functions: which run to ask for, what a run's state means, whether and when to retry."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar

from orchestrator.core import redaction
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import Entry, LogRow, Run, RunFailure, RunRequest, Verdict
from orchestrator.core.numbers import refuse_constant
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status

_Values = TypeVar("_Values", dict[str, str], list[str])

#: Parameter fields of ``run-now`` and the JSON type that each takes.
PARAMETER_STYLES: dict[str, type[dict[str, Any]] | type[list[Any]]] = {
    "job_parameters": dict,
    "notebook_params": dict,
    "python_named_params": dict,
    "sql_params": dict,
    "python_params": list,
    "jar_params": list,
    "spark_submit_params": list,
    "dbt_commands": list,
}

#: ``run-now`` documents 10,000 bytes as JSON for the notebook, jar, Python and spark-submit styles and
#: nothing for the others; one limit for all is easier to live with.
MAX_PARAMETERS_BYTES = 10_000

#: Longest text that is parsed as JSON at all, in characters: an escape takes six of them for one byte, and
#: white space makes the rest. Megabytes would keep the event loop busy only to be refused.
MAX_PARAMETERS_CHARACTERS = 10 * MAX_PARAMETERS_BYTES

#: ``run-now``: "idempotency_token … must have at most 64 characters". A GUID takes 36 of them.
MAX_TOKEN_LENGTH = 64

#: A token of another shape, such as that of an empty text, could be one that Databricks knows from elsewhere.
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: A retry never waits longer than this.
MAX_BACKOFF_SECONDS = 3600.0

#: The wait after "no capacity" and after a skipped run: long enough not to press a full workspace.
CAPACITY_DELAY_SECONDS = 60.0

#: The wait before a message is sent again whose call had no usable answer: the first, and the longest. The
#: client itself rides out some seconds; a longer outage is not pressed.
POSTPONE_SECONDS = 30.0
MAX_POSTPONE_SECONDS = 300.0

#: ``state.life_cycle_state`` of a run that is over. Any other value, also one not known today, is not.
FINAL_LIFE_CYCLE_STATES = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})

#: Our own word for a run that Databricks no longer knows; it never sends this.
GONE = "NOT_FOUND"

_SUCCESS = frozenset({"SUCCESS", "SUCCESS_WITH_FAILURES"})

#: The run never had a slot: not the row's fault.
_NO_SLOT_CODES = frozenset(
    {
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        "MAX_SPARK_CONTEXTS_EXCEEDED",
        "SKIPPED",
        "WORKSPACE_RUN_LIMIT_EXCEEDED",
    }
)

#: The job itself is wrong and stays wrong until a person mends it.
_HOPELESS_CODES = frozenset(
    {
        "BREAKING_CHANGE",
        "FEATURE_DISABLED",
        "INVALID_CLUSTER_REQUEST",
        "INVALID_RUN_CONFIGURATION",
        "RESOURCE_NOT_FOUND",
    }
)


class Outcome(Enum):
    """How a run stands, in the few words that a decision needs."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    NO_SLOT = "no slot"
    FAILED = "failed"
    HOPELESS = "hopeless"


def idempotency_token(entry_guid: str, submission: int) -> str:
    """Return the token of a submission: fixed before the call, the same for every replay of it."""
    return f"{entry_guid}-{submission}"


def run_request(entry: Entry, default_job_id: int | None) -> RunRequest:
    """Return the ``run-now`` of a row's current submission.

    :raises InvalidEntry: the row cannot be submitted as it stands. The text names no parameter's content.
    """
    job_id = entry.job_id if entry.job_id is not None else default_job_id
    if job_id is None:
        raise InvalidEntry("job_id is NULL and the workspace has no default job (setting DATABRICKS_JOB_ID)")
    if job_id <= 0:
        raise InvalidEntry("job_id must be a positive number")
    if not entry.table_name.strip():
        raise InvalidEntry("table_name is empty")
    token = idempotency_token(entry.entry_guid, entry.submission)
    if not _GUID.fullmatch(entry.entry_guid) or len(token) > MAX_TOKEN_LENGTH:
        raise InvalidEntry("entry_guid is not a GUID: leave the column to its default")
    return RunRequest(
        job_id=job_id,
        idempotency_token=token,
        parameter_style=entry.parameter_style,
        parameters=run_parameters(entry.table_name, entry.parameter_style, entry.parameters),
    )


def run_parameters(table_name: str, style: str, text: str | None) -> dict[str, str] | list[str]:
    """Return the parameters in the shape that the style asks; true/false and numbers become text, as written.

    :raises InvalidEntry: unknown style, not JSON, wrong shape, or over Databricks' size limit.
    """
    shape = PARAMETER_STYLES.get(style)
    if shape is None:
        raise InvalidEntry(f"is unknown; use one of {', '.join(PARAMETER_STYLES)}", column="parameter_style")
    if text is None:
        if shape is list:
            raise InvalidEntry(
                f"must be given (a JSON list) when parameter_style is {style}", column="parameters"
            )
        return _within_limit({"table_name": table_name})
    value = _parse_json(text)
    if not isinstance(value, shape):
        wanted = "an object" if shape is dict else "a list"
        raise InvalidEntry(f"must be {wanted} in JSON when parameter_style is {style}", column="parameters")
    if isinstance(value, dict):
        return _within_limit({key: _scalar_text(item) for key, item in value.items()})
    return _within_limit([_scalar_text(item) for item in value])


def _parse_json(text: str) -> Any:
    if len(text) > MAX_PARAMETERS_CHARACTERS:
        raise InvalidEntry(
            f"is {len(text):,} characters long; at most {MAX_PARAMETERS_CHARACTERS:,} are read",
            column="parameters",
        )
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidEntry("is not valid JSON", column="parameters") from None


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):  # a number too: it is kept as it was written
        return value
    if isinstance(value, bool):
        return json.dumps(value)
    raise InvalidEntry("every value in parameters must be text, a number, true or false")


def _within_limit(values: _Values) -> _Values:
    try:
        size = len(json.dumps(values, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise InvalidEntry("holds half of a character pair (a lone surrogate)", column="parameters") from None
    if size > MAX_PARAMETERS_BYTES:
        raise InvalidEntry(
            f"the parameters have {size:,} bytes as JSON; Databricks takes {MAX_PARAMETERS_BYTES:,}"
        )
    return values


def outcome_of(run: Run) -> Outcome:
    """Say how a run stands.

    ``termination_details.code`` goes before ``state``: a failed task gives the parent
    ``INTERNAL_ERROR``/``FAILED`` there although nothing was wrong inside Databricks.
    """
    if run.life_cycle_state == GONE:
        return Outcome.FAILED
    if run.life_cycle_state not in FINAL_LIFE_CYCLE_STATES:
        return Outcome.ACTIVE
    if _SUCCESS & {run.termination_code, run.result_state}:  # a code not known today may come with SUCCESS
        return Outcome.SUCCEEDED
    if run.termination_code in _HOPELESS_CODES:
        return Outcome.HOPELESS
    if run.termination_code in _NO_SLOT_CODES or _skipped_without_code(run):
        return Outcome.NO_SLOT
    return Outcome.FAILED


def _skipped_without_code(run: Run) -> bool:
    return (
        run.termination_code is None
        and run.life_cycle_state == "SKIPPED"
        and run.result_state in {None, "MAXIMUM_CONCURRENT_RUNS_REACHED"}
    )


def backoff_seconds(attempt: int, base_seconds: float, jitter: float) -> float:
    """Return the wait before the next attempt: doubled with each one, a quarter less or more by chance.

    :param attempt: attempts begun so far, at least 1.
    :param jitter: from 0 up to 1; without it rows that failed together would come back together.
    """
    doubled = base_seconds * 2.0 ** min(max(attempt, 1) - 1, 30)
    return min(MAX_BACKOFF_SECONDS, doubled * (0.75 + jitter / 2))


def postponement_seconds(deliveries: int, policy: Policy) -> float:
    """Return the wait after a call without a usable answer: doubled with each one, never above the lease.

    :param deliveries: calls of ``run-now`` so far that may have started a run.
    """
    doubled = POSTPONE_SECONDS * 2.0 ** min(max(deliveries, 1) - 1, 30)
    return min(MAX_POSTPONE_SECONDS, policy.submit_lease_seconds, doubled)


def attempts_left(entry: Entry, attempt: int, policy: Policy) -> bool:
    """Say whether a row that has begun this many attempts may begin another. A limit of 0 is none."""
    limit = policy.max_attempts if entry.max_attempts is None else entry.max_attempts
    return limit == 0 or attempt < limit


def verdict_on_failure(
    entry: Entry, attempt: int, error: str, *, permanent: bool, policy: Policy, jitter: float
) -> Verdict:
    """Return FAILED with its back-off, or DEAD when a retry is of no use or not left."""
    if permanent or not attempts_left(entry, attempt, policy):
        return Verdict(to=Status.DEAD, error=error)
    delay = backoff_seconds(attempt, policy.retry_backoff_seconds, jitter)
    return Verdict(to=Status.FAILED, error=error, delay_seconds=delay)


def verdict_on_giving_up(entry: Entry) -> Verdict:
    """Return the end of a row whose calls of ``run-now`` never come to anything. There may be a run."""
    last = entry.last_error or "its process ended, or the outcome could not be stored"
    error = (
        f"given up: {entry.deliveries} calls of run-now without a known outcome; the last: {last} "
        "(run again, the row looks for its run first)"
    )
    return Verdict(to=Status.CANCELED if entry.cancel_requested else Status.DEAD, error=error)


def verdict_on_run(entry: Entry, run: Run, error: str, *, policy: Policy, jitter: float) -> Verdict:
    """Return what becomes of a RUNNING row whose run is over.

    A run that succeeded before its cancellation took effect is DONE: its data is there.
    """
    outcome = outcome_of(run)
    if outcome is Outcome.SUCCEEDED:
        return Verdict(to=Status.DONE, error=None)
    if entry.cancel_requested:
        return Verdict(to=Status.CANCELED, error=error)
    if outcome is Outcome.NO_SLOT:
        return Verdict(
            to=Status.PENDING, error=error, delay_seconds=CAPACITY_DELAY_SECONDS, attempt_spent=False
        )
    return verdict_on_failure(
        entry,
        entry.attempt,
        error,
        permanent=outcome is Outcome.HOPELESS,
        policy=policy,
        jitter=jitter,
    )


def was_cancelled(run: Run) -> bool:
    """Say whether a run ended because somebody asked for it."""
    return "CANCELED" in {run.result_state, run.termination_code} or run.termination_code == "USER_CANCELED"


def run_that_is_gone(run_id: int) -> Run:
    """Stand in for a run that Databricks no longer knows, so that it gets its log row like any other."""
    return Run(run_id=run_id, life_cycle_state=GONE)


def parameter_values(entry: Entry) -> list[str]:
    """Return the values that a row's run was given, but for its table's name, which everybody sees."""
    if entry.parameters is None:
        return []
    try:
        given = run_parameters(entry.table_name, entry.parameter_style, entry.parameters)
    except InvalidEntry:  # changed since
        return []
    values = given.values() if isinstance(given, dict) else given
    return [value for value in values if value != entry.table_name]


def without_secrets(
    run: Run, failure: RunFailure, secrets: Iterable[str], *, keep: str
) -> tuple[Run, RunFailure]:
    """Return what Databricks tells of a run's end, without these values: notebooks quote what they got.

    :param keep: the table's name, without which an error is of little use.
    """
    struck = frozenset(secrets)

    def shown(text: str | None) -> str | None:
        return None if text is None else redaction.without(text, struck, keep=keep)

    told = RunFailure(message=shown(failure.message), error_trace=shown(failure.error_trace))
    return replace(run, message=shown(run.message)), told


def describe(run: Run, failure: RunFailure) -> str:
    """Return one line on why a run ended: the task's own error where there is one, else Databricks' words."""
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
