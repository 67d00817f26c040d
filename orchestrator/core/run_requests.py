"""Build the request of an entry: job, idempotency token, checked parameters; keep it for repeats. Pure."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.core.errors import InvalidEntry, RunOfAnotherJob
from orchestrator.core.models import ActiveRun, Entry, Job, JobKey, RepairRequest, Run, RunRequest
from orchestrator.core.numbers import refuse_constant
from orchestrator.core.parameter_secrets import secrets_in
from orchestrator.core.policy import WorkspacePolicy

_Values = dict[str, str] | list[str]
_Request = TypeVar("_Request", RunRequest, RepairRequest)

#: The style of jobs that declare parameters; they refuse every other one.
JOB_PARAMETERS = "job_parameters"

#: Parameter fields of ``run-now`` and the JSON type that each takes.
PARAMETER_STYLES: dict[str, type[dict[str, Any]] | type[list[Any]]] = {
    JOB_PARAMETERS: dict,
    "notebook_params": dict,
    "python_named_params": dict,
    "sql_params": dict,
    "python_params": list,
    "jar_params": list,
    "spark_submit_params": list,
    "dbt_commands": list,
}

#: The style that the job takes: ``job_parameters`` if it declares any, otherwise ``notebook_params``.
AUTO = "auto"

#: Largest size of the parameters as JSON. ``run-now`` documents 10,000 bytes for the notebook, jar, Python
#: and spark-submit styles and nothing for the others; one limit for all styles is easier to explain.
MAX_PARAMETERS_BYTES = 10_000

#: Longest text that is parsed as JSON at all, in characters. An escape takes six characters for one byte, and
#: white space adds the rest. Parsing megabytes would block the event loop only to refuse them.
MAX_TEXT_CHARACTERS = 10 * MAX_PARAMETERS_BYTES

#: Longest request that :func:`freeze` writes, in characters: the options, which are as long as the text that
#: they were read from, and the parameters, of which each byte may become an escape.
MAX_REQUEST_CHARACTERS = 2 * MAX_TEXT_CHARACTERS

#: ``run-now``: "idempotency_token … must have at most 64 characters". A GUID takes 36 of them.
_MAX_TOKEN_LENGTH = 64

#: Any other text, such as an empty one, could make a token that Databricks already knows from elsewhere.
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def job_key(key: JobKey, workspace: WorkspacePolicy) -> JobKey:
    """Return how the job of an entry is named: by the entry itself, or by its workspace.

    :param key: what the entry says.
    :raises InvalidEntry: neither names a job, or the entry does so wrongly.
    """
    if key.job_id is not None and key.job_name is not None:
        raise InvalidEntry("job_id and job_name are both given: leave one of them NULL")
    if key.job_id is not None and key.job_id <= 0:
        raise InvalidEntry("must be a positive number", column="job_id")
    if key.job_name is not None and not key.job_name.strip():
        raise InvalidEntry("is empty", column="job_name")
    if key != JobKey():
        return key
    if workspace.job_id is None and workspace.job_name is None:
        raise InvalidEntry(
            "job_id and job_name are NULL and the workspace has no default job (setting DATABRICKS_JOB_ID or "
            "DATABRICKS_JOB_NAME)"
        )
    return JobKey(job_id=workspace.job_id, job_name=workspace.job_name)


def run_request(entry: Entry, job: Job) -> RunRequest:
    """Return the ``run-now`` request of an entry's current submission.

    :raises InvalidEntry: the entry cannot be submitted as it stands. The text never quotes a parameter.
    """
    if entry.parameters_length is None:
        raise ValueError("the entry was read without its parameters")
    if not entry.table_name.strip():
        raise InvalidEntry("is empty", column="table_name")
    token = _idempotency_token(entry)
    if not _GUID.fullmatch(entry.entry_guid) or len(token) > _MAX_TOKEN_LENGTH:
        raise InvalidEntry("entry_guid is not a GUID: leave the column to its default")
    return RunRequest(
        job_id=job.job_id,
        idempotency_token=token,
        parameter_style=_style(entry, job),
        parameters=run_parameters(
            entry.table_name, entry.parameter_style, entry.parameters, length=entry.parameters_length
        ),
        options=run_options(entry.options, length=entry.options_length),
        is_guess=entry.parameter_style == AUTO and job.is_assumed,
        claimed_at=entry.claimed_at,
    )


def _style(entry: Entry, job: Job) -> str:
    if entry.parameter_style != AUTO:
        return entry.parameter_style
    return JOB_PARAMETERS if job.parameters else "notebook_params"


def freeze(request: RunRequest | RepairRequest) -> str:
    """Return a request as JSON, to be kept with the submission. The token is left out: the entry has it."""
    fields = dict(vars(request))
    if isinstance(request, RepairRequest):
        return json.dumps({"repair": fields}, default=datetime.isoformat)
    del fields["idempotency_token"]
    return json.dumps({"run_now": fields}, ensure_ascii=False, default=datetime.isoformat)


def thaw(entry: Entry) -> RunRequest | RepairRequest:
    """Return the request that an entry's submission was made with at first.

    :raises InvalidEntry: somebody has changed it.
    """
    try:
        [(kind, fields)] = json.loads(entry.request or "").items()
        if kind == "repair":
            times = {name: _time(fields.get(name)) for name in _REPAIR_TIMES}
            return _of_known_types(RepairRequest(**{**fields, **times}))
        claimed_at = _time(fields.pop("claimed_at", None))
        token = _idempotency_token(entry)
        return _of_known_types(RunRequest(**fields, claimed_at=claimed_at, idempotency_token=token))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidEntry("is not a request that the app has written", column="request") from None


def _of_known_types(request: _Request) -> _Request:
    """Return a request whose fields can be used. :raises TypeError: JSON of other types was put there."""
    number = request.job_id if isinstance(request, RunRequest) else request.run_id
    options = request.options if isinstance(request, RunRequest) else {}
    if not (
        isinstance(number, int)
        and request.parameter_style in PARAMETER_STYLES
        and isinstance(request.parameters, dict | list)
        and isinstance(options, dict)
    ):
        raise TypeError
    return request


def requested_job_id(entry: Entry) -> int | None:
    """Return the job that the run of an entry was asked for; None = it is not known."""
    if entry.runid is None:
        return None
    try:
        request = thaw(entry)
    except InvalidEntry:
        return None
    return request.job_id if isinstance(request, RunRequest) else None


def is_of_another_job(run: Run | ActiveRun, asked: int | None) -> bool:
    """Say whether Databricks shows a run of another job than the one that was asked for; None = not known."""
    return run.job_id is not None and asked is not None and run.job_id != asked


def check_job(run: Run, asked: int | None) -> None:
    """Return if a run may be of the job that was asked for. :raises RunOfAnotherJob: it is not."""
    if is_of_another_job(run, asked):
        raise RunOfAnotherJob(
            f"Databricks shows run {run.run_id} as one of job {run.job_id}, and that of the entry is of job "
            f"{asked}",
            status=200,
        )


#: What a repair's request holds as text when it is kept.
_REPAIR_TIMES = ("ended_at", "quiet_since")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _idempotency_token(entry: Entry) -> str:
    """Return a submission's token: fixed before the call, and the same each time the call is repeated."""
    return f"{entry.entry_guid}-{entry.submission}"


def run_parameters(
    table_name: str, style: str, text: str | None, *, length: int = 0
) -> dict[str, str] | list[str]:
    """Return the parameters in the shape that the style needs.

    Booleans and numbers become text, exactly as they were written.

    :param length: of the text in the database, if only its first characters were read.
    :raises InvalidEntry: unknown style, not JSON, wrong shape, or over Databricks' size limit.
    """
    shape = dict if style == AUTO else PARAMETER_STYLES.get(style)
    if shape is None:
        known = ", ".join((AUTO, *PARAMETER_STYLES))
        raise InvalidEntry(f"is unknown; use one of {known}", column="parameter_style")
    if text is None:
        if shape is list:
            raise InvalidEntry(
                f"must be given (a JSON list) when parameter_style is {style}", column="parameters"
            )
        return within_limit({"table_name": table_name})
    value = _load(text, "parameters", length, number=str)
    if not isinstance(value, shape):
        wanted = "an object" if shape is dict else "a list"
        raise InvalidEntry(f"must be {wanted} in JSON when parameter_style is {style}", column="parameters")
    if isinstance(value, dict):
        return within_limit({key: _scalar_text(item) for key, item in value.items()})
    return within_limit([_scalar_text(item) for item in value])


def run_options(text: str | None, *, length: int = 0) -> dict[str, Any]:
    """Return the further fields of ``run-now`` that an entry's ``options`` ask for; none if they are NULL.

    :param length: of the text in the database, if only its first characters were read.
    :raises InvalidEntry: not a JSON object, a key that is unknown, or a value of another kind.
    """
    if text is None:
        return {}
    options = _load(text, _OPTIONS, length)
    if not isinstance(options, dict):
        raise InvalidEntry("must be an object in JSON", column=_OPTIONS)
    for name, value in options.items():
        if name not in _OPTION_VALUES:
            known = ", ".join(_OPTION_VALUES)
            raise InvalidEntry(f"has no key {name[:_SHOWN]!a}; the keys are {known}", column=_OPTIONS)
        fits, wanted = _OPTION_VALUES[name]
        if not fits(value):
            raise InvalidEntry(f"{name} must be {wanted}", column=_OPTIONS)
    return options


def _are_task_keys(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MAX_TASKS
        and all(isinstance(key, str) and _TASK_KEY.fullmatch(key) for key in value)
    )


def _is_flag(name: str) -> Callable[[Any], bool]:
    """Return a check for an object with nothing but this name, true or false."""
    return lambda value: isinstance(value, dict) and value.keys() == {name} and isinstance(value[name], bool)


_OPTIONS = "options"

#: Unknown keys are shown up to this many characters.
_SHOWN = 40

#: Databricks accepts at most 1,000 tasks in a job.
_MAX_TASKS = 1000

#: The key of a task; a + in front adds the tasks that it depends on, one behind it those that depend on it.
_TASK_KEY = re.compile(r"\+?[A-Za-z0-9_-]{1,100}\+?")

_TARGETS = ("PERFORMANCE_OPTIMIZED", "STANDARD", "COST_OPTIMIZED")

#: How long a run may take with COST_OPTIMIZED, which needs it unless the job has one.
_DURATIONS = ("NO_FLEXIBILITY", "4h", "12h", "24h", "72h")

#: By the key in ``options``: whether a value can be sent, and what it must be.
_OPTION_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "only": (_are_task_keys, 'a list of task keys, such as ["load", "+report"]'),
    "queue": (_is_flag("enabled"), '{"enabled": true} or {"enabled": false}'),
    "performance_target": (lambda value: value in _TARGETS, f"one of {', '.join(_TARGETS)}"),
    "duration_target": (lambda value: value in _DURATIONS, f"one of {', '.join(_DURATIONS)}"),
    "pipeline_params": (_is_flag("full_refresh"), '{"full_refresh": true} or {"full_refresh": false}'),
}


def secret_values(entry: Entry) -> list[str]:
    """Return the secrets among the parameters that were sent for an entry and those that it has now.

    The entry must have been read with its parameters.
    """
    return [*secrets_in(entry.request), *secrets_in(entry.parameters)]


def _load(text: str, column: str, length: int, number: Callable[[str], Any] | None = None) -> Any:
    """Read a column's JSON. :raises InvalidEntry: it is not JSON, or too long to be read at all.

    :param length: of the text in the database, which may be cut here.
    :param number: reads a number; None = as Python does.
    """
    if max(len(text), length) > MAX_TEXT_CHARACTERS:
        raise InvalidEntry(
            f"is {max(len(text), length):,} characters long; the limit is {MAX_TEXT_CHARACTERS:,}",
            column=column,
        )
    try:
        return json.loads(text, parse_int=number, parse_float=number, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidEntry("is not valid JSON", column=column) from None


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):  # numbers, too: they are kept as written
        return value
    if isinstance(value, bool):
        return json.dumps(value)
    raise InvalidEntry("every value in parameters must be text, a number, true or false")


def within_limit(values: _Values) -> _Values:
    """Return parameter values that are small enough. :raises InvalidEntry: they are not."""
    try:
        size = len(json.dumps(values, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise InvalidEntry("contains a lone surrogate (half of a pair)", column="parameters") from None
    if size > MAX_PARAMETERS_BYTES:
        raise InvalidEntry(
            f"the parameters have {size:,} bytes as JSON; Databricks accepts at most {MAX_PARAMETERS_BYTES:,}"
        )
    return values
