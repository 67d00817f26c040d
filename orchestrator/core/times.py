"""Times and ages as text: write a time in UTC, read an age like ``90d``. Pure."""

import re
from datetime import UTC, datetime
from typing import Literal

#: Longest age. Databricks itself forgets runs after 60 days, so 25 years are plenty; the database counts in
#: 32 bits.
_MAX_AGE_SECONDS = 25 * 365 * 86_400

_UNITS = {"d": 86_400, "h": 3_600, "m": 60}
_AGE = re.compile(r"([0-9]+)([dhm])")


def iso_utc(time: datetime, timespec: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Write an aware time in UTC, for example ``2026-01-31T04:00:00Z``."""
    return time.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def age_seconds(text: str) -> float:
    """Read an age like ``90d``, ``12h`` or ``30m``; return it in seconds.

    :raises ValueError: the text is not an age, or the age is zero or too long.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an age: give whole days, hours or minutes, like 90d, 12h or 30m")
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds == 0:
        raise ValueError(f"{text!r} would include entries that end at this moment: give 1m or more")
    if seconds > _MAX_AGE_SECONDS:
        raise ValueError(f"{text!r} is too long: give {_MAX_AGE_SECONDS // 86_400}d or less")
    return float(seconds)
