"""Times as text: ISO 8601 in UTC. Pure."""

from datetime import UTC, datetime
from typing import Literal


def iso_utc(time: datetime, timespec: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Return a time like 2026-01-31T04:00:00Z."""
    return time.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
