"""The JSON of an entry, a settled submission and a last pass, for the API and the command line. Pure.

Ids are text there, and so are those in every other JSON of the app.
"""

from datetime import datetime
from typing import Any

from orchestrator.core.actions import offered
from orchestrator.core.models import Entry, LogRow
from orchestrator.core.numbers import id_text
from orchestrator.core.reports import PassStatus, Story, TimedEntry
from orchestrator.core.times import iso_utc


def _iso(time: datetime | None) -> str | None:
    """Write a time in UTC."""
    return None if time is None else iso_utc(time, "milliseconds")


def entry_fields(entry: Entry, run_page_url: str | None) -> dict[str, Any]:
    """Return the fields of an entry, without its parameters."""
    return {
        "id": id_text(entry.id),
        "workspace": entry.workspace,
        "table_name": entry.table_name,
        "job_id": id_text(entry.job_id),
        "job_name": entry.job_name,
        "options": entry.options,
        "priority": entry.priority,
        "status": entry.status.value,
        "run_id": id_text(entry.runid),
        "run_page_url": run_page_url,
        "submission": entry.submission,
        "attempt": entry.attempt,
        "max_attempts": entry.max_attempts,
        "retry_mode": entry.retry_mode,
        "run_timeout_seconds": entry.run_timeout_seconds,
        "queue_timeout_seconds": entry.queue_timeout_seconds,
        "available_at": _iso(entry.available_at),
        "cancel_requested": entry.cancel_requested,
        "stop_reason": entry.stop_reason,
        "actions": offered(entry),
        "last_error": entry.last_error,
        "with_failures": entry.with_failures,
        "slot_waits": entry.slot_waits,
        "platform_failures": entry.platform_failures,
        "postponements": entry.postponements,
        "created_at": _iso(entry.created_at),
        "updated_at": _iso(entry.updated_at),
        "claimed_at": _iso(entry.claimed_at),
        "submitted_at": _iso(entry.submitted_at),
        "queue_seconds": entry.queue_seconds,
        "missing_since": _iso(entry.missing_since),
        "unreadable_since": _iso(entry.unreadable_since),
        "cancel_asked_at": _iso(entry.cancel_asked_at),
        "run_state": entry.run_state,
        "run_state_since": _iso(entry.run_state_since),
        "finished_at": _iso(entry.finished_at),
    }


def timed_fields(found: TimedEntry) -> dict[str, Any]:
    """Return how an entry's run compares with the usual time of its table."""
    return {"usual_seconds": found.usual_seconds, "overdue": found.overdue}


def log_fields(found: Story) -> dict[str, Any]:
    """Return the last runs of an entry, and how to ask for those before them."""
    return {"runs": [run_fields(log) for log in found.logs], "runs_before": found.earlier_before}


def run_fields(log: LogRow) -> dict[str, Any]:
    """Return the fields of a settled submission."""
    return {
        "submission": log.submission,
        "attempt": log.attempt,
        "status": log.status.value,
        "run_id": id_text(log.runid),
        "result_state": log.result_state,
        "termination_code": log.termination_code,
        "termination_type": log.termination_type,
        "message": log.message,
        "error_trace": log.error_trace,
        "result": log.result,
        "run_page_url": log.run_page_url,
        "started_at": _iso(log.started_at),
        "finished_at": _iso(log.finished_at),
        "queue_seconds": log.queue_seconds,
        "setup_seconds": log.setup_seconds,
        "execution_seconds": log.execution_seconds,
    }


def pass_fields(status: PassStatus) -> dict[str, Any]:
    """Return the fields of a timer function's last pass; without one its times and outcome are null."""
    last = status.last
    return {
        "name": status.name,
        "started_at": _iso(last.started_at) if last else None,
        "finished_at": _iso(last.finished_at) if last else None,
        "outcome": last.outcome if last else None,
        "asked_by": last.asked_by if last else None,
        "troubled_since": _iso(last.troubled_since) if last and last.troubled_since else None,
        "late": status.late,
    }
