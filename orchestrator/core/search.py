"""Search for entries: filter, sort order, and the cursor of the next page. Pure."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from orchestrator.core.models import Entry
from orchestrator.core.numbers import MAX_ID, MIN_ID
from orchestrator.core.states import NoStatus, Status

#: Entries that one call examines at most before it returns what it found and a cursor to continue.
MAX_EXAMINED = 20_000

#: Most entries on a page.
MAX_PAGE = 500

#: Most entries on a page that shows their parameters: each may have 100,000 characters.
MAX_WHOLE = 50

#: Settled submissions of an entry that are shown at once, if nothing else is asked for, and at most. Each may
#: have a trace of 10,000 characters.
DEFAULT_RUNS = 50
MAX_RUNS = 200

#: Longest text to search for, in characters.
MAX_TEXT = 500

#: Entries that one request for a retry or a cancellation may change at most.
MAX_MATCHING = 1000


class InvalidCursor(ValueError):
    """The cursor was not returned by a page, or belongs to another sort order."""


@dataclass(frozen=True, kw_only=True)
class EntryFilter:
    """Which entries to return; each field that is set narrows the result."""

    #: empty = every state
    states: frozenset[Status | NoStatus] = frozenset()
    #: empty = every id; at most :data:`MAX_MATCHING`
    ids: frozenset[int] = frozenset()
    #: ``sales`` = exactly this table; each ``*`` matches any text
    table: str | None = None
    workspace: str | None = None
    #: the entry's current run or any earlier one
    run_id: int | None = None
    #: bounds of the entry's last change, aware
    since: datetime | None = None
    until: datetime | None = None
    #: text in ``last_error``, ignoring case
    error: str | None = None
    #: True = only entries whose run succeeded although tasks of it failed; False = all others
    with_failures: bool | None = None


class Sort(StrEnum):
    """The sort order: by id or by the entry's last change."""

    NEWEST = "-id"
    OLDEST = "id"
    LAST_CHANGED = "-updated"
    FIRST_CHANGED = "updated"

    @property
    def descending(self) -> bool:
        """Whether the highest value comes first."""
        return self.value.startswith("-")

    @property
    def by_id(self) -> bool:
        """Whether the id alone decides."""
        return self.value.endswith("id")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A position in the sort order: directly after the entry that it names."""

    id: int
    #: as the database says it, in UTC: a column may be more precise than any ``datetime``
    updated_at: str

    @property
    def time(self) -> datetime:
        """The time to a microsecond; the earliest one if the database has none there."""
        try:
            time = datetime.fromisoformat(self.updated_at)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            return datetime.min.replace(tzinfo=UTC)


def time_text(time: datetime) -> str:
    """Return a time as the databases write theirs: UTC, with the digits that it needs, but at least three."""
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return text[:-3] + text[-3:].rstrip("0")


#: Before every change of an entry.
FIRST = time_text(datetime.min.replace(tzinfo=UTC))


def cursor(key: Key, sort: Sort) -> str:
    """Encode a position as text that may be part of a URL."""
    text = json.dumps([sort.value, key.id, key.updated_at])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str, sort: Sort) -> Key:
    """Decode a cursor. :raises InvalidCursor: it is not a cursor of this sort order."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        written, entry_id, updated_at = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        datetime.fromisoformat(updated_at).astimezone(UTC)
        key = Key(id=int(entry_id), updated_at=updated_at)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise InvalidCursor("this is not a cursor: set `after` to the exact value of `next`") from None
    if written != sort.value or not MIN_ID <= key.id <= MAX_ID:
        raise InvalidCursor("this cursor belongs to another sort order: use the same `sort` for every page")
    return key


@dataclass(frozen=True, kw_only=True)
class EntryPage:
    """One page of entries, in the requested order."""

    entries: list[Entry]
    #: cursor of the next page, None at the end. Also set on a page that is not full, even an empty one, if
    #: the search stopped at its bound and can continue.
    next: str | None


@dataclass(frozen=True, kw_only=True)
class Matching:
    """The entries that a retry or a cancellation will change."""

    ids: list[int]
    #: each of them was in one of these states
    states: frozenset[Status]
    #: True = there are, or may be, more
    more: bool
