"""Build the ``run-now`` request of an entry: job, idempotency token, checked parameters. Pure."""

import json
import re
from typing import Any, TypeVar

from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import Entry, RunRequest
from orchestrator.core.numbers import refuse_constant

_Values = TypeVar("_Values", dict[str, str], list[str])

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
_MAX_PARAMETERS_CHARACTERS = 10 * MAX_PARAMETERS_BYTES

#: ``run-now``: "idempotency_token … must have at most 64 characters". A GUID takes 36 of them.
_MAX_TOKEN_LENGTH = 64

#: Any other text, such as an empty one, could make a token that Databricks already knows from elsewhere.
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def run_request(entry: Entry, default_job_id: int | None) -> RunRequest:
    """Return the ``run-now`` request of an entry's current submission.

    :raises InvalidEntry: the entry cannot be submitted as it stands. The text never quotes a parameter.
    """
    job_id = entry.job_id if entry.job_id is not None else default_job_id
    if job_id is None:
        raise InvalidEntry("job_id is NULL and the workspace has no default job (setting DATABRICKS_JOB_ID)")
    if job_id <= 0:
        raise InvalidEntry("must be a positive number", column="job_id")
    if not entry.table_name.strip():
        raise InvalidEntry("is empty", column="table_name")
    token = _idempotency_token(entry)
    if not _GUID.fullmatch(entry.entry_guid) or len(token) > _MAX_TOKEN_LENGTH:
        raise InvalidEntry("entry_guid is not a GUID: leave the column to its default")
    return RunRequest(
        job_id=job_id,
        idempotency_token=token,
        parameter_style="notebook_params" if entry.parameter_style == AUTO else entry.parameter_style,
        parameters=run_parameters(entry.table_name, entry.parameter_style, entry.parameters),
    )


def _idempotency_token(entry: Entry) -> str:
    """Return a submission's token: fixed before the call, and the same each time the call is repeated."""
    return f"{entry.entry_guid}-{entry.submission}"


def run_parameters(table_name: str, style: str, text: str | None) -> dict[str, str] | list[str]:
    """Return the parameters in the shape that the style needs.

    Booleans and numbers become text, exactly as they were written.

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
        return _within_limit({"table_name": table_name})
    value = _parse_json(text)
    if not isinstance(value, shape):
        wanted = "an object" if shape is dict else "a list"
        raise InvalidEntry(f"must be {wanted} in JSON when parameter_style is {style}", column="parameters")
    if isinstance(value, dict):
        return _within_limit({key: _scalar_text(item) for key, item in value.items()})
    return _within_limit([_scalar_text(item) for item in value])


def parameter_values(entry: Entry) -> list[str]:
    """Return the parameter values that an entry's run was given, except its table's name, which is public."""
    if entry.parameters is None:
        return []
    try:
        given = run_parameters(entry.table_name, entry.parameter_style, entry.parameters)
    except InvalidEntry:  # the entry was changed after its submission
        return []
    values = given.values() if isinstance(given, dict) else given
    return [value for value in values if value != entry.table_name]


def _parse_json(text: str) -> Any:
    if len(text) > _MAX_PARAMETERS_CHARACTERS:
        raise InvalidEntry(
            f"is {len(text):,} characters long; the limit is {_MAX_PARAMETERS_CHARACTERS:,}",
            column="parameters",
        )
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidEntry("is not valid JSON", column="parameters") from None


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):  # numbers, too: they are kept as written
        return value
    if isinstance(value, bool):
        return json.dumps(value)
    raise InvalidEntry("every value in parameters must be text, a number, true or false")


def _within_limit(values: _Values) -> _Values:
    try:
        size = len(json.dumps(values, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise InvalidEntry("contains a lone surrogate (half of a pair)", column="parameters") from None
    if size > MAX_PARAMETERS_BYTES:
        raise InvalidEntry(
            f"the parameters have {size:,} bytes as JSON; Databricks accepts at most {MAX_PARAMETERS_BYTES:,}"
        )
    return values
