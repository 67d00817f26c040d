"""Databricks' dynamic value references, ``{{…}}``, as far as they are known here."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from devstack.databricks.runs import Run
from devstack.databricks.tasks import Condition, Task

_REFERENCE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")

#: A workspace allows more: https://docs.databricks.com/aws/en/jobs/for-each
MAX_ITERATIONS = 1000


def values_of(run: Run) -> dict[str, str]:
    """Return the references that a run's tasks may use, with their values."""
    results = {
        f"tasks.{key}.result_state": attempt.end.result_state.lower()
        for key, attempt in run.last_attempts().items()
        if attempt.end
    }
    parameters = {f"job.parameters.{name}": value for name, value in run.parameters.items()}
    return {"job.id": str(run.job.job_id), "job.run_id": str(run.run_id), **results, **parameters}


def resolve(text: str, values: Mapping[str, str]) -> str:
    """Replace the references that are known; every other one stays as it is."""
    return _REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def with_input(task: Task, item: Any) -> Task:
    """Return the task of an iteration: ``{{input}}`` and ``{{input.KEY}}`` are replaced in its parameters."""
    values = {"input": _text(item)}
    if isinstance(item, dict):
        values |= {f"input.{key}": _text(value) for key, value in item.items()}
    named = {name: resolve(value, values) for name, value in task.base_parameters.items()}
    return replace(
        task,
        base_parameters=named,
        arguments=tuple(resolve(argument, values) for argument in task.arguments),
        run_job=task.run_job and replace(task.run_job, parameters=_within(task.run_job.parameters, values)),
    )


def inputs_of(run: Run, inputs: str) -> list[Any]:
    """Return what a For each task goes over. :raises ValueError: it is not a list, or too long."""
    items = json.loads(resolve(inputs, values_of(run)))
    if not isinstance(items, list) or len(items) > MAX_ITERATIONS:
        raise ValueError(f"The inputs must be a list of at most {MAX_ITERATIONS} items.")
    return items


def parameters_of(run: Run, parameters: Any) -> Any:
    """Return parameters with their references replaced."""
    return _within(parameters, values_of(run))


def decide(run: Run, condition: Condition) -> bool:
    """Return whether a condition holds. :raises ValueError: its operands are not numbers."""
    values = values_of(run)
    left, right = resolve(condition.left, values), resolve(condition.right, values)
    match condition.operator:
        case "EQUAL_TO":
            return left == right
        case "NOT_EQUAL":
            return left != right
        case "GREATER_THAN":
            return float(left) > float(right)
        case "GREATER_THAN_OR_EQUAL":
            return float(left) >= float(right)
        case "LESS_THAN":
            return float(left) < float(right)
        case _:
            return float(left) <= float(right)


def _within(parameters: Any, values: Mapping[str, str]) -> Any:
    if isinstance(parameters, Mapping):
        return {name: _within(value, values) for name, value in parameters.items()}
    if isinstance(parameters, list):
        return [_within(value, values) for value in parameters]
    return resolve(parameters, values) if isinstance(parameters, str) else parameters


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item)


def arguments_of(run: Run, task: Task) -> list[str]:
    """The command line of a task: its named parameters as ``--key value``, then its plain arguments."""
    own = parameters_of(run, task.base_parameters)
    named = {**run.job.parameters, **own, **run.request.named}
    words = [word for key, value in named.items() for word in (f"--{key}", value)]
    return [*words, *(run.request.listed or parameters_of(run, list(task.arguments)))]
