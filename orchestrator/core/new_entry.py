"""Check the values of a new entry and return a record to insert, or raise what is wrong. Pure.

The table accepts more than this: an invalid entry inserted by SQL ends DEAD with an explanation. Here the
caller gets the error at once.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.core import run_requests
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import NewEntry
from orchestrator.core.numbers import MAX_ID, MAX_INT32, whole, whole_of_text
from orchestrator.core.policy import RETRY_MODES

#: The columns that may be given.
_COLUMNS = (
    "table_name",
    "workspace",
    "job_id",
    "job_name",
    "parameter_style",
    "parameters",
    "options",
    "priority",
    "max_attempts",
    "retry_mode",
    "run_timeout_seconds",
    "queue_timeout_seconds",
)

#: The text columns and their longest values in UTF-16 code units, which ``nvarchar`` counts.
TEXTS = {"table_name": 256, "workspace": 64, "job_name": 400, "parameter_style": 32, "retry_mode": 16}

#: The number columns with their lowest and highest values.
NUMBERS = {
    "job_id": (1, MAX_ID),
    "priority": (-MAX_INT32 - 1, MAX_INT32),
    "max_attempts": (0, MAX_INT32),
    "run_timeout_seconds": (0, MAX_INT32),
    "queue_timeout_seconds": (0, MAX_INT32),
}


def new_entry(given: Mapping[str, Any], workspaces: Collection[str] | None) -> NewEntry:
    """Return the new entry; values that are missing or None become the table's defaults.

    :param given: values by column; ``parameters`` and ``options`` are JSON text, or the value itself.
    :param workspaces: the names in the settings; None = unknown here, so any name is accepted.
    :raises InvalidEntry: a value is wrong. The text never quotes the parameters.
    """
    unknown = next((name for name in given if name not in _COLUMNS), None)
    if unknown is not None:
        raise InvalidEntry(f"there is no column {unknown[:40]!r}; the columns are {', '.join(_COLUMNS)}")
    values = {name: value for name, value in given.items() if value is not None}
    if "table_name" not in values:
        raise InvalidEntry("must be given", column="table_name")
    for name in filter(values.__contains__, TEXTS):
        _check_text(name, values[name])
    for name in filter(values.__contains__, NUMBERS):
        values[name] = _number(name, values[name])
    for name in ("parameters", "options"):
        if not isinstance(values.get(name, ""), str):
            values[name] = json.dumps(values[name])
    entry = NewEntry(**values)
    _check(entry, workspaces)
    return entry


def _check(entry: NewEntry, workspaces: Collection[str] | None) -> None:
    """Check what the columns mean. :raises InvalidEntry: a value is wrong."""
    if workspaces is not None and entry.workspace not in workspaces:
        raise InvalidEntry(
            f"{entry.workspace!r} is not in the settings; there are {', '.join(sorted(workspaces))}: "
            "name one of them, or add it to DATABRICKS_WORKSPACES",
            column="workspace",
        )
    if entry.job_id is not None and entry.job_name is not None:
        raise InvalidEntry("job_id and job_name are both given: leave one of them out")
    if entry.retry_mode not in {None, *RETRY_MODES}:
        raise InvalidEntry(f"must be {' or '.join(RETRY_MODES)}", column="retry_mode")
    run_requests.run_parameters(entry.table_name, entry.parameter_style, entry.parameters)
    run_requests.run_options(entry.options)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidEntry("must be a non-empty text", column=name)
    if not value.isprintable():  # a lone surrogate is not, and no database accepts it
        raise InvalidEntry("must not contain line breaks or other control characters", column=name)
    if name == "workspace" and value.endswith(" "):
        raise InvalidEntry("must not end with a space", column=name)
    if len(value.encode("utf-16-le")) > 2 * TEXTS[name]:
        raise InvalidEntry(f"is longer than {TEXTS[name]} characters", column=name)


def _number(name: str, value: object) -> int:
    least, most = NUMBERS[name]
    try:
        if name == "job_id" and isinstance(value, str):  # ids are text in the app's own JSON
            return whole_of_text(value, least=least, most=most)
        return whole(value, least=least, most=most)
    except ValueError as error:
        raise InvalidEntry(str(error), column=name) from None
