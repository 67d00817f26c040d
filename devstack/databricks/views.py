"""Jobs, runs and outputs as the JSON that a workspace answers."""

from typing import Any

from devstack.databricks.clock import milliseconds
from devstack.databricks.jobs import Job
from devstack.databricks.parameters import JOB_PARAMETERS
from devstack.databricks.results import End, State
from devstack.databricks.runs import Attempt, Part, Run
from devstack.databricks.workspace import JOB_FULL, WORKSPACE_FULL

Json = dict[str, Any]

CREATOR = "simulator@example.com"

#: The workspace id that links carry.
ORGANISATION = 1234567890123456

#: ``life_cycle_state`` → ``status.state`` where the names differ.
STATUS_NAMES = {
    State.WAITING_FOR_RETRY: "WAITING",
    State.SKIPPED: "TERMINATED",
    State.INTERNAL_ERROR: "TERMINATED",
}

QUEUE_MESSAGES = {
    JOB_FULL: "Queued due to reaching the maximum of concurrent runs of the job.",
    WORKSPACE_FULL: "Queued due to reaching the maximum of active runs of the workspace.",
}


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


def run_json(run: Run, host: str, *, with_tasks: bool) -> Json:
    """The answer of ``runs/get``, and an item of ``runs/list``. ``host`` starts the run's link."""
    view = {
        **_ids(run, run.run_id, run.run_id, host),
        "run_name": run.job.name,
        "format": "MULTI_TASK",
        **_state_json(run.state, run.end, run.queue_reason),
        **_times(run.created_at, run.ended_at),
        **_durations(run),
        "queue_duration": milliseconds(run.queue_seconds),
        "overriding_parameters": _overriding_parameters(run),
        "job_parameters": _job_parameters(run),
    }
    if run.request.performance_target:
        view["effective_performance_target"] = run.request.performance_target
    return {**view, "tasks": [_task_json(run, a, host) for a in run.attempts]} if with_tasks else view


def history_json(run: Run) -> list[Json]:
    """``repair_history``: the run as it was started, then its repairs."""
    return [_part_json(run, part) for part in run.parts]


def _part_json(run: Run, part: Part) -> Json:
    state = part.end.life_cycle_state if part.end else run.state
    view: Json = {
        "type": "ORIGINAL" if part.repair_id is None else "REPAIR",
        **_state_json(state, part.end, run.queue_reason),
        **_times(part.started_at, part.ended_at),
        "task_run_ids": [attempt.run_id for attempt in part.attempts],
    }
    return view if part.repair_id is None else {"id": part.repair_id, **view}


def attempt_json(run: Run, attempt: Attempt, host: str) -> Json:
    """The answer of ``runs/get`` for the run id of a task."""
    ids = _ids(run, attempt.run_id, attempt.original_run_id, host)
    return {**ids, **_task_json(run, attempt, host), "run_name": attempt.task.key}


def output_json(run: Run, attempt: Attempt, host: str) -> Json:
    """The answer of ``runs/get-output``."""
    view: Json = {"metadata": attempt_json(run, attempt, host), "notebook_output": {"truncated": False}}
    output = attempt.output
    if output.logs:
        view |= {"logs": output.logs, "logs_truncated": output.logs_truncated}
    if attempt.end and attempt.end.message:
        view["error"] = output.error or attempt.end.message
    if output.error_trace:
        view["error_trace"] = output.error_trace
    return view


def _ids(run: Run, run_id: int, original_run_id: int, host: str) -> Json:
    return {
        "job_id": run.job.job_id,
        "run_id": run_id,
        "number_in_job": run_id,
        "original_attempt_run_id": original_run_id,
        "job_run_id": run.run_id,
        "creator_user_name": CREATOR,
        "run_type": "JOB_RUN",
        "trigger": str(run.trigger),
        "run_page_url": f"{host}/?o={ORGANISATION}#job/{run.job.job_id}/run/{run_id}",
    }


def _task_json(run: Run, attempt: Attempt, host: str) -> Json:
    return {
        **{k: v for k, v in attempt.task.settings.items() if k in {"depends_on", "notebook_task"}},
        "run_id": attempt.run_id,
        "task_key": attempt.task.key,
        "attempt_number": attempt.number,
        "run_page_url": f"{host}/?o={ORGANISATION}#job/{run.job.job_id}/run/{attempt.run_id}",
        **_state_json(attempt.state, attempt.end),
        **_times(attempt.started_at, attempt.ended_at),
        "setup_duration": milliseconds(attempt.setup_seconds),
        "execution_duration": milliseconds(attempt.execution_seconds),
        "cleanup_duration": 0,
    }


def _state_json(state: State, end: End | None, queue_reason: str = "") -> Json:
    """The deprecated ``state`` and the newer ``status``."""
    old: Json = {
        "life_cycle_state": str(state),
        "state_message": end.message if end else "",
        "user_cancelled_or_timedout": bool(end and end.result_state in {"CANCELED", "TIMEDOUT"}),
    }
    new: Json = {"state": STATUS_NAMES.get(state, str(state))}
    if end:
        old["result_state"] = end.result_state
        new["termination_details"] = {"code": end.code, "type": end.type, "message": end.message}
    if state == State.QUEUED:
        old["queue_reason"] = QUEUE_MESSAGES[queue_reason]
        new["queue_details"] = {"code": queue_reason, "message": QUEUE_MESSAGES[queue_reason]}
    return {"state": old, "status": new}


def _times(start: float | None, end: float | None) -> Json:
    """0 stands for a time that has not come."""
    return {"start_time": milliseconds(start or 0), "end_time": milliseconds(end or 0)}


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
