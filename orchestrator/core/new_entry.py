"""What an outsider gives for a new row → a record that can be inserted, or what is wrong with it. Pure.

The table takes more than this: a row that got in by SQL and cannot be submitted ends DEAD and says why. Here
the giver is still there and is told at once.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.core import decisions
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import NewEntry
from orchestrator.core.numbers import MAX_ID, MAX_INT32, whole

#: What may be given, by the columns' names.
COLUMNS = (
    "table_name",
    "workspace",
    "job_id",
    "parameter_style",
    "parameters",
    "priority",
    "max_attempts",
)

#: The text columns and their lengths in UTF-16 units, which is what ``nvarchar`` counts.
TEXTS = {"table_name": 256, "workspace": 64, "parameter_style": 32}

#: What the number columns hold: least and most.
NUMBERS = {
    "job_id": (1, MAX_ID),
    "priority": (-MAX_INT32 - 1, MAX_INT32),
    "max_attempts": (0, MAX_INT32),
}


def new_entry(given: Mapping[str, Any], workspaces: Collection[str] | None) -> NewEntry:
    """Return the row; what is not given, or None, is the table's default.

    :param given: by column; ``parameters`` as JSON text or as the object or list itself.
    :param workspaces: that the settings know; None = they cannot be known here, and any name is taken.
    :raises InvalidEntry: names what is wrong. The text shows nothing of the parameters.
    """
    unknown = next((name for name in given if name not in COLUMNS), None)
    if unknown is not None:
        raise InvalidEntry(f"there is no column {unknown[:40]!r}; the columns are {', '.join(COLUMNS)}")
    values = {name: value for name, value in given.items() if value is not None}
    if "table_name" not in values:
        raise InvalidEntry("must be given", column="table_name")
    for name in filter(values.__contains__, TEXTS):
        _check_text(name, values[name])
    for name in filter(values.__contains__, NUMBERS):
        values[name] = _number(name, values[name])
    if not isinstance(values.get("parameters", ""), str):
        values["parameters"] = json.dumps(values["parameters"])
    entry = NewEntry(**values)
    if workspaces is not None and entry.workspace not in workspaces:
        raise InvalidEntry(
            f"{entry.workspace!r} is not in the settings; there are {', '.join(sorted(workspaces))}",
            column="workspace",
        )
    decisions.run_parameters(entry.table_name, entry.parameter_style, entry.parameters)
    return entry


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidEntry("must be a text that is not empty", column=name)
    if not value.isprintable():  # half a surrogate pair is not, and no database takes it
        raise InvalidEntry("must not hold line breaks or other control characters", column=name)
    if name == "workspace" and value.endswith(" "):
        raise InvalidEntry("must not end with a space", column=name)
    if len(value.encode("utf-16-le")) > 2 * TEXTS[name]:
        raise InvalidEntry(f"is longer than {TEXTS[name]} characters", column=name)


def _number(name: str, value: object) -> int:
    least, most = NUMBERS[name]
    try:
        return whole(value, least=least, most=most)
    except ValueError as error:
        raise InvalidEntry(str(error), column=name) from None
