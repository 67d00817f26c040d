"""Rows of the database → the records that pass between the parts."""

from datetime import UTC, datetime
from typing import Any

from orchestrator.adapters.store.connector import as_utc
from orchestrator.core.errors import StoreError
from orchestrator.core.models import Claim, Entry, LogRow
from orchestrator.core.states import Status

_TIMES = ("available_at", "created_at", "updated_at")
_OPTIONAL_TIMES = ("lease_expires_at", "submitted_at", "finished_at")

#: Stands for a time that cannot be read: an error would stop all rows that are read together with it.
_UNREADABLE = datetime.min.replace(tzinfo=UTC)


def read_time(value: object) -> datetime:
    """Return a time that must be there. :raises StoreError: it is not."""
    found = as_utc(value)
    if found is None:
        raise StoreError("a time that must be there is NULL, or text that is no time")
    return found


def read_claim(row: dict[str, Any]) -> Claim:
    """Read what a claim returns."""
    return Claim(entry_id=int(row["id"]), submission=int(row["submission"]))


def read_entry(row: dict[str, Any]) -> Entry:
    """Read a row of ``track_processing``."""
    return Entry(
        **{
            **row,
            "entry_guid": str(row["entry_guid"]).lower(),
            "status": Status(row["status"]),
            "cancel_requested": bool(row["cancel_requested"]),
            **{name: as_utc(row[name]) or _UNREADABLE for name in _TIMES},
            **{name: as_utc(row[name]) for name in _OPTIONAL_TIMES},
        }
    )


def read_log_row(row: dict[str, Any]) -> LogRow:
    """Read a row of ``process_log``."""
    return LogRow(
        **{
            **row,
            "status": Status(row["status"]),
            "started_at": as_utc(row["started_at"]),
            "finished_at": as_utc(row["finished_at"]),
        }
    )
