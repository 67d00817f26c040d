"""Jobs: their settings as ``jobs/create`` takes them, and the parts of them that decide how a run goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from devstack.databricks.errors import invalid, malformed
from devstack.databricks.requests import queue_enabled

#: Databricks' default and limit: https://docs.databricks.com/api/workspace/jobs/create
DEFAULT_CONCURRENT_RUNS = 1
MAX_CONCURRENT_RUNS = 1000

#: The workspace's own limit is 1,000 tasks, but answers page after 100; the simulator stays on one page.
MAX_TASKS = 100


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
    #: attempts after the first one, -1 = without end
    max_retries: int = 0
    #: seconds between the end of an attempt and the next
    retry_interval: float = 0.0
    #: keys of the tasks that have to succeed first
    depends_on: tuple[str, ...] = ()
    #: the task as it was given
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job."""

    job_id: int
    #: place in the order of creation
    number: int
    #: epoch seconds
    created_at: float
    name: str
    max_concurrent_runs: int
    #: runs over a limit wait instead of being skipped
    queue_enabled: bool
    #: job parameters and their defaults
    parameters: Mapping[str, str]
    tasks: tuple[Task, ...]
    #: the settings as they were given
    settings: Mapping[str, Any] = field(repr=False)


def parse_job(settings: Mapping[str, Any], *, job_id: int, number: int, created_at: float) -> Job:
    """Read a job's settings. :raises ApiError: they are not acceptable."""
    try:
        return _parse_job(settings, job_id, number, created_at)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise malformed(f"Could not parse request object: {error!r}") from error


def _parse_job(settings: Mapping[str, Any], job_id: int, number: int, created_at: float) -> Job:
    limit = settings.get("max_concurrent_runs", DEFAULT_CONCURRENT_RUNS)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= MAX_CONCURRENT_RUNS:
        raise invalid(
            f"max_concurrent_runs must be a whole number from 0 to {MAX_CONCURRENT_RUNS}, not {limit!r}."
        )
    tasks = tuple(_parse_task(task) for task in settings.get("tasks") or ())
    _check_tasks(tasks)
    return Job(
        job_id=job_id,
        number=number,
        created_at=created_at,
        name=str(settings.get("name", "Untitled")),
        max_concurrent_runs=limit,
        queue_enabled=queue_enabled(settings) is True,
        parameters={p["name"]: str(p["default"]) for p in settings.get("parameters") or ()},
        tasks=tasks,
        settings=dict(settings),
    )


def _check_tasks(tasks: Sequence[Task]) -> None:
    if not 1 <= len(tasks) <= MAX_TASKS:
        raise invalid(f"A job must have 1 to {MAX_TASKS} tasks.")
    upstream = {task.key: set(task.depends_on) for task in tasks}
    if len(upstream) != len(tasks) or set().union(*upstream.values()) - set(upstream):
        raise invalid("Every task_key must be unique, and depends_on must name tasks of the same job.")
    try:
        TopologicalSorter(upstream).prepare()
    except CycleError as error:
        raise invalid("The tasks depend on each other in a cycle.") from error


def _parse_task(given: Mapping[str, Any]) -> Task:
    notebook: Mapping[str, Any] = given.get("notebook_task") or {}
    python: Mapping[str, Any] = given.get("spark_python_task") or {}
    retries = int(given.get("max_retries", 0))
    if retries < -1:
        raise invalid(f"max_retries must be -1 or more, not {retries}.")
    return Task(
        key=given["task_key"],
        path=notebook.get("notebook_path") or python.get("python_file") or "",
        base_parameters={k: str(v) for k, v in (notebook.get("base_parameters") or {}).items()},
        arguments=tuple(str(argument) for argument in python.get("parameters") or ()),
        max_retries=retries,
        retry_interval=int(given.get("min_retry_interval_millis", 0)) / 1000,
        depends_on=tuple(upstream["task_key"] for upstream in given.get("depends_on") or ()),
        settings=given,
    )
