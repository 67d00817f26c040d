"""Records → the JSON that ``--json`` prints. Pure. Parameters are left out unless they were asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestrator.core.models import Entry, LogRow
from orchestrator.core.reports import PassStatus, StatusReport, Story, WorkspaceStatus
from orchestrator.core.states import Status
from orchestrator.core.times import iso_utc

#: The states of rows that are not over, and of those that are, as they are shown.
OPEN = (Status.PENDING, Status.QUEUED, Status.RUNNING, Status.FAILED)
ENDED = (Status.DONE, Status.DEAD, Status.CANCELED)


def iso(time: datetime | None) -> str | None:
    """Write a time in UTC."""
    return None if time is None else iso_utc(time, "milliseconds")


def entry(row: Entry, *, parameters: bool = False) -> dict[str, Any]:
    """Return a row."""
    return {
        "id": row.id,
        "workspace": row.workspace,
        "table_name": row.table_name,
        "job_id": row.job_id,
        "priority": row.priority,
        "status": row.status.value,
        "run_id": row.runid,
        "submission": row.submission,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "available_at": iso(row.available_at),
        "cancel_requested": row.cancel_requested,
        "last_error": row.last_error,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "submitted_at": iso(row.submitted_at),
        "finished_at": iso(row.finished_at),
        **({"parameters": row.parameters} if parameters else {}),
    }


def story(told: Story, *, parameters: bool = False) -> dict[str, Any]:
    """Return a row with its runs."""
    return {**entry(told.entry, parameters=parameters), "runs": [run(log) for log in told.logs]}


def run(log: LogRow) -> dict[str, Any]:
    """Return a settled submission."""
    return {
        "submission": log.submission,
        "attempt": log.attempt,
        "status": log.status.value,
        "run_id": log.runid,
        "result_state": log.result_state,
        "termination_code": log.termination_code,
        "message": log.message,
        "error_trace": log.error_trace,
        "run_page_url": log.run_page_url,
        "started_at": iso(log.started_at),
        "finished_at": iso(log.finished_at),
        "queue_seconds": log.queue_seconds,
        "setup_seconds": log.setup_seconds,
        "execution_seconds": log.execution_seconds,
    }


def status(found: StatusReport) -> dict[str, Any]:
    """Return the state of everything."""
    return {
        "workspaces": [_workspace(each) for each in found.workspaces],
        "passes": [_pass(each) for each in found.passes],
        "now": iso(found.now),
    }


def _workspace(status: WorkspaceStatus) -> dict[str, Any]:
    report = status.report
    return {
        "name": report.name,
        "cap": status.cap,
        "active": {"ours": report.in_flight, "foreign": status.foreign, "error": status.active.error},
        "states": _counts(report.waiting, OPEN),
        "finished_last_hour": _counts(report.finished_hour, ENDED),
        "finished_last_day": _counts(report.finished_day, ENDED),
        "oldest_waiting_seconds": report.oldest_waiting_seconds,
    }


def _counts(counts: Mapping[Status, int], states: Sequence[Status]) -> dict[str, int]:
    return {state.value: counts.get(state, 0) for state in states}


def _pass(status: PassStatus) -> dict[str, Any]:
    last = status.last
    return {
        "name": status.name,
        "started_at": iso(last.started_at) if last else None,
        "finished_at": iso(last.finished_at) if last else None,
        "outcome": last.outcome if last else None,
        "late": status.late,
    }
