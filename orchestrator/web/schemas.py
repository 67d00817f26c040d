"""The API's JSON as types, requests and responses: the OpenAPI document is derived from them.

The types check nothing by themselves: ``validation.py`` reads requests by them. A field that may be left out
is ``UNSET`` then.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from orchestrator.core import models, new_entry, reports, waiting
from orchestrator.core.numbers import MAX_ID, MAX_INT32
from orchestrator.core.reports import MAX_DAYS
from orchestrator.core.run_requests import MAX_PARAMETERS_BYTES, PARAMETER_STYLES
from orchestrator.core.search import MAX_MATCHING, MAX_PAGE, MAX_TEXT, Sort
from orchestrator.core.states import CANCELLABLE, RETRYABLE, Status
from orchestrator.core.times import iso_utc
from orchestrator.core.waiting import Reason

#: Entries that one request inserts.
MAX_NEW_ENTRIES = 1000

#: Printable ASCII without spaces, as header fields have it.
IDEMPOTENCY_KEY_PATTERN = "^[!-~]{1,200}$"

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]

Count = Annotated[int, Meta(ge=0)]

#: A text to look for.
Words = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, extra_json_schema={"format": "printable"})]

Action = Literal["retry", "cancel"]


class Schema(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every object: it has the fields that stand here, and no others."""


# Query strings, paths and headers


class NoQuery(Schema, frozen=True, kw_only=True):
    """A query string without fields."""


class _Conditions(Schema, frozen=True, kw_only=True):
    table: (
        Annotated[
            Words,
            Meta(
                description="`sales` is exactly this table, `sales*` every table that begins so; "
                "`*` stands for any text anywhere."
            ),
        ]
        | UnsetType
    ) = UNSET
    workspace: Annotated[Words, Meta(description="Name of the workspace.")] | UnsetType = UNSET
    run_id: (
        Annotated[Id, Meta(description="A run of Databricks: the entry's current one or an earlier one.")]
        | UnsetType
    ) = UNSET
    since: Annotated[Time, Meta(description="Last changed at or after this time.")] | UnsetType = UNSET
    until: Annotated[Time, Meta(description="Last changed at or before this time.")] | UnsetType = UNSET
    error: Annotated[Words, Meta(description="Text in last_error, in any case.")] | UnsetType = UNSET


Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="At most this many.")]

ShowParameters = Annotated[bool, Meta(description="Show the entries' parameters too.")]


class EntriesQuery(_Conditions, frozen=True, kw_only=True):
    """Fields of ``GET /entries``."""

    state: Annotated[list[Status], Meta(description="One or more states; all if not given.")] | UnsetType = (
        UNSET
    )
    sort: Annotated[Sort, Meta(description="By the last change or by id; - is latest or highest first.")] = (
        Sort.LAST_CHANGED
    )
    limit: Limit = 50
    after: (
        Annotated[
            str,
            Meta(min_length=1, max_length=200, description="`next` of the page before, with the same sort."),
        ]
        | UnsetType
    ) = UNSET
    parameters: ShowParameters = False


class EntryQuery(Schema, frozen=True, kw_only=True):
    """Fields of ``GET /entries/{id}``."""

    parameters: ShowParameters = False


class WaitingQuery(Schema, frozen=True, kw_only=True):
    """Fields of ``GET /waiting``."""

    workspace: Annotated[Words, Meta(description="Only this one.")] | UnsetType = UNSET
    limit: Limit = 50


class HistoryQuery(Schema, frozen=True, kw_only=True):
    """Fields of ``GET /history``."""

    hours: Annotated[int, Meta(ge=1, le=MAX_DAYS * 24, description="How far back.")] = 24


class TablesQuery(Schema, frozen=True, kw_only=True):
    """Fields of ``GET /tables``."""

    days: Annotated[int, Meta(ge=1, le=MAX_DAYS, description="How far back.")] = 7
    limit: Limit = 100


class EntryPath(Schema, frozen=True, kw_only=True):
    """What stands in the path of one entry."""

    id: Annotated[Id, Meta(description="Id of the entry.")]


class InsertHeaders(Schema, frozen=True, kw_only=True):
    """Headers of ``POST /entries``."""

    idempotency_key: (
        Annotated[
            str,
            Meta(
                pattern=IDEMPOTENCY_KEY_PATTERN,
                description="A repeat within a day with the same key and body gets the first response and "
                "inserts nothing.",
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="Idempotency-Key")


# Bodies of requests


def _column(name: str) -> Meta:
    least, most = new_entry.NUMBERS[name]
    return Meta(ge=least, le=most)


class NewEntry(Schema, frozen=True, kw_only=True):
    """A new row of track_processing; what is left out or null is the default."""

    table_name: Annotated[str, Meta(min_length=1, max_length=new_entry.TEXTS["table_name"])]
    workspace: Annotated[
        Annotated[str, Meta(min_length=1, max_length=new_entry.TEXTS["workspace"])] | None,
        Meta(description="Default: `default`. Must be one of the settings' workspaces."),
    ] = None
    job_id: Annotated[
        Annotated[int, _column("job_id")] | None, Meta(description="Default: the workspace's job.")
    ] = None
    parameter_style: Annotated[
        Annotated[str, Meta(extra_json_schema={"enum": list(PARAMETER_STYLES)})] | None,
        Meta(description="Default: notebook_params."),
    ] = None
    parameters: Annotated[
        dict[str, Any] | list[Any] | str | None,
        Meta(
            description="What the style asks for, or the same as JSON text; at most "
            f'{MAX_PARAMETERS_BYTES:,} bytes. Default: {{"table_name": …}}.'
        ),
    ] = None
    priority: Annotated[
        Annotated[int, _column("priority")] | None, Meta(description="Higher is claimed first. Default: 0.")
    ] = None
    max_attempts: Annotated[
        Annotated[int, _column("max_attempts")] | None,
        Meta(description="0 = no limit. Default: the setting MAX_ATTEMPTS."),
    ] = None


class NewEntries(Schema, frozen=True, kw_only=True):
    """Entries to insert, all or none."""

    entries: Annotated[list[NewEntry], Meta(min_length=1, max_length=MAX_NEW_ENTRIES)]


class Filter(_Conditions, frozen=True, kw_only=True):
    """Conditions as in GET /entries, and ids. At least one condition."""

    state: Status | Annotated[list[Status], Meta(min_length=1)] | UnsetType = UNSET
    ids: (
        Annotated[
            list[Id],
            Meta(min_length=1, max_length=MAX_MATCHING, description="Only these; as a dry run listed them."),
        ]
        | UnsetType
    ) = UNSET


class Bulk(Schema, frozen=True, kw_only=True):
    """Which entries to change."""

    filter: Annotated[Filter, Meta(extra_json_schema={"minProperties": 1})]
    dry_run: bool = True
    limit: Annotated[int, Meta(ge=1, le=MAX_MATCHING)] = MAX_MATCHING


class Expected(Schema, frozen=True, kw_only=True):
    """How the entry must still be; otherwise nothing is done and the response is 409. What is left out may be
    anything.
    """

    status: Status | None = None
    submission: Annotated[int, Meta(ge=0, le=MAX_INT32)] | None = None


class NotificationRun(Struct, frozen=True, kw_only=True):
    """The run that a notification is about."""

    run_id: Id


class Notification(Struct, frozen=True, kw_only=True):
    """Databricks sends more than this."""

    run: NotificationRun


# Responses


class ProblemDetails(Schema, frozen=True, kw_only=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong and what to do.")]


class _EntryFields(Schema, frozen=True, kw_only=True):
    id: int
    workspace: str
    table_name: str
    job_id: int | None
    priority: int
    status: Status
    run_id: int | None
    run_page_url: Annotated[
        str | None,
        Meta(description="Page of run_id; null where the settings do not know the workspace or the job."),
    ]
    submission: int
    attempt: int
    max_attempts: int | None
    available_at: Time
    cancel_requested: bool
    actions: Annotated[list[Action], Meta(description="What may be done to the entry now.")]
    last_error: str | None
    created_at: Time
    updated_at: Time
    submitted_at: Time | None
    finished_at: Time | None


class Entry(_EntryFields, frozen=True, kw_only=True):
    """One row of track_processing."""

    parameters: (
        Annotated[str | None, Meta(description="JSON text; only with ?parameters=true.")] | UnsetType
    ) = UNSET


class Run(Schema, frozen=True, kw_only=True):
    """One settled submission: a run that is over, or a refusal."""

    submission: int
    attempt: int
    status: Status
    run_id: int | None
    result_state: str | None
    termination_code: str | None
    message: str | None
    error_trace: str | None
    run_page_url: str | None
    started_at: Time | None
    finished_at: Time | None
    queue_seconds: float | None
    setup_seconds: float | None
    execution_seconds: float | None


class EntryWithRuns(Entry, frozen=True, kw_only=True):
    """One entry and its runs, first to last."""

    runs: list[Run]


class EntryPage(Schema, frozen=True, kw_only=True):
    """Entries in the order asked for."""

    entries: list[Entry]
    next: Annotated[
        str | None,
        Meta(
            description="Give it as `after` for the next page; null at the end. A page may have few entries, "
            "or none, and still a next one: a search looks at 20,000 entries at a time."
        ),
    ]


class Inserted(Schema, frozen=True, kw_only=True):
    """The new entries, in the order of the request."""

    ids: Annotated[list[int], Meta(min_length=1)]


class BulkResult(Schema, frozen=True, kw_only=True):
    """The entries that were changed, or would be."""

    ids: list[int]
    count: int
    states: Annotated[
        list[Status],
        Meta(
            description="The entries were in one of these; an entry that leaves them before its change is "
            "left alone."
        ),
    ]
    more: Annotated[bool, Meta(description="There are, or may be, others: ask again.")]
    dry_run: bool


class Active(Schema, frozen=True, kw_only=True):
    """The active runs of a workspace."""

    ours: Annotated[int, Meta(description="Entries QUEUED and RUNNING.")]
    foreign: Annotated[int, Meta(description="Active runs that belong to no entry.")]
    error: Annotated[str | None, Meta(description="Why foreign runs are not known.")]


class OpenCounts(Schema, frozen=True, kw_only=True, rename="upper"):
    """Entries that are not final, by state."""

    pending: Count
    queued: Count
    running: Count
    failed: Count


class FinalCounts(Schema, frozen=True, kw_only=True, rename="upper"):
    """Entries that are final, by state."""

    done: Count
    dead: Count
    canceled: Count


class Workspace(Schema, frozen=True, kw_only=True):
    """The state of a workspace."""

    name: str
    cap: Annotated[int | None, Meta(description="null: the settings name no such workspace.")]
    active: Active
    states: OpenCounts
    finished_last_hour: FinalCounts
    finished_last_day: FinalCounts
    oldest_waiting_seconds: Annotated[
        float | None, Meta(description="How long the entry that waits longest could have been claimed.")
    ]


class Pass(Schema, frozen=True, kw_only=True):
    """The last pass of a timer function; without one all its times are null."""

    name: str
    started_at: Time | None
    finished_at: Time | None
    outcome: str | None
    late: bool


class StatusReport(Schema, frozen=True, kw_only=True):
    """The state of the workspaces and of the timer functions."""

    workspaces: list[Workspace]
    passes: list[Pass]
    now: Time


class Healthy(Schema, frozen=True, kw_only=True):
    """The app does its work."""

    status: Literal["ok"]


class Unhealthy(Schema, frozen=True, kw_only=True):
    """The app does not do its work."""

    status: Literal["unhealthy"]
    reasons: Annotated[list[str], Meta(min_length=1)]


class PassStarted(Schema, frozen=True, kw_only=True):
    """A pass that was asked for."""

    problems: list[str]


class WaitingEntry(_EntryFields, frozen=True, kw_only=True):
    """An entry that waits, and why."""

    reason: Reason


class Waiting(Schema, frozen=True, kw_only=True):
    """Entries that wait, in the order of the claim."""

    waiting: list[WaitingEntry]


class Bucket(Schema, frozen=True, kw_only=True):
    """An hour or a day."""

    start: Time
    done: int
    failed: int
    queue_seconds: float | None
    execution_seconds: float | None


class History(Schema, frozen=True, kw_only=True):
    """What ended."""

    buckets: list[Bucket]
    since: Annotated[
        Time, Meta(description="What ended earlier is not counted: only the 75,000 newest runs are.")
    ]


class Table(Schema, frozen=True, kw_only=True):
    """How the runs of a source table went."""

    table_name: str
    workspace: str
    runs: int
    failed: int
    success_rate: Annotated[float, Meta(ge=0, le=1)] | None
    mean_seconds: float | None
    max_seconds: float | None
    last_status: Status
    last_finished_at: Time | None


class Tables(Schema, frozen=True, kw_only=True):
    """Source tables, most failures first."""

    tables: list[Table]
    since: Annotated[Time, Meta(description="As in /history.")]


class NotificationResult(Schema, frozen=True, kw_only=True):
    """What became of a notification."""

    finished: Annotated[bool, Meta(description="Whether this call finished an entry.")]


# Records → responses


def iso(time: datetime) -> str:
    """Write a time in UTC."""
    return iso_utc(time, "milliseconds")


def _iso_or_none(time: datetime | None) -> str | None:
    return None if time is None else iso(time)


def entry(row: models.Entry, run_page_url: str | None, *, parameters: bool = False) -> Entry:
    """Return an entry. Parameters are left out unless they were asked for."""
    return Entry(**_fields(row, run_page_url), parameters=row.parameters if parameters else UNSET)


def entry_with_runs(
    story: reports.Story, run_page_url: str | None, *, parameters: bool = False
) -> EntryWithRuns:
    """Return an entry with its runs."""
    return EntryWithRuns(
        **_fields(story.entry, run_page_url),
        parameters=story.entry.parameters if parameters else UNSET,
        runs=[_run(log) for log in story.logs],
    )


def waiting_entry(row: waiting.Waiting, run_page_url: str | None) -> WaitingEntry:
    """Return an entry that waits."""
    return WaitingEntry(**_fields(row.entry, run_page_url), reason=row.reason)


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
        "available_at": iso(row.available_at),
        "cancel_requested": row.cancel_requested,
        "actions": _actions(row),
        "last_error": row.last_error,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "submitted_at": _iso_or_none(row.submitted_at),
        "finished_at": _iso_or_none(row.finished_at),
    }


def _actions(row: models.Entry) -> list[Action]:
    actions: list[Action] = []
    if row.status in RETRYABLE:
        actions.append("retry")
    if row.status in CANCELLABLE and not row.cancel_requested:
        actions.append("cancel")
    return actions


def _run(log: models.LogRow) -> Run:
    return Run(
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


def status_report(found: reports.StatusReport) -> StatusReport:
    """Return the state of the workspaces and of the timer functions."""
    return StatusReport(
        workspaces=[_workspace(status) for status in found.workspaces],
        passes=[_pass(status) for status in found.passes],
        now=iso(found.now),
    )


def _workspace(status: reports.WorkspaceStatus) -> Workspace:
    report = status.report
    return Workspace(
        name=report.name,
        cap=status.cap,
        active=Active(ours=report.in_flight, foreign=status.foreign, error=status.active.error),
        states=_open_counts(report.waiting),
        finished_last_hour=_final_counts(report.finished_hour),
        finished_last_day=_final_counts(report.finished_day),
        oldest_waiting_seconds=report.oldest_waiting_seconds,
    )


def _open_counts(counts: Mapping[Status, int]) -> OpenCounts:
    return OpenCounts(
        pending=counts.get(Status.PENDING, 0),
        queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        failed=counts.get(Status.FAILED, 0),
    )


def _final_counts(counts: Mapping[Status, int]) -> FinalCounts:
    return FinalCounts(
        done=counts.get(Status.DONE, 0),
        dead=counts.get(Status.DEAD, 0),
        canceled=counts.get(Status.CANCELED, 0),
    )


def _pass(status: reports.PassStatus) -> Pass:
    last = status.last
    return Pass(
        name=status.name,
        started_at=iso(last.started_at) if last else None,
        finished_at=_iso_or_none(last.finished_at) if last else None,
        outcome=last.outcome if last else None,
        late=status.late,
    )


def history(found: reports.History) -> History:
    """Return what ended, by the hour or by the day."""
    return History(
        buckets=[
            Bucket(
                start=iso(each.start),
                done=each.done,
                failed=each.failed,
                queue_seconds=each.queue_seconds_mean,
                execution_seconds=each.execution_seconds_mean,
            )
            for each in found.buckets
        ],
        since=iso(found.since),
    )


def tables(found: reports.Tables) -> Tables:
    """Return how the runs of the source tables went."""
    return Tables(
        tables=[
            Table(
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
        since=iso(found.since),
    )
