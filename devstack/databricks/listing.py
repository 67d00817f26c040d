"""Which runs ``runs/list`` shows."""

from collections.abc import Iterable, Iterator

from devstack.databricks.clock import milliseconds
from devstack.databricks.requests import ListRuns
from devstack.databricks.runs import Run


def select(runs: Iterable[Run], query: ListRuns) -> Iterator[Run]:
    """Yield those of the runs that a query asks for, in their order."""
    for run in runs:
        if _is_selected(run, query):
            yield run


def _is_selected(run: Run, query: ListRuns) -> bool:
    started = milliseconds(run.created_at)
    return (
        (query.job_id is None or run.job.job_id == query.job_id)
        and not (query.completed_only and run.end is None)
        and query.run_type in {"", "JOB_RUN"}
        and query.start_time_from <= started
        and (query.start_time_to is None or started <= query.start_time_to)
    )
