"""The API's JSON as types, requests and responses: the OpenAPI document is derived from them.

The types check nothing by themselves: ``validation.py`` reads requests by them. A field that may be left out
is ``UNSET`` then.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from orchestrator.core import new_entry
from orchestrator.core.actions import RUN_IS_LEFT, Resolution
from orchestrator.core.numbers import ID_PATTERN, MAX_ID, MAX_INT32, MIN_ID
from orchestrator.core.policy import RETRY_MODES, RetryMode
from orchestrator.core.reports import MAX_DAYS
from orchestrator.core.run_requests import AUTO, MAX_PARAMETERS_BYTES, PARAMETER_STYLES
from orchestrator.core.search import DEFAULT_RUNS, MAX_MATCHING, MAX_PAGE, MAX_RUNS, MAX_TEXT, Sort
from orchestrator.core.states import Status
from orchestrator.core.waiting import Reason

#: Entries that one request inserts.
_MAX_NEW_ENTRIES = 1000

#: Printable ASCII without spaces, as header fields have it.
IDEMPOTENCY_KEY_PATTERN = "^[!-~]{1,200}$"

_Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

#: An id in a response: text, since not every program keeps all digits of a number.
_Id = Annotated[str, Meta(description="A whole number of 64 bits.")]

#: An id in a query string or a path.
_IdText = Annotated[str, Meta(pattern=ID_PATTERN, extra_json_schema={"format": "id"})]

#: An id in a body: text, or a number.
_AnyId = Annotated[int, Meta(ge=MIN_ID, le=MAX_ID)] | _IdText

_Count = Annotated[int, Meta(ge=0)]

#: A text to look for.
_Words = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, extra_json_schema={"format": "printable"})]

_Action = Literal["retry", "restart", "cancel", "resolve"]

AnyStatus = Literal["PENDING", "QUEUED", "RUNNING", "DONE", "FAILED", "DEAD", "CANCELED", "UNREADABLE"]
_EntryStatus = Annotated[
    AnyStatus,
    Meta(description="UNREADABLE: somebody wrote a word that is none of the states; last_error says which."),
]
_LoggedStatus = Annotated[
    AnyStatus, Meta(description="UNREADABLE: somebody wrote a word into the log that is none of the states.")
]


class _Schema(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every object: it has the declared fields, and no others."""


# Query strings, paths and headers


class NoQuery(_Schema, frozen=True, kw_only=True):
    """A query string without fields."""


class _Conditions(_Schema, frozen=True, kw_only=True):
    table: (
        Annotated[
            _Words,
            Meta(
                description="`sales` is exactly this table, `sales*` every table that begins so; "
                "`*` stands for any text anywhere."
            ),
        ]
        | UnsetType
    ) = UNSET
    workspace: Annotated[_Words, Meta(description="Name of the workspace.")] | UnsetType = UNSET
    since: Annotated[_Time, Meta(description="Last changed at or after this time.")] | UnsetType = UNSET
    until: Annotated[_Time, Meta(description="Last changed at or before this time.")] | UnsetType = UNSET
    error: Annotated[_Words, Meta(description="Text in last_error, in any case.")] | UnsetType = UNSET
    with_failures: (
        Annotated[
            bool,
            Meta(
                description="true: only entries that are DONE although tasks of their run failed; "
                "false: only the others."
            ),
        ]
        | UnsetType
    ) = UNSET


_OF_RUN = Meta(description="A run of Databricks: the entry's current one or an earlier one.")

_Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="At most this many.")]

_ShowParameters = Annotated[
    bool,
    Meta(
        description="Show parameters too: of each at most 100,001 characters, which is more than a run may "
        "have; in a list of at most 50 entries a page."
    ),
]


class EntriesQuery(_Conditions, frozen=True, kw_only=True):
    """Fields of ``GET /entries``."""

    run_id: Annotated[_IdText, _OF_RUN] | UnsetType = UNSET
    state: (
        Annotated[
            list[AnyStatus],
            Meta(description="One or more states, or UNREADABLE: none of the states; all if not given."),
        ]
        | UnsetType
    ) = UNSET
    sort: Annotated[Sort, Meta(description="By the last change or by id; - is latest or highest first.")] = (
        Sort.LAST_CHANGED
    )
    limit: _Limit = 50
    after: (
        Annotated[
            str,
            Meta(min_length=1, max_length=200, description="`next` of the page before, with the same sort."),
        ]
        | UnsetType
    ) = UNSET
    parameters: _ShowParameters = False


class EntryQuery(_Schema, frozen=True, kw_only=True):
    """Fields of ``GET /entries/{id}``."""

    runs: Annotated[int, Meta(ge=1, le=MAX_RUNS, description="At most this many, the last ones.")] = (
        DEFAULT_RUNS
    )
    before: (
        Annotated[
            int,
            Meta(ge=1, le=MAX_INT32, description="Only runs of submissions before this one: `runs_before`."),
        ]
        | UnsetType
    ) = UNSET
    parameters: _ShowParameters = False


class WaitingQuery(_Schema, frozen=True, kw_only=True):
    """Fields of ``GET /waiting``."""

    workspace: Annotated[_Words, Meta(description="Only this one.")] | UnsetType = UNSET
    limit: _Limit = 50


class HistoryQuery(_Schema, frozen=True, kw_only=True):
    """Fields of ``GET /history``."""

    hours: Annotated[int, Meta(ge=1, le=MAX_DAYS * 24, description="How far back.")] = 24


class TablesQuery(_Schema, frozen=True, kw_only=True):
    """Fields of ``GET /tables``."""

    days: Annotated[int, Meta(ge=1, le=MAX_DAYS, description="How far back.")] = 7
    limit: _Limit = 100


class EntryPath(_Schema, frozen=True, kw_only=True):
    """The path of one entry."""

    id: Annotated[_IdText, Meta(description="Id of the entry.")]


class InsertHeaders(_Schema, frozen=True, kw_only=True):
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


class NewEntry(_Schema, frozen=True, kw_only=True):
    """A new entry; what is left out or null is the default."""

    table_name: Annotated[str, Meta(min_length=1, max_length=new_entry.TEXTS["table_name"])]
    workspace: Annotated[
        Annotated[str, Meta(min_length=1, max_length=new_entry.TEXTS["workspace"])] | None,
        Meta(description="Default: `default`. Must be one of the settings' workspaces."),
    ] = None
    job_id: Annotated[
        Annotated[int, _column("job_id")] | _IdText | None, Meta(description="Default: the workspace's job.")
    ] = None
    job_name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=new_entry.TEXTS["job_name"])] | None,
        Meta(description="The job by its name, in place of job_id."),
    ] = None
    parameter_style: Annotated[
        Annotated[str, Meta(extra_json_schema={"enum": [AUTO, *PARAMETER_STYLES]})] | None,
        Meta(description="Default: auto, which is job_parameters or notebook_params, as the job asks for."),
    ] = None
    parameters: Annotated[
        dict[str, Any] | list[Any] | str | None,
        Meta(
            description="What the style asks for, or the same as JSON text; at most "
            f'{MAX_PARAMETERS_BYTES:,} bytes. Default: {{"table_name": …}}.'
        ),
    ] = None
    options: Annotated[
        dict[str, Any] | str | None,
        Meta(
            description="More of run-now, or the same as JSON text: only, queue, performance_target, "
            "duration_target, pipeline_params. Default: none."
        ),
    ] = None
    priority: Annotated[
        Annotated[int, _column("priority")] | None, Meta(description="Higher is claimed first. Default: 0.")
    ] = None
    max_attempts: Annotated[
        Annotated[int, _column("max_attempts")] | None,
        Meta(description="0 = no limit. Default: the setting MAX_ATTEMPTS."),
    ] = None
    retry_mode: Annotated[
        Annotated[str, Meta(extra_json_schema={"enum": list(RETRY_MODES)})] | None,
        Meta(description="How a retry runs the entry again. Default: the setting RETRY_MODE."),
    ] = None
    run_timeout_seconds: Annotated[
        Annotated[int, _column("run_timeout_seconds")] | None,
        Meta(description="Of the run's execution; 0 = no limit. Default: the setting RUN_TIMEOUT_SECONDS."),
    ] = None
    queue_timeout_seconds: Annotated[
        Annotated[int, _column("queue_timeout_seconds")] | None,
        Meta(
            description="Of the run's wait in Databricks' own queue; 0 = no limit. Default: the setting "
            "QUEUE_TIMEOUT_SECONDS."
        ),
    ] = None


class NewEntries(_Schema, frozen=True, kw_only=True):
    """Entries to insert, all or none."""

    entries: Annotated[list[NewEntry], Meta(min_length=1, max_length=_MAX_NEW_ENTRIES)]


class Filter(_Conditions, frozen=True, kw_only=True):
    """Conditions as in GET /entries, and ids. At least one condition."""

    state: Status | Annotated[list[Status], Meta(min_length=1)] | UnsetType = UNSET
    run_id: Annotated[_AnyId, _OF_RUN] | UnsetType = UNSET
    ids: (
        Annotated[
            list[_AnyId],
            Meta(min_length=1, max_length=MAX_MATCHING, description="Only these; as a dry run listed them."),
        ]
        | UnsetType
    ) = UNSET


class Bulk(_Schema, frozen=True, kw_only=True):
    """Which entries to change."""

    filter: Annotated[Filter, Meta(extra_json_schema={"minProperties": 1})]
    dry_run: bool = True
    limit: Annotated[int, Meta(ge=1, le=MAX_MATCHING)] = MAX_MATCHING


class Expected(_Schema, frozen=True, kw_only=True):
    """How the entry must still be; otherwise nothing is done and the response is 409. What is left out may be
    anything.
    """

    status: Status | None = None
    submission: Annotated[int, Meta(ge=0, le=MAX_INT32)] | None = None


_Mode = Annotated[
    RetryMode | None,
    Meta(
        description="`run`: a new run; `repair`: the failed tasks of the last run are run again. Kept for "
        "later retries. Default: as the entry or the setting RETRY_MODE says."
    ),
]

_Restart = Annotated[
    bool,
    Meta(description="Also restart what is RUNNING: its run is cancelled first, and its end awaited."),
]

_Resolution = Annotated[
    Resolution,
    Meta(
        description="`done`: the entry becomes DONE; `failed`: DEAD; `release`: CANCELED, neither of the two."
    ),
]

_Reason = Annotated[
    str, Meta(min_length=1, description="Why, for the log. One line; a longer text than 1,000 is cut off.")
]


class Retry(Expected, frozen=True, kw_only=True):
    """How to run an entry again, and how it must still be."""

    mode: _Mode = None
    restart: _Restart = False


class Resolve(Expected, frozen=True, kw_only=True):
    """How to settle an entry by hand, and how it must still be."""

    resolution: _Resolution
    reason: _Reason


class BulkRetry(Bulk, frozen=True, kw_only=True):
    """Which entries to run again, and how."""

    mode: _Mode = None
    restart: _Restart = False


class BulkResolve(Bulk, frozen=True, kw_only=True):
    """Which entries to settle by hand, and how."""

    resolution: _Resolution
    reason: _Reason


class _NotificationRun(Struct, frozen=True, kw_only=True):
    """The run that a notification is about."""

    run_id: Annotated[int, Meta(ge=1, le=MAX_ID)]


class Notification(Struct, frozen=True, kw_only=True):
    """Databricks sends more than this."""

    run: _NotificationRun


# Responses


class ProblemDetails(_Schema, frozen=True, kw_only=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong and what to do.")]


class _EntryFields(_Schema, frozen=True, kw_only=True):
    id: _Id
    workspace: str
    table_name: str
    job_id: _Id | None
    job_name: str | None
    options: Annotated[str | None, Meta(description="Further fields of run-now, as JSON text.")]
    priority: int
    status: _EntryStatus
    run_id: _Id | None
    run_page_url: Annotated[
        str | None,
        Meta(description="Page of run_id; null where the settings do not know the workspace or the job."),
    ]
    submission: int
    attempt: int
    max_attempts: int | None
    retry_mode: Annotated[str | None, Meta(description="null: the setting RETRY_MODE.")]
    run_timeout_seconds: Annotated[int | None, Meta(description="null: the setting RUN_TIMEOUT_SECONDS.")]
    queue_timeout_seconds: Annotated[int | None, Meta(description="null: the setting QUEUE_TIMEOUT_SECONDS.")]
    available_at: _Time
    cancel_requested: bool
    stop_reason: Annotated[
        str | None,
        Meta(
            description="Why the app itself cancels the run: RUN_TIMEOUT, QUEUE_TIMEOUT or RESTART, after "
            "which the entry starts anew."
        ),
    ]
    actions: Annotated[
        list[_Action], Meta(description="What may be done now; restart: a retry with `restart` true.")
    ]
    last_error: str | None
    with_failures: Annotated[
        bool, Meta(description="It is DONE although tasks of its run failed; last_error says which.")
    ]
    slot_waits: Annotated[_Count, Meta(description="Times in a row that there was no slot for the run.")]
    platform_failures: Annotated[_Count, Meta(description="Times in a row that the platform failed the run.")]
    postponements: Annotated[
        _Count, Meta(description="Waits of this submission for a workspace that took no call.")
    ]
    created_at: _Time
    updated_at: _Time
    claimed_at: _Time | None
    submitted_at: _Time | None
    queue_seconds: Annotated[
        float | None,
        Meta(description="Of the run's wait in Databricks' own queue; null while it waits there."),
    ]
    missing_since: Annotated[
        _Time | None, Meta(description="Since when Databricks says that the run does not exist.")
    ]
    unreadable_since: Annotated[
        _Time | None,
        Meta(
            description="Since when Databricks does not let the app read the run, or cancel it when that is "
            "due."
        ),
    ]
    cancel_asked_at: Annotated[
        _Time | None, Meta(description="When Databricks first accepted a call to cancel the run.")
    ]
    run_state: Annotated[
        str | None,
        Meta(description="Databricks' state of a run that stands still: it neither executes nor ends."),
    ]
    run_state_since: Annotated[_Time | None, Meta(description="Since when the app sees that state.")]
    finished_at: _Time | None


class Entry(_EntryFields, frozen=True, kw_only=True):
    """One row of track_processing."""

    parameters: (
        Annotated[str | None, Meta(description="JSON text; only with ?parameters=true.")] | UnsetType
    ) = UNSET


class Resolved(_EntryFields, frozen=True, kw_only=True):
    """An entry that was settled by hand."""

    run_left: Annotated[
        str | None,
        Meta(
            description=f"The entry's run, if it was not known to be over: {RUN_IS_LEFT}. Cancel it in "
            "Databricks if it must not go on."
        ),
    ]


class Run(_Schema, frozen=True, kw_only=True):
    """One settled submission: a run that is over, or a refusal."""

    submission: int
    attempt: int
    status: _LoggedStatus
    run_id: _Id | None
    result_state: str | None
    termination_code: str | None
    termination_type: str | None
    message: str | None
    error_trace: str | None
    result: Annotated[str | None, Meta(description="The notebook's exit value, if STORE_RESULTS keeps it.")]
    run_page_url: str | None
    started_at: _Time | None
    finished_at: _Time | None
    queue_seconds: float | None
    setup_seconds: float | None
    execution_seconds: float | None


class EntryWithRuns(Entry, frozen=True, kw_only=True):
    """One entry and its last runs, first to last."""

    usual_seconds: Annotated[
        float | None,
        Meta(description="95 of 100 runs of the table take no longer; of its last 30 successes."),
    ]
    overdue: Annotated[bool, Meta(description="It is RUNNING and takes far longer than usual.")]
    runs: list[Run]
    runs_before: Annotated[
        int | None,
        Meta(description="Give it as `before` for the runs before these; null: there are no others."),
    ]


class EntryPage(_Schema, frozen=True, kw_only=True):
    """Entries in the order asked for."""

    entries: list[Entry]
    next: Annotated[
        str | None,
        Meta(
            description="Give it as `after` for the next page; null at the end. A page may have few entries, "
            "or none, and still a next one: a search looks at 20,000 entries at a time."
        ),
    ]


class Inserted(_Schema, frozen=True, kw_only=True):
    """The new entries, in the order of the request."""

    ids: Annotated[list[_Id], Meta(min_length=1)]


class BulkResult(_Schema, frozen=True, kw_only=True):
    """The entries that were changed, or would be."""

    ids: list[_Id]
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


class Active(_Schema, frozen=True, kw_only=True):
    """The active runs of a workspace."""

    ours: Annotated[int, Meta(description="Entries QUEUED and RUNNING.")]
    foreign: Annotated[
        int,
        Meta(description="Active runs that belong to no entry and take a slot: no queued ones, no children."),
    ]
    foreign_queued: Annotated[
        int, Meta(description="Runs that belong to no entry and wait in Databricks' own queue.")
    ]
    error: Annotated[str | None, Meta(description="Why foreign runs are not known.")]


class OpenCounts(_Schema, frozen=True, kw_only=True, rename="upper"):
    """Entries that are not final, by state."""

    pending: _Count
    queued: _Count
    running: _Count
    failed: _Count


class FinalCounts(_Schema, frozen=True, kw_only=True, rename="upper"):
    """Entries that are final, by state."""

    done: _Count
    dead: _Count
    canceled: _Count


class Workspace(_Schema, frozen=True, kw_only=True):
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


class Pass(_Schema, frozen=True, kw_only=True):
    """The last pass of a timer function; without one all its times are null."""

    name: str
    started_at: _Time | None
    finished_at: _Time | None
    outcome: str | None
    asked_by: Annotated[str | None, Meta(description="timer, API or command line.")]
    troubled_since: Annotated[_Time | None, Meta(description="Each pass since then has met a problem.")]
    late: bool


class StatusReport(_Schema, frozen=True, kw_only=True):
    """The state of the workspaces and of the timer functions."""

    version: Annotated[str, Meta(description="Of the app.")]
    schema_version: Annotated[int, Meta(description="The newest version of the schema that the app knows.")]
    workspaces: list[Workspace]
    passes: list[Pass]
    now: _Time


class Healthy(_Schema, frozen=True, kw_only=True):
    """The app does its work."""

    status: Literal["ok"]


class Unhealthy(_Schema, frozen=True, kw_only=True):
    """The app does not do its work."""

    status: Literal["unhealthy"]
    reasons: Annotated[list[str], Meta(min_length=1)]


class PassStarted(_Schema, frozen=True, kw_only=True):
    """A pass that was asked for."""

    problems: list[str]


class WaitingEntry(_EntryFields, frozen=True, kw_only=True):
    """An entry that waits, and why."""

    reason: Reason


class Waiting(_Schema, frozen=True, kw_only=True):
    """Entries that wait, in the order of the claim."""

    waiting: list[WaitingEntry]


class Bucket(_Schema, frozen=True, kw_only=True):
    """An hour or a day."""

    start: _Time
    done: int
    failed: int
    queue_seconds: float | None
    execution_seconds: float | None


class History(_Schema, frozen=True, kw_only=True):
    """What ended."""

    buckets: list[Bucket]
    since: Annotated[
        _Time, Meta(description="What ended earlier is not counted: only the 75,000 newest runs are.")
    ]


class Table(_Schema, frozen=True, kw_only=True):
    """How the runs of a source table went."""

    table_name: str
    workspace: str
    runs: int
    failed: int
    success_rate: Annotated[float, Meta(ge=0, le=1)] | None
    mean_seconds: float | None
    max_seconds: float | None
    last_status: _LoggedStatus
    last_finished_at: _Time | None


class Tables(_Schema, frozen=True, kw_only=True):
    """Source tables, most failures first."""

    tables: list[Table]
    since: Annotated[_Time, Meta(description="As in /history.")]


class NotificationResult(_Schema, frozen=True, kw_only=True):
    """What became of a notification."""

    finished: Annotated[bool, Meta(description="Whether this call finished an entry.")]


class Finding(_Schema, frozen=True, kw_only=True):
    """What was found of one thing that the app needs."""

    subject: Annotated[str, Meta(description="What was tested.")]
    ok: bool
    text: Annotated[str, Meta(description="What was found, or what is wrong and what to do.")]
    warning: Annotated[
        bool, Meta(description="It may be wrong, which only people can tell; ok all the same.")
    ]


class CheckReport(_Schema, frozen=True, kw_only=True):
    """What the app found when it tested what it needs."""

    ok: Annotated[bool, Meta(description="Whether all findings are.")]
    findings: list[Finding]
