"""Whether a task may run, by the ends of the tasks that it depends on."""

from collections.abc import Mapping

from devstack.databricks.jobs import Task
from devstack.databricks.results import DISABLED, SUCCESSES, UPSTREAM_FAILED
from devstack.databricks.runs import Attempt

#: The verdict that a task may run.
RUN = "RUN"

#: The verdict that it is not known yet.
WAIT = ""


def verdict(task: Task, latest: Mapping[str, Attempt]) -> str:
    """Return ``RUN``, ``WAIT``, or the result with which the task ends without having run.

    A disabled task does not count: those that depend on it run without it.

    :param latest: the latest attempt of each task, by task key.
    """
    upstream = {latest[key].result for key in task.depends_on} - {DISABLED}
    if "" in upstream:
        return WAIT
    return RUN if upstream <= SUCCESSES else UPSTREAM_FAILED
