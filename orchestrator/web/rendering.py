"""Records → the API's responses. Pure."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import cast

from msgspec import UNSET

from orchestrator.checks.finding import Finding
from orchestrator.core import models, reports, waiting
from orchestrator.core.documents import entry_fields, log_fields, pass_fields, timed_fields
from orchestrator.core.numbers import id_text
from orchestrator.core.states import Status
from orchestrator.core.times import iso_utc
from orchestrator.web import schemas


def _iso(time: datetime) -> str:
    """Write a time in UTC."""
    return iso_utc(time, "milliseconds")


def _iso_or_none(time: datetime | None) -> str | None:
    return None if time is None else _iso(time)


def entry(found: models.Entry, run_page_url: str | None, *, parameters: bool = False) -> schemas.Entry:
    """Return an entry. Parameters are left out unless they were asked for."""
    return schemas.Entry(
        **entry_fields(found, run_page_url), parameters=found.parameters if parameters else UNSET
    )


def resolved(found: models.Entry, run_page_url: str | None, run_left: int | None) -> schemas.Resolved:
    """Return an entry that was settled by hand, and its run if that may go on."""
    return schemas.Resolved(**entry_fields(found, run_page_url), run_left=id_text(run_left))


def entry_with_runs(
    story: reports.Story, run_page_url: str | None, *, parameters: bool = False
) -> schemas.EntryWithRuns:
    """Return an entry with its runs."""
    log = log_fields(story)
    return schemas.EntryWithRuns(
        **entry_fields(story.entry, run_page_url),
        **timed_fields(story),
        parameters=story.entry.parameters if parameters else UNSET,
        runs=[schemas.Run(**run) for run in log["runs"]],
        runs_before=log["runs_before"],
    )


def waiting_entry(found: waiting.Waiting, run_page_url: str | None) -> schemas.WaitingEntry:
    """Return an entry that waits."""
    return schemas.WaitingEntry(**entry_fields(found.entry, run_page_url), reason=found.reason)


def status_report(found: reports.StatusReport) -> schemas.StatusReport:
    """Return the state of the workspaces and of the timer functions."""
    return schemas.StatusReport(
        version=found.version,
        schema_version=found.schema_version,
        workspaces=[_workspace(status) for status in found.workspaces],
        passes=[schemas.Pass(**pass_fields(status)) for status in found.passes],
        now=_iso(found.now),
    )


def _workspace(status: reports.WorkspaceStatus) -> schemas.Workspace:
    report = status.report
    return schemas.Workspace(
        name=report.name,
        cap=status.cap,
        active=schemas.Active(
            ours=report.in_flight,
            foreign=status.foreign,
            foreign_queued=status.foreign_queued,
            error=status.active.error,
        ),
        states=_open_counts(report.open),
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
                last_status=cast("schemas.AnyStatus", each.last_status.value),
                last_finished_at=_iso_or_none(each.last_finished_at),
            )
            for each in found.tables
        ],
        since=_iso(found.since),
    )


def check_report(findings: Collection[Finding]) -> schemas.CheckReport:
    """Return what was found of all that the app needs."""
    return schemas.CheckReport(
        ok=all(each.ok for each in findings),
        findings=[
            schemas.Finding(subject=each.subject, ok=each.ok, text=each.text, warning=each.warning)
            for each in findings
        ],
    )
