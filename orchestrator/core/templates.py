"""Fill the app's own placeholders in parameter values, and leave Databricks' references alone. Pure."""

import re
from collections.abc import Mapping

_Values = dict[str, str] | list[str]

#: When the latest successful run of the same table started, ``2026-01-31T04:00:00.000Z``; empty without one.
LAST_SUCCESS = "last_success_started_at"

#: The names that are filled in. Any other ``{{…}}`` stays: Databricks' own references look the same, and it
#: ignores blanks inside the braces, too.
#: https://docs.databricks.com/en/jobs/dynamic-value-references.html
NAMES = ("entry_id", "attempt", "table_name", "created_at", LAST_SUCCESS)

_PLACEHOLDER = re.compile(rf"\{{\{{\s*({'|'.join(NAMES)})\s*\}}\}}")


def names_in(values: _Values) -> set[str]:
    """Return the names of the placeholders that occur in parameter values."""
    texts = values.values() if isinstance(values, dict) else values
    return {name for text in texts for name in _PLACEHOLDER.findall(text)}


def fill(values: _Values, facts: Mapping[str, str]) -> _Values:
    """Replace each placeholder in parameter values. Keys stay as they are, and what is filled in is not read.

    :param facts: a text for each name that occurs.
    """

    def filled(text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: facts[match[1]], text)

    if isinstance(values, dict):
        return {key: filled(text) for key, text in values.items()}
    return [filled(text) for text in values]
