"""Jobs, runs and outputs as the JSON that a workspace answers."""

from typing import Any

from devstack.databricks.clock import milliseconds
from devstack.databricks.jobs import Job
from devstack.databricks.parameters import JOB_PARAMETERS
from devstack.databricks.results import NEVER_EXECUTED
from devstack.databricks.runs import Attempt, Output, Part, Run
from devstack.databricks.task_views import state_json, task_json, times_json

Json = dict[str, Any]

CREATOR = "simulator@example.com"

#: Characters of a notebook's exit value that are kept; a workspace keeps 5 MB.
MAX_RESULT = 5 * 1024 * 1024


def job_json(job: Job, *, with_tasks: bool) -> Json:
    """The answer of ``jobs/get``, and an item of ``jobs/list``."""
    defaults = {"max_concurrent_runs": job.max_concurrent_runs, "timeout_seconds": 0, "format": "MULTI_TASK"}
    left_out = set() if with_tasks else {"tasks", "job_clusters"}
    settings = {name: value for name, value in job.settings.items() if name not in left_out}
    return {
        "job_id": job.job_id,
        "creator_user_name": CREATOR,
        "created_time": milliseconds(job.created_at),
        "settings": {**defaults, **settings, "name": job.name},
    }


def run_json(run: Run, site: str, *, with_tasks: bool, with_history: bool = False) -> Json:
    """The answer of ``runs/get``, and an item of ``runs/list``. ``site`` starts the run's link."""
    view = {
        **_ids(run, run.run_id, run.run_id, site),
        "run_name": run.job.name,
        "format": "MULTI_TASK",
        **state_json(run.state, run.end, run.queue_reason),
        **times_json(run.created_at, run.ended_at),
        **_durations(run),
        "queue_duration": milliseconds(run.queue_seconds),
        "overriding_parameters": _overriding_parameters(run),
        "job_parameters": _job_parameters(run),
    }
    if run.request.performance_target:
        view["effective_performance_target"] = run.request.performance_target
    if with_tasks:
        view["tasks"] = [task_json(run, attempt, site) for attempt in run.attempts]
    if with_history:
        view["repair_history"] = [_part_json(run, part) for part in run.parts]
    return view


def _part_json(run: Run, part: Part) -> Json:
    state = part.end.life_cycle_state if part.end else run.state
    view: Json = {
        "type": "ORIGINAL" if part.repair_id is None else "REPAIR",
        **state_json(state, part.end, run.queue_reason),
        **times_json(part.started_at, part.ended_at),
        "task_run_ids": [attempt.run_id for attempt in part.attempts],
    }
    return view if part.repair_id is None else {"id": part.repair_id, **view}


def attempt_json(run: Run, attempt: Attempt, site: str) -> Json:
    """The answer of ``runs/get`` for the run id of a task, or of an iteration."""
    ids = _ids(run, attempt.run_id, attempt.original_run_id, site)
    task = task_json(run, attempt, site)
    view = {**ids, **task, "run_name": attempt.task.key}
    if attempt.task.for_each:
        iterations = [task_json(run, iteration, site) for iteration in attempt.iterations]
        view |= {"tasks": [task], "iterations": iterations}
    return view


def output_json(run: Run, attempt: Attempt, site: str) -> Json:
    """The answer of ``runs/get-output``."""
    output = attempt.output
    view: Json = {"metadata": attempt_json(run, attempt, site)}
    if attempt.task.run_job:
        view["run_job_output"] = {"run_id": attempt.child.run_id} if attempt.child else {}
    else:
        view["notebook_output"] = _notebook_output(output)
    if output.logs:
        view |= {"logs": output.logs, "logs_truncated": output.logs_truncated}
    error = output.error or _usual_error(attempt)
    if error:
        view["error"] = error
    if output.error_trace:
        view["error_trace"] = output.error_trace
    return view


def _notebook_output(output: Output) -> Json:
    if output.result is None:
        return {"truncated": False}
    return {"result": output.result[:MAX_RESULT], "truncated": len(output.result) > MAX_RESULT}


def _usual_error(attempt: Attempt) -> str:
    """What is said of a task that was carried out and left no error; one that was not has no output."""
    if attempt.end is None or attempt.result in NEVER_EXECUTED:
        return ""
    return attempt.end.message


def _ids(run: Run, run_id: int, original_run_id: int, site: str) -> Json:
    return {
        "job_id": run.job.job_id,
        "run_id": run_id,
        "number_in_job": run_id,
        "original_attempt_run_id": original_run_id,
        "job_run_id": run.run_id,
        "creator_user_name": CREATOR,
        "run_type": "JOB_RUN",
        "trigger": str(run.trigger),
        **({"trigger_info": {"run_id": run.parent[1].run_id}} if run.parent else {}),
        "run_page_url": f"{site}#job/{run.job.job_id}/run/{run_id}",
    }


def _durations(run: Run) -> Json:
    """A run of several tasks has only a ``run_duration``; the others are then 0."""
    only = run.attempts[-1] if len(run.job.tasks) == 1 and run.attempts else None
    return {
        "setup_duration": milliseconds(only.setup_seconds) if only else 0,
        "execution_duration": milliseconds(only.execution_seconds) if only else 0,
        "cleanup_duration": 0,
        "run_duration": milliseconds(run.active_seconds) if run.ended_at is not None else 0,
    }


def _overriding_parameters(run: Run) -> Json:
    given = {style: value for style, value in run.request.parameters.items() if style != JOB_PARAMETERS}
    return given | ({"pipeline_params": run.request.pipeline_params} if run.request.pipeline_params else {})


def _job_parameters(run: Run) -> list[Json]:
    given = run.request.parameters.get(JOB_PARAMETERS, {})
    defaults = run.job.parameters
    names = [*defaults, *(name for name in given if name not in defaults)]
    return [
        {"name": name, "default": defaults.get(name, ""), "value": given.get(name, defaults.get(name, ""))}
        for name in names
    ]
