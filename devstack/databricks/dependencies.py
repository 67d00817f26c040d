"""Whether a task may run, by the ends of the tasks that it depends on.

https://docs.databricks.com/aws/en/jobs/run-if
"""

from collections.abc import Mapping

from devstack.databricks import tasks
from devstack.databricks.results import (
    CANCELLATIONS,
    DISABLED,
    EXCLUDED,
    LEFT_OUT,
    SUCCESSES,
    UPSTREAM_CANCELED,
    UPSTREAM_FAILED,
)
from devstack.databricks.runs import Attempt
from devstack.databricks.tasks import Task

#: The verdict that a task may run.
RUN = "RUN"

#: The verdict that it is not known yet.
WAIT = ""


def verdict(task: Task, latest: Mapping[str, Attempt]) -> str:
    """Return ``RUN``, ``WAIT``, or the result with which the task ends without having run.

    A disabled task does not count: those that depend on it run without it. An excluded one counts as a
    success, but a task is excluded when all before it are, or when an If/else task came to the other outcome.

    :param latest: the latest attempt of each task, by task key.
    """
    upstream = [latest[key] for key in task.depends_on if latest[key].result != DISABLED]
    ended = [attempt.result for attempt in upstream]
    if not all(ended):
        return WAIT
    other_way = any(task.depends_on[attempt.task.key] not in {"", attempt.outcome} for attempt in upstream)
    if ended and (other_way or set(ended) <= LEFT_OUT):
        return EXCLUDED
    return _by_condition(task.run_if, ended)


def _by_condition(run_if: str, ended: list[str]) -> str:
    succeeded = [result in SUCCESSES | LEFT_OUT for result in ended]
    canceled = bool(CANCELLATIONS & set(ended))
    failed = [not good and result not in CANCELLATIONS for good, result in zip(succeeded, ended, strict=True)]
    match run_if:
        case tasks.ALL_DONE:
            return RUN
        case tasks.AT_LEAST_ONE_FAILED:
            return RUN if any(failed) else EXCLUDED
        case tasks.ALL_FAILED:
            return RUN if all(failed) else EXCLUDED
        case tasks.AT_LEAST_ONE_SUCCESS:
            met = any(succeeded) or not ended
        case tasks.NONE_FAILED:
            met = not any(failed)
        case _:
            met = all(succeeded)
    if met:
        return RUN
    return UPSTREAM_CANCELED if canceled and not any(failed) else UPSTREAM_FAILED
