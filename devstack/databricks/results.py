"""How runs end: each result as ``state`` and ``status`` tell it."""

from collections.abc import Collection, Mapping
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
    #: ``termination_details.message``
    message: str = ""
    #: ``state_message``, None = the same as ``message``
    state_message: str | None = None


SUCCESS = "SUCCESS"
SUCCESS_WITH_FAILURES = "SUCCESS_WITH_FAILURES"
FAILED = "FAILED"
CANCELED = "CANCELED"
USER_CANCELED = "USER_CANCELED"
TIMEDOUT = "TIMEDOUT"
INTERNAL_ERROR = "INTERNAL_ERROR"
CLOUD_FAILURE = "CLOUD_FAILURE"
LIBRARY_INSTALLATION_ERROR = "LIBRARY_INSTALLATION_ERROR"
INVALID_RUN_CONFIGURATION = "INVALID_RUN_CONFIGURATION"
RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
UPSTREAM_FAILED = "UPSTREAM_FAILED"
UPSTREAM_CANCELED = "UPSTREAM_CANCELED"
SKIPPED = "SKIPPED"
EXCLUDED = "EXCLUDED"
DISABLED = "DISABLED"
MAX_CONCURRENT_RUNS = "MAX_CONCURRENT_RUNS_EXCEEDED"
MAX_QUEUE_SIZE = "MAX_JOB_QUEUE_SIZE_EXCEEDED"

#: ``termination_details.type``
_CLIENT = "CLIENT_ERROR"

#: Failures that come before the task's own code runs, and how they are worded.
_SETUP_FAILURES = {
    "CLUSTER_ERROR": "The cluster could not be started.",
    CLOUD_FAILURE: "The cloud provider could not start an instance.",
    "BUDGET_POLICY_LIMIT_EXCEEDED": "The limit of the budget policy has been exceeded.",
    "CLUSTER_REQUEST_LIMIT_EXCEEDED": "Too many clusters were asked for in a short time.",
    "CLUSTER_TERMINATED_BY_USER": "The cluster was terminated by a user.",
    "FEATURE_DISABLED": "The feature is not available in this workspace.",
    "INVALID_CLUSTER_REQUEST": "The request for a cluster is not valid.",
    INVALID_RUN_CONFIGURATION: "The configuration of the run is not valid.",
    LIBRARY_INSTALLATION_ERROR: "Library installation failed.",
    "MAX_SPARK_CONTEXTS_EXCEEDED": "Too many execution contexts are open right now.",
    "REPOSITORY_CHECKOUT_FAILED": "The repository could not be checked out.",
    RESOURCE_NOT_FOUND: "A resource that the run needs does not exist.",
    "STORAGE_ACCESS_ERROR": "The workspace's storage could not be accessed.",
    "UNAUTHORIZED_ERROR": "The run has no permission on a resource.",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": "The workspace has reached its limit of active runs.",
}

#: Failures of a task's own code, or while it runs.
_RUN_FAILURES = {
    "BREAKING_CHANGE": "The run failed because of a breaking change in Spark.",
    "DRIVER_ERROR": "The driver cannot be reached.",
    INTERNAL_ERROR: "An internal error occurred.",
}

#: Codes of which Databricks is the cause. The documentation names no type for most codes.
_TYPES = {INTERNAL_ERROR: "INTERNAL_ERROR", CLOUD_FAILURE: "CLOUD_FAILURE"}


def _ended(result_state: str, code: str, message: str = "", type_: str = _CLIENT) -> End:
    return End(
        life_cycle_state=State.TERMINATED, result_state=result_state, code=code, type=type_, message=message
    )


def _skipped(result_state: str, code: str, message: str) -> End:
    return replace(_ended(result_state, code, message), life_cycle_state=State.SKIPPED)


def _broken(code: str, message: str) -> End:
    end = _ended(FAILED, code, message, _TYPES.get(code, _CLIENT))
    return replace(end, life_cycle_state=State.INTERNAL_ERROR)


#: Result → how it is told of an attempt of a task.
ENDS: Mapping[str, End] = {
    SUCCESS: _ended(SUCCESS, SUCCESS, type_="SUCCESS"),
    SUCCESS_WITH_FAILURES: _ended(SUCCESS_WITH_FAILURES, SUCCESS_WITH_FAILURES, type_="SUCCESS"),
    FAILED: _ended(FAILED, "RUN_EXECUTION_ERROR", "Workload failed, see run output for details"),
    TIMEDOUT: _ended(TIMEDOUT, CANCELED, "Run timed out."),
    CANCELED: _ended(CANCELED, CANCELED, "Run cancelled by the platform."),
    USER_CANCELED: _ended(CANCELED, USER_CANCELED, "Run cancelled."),
    **{code: _broken(code, message) for code, message in (_SETUP_FAILURES | _RUN_FAILURES).items()},
    UPSTREAM_FAILED: _skipped(UPSTREAM_FAILED, SKIPPED, "An upstream task failed."),
    UPSTREAM_CANCELED: _skipped(UPSTREAM_CANCELED, SKIPPED, "An upstream task was cancelled."),
    SKIPPED: _skipped(EXCLUDED, SKIPPED, "There was nothing to run."),
    EXCLUDED: _skipped(EXCLUDED, SKIPPED, "The conditions of the task were not met."),
    DISABLED: _skipped(DISABLED, DISABLED, "The task is disabled."),
    MAX_CONCURRENT_RUNS: _skipped("MAXIMUM_CONCURRENT_RUNS_REACHED", MAX_CONCURRENT_RUNS, ""),
    MAX_QUEUE_SIZE: _skipped("MAXIMUM_CONCURRENT_RUNS_REACHED", MAX_QUEUE_SIZE, "The job's queue is full."),
}

#: What an outcome rule may ask for; the others follow from other tasks.
OUTCOMES = frozenset(ENDS) - {UPSTREAM_FAILED, UPSTREAM_CANCELED}

SUCCESSES = frozenset({SUCCESS, SUCCESS_WITH_FAILURES})
CANCELLATIONS = frozenset({CANCELED, USER_CANCELED, UPSTREAM_CANCELED})

#: What depends on a task that ended so does not wait for it to succeed.
LEFT_OUT = frozenset({SKIPPED, EXCLUDED, DISABLED})

#: A task that ended so needs no repair.
NOT_FAILED = SUCCESSES | LEFT_OUT

#: Results of attempts whose code never ran.
NEVER_EXECUTED = frozenset(
    {*_SETUP_FAILURES, *(name for name, end in ENDS.items() if end.life_cycle_state == State.SKIPPED)}
)

#: A task with retries left is tried again after these (``retry_on_timeout`` is off by default).
RETRIED = frozenset({FAILED, *_SETUP_FAILURES, *_RUN_FAILURES})

#: What decides the end of a run whose tasks ended differently, worst first.
PRECEDENCE = (
    *(USER_CANCELED, CANCELED, TIMEDOUT, INTERNAL_ERROR, "BREAKING_CHANGE", "DRIVER_ERROR", *_SETUP_FAILURES),
    *(FAILED, MAX_CONCURRENT_RUNS, MAX_QUEUE_SIZE, UPSTREAM_CANCELED, UPSTREAM_FAILED),
    *(SUCCESS_WITH_FAILURES, SUCCESS, SKIPPED, EXCLUDED, DISABLED),
)


def run_end(task_ends: Mapping[str, tuple[str, End]], leaves: Collection[str]) -> End:
    """Return how a run ends by the ends of its tasks.

    The tasks on which no other depends decide whether it succeeded; which task is blamed is decided by all. A
    failed task leaves its run in the life cycle state INTERNAL_ERROR, although ``status`` says TERMINATED.

    :param task_ends: task key → result and end, in the job's order.
    :param leaves: the keys of the tasks on which no other depends.
    """
    worst_of_leaves = min((task_ends[key][0] for key in leaves), key=PRECEDENCE.index)
    key, (result, end) = min(task_ends.items(), key=lambda task: PRECEDENCE.index(task[1][0]))
    if worst_of_leaves in NOT_FAILED and result not in NOT_FAILED:
        return ENDS[SUCCESS_WITH_FAILURES]
    if result not in RETRIED:
        return end
    cause = ENDS[result].message.rstrip(".")
    message = f"Task {key} failed with message: {cause}. This caused all downstream tasks to get skipped."
    return replace(end, life_cycle_state=State.INTERNAL_ERROR, message=message, state_message=None)


def skipped(limit: int) -> End:
    """Return the end of a run for which its job had no room."""
    message = f"Skipping this run because the limit of {limit} maximum concurrent runs has been reached."
    return replace(ENDS[MAX_CONCURRENT_RUNS], message=message)
