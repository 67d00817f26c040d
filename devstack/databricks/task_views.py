"""Attempts of tasks, and the states of runs and tasks, as the JSON that a workspace answers."""

from collections import Counter
from typing import Any

from devstack.databricks.clock import milliseconds
from devstack.databricks.results import NOT_FAILED, End, State
from devstack.databricks.runs import Attempt, Run
from devstack.databricks.slots import JOB_FULL, WORKSPACE_FULL

Json = dict[str, Any]

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

#: Settings of a task that an answer repeats as they were given.
_REPEATED = frozenset(
    {"depends_on", "run_if", "disabled", "notebook_task", "spark_python_task", "run_job_task"}
)

#: Error messages that the statistics of a For each task name.
_SAMPLED_ERRORS = 3


def task_json(run: Run, attempt: Attempt, site: str) -> Json:
    """An element of ``tasks`` or of ``iterations``. ``site`` starts the link."""
    return {
        **{name: value for name, value in attempt.task.settings.items() if name in _REPEATED},
        **_special(attempt),
        "run_id": attempt.run_id,
        "task_key": attempt.task.key,
        "attempt_number": attempt.number,
        "run_page_url": f"{site}#job/{run.job.job_id}/run/{attempt.run_id}",
        **state_json(attempt.state, attempt.end),
        **times_json(attempt.started_at, attempt.ended_at),
        "setup_duration": milliseconds(attempt.setup_seconds),
        "execution_duration": milliseconds(attempt.execution_seconds),
        "cleanup_duration": 0,
    }


def state_json(state: State, end: End | None, queue_reason: str = "") -> Json:
    """The deprecated ``state`` and the newer ``status``."""
    old: Json = {
        "life_cycle_state": str(state),
        "state_message": "",
        "user_cancelled_or_timedout": bool(end and end.result_state in {"CANCELED", "TIMEDOUT"}),
    }
    new: Json = {"state": STATUS_NAMES.get(state, str(state))}
    if end:
        old["result_state"] = end.result_state
        old["state_message"] = end.message if end.state_message is None else end.state_message
        new["termination_details"] = {"code": end.code, "type": end.type, "message": end.message}
    if state == State.QUEUED:
        old["queue_reason"] = QUEUE_MESSAGES[queue_reason]
        new["queue_details"] = {"code": queue_reason, "message": QUEUE_MESSAGES[queue_reason]}
    return {"state": old, "status": new}


def times_json(start: float | None, end: float | None) -> Json:
    """0 stands for a time that has not come."""
    return {"start_time": milliseconds(start or 0), "end_time": milliseconds(end or 0)}


def _special(attempt: Attempt) -> Json:
    """What has become of an If/else or a For each task, beside its settings."""
    settings, view = attempt.task.settings, {}
    if attempt.task.condition:
        outcome = {"outcome": attempt.outcome} if attempt.outcome else {}
        view["condition_task"] = {**settings["condition_task"], **outcome}
    if attempt.task.for_each:
        view["for_each_task"] = {**settings["for_each_task"], "stats": _stats(attempt)}
    return view


def _stats(attempt: Attempt) -> Json:
    latest = attempt.last_iterations()
    failed = [iteration for iteration in latest if iteration.end and iteration.result not in NOT_FAILED]
    completed = sum(1 for iteration in latest if iteration.end)
    errors = Counter(
        (iteration.output.error or iteration.end.message, iteration.end.code)
        for iteration in failed
        if iteration.end
    )
    return {
        "task_run_stats": {
            "total_iterations": attempt.total,
            "scheduled_iterations": len(latest),
            "active_iterations": len(latest) - completed,
            "completed_iterations": completed,
            "succeeded_iterations": completed - len(failed),
            "failed_iterations": len(failed),
        },
        "error_message_stats": [
            {"error_message": message, "termination_category": code, "count": times}
            for (message, code), times in errors.most_common(_SAMPLED_ERRORS)
        ],
    }
