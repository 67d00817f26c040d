"""Jobs: their settings as ``jobs/create`` takes them, and the parts of them that decide how a run goes."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from devstack.databricks.errors import invalid, malformed
from devstack.databricks.parameters import JOB_PARAMETERS
from devstack.databricks.requests import queue_enabled
from devstack.databricks.tasks import Task, parse_task

#: Databricks' default and limit: https://docs.databricks.com/api/workspace/jobs/create
DEFAULT_CONCURRENT_RUNS = 1
MAX_CONCURRENT_RUNS = 1000

#: https://docs.databricks.com/resources/limits
MAX_TASKS = 1000

_PARAMETER_NAME = re.compile(r"[\w.-]+", re.ASCII)


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
    #: it has a continuous trigger
    continuous: bool
    #: it has a continuous trigger that is not paused
    runs_by_itself: bool
    #: the settings as they were given
    settings: Mapping[str, Any] = field(repr=False)

    @property
    def leaves(self) -> frozenset[str]:
        """The keys of the tasks on which no other depends."""
        upstream = {key for task in self.tasks for key in task.depends_on}
        return frozenset(task.key for task in self.tasks if task.key not in upstream)

    @property
    def paths(self) -> frozenset[str]:
        """What its tasks run: notebooks and Python files, also in each iteration of a For each task."""
        tasks = (task.for_each.task if task.for_each else task for task in self.tasks)
        return frozenset(task.path for task in tasks if task.path)

    def select(self, only: Sequence[str]) -> frozenset[str]:
        """Return the keys of the tasks that ``only`` of a ``run-now`` names; all when it names none.

        :param only: task keys; ``+`` before one adds what is upstream of it, ``+`` after one what follows it.
        :raises ApiError: there is no such task.
        """
        if not only:
            return frozenset(task.key for task in self.tasks)
        upstream = {task.key: set(task.depends_on) for task in self.tasks}
        downstream = {key: {task.key for task in self.tasks if key in task.depends_on} for key in upstream}
        selected: set[str] = set()
        for name in only:
            key = name.removeprefix("+").removesuffix("+")
            if key not in upstream:
                raise invalid(f"The job has no task {key!r} that only could select.")
            selected.add(key)
            if name.startswith("+"):
                selected |= reachable(upstream, [key])
            if name.endswith("+"):
                selected |= reachable(downstream, [key])
        return frozenset(selected)


def reachable(edges: Mapping[str, Collection[str]], start: Iterable[str]) -> set[str]:
    """Return all keys to which the edges lead from ``start``, without those of ``start`` themselves."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        new = set(edges[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


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
    tasks = tuple(parse_task(task) for task in settings.get("tasks") or ())
    _check_tasks(tasks)
    continuous = settings.get("continuous")
    if continuous is not None and limit > 1:
        raise invalid("A continuous job must have max_concurrent_runs 1.")
    return Job(
        job_id=job_id,
        number=number,
        created_at=created_at,
        name=str(settings.get("name", "Untitled")),
        max_concurrent_runs=limit,
        queue_enabled=queue_enabled(settings) is True,
        parameters=_parse_parameters(settings.get("parameters") or ()),
        tasks=tasks,
        continuous=continuous is not None,
        runs_by_itself=continuous is not None and continuous.get("pause_status") != "PAUSED",
        settings=dict(settings),
    )


def _parse_parameters(given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    parameters = {parameter["name"]: str(parameter["default"]) for parameter in given}
    if len(parameters) != len(given):
        raise invalid("Every job parameter must have a name of its own.")
    for name in parameters:
        if not _PARAMETER_NAME.fullmatch(name):
            raise invalid(f"The job parameter {name!r} may only contain letters, digits, '_', '-' and '.'.")
    return parameters


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


def check_parameters(job: Job, parameters: Collection[str]) -> None:
    """Check the styles in which parameters are given. :raises ApiError: the job does not take them."""
    of_tasks = sorted(set(parameters) - {JOB_PARAMETERS})
    if job.parameters and of_tasks:
        raise invalid(
            f"The job defines job parameters, so {', '.join(of_tasks)} cannot be used; use job_parameters."
        )
