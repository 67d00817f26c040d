"""Records → the API's responses. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import UNSET

from orchestrator.core import models, reports, waiting
from orchestrator.core.actions import ACTIONS
from orchestrator.core.states import Status
from orchestrator.core.times import iso_utc
from orchestrator.web import schemas


def _iso(time: datetime) -> str:
    """Write a time in UTC."""
    return iso_utc(time, "milliseconds")


def _iso_or_none(time: datetime | None) -> str | None:
    return None if time is None else _iso(time)


def entry(row: models.Entry, run_page_url: str | None, *, parameters: bool = False) -> schemas.Entry:
    """Return an entry. Parameters are left out unless they were asked for."""
    return schemas.Entry(**_fields(row, run_page_url), parameters=row.parameters if parameters else UNSET)


def entry_with_runs(
    story: reports.Story, run_page_url: str | None, *, parameters: bool = False
) -> schemas.EntryWithRuns:
    """Return an entry with its runs."""
    return schemas.EntryWithRuns(
        **_fields(story.entry, run_page_url),
        parameters=story.entry.parameters if parameters else UNSET,
        runs=[_run(log) for log in story.logs],
    )


def waiting_entry(row: waiting.Waiting, run_page_url: str | None) -> schemas.WaitingEntry:
    """Return an entry that waits."""
    return schemas.WaitingEntry(**_fields(row.entry, run_page_url), reason=row.reason)


def _fields(row: models.Entry, run_page_url: str | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "workspace": row.workspace,
        "table_name": row.table_name,
        "job_id": row.job_id,
        "priority": row.priority,
        "status": row.status,
        "run_id": row.runid,
        "run_page_url": run_page_url,
        "submission": row.submission,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "available_at": _iso(row.available_at),
        "cancel_requested": row.cancel_requested,
        "actions": [action.name for action in ACTIONS if action.applies_to(row)],
        "last_error": row.last_error,
        "created_at": _iso(row.created_at),
        "updated_at": _iso(row.updated_at),
        "submitted_at": _iso_or_none(row.submitted_at),
        "finished_at": _iso_or_none(row.finished_at),
    }


def _run(log: models.LogRow) -> schemas.Run:
    return schemas.Run(
        submission=log.submission,
        attempt=log.attempt,
        status=log.status,
        run_id=log.runid,
        result_state=log.result_state,
        termination_code=log.termination_code,
        message=log.message,
        error_trace=log.error_trace,
        run_page_url=log.run_page_url,
        started_at=_iso_or_none(log.started_at),
        finished_at=_iso_or_none(log.finished_at),
        queue_seconds=log.queue_seconds,
        setup_seconds=log.setup_seconds,
        execution_seconds=log.execution_seconds,
    )


def status_report(found: reports.StatusReport) -> schemas.StatusReport:
    """Return the state of the workspaces and of the timer functions."""
    return schemas.StatusReport(
        workspaces=[_workspace(status) for status in found.workspaces],
        passes=[_pass(status) for status in found.passes],
        now=_iso(found.now),
    )


def _workspace(status: reports.WorkspaceStatus) -> schemas.Workspace:
    report = status.report
    return schemas.Workspace(
        name=report.name,
        cap=status.cap,
        active=schemas.Active(ours=report.in_flight, foreign=status.foreign, error=status.active.error),
        states=_open_counts(report.waiting),
        finished_last_hour=_final_counts(report.finished_hour),
        finished_last_day=_final_counts(report.finished_day),
        oldest_waiting_seconds=report.oldest_waiting_seconds,
    )


def _open_counts(counts: Mapping[Status, int]) -> schemas.OpenCounts:
    return schemas.OpenCounts(
        pending=counts.get(Status.PENDING, 0),
        queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        failed=counts.get(Status.FAILED, 0),
    )


def _final_counts(counts: Mapping[Status, int]) -> schemas.FinalCounts:
    return schemas.FinalCounts(
        done=counts.get(Status.DONE, 0),
        dead=counts.get(Status.DEAD, 0),
        canceled=counts.get(Status.CANCELED, 0),
    )


def _pass(status: reports.PassStatus) -> schemas.Pass:
    last = status.last
    return schemas.Pass(
        name=status.name,
        started_at=_iso(last.started_at) if last else None,
        finished_at=_iso_or_none(last.finished_at) if last else None,
        outcome=last.outcome if last else None,
        late=status.late,
    )


def history(found: reports.History) -> schemas.History:
    """Return what ended, by the hour or by the day."""
    return schemas.History(
        buckets=[
            schemas.Bucket(
                start=_iso(each.start),
                done=each.done,
                failed=each.failed,
                queue_seconds=each.queue_seconds_mean,
                execution_seconds=each.execution_seconds_mean,
            )
            for each in found.buckets
        ],
        since=_iso(found.since),
    )


def tables(found: reports.Tables) -> schemas.Tables:
    """Return how the runs of the source tables went."""
    return schemas.Tables(
        tables=[
            schemas.Table(
                table_name=each.table,
                workspace=each.workspace,
                runs=each.runs,
                failed=each.failed,
                success_rate=each.success_rate,
                mean_seconds=each.mean_seconds,
                max_seconds=each.max_seconds,
                last_status=each.last_status,
                last_finished_at=_iso_or_none(each.last_finished_at),
            )
            for each in found.tables
        ],
        since=_iso(found.since),
    )
