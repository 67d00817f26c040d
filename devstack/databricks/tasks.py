"""Tasks: the parts of a task's settings that decide how it goes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devstack.databricks.errors import invalid
from devstack.databricks.parameters import parse_parameters
from devstack.databricks.requests import required_id

OPERATORS = (
    "EQUAL_TO",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
)

ALL_SUCCESS = "ALL_SUCCESS"
NONE_FAILED = "NONE_FAILED"
AT_LEAST_ONE_SUCCESS = "AT_LEAST_ONE_SUCCESS"
AT_LEAST_ONE_FAILED = "AT_LEAST_ONE_FAILED"
ALL_FAILED = "ALL_FAILED"
ALL_DONE = "ALL_DONE"
RUN_IFS = (ALL_SUCCESS, NONE_FAILED, AT_LEAST_ONE_SUCCESS, AT_LEAST_ONE_FAILED, ALL_FAILED, ALL_DONE)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """An If/else task. Its operands may hold references."""

    operator: str
    left: str
    right: str


@dataclass(frozen=True, kw_only=True)
class ForEach:
    """A For each task."""

    #: a JSON list, or a reference to a parameter that holds one
    inputs: str
    #: iterations at once
    concurrency: int
    task: "Task"


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """A Run Job task."""

    job_id: int
    #: parameter style → the parameters given in it
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of a job."""

    key: str
    #: what the task runs: ``notebook_path`` or ``python_file``, empty for any other kind of task
    path: str = ""
    #: ``base_parameters`` of a notebook task
    base_parameters: Mapping[str, str] = field(default_factory=dict)
    #: ``parameters`` of a Python task
    arguments: tuple[str, ...] = ()
    #: at most one of these three is given
    condition: Condition | None = None
    for_each: ForEach | None = None
    run_job: RunJob | None = None
    #: attempts after the first one, -1 = without end
    max_retries: int = 0
    #: seconds between the end of an attempt and the next
    retry_interval: float = 0.0
    #: key of each task that has to be over first → the outcome that it must have, empty = any
    depends_on: Mapping[str, str] = field(default_factory=dict)
    #: what must have become of those tasks
    run_if: str = ALL_SUCCESS
    #: it never runs, by the user's wish
    disabled: bool = False
    #: the task as it was given
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_task(given: Mapping[str, Any]) -> Task:
    """Read a task.

    :raises ApiError: it is not acceptable.
    :raises AttributeError, KeyError, TypeError, ValueError: it is malformed.
    """
    notebook: Mapping[str, Any] = given.get("notebook_task") or {}
    python: Mapping[str, Any] = given.get("spark_python_task") or {}
    retries = int(given.get("max_retries", 0))
    if retries < -1:
        raise invalid(f"max_retries must be -1 or more, not {retries}.")
    run_if = given.get("run_if", ALL_SUCCESS)
    if run_if not in RUN_IFS:
        raise invalid(f"run_if must be one of {', '.join(RUN_IFS)}, not {run_if!r}.")
    return Task(
        key=given["task_key"],
        path=notebook.get("notebook_path") or python.get("python_file") or "",
        base_parameters={k: str(v) for k, v in (notebook.get("base_parameters") or {}).items()},
        arguments=tuple(str(argument) for argument in python.get("parameters") or ()),
        condition=_condition(given.get("condition_task")),
        for_each=_for_each(given.get("for_each_task")),
        run_job=_run_job(given.get("run_job_task")),
        max_retries=retries,
        retry_interval=int(given.get("min_retry_interval_millis", 0)) / 1000,
        depends_on={
            upstream["task_key"]: upstream.get("outcome", "") for upstream in given.get("depends_on") or ()
        },
        run_if=run_if,
        disabled=given.get("disabled") is True,
        settings=given,
    )


def _condition(given: Mapping[str, Any] | None) -> Condition | None:
    if given is None:
        return None
    if given["op"] not in OPERATORS:
        raise invalid(f"op must be one of {', '.join(OPERATORS)}, not {given['op']!r}.")
    return Condition(operator=given["op"], left=str(given["left"]), right=str(given["right"]))


def _for_each(given: Mapping[str, Any] | None) -> ForEach | None:
    if given is None:
        return None
    task, concurrency = parse_task(given["task"]), int(given.get("concurrency", 1))
    if task.for_each or task.condition:
        raise invalid("A For each task cannot hold another one, nor an If/else task.")
    if concurrency < 1:
        raise invalid(f"concurrency must be 1 or more, not {concurrency}.")
    inputs = given["inputs"]
    return ForEach(
        inputs=inputs if isinstance(inputs, str) else json.dumps(inputs), concurrency=concurrency, task=task
    )


def _run_job(given: Mapping[str, Any] | None) -> RunJob | None:
    if given is None:
        return None
    return RunJob(job_id=required_id(given, "job_id"), parameters=parse_parameters(given))
