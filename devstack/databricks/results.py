"""How runs end: each result as ``state`` and ``status`` tell it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """``life_cycle_state`` of a run or of an attempt of a task."""

    QUEUED = "QUEUED"
    BLOCKED = "BLOCKED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING_FOR_RETRY = "WAITING_FOR_RETRY"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"
    SKIPPED = "SKIPPED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


@dataclass(frozen=True, kw_only=True)
class End:
    """What is said of a run, or of an attempt of a task, that is over."""

    life_cycle_state: State
    result_state: str
    #: ``termination_details.code``
    code: str
    #: ``termination_details.type``
    type: str
    message: str = ""


SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELED = "CANCELED"
TIMEDOUT = "TIMEDOUT"
INTERNAL_ERROR = "INTERNAL_ERROR"
UPSTREAM_FAILED = "UPSTREAM_FAILED"
DISABLED = "DISABLED"
EXCLUDED = "EXCLUDED"
MAX_CONCURRENT_RUNS = "MAXIMUM_CONCURRENT_RUNS_REACHED"

#: Result → how it is told of an attempt of a task. The ``type`` of CANCELED and TIMEDOUT, and the life cycle
#: state of UPSTREAM_FAILED, are not documented.
ENDS = {
    SUCCESS: End(life_cycle_state=State.TERMINATED, result_state="SUCCESS", code="SUCCESS", type="SUCCESS"),
    "SUCCESS_WITH_FAILURES": End(
        life_cycle_state=State.TERMINATED,
        result_state="SUCCESS_WITH_FAILURES",
        code="SUCCESS_WITH_FAILURES",
        type="SUCCESS",
    ),
    FAILED: End(
        life_cycle_state=State.TERMINATED,
        result_state="FAILED",
        code="RUN_EXECUTION_ERROR",
        type="CLIENT_ERROR",
        message="Workload failed, see run output for details",
    ),
    TIMEDOUT: End(
        life_cycle_state=State.TERMINATED,
        result_state="TIMEDOUT",
        code="CANCELED",
        type="CLIENT_ERROR",
        message="Run timed out.",
    ),
    CANCELED: End(
        life_cycle_state=State.TERMINATED,
        result_state="CANCELED",
        code="USER_CANCELED",
        type="CLIENT_ERROR",
        message="Run cancelled.",
    ),
    INTERNAL_ERROR: End(
        life_cycle_state=State.INTERNAL_ERROR,
        result_state="FAILED",
        code="INTERNAL_ERROR",
        type="INTERNAL_ERROR",
        message="An internal error occurred.",
    ),
    "CLUSTER_ERROR": End(
        life_cycle_state=State.INTERNAL_ERROR,
        result_state="FAILED",
        code="CLUSTER_ERROR",
        type="CLIENT_ERROR",
        message="The cluster could not be started.",
    ),
    "CLOUD_FAILURE": End(
        life_cycle_state=State.INTERNAL_ERROR,
        result_state="FAILED",
        code="CLOUD_FAILURE",
        type="CLOUD_FAILURE",
        message="The cloud provider could not start an instance.",
    ),
    UPSTREAM_FAILED: End(
        life_cycle_state=State.SKIPPED,
        result_state="UPSTREAM_FAILED",
        code="SKIPPED",
        type="CLIENT_ERROR",
        message="An upstream task failed.",
    ),
    EXCLUDED: End(
        life_cycle_state=State.SKIPPED,
        result_state="EXCLUDED",
        code="SKIPPED",
        type="CLIENT_ERROR",
        message="The conditions of the task were not met.",
    ),
    DISABLED: End(
        life_cycle_state=State.SKIPPED,
        result_state="DISABLED",
        code="DISABLED",
        type="CLIENT_ERROR",
        message="The task is disabled.",
    ),
    MAX_CONCURRENT_RUNS: End(
        life_cycle_state=State.SKIPPED,
        result_state="MAXIMUM_CONCURRENT_RUNS_REACHED",
        code="MAX_CONCURRENT_RUNS_EXCEEDED",
        type="CLIENT_ERROR",
    ),
}

#: What an attempt that was carried out can end with.
OUTCOMES = frozenset(ENDS) - {UPSTREAM_FAILED, EXCLUDED, DISABLED, MAX_CONCURRENT_RUNS}

SUCCESSES = frozenset({SUCCESS, "SUCCESS_WITH_FAILURES"})

#: A task that ended so needs no repair.
NOT_FAILED = SUCCESSES | {EXCLUDED, DISABLED}

#: A task with retries left is tried again after these (``retry_on_timeout`` is off by default).
RETRIED = OUTCOMES - SUCCESSES - {CANCELED, TIMEDOUT}

#: What decides the end of a run whose tasks ended differently, worst first.
PRECEDENCE = (
    CANCELED,
    TIMEDOUT,
    INTERNAL_ERROR,
    "CLOUD_FAILURE",
    "CLUSTER_ERROR",
    FAILED,
    UPSTREAM_FAILED,
    "SUCCESS_WITH_FAILURES",
    SUCCESS,
    EXCLUDED,
    DISABLED,
)


def run_end(task_results: Iterable[tuple[str, str]]) -> End:
    """Return how a run ends whose tasks (key and result, in the job's order) ended so.

    A failed task leaves its run in the life cycle state INTERNAL_ERROR, although ``status`` says TERMINATED.
    """
    key, result = min(task_results, key=lambda task: PRECEDENCE.index(task[1]))
    end = ENDS[result]
    if result not in RETRIED:
        return end
    message = (
        f"Task {key} failed with message: {end.message}. This caused all downstream tasks to get skipped."
    )
    return replace(end, life_cycle_state=State.INTERNAL_ERROR, message=message)


def skipped(limit: int) -> End:
    """Return the end of a run for which its job had no room."""
    message = f"Skipping this run because the limit of {limit} maximum concurrent runs has been reached."
    return replace(ENDS[MAX_CONCURRENT_RUNS], message=message)
