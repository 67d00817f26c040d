"""Between the database and the records of the core: what a result row means, what fits into a column."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.adapters.store.connector import as_utc
from orchestrator.core.errors import StoreError
from orchestrator.core.models import Claim, Entry, JobKey, LogRow, StrayRun
from orchestrator.core.numbers import MAX_INT32
from orchestrator.core.redaction import one_line
from orchestrator.core.run_requests import AUTO
from orchestrator.core.slots import JobRoom
from orchestrator.core.states import NoStatus, Status

#: ``attempt`` and ``submission`` are 32-bit columns; this stands for "no limit".
NO_LIMIT = MAX_INT32

#: Lengths of columns in UTF-16 units: ``last_error`` and ``message``; states and codes; the run page's URL.
_MAX_ERROR_LENGTH = 4000
_MAX_NAME_LENGTH = 64
_MAX_URL_LENGTH = 1000

_TIMES = ("available_at", "created_at", "updated_at")
_OPTIONAL_TIMES = (
    "lease_expires_at",
    "submitted_at",
    "finished_at",
    "claimed_at",
    "missing_since",
    "vanished_at",
    "unreadable_since",
    "cancel_asked_at",
    "cancel_repeated_at",
    "run_state_since",
)

#: What stands for NULL in a column of a team's own, until a pass puts it right.
_DEFAULTS = {
    "parameter_style": AUTO,
    "priority": 0,
    "submission": 0,
    "attempt": 0,
    "deliveries": 0,
    "postponements": 0,
    "resends": 0,
    "slot_waits": 0,
    "platform_failures": 0,
}

#: Stands for a time that cannot be read. An error would stop every entry that is read together with it.
UNREADABLE = datetime.min.replace(tzinfo=UTC)


def read_time(value: object) -> datetime:
    """Return a time that must be there. :raises StoreError: it is missing or cannot be read."""
    found = as_utc(value)
    if found is None:
        raise StoreError("a time that must be there is NULL, or text that is not a time")
    return found


def read_claim(row: dict[str, Any]) -> Claim:
    """Read what a claim returns."""
    return Claim(entry_id=int(row["id"]), submission=int(row["submission"]))


def read_job_key(row: Mapping[str, Any]) -> JobKey:
    """Read how a row of ``track_processing`` names its job."""
    return JobKey(job_id=row["job_id"], job_name=row["job_name"])


def rooms_json(rooms: Mapping[JobKey, JobRoom]) -> str:
    """Return the free slots of jobs as the queries take them."""
    return json.dumps(
        [
            {
                "job_id": key.job_id or 0,
                "job_name": key.job_name or "",
                "job": room.job_id,
                "room": room.free,
            }
            for key, room in rooms.items()
        ]
    )


def read_entry(row: dict[str, Any]) -> Entry:
    """Read a row of ``track_processing``, which may leave the parameters out.

    Whatever stands in it, others are read together with it: what cannot be read is shown as such.
    """
    status = read_status(row["status"])
    return Entry(
        **{
            "parameters_length": None,
            **row,
            **{name: value for name, value in _DEFAULTS.items() if row[name] is None},
            "entry_guid": str(row["entry_guid"]).lower(),
            "workspace": row["workspace"] or "",
            "table_name": row["table_name"] or "",
            "status": status,
            "last_error": _no_status(row["status"]) if isinstance(status, NoStatus) else row["last_error"],
            "cancel_requested": bool(row["cancel_requested"]),
            "in_doubt": bool(row["in_doubt"]),
            **{name: as_utc(row[name]) or UNREADABLE for name in _TIMES},
            **{name: as_utc(row[name]) for name in _OPTIONAL_TIMES},
        }
    )


def read_status(word: str | None) -> Status | NoStatus:
    """Return the state that a word is, as the query compared it, or what stands for a word that is none."""
    return Status(word) if word in set(Status) else NoStatus.UNREADABLE


def _no_status(word: str | None) -> str:
    """Say that a word is no state, and what to do."""
    shown = "NULL" if word is None else repr(one_line(word[:_MAX_NAME_LENGTH]))
    return (
        f"status is {shown}, which is none of {', '.join(Status)}, so the app leaves the entry alone: set it "
        "to PENDING by SQL, or to what the entry is"
    )


def read_stray(row: dict[str, Any]) -> StrayRun:
    """Read a row of ``orchestrator_stray_run``."""
    return StrayRun(
        workspace=row["workspace"],
        run_id=row["runid"],
        entry_id=row["entry_id"],
        since=read_time(row["since"]),
        job_id=row.get("job_id"),
        address=row.get("address"),
        problem=row.get("problem"),
        asked_at=as_utc(row.get("asked_at")),
    )


def read_log_row(row: dict[str, Any]) -> LogRow:
    """Read a row of ``process_log``."""
    return LogRow(
        **{
            **row,
            "status": read_status(row["status"]),
            "started_at": as_utc(row["started_at"]),
            "finished_at": as_utc(row["finished_at"]),
        }
    )


def log_values(log: LogRow) -> tuple[Any, ...]:
    """Return the values of a row of ``process_log``, its texts cut to the lengths of their columns."""
    return (
        log.entry_id,
        log.submission,
        log.attempt,
        log.status,
        log.runid,
        cut_name(log.life_cycle_state),
        cut_name(log.result_state),
        cut_name(log.termination_code),
        cut(log.message),
        log.error_trace,
        cut(log.run_page_url, _MAX_URL_LENGTH),
        log.started_at,
        log.finished_at,
        log.queue_seconds,
        log.setup_seconds,
        log.execution_seconds,
        cut_name(log.termination_type),
        cut(log.result),
    )


def milliseconds(seconds: float) -> int:
    """Return a duration as the queries take it."""
    return round(seconds * 1000)


def cut_name(text: str | None) -> str | None:
    """Cut a state or a code to the length of its column."""
    return cut(text, _MAX_NAME_LENGTH)


def cut(text: str | None, units: int = _MAX_ERROR_LENGTH) -> str | None:
    """Cut a text to at most ``units`` UTF-16 units, which is what ``nvarchar`` counts."""
    if text is None or len(text.encode("utf-16-le", "replace")) <= 2 * units:
        return text
    return text.encode("utf-16-le", "replace")[: 2 * units].decode("utf-16-le", "ignore")
