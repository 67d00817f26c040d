"""Repairs: what ``runs/repair`` accepts, and which tasks it runs again."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from devstack.databricks.errors import invalid, malformed
from devstack.databricks.jobs import reachable
from devstack.databricks.parameters import STYLES, parse_parameters
from devstack.databricks.requests import performance_target, pipeline_params, required_id
from devstack.databricks.results import EXCLUDED, NOT_FAILED
from devstack.databricks.runs import Run

#: Every field of a ``runs/repair`` body. Others are refused, as in a ``run-now``.
_FIELDS = frozenset(
    {"run_id", "rerun_all_failed_tasks", "rerun_dependent_tasks", "rerun_tasks", "latest_repair_id"}
    | {"performance_target", "duration_target", "pipeline_params", *STYLES}
)


@dataclass(frozen=True, kw_only=True)
class RepairRun:
    """A ``runs/repair`` request."""

    run_id: int
    #: run every task again that did not succeed
    all_failed: bool = False
    #: task keys
    tasks: tuple[str, ...] = ()
    #: run what depends on these tasks again as well, even if it succeeded
    dependents: bool = False
    latest_repair_id: int | None = None
    #: parameter style → the parameters given in it; they replace those that the run had in this style
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_repair(body: Mapping[str, Any]) -> RepairRun:
    """Read a ``runs/repair`` body. :raises ApiError: it cannot be accepted."""
    if unknown := sorted(body.keys() - _FIELDS):
        raise malformed(f"Could not parse request object: there is no field {', '.join(unknown)}.")
    performance_target(body)
    pipeline_params(body)
    tasks = body.get("rerun_tasks") or []
    if not isinstance(tasks, list) or not all(isinstance(key, str) for key in tasks):
        raise malformed("Could not parse request object: rerun_tasks must be a list of strings.")
    all_failed = _flag(body, "rerun_all_failed_tasks")
    if bool(tasks) == all_failed:
        raise invalid("Exactly one of rerun_tasks and rerun_all_failed_tasks must be given.")
    return RepairRun(
        run_id=required_id(body, "run_id"),
        all_failed=all_failed,
        tasks=tuple(tasks),
        dependents=_flag(body, "rerun_dependent_tasks"),
        latest_repair_id=required_id(body, "latest_repair_id") if body.get("latest_repair_id") else None,
        parameters=parse_parameters(body),
    )


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name) or False
    if not isinstance(value, bool):
        raise malformed(f"Could not parse request object: {name} must be a boolean.")
    return value


def check_repair(run: Run, request: RepairRun) -> None:
    """Check that a run can be repaired now. :raises ApiError: it cannot, or another repair came before."""
    if run.end is None:
        raise invalid(f"Run {run.run_id} is in progress and cannot be repaired.")
    newest = run.parts[-1].repair_id
    if newest is not None and request.latest_repair_id is None:
        raise invalid("The latest repair ID needs to be provided in order to create a new repair")
    if newest != request.latest_repair_id:
        raise invalid(f"{request.latest_repair_id} is not the latest repair ID of run {run.run_id}.")
    if not run.attempts:
        raise invalid(f"Run {run.run_id} was never started and cannot be repaired.")


def tasks_to_rerun(run: Run, request: RepairRun) -> Set[str]:
    """Return the keys of the tasks that a repair runs again. :raises ApiError: there are none."""
    latest = run.last_attempts()
    if unknown := sorted(set(request.tasks) - latest.keys()):
        raise invalid(f"Run {run.run_id} has no task {', '.join(unknown)}.")
    downstream = {key: {task.key for task in run.job.tasks if key in task.depends_on} for key in latest}
    if not request.all_failed:
        keys = set(request.tasks)
    else:
        keys = {key for key, attempt in latest.items() if attempt.result not in NOT_FAILED}
        # What was left out because of them may have to run now.
        keys |= {key for key in reachable(downstream, keys) if latest[key].result == EXCLUDED}
    if not keys:
        raise invalid(f"Run {run.run_id} has no failed tasks to repair.")
    return keys | (reachable(downstream, keys) if request.dependents else set())
