"""Parameters of a run, in the styles in which the Jobs API takes them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from devstack.databricks.errors import invalid, malformed

#: https://docs.databricks.com/api/workspace/jobs/runnow
MAX_PARAMETER_BYTES = 10_000

JOB_PARAMETERS = "job_parameters"

NAMED_STYLES = (JOB_PARAMETERS, "notebook_params", "python_named_params", "sql_params")
LISTED_STYLES = ("python_params", "jar_params", "spark_submit_params", "dbt_commands")
SIZED_STYLES = ("notebook_params", "jar_params", "python_params", "spark_submit_params")
ASCII_STYLES = ("python_params", "spark_submit_params")

#: Every style. All but ``job_parameters`` go to tasks.
STYLES = (*NAMED_STYLES, *LISTED_STYLES)


def parse_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, by style; empty ones are left out.

    :raises ApiError: they are malformed, too long, or of styles that exclude each other.
    """
    styles = {style: body[style] for style in STYLES if body.get(style)}
    for style, parameters in styles.items():
        _check(style, parameters)
    if JOB_PARAMETERS in styles and len(styles) > 1:
        raise invalid("job_parameters cannot be used together with other parameters.")
    if "notebook_params" in styles and "jar_params" in styles:
        raise invalid("notebook_params cannot be specified in conjunction with jar_params.")
    return styles


def named(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return all parameters that have a name."""
    merged: dict[str, str] = {}
    for style in NAMED_STYLES:
        merged.update(parameters.get(style, {}))
    return merged


def listed(parameters: Mapping[str, Any]) -> list[str]:
    """Return all parameters that are plain arguments."""
    return [argument for style in LISTED_STYLES for argument in parameters.get(style, [])]


def _check(style: str, parameters: object) -> None:
    if style in NAMED_STYLES and not (isinstance(parameters, dict) and _are_texts(parameters.values())):
        raise malformed(f"Could not parse request object: {style} must be an object with string values.")
    if style in LISTED_STYLES and not (isinstance(parameters, list) and _are_texts(parameters)):
        raise malformed(f"Could not parse request object: {style} must be a list of strings.")
    text = json.dumps({style: parameters}, ensure_ascii=False, separators=(",", ":"))
    if style in SIZED_STYLES and len(text.encode()) > MAX_PARAMETER_BYTES:
        raise invalid(f"The JSON representation of {style} cannot exceed {MAX_PARAMETER_BYTES} bytes.")
    if style in ASCII_STYLES and not text.isascii():
        raise invalid(f"{style} accepts only ASCII characters.")


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
