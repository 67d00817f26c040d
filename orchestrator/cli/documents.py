"""Records → the JSON that ``--json`` prints, the same as that of the HTTP API. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.core.documents import entry_fields, log_fields, pass_fields, timed_fields
from orchestrator.core.models import Entry
from orchestrator.core.reports import StatusReport, Story, WorkspaceStatus
from orchestrator.core.states import FINAL, OPEN, Status
from orchestrator.core.times import iso_utc


def entry(found: Entry, run_page_url: str | None, *, parameters: bool = False) -> dict[str, Any]:
    """Return an entry. Its parameters are omitted unless they were asked for."""
    shown = {"parameters": found.parameters} if parameters else {}
    return {**entry_fields(found, run_page_url), **shown}


def story(found: Story, run_page_url: str | None, *, parameters: bool = False) -> dict[str, Any]:
    """Return an entry with its runs."""
    return {
        **entry(found.entry, run_page_url, parameters=parameters),
        **timed_fields(found),
        **log_fields(found),
    }


def status(found: StatusReport) -> dict[str, Any]:
    """Return the state of everything."""
    return {
        "version": found.version,
        "schema_version": found.schema_version,
        "workspaces": [_workspace(each) for each in found.workspaces],
        "passes": [pass_fields(each) for each in found.passes],
        "now": iso_utc(found.now, "milliseconds"),
    }


def _workspace(status: WorkspaceStatus) -> dict[str, Any]:
    report = status.report
    return {
        "name": report.name,
        "cap": status.cap,
        "active": {
            "ours": report.in_flight,
            "foreign": status.foreign,
            "foreign_queued": status.foreign_queued,
            "error": status.active.error,
        },
        "states": _counts(report.open, OPEN),
        "finished_last_hour": _counts(report.finished_hour, FINAL),
        "finished_last_day": _counts(report.finished_day, FINAL),
        "oldest_waiting_seconds": report.oldest_waiting_seconds,
    }


def _counts(counts: Mapping[Status, int], states: Collection[Status]) -> dict[str, int]:
    return {state.value: counts.get(state, 0) for state in Status if state in states}
