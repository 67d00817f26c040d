"""Which entries are wanted, in which order, and where the next page begins."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.core.models import Entry
from orchestrator.core.states import Status

#: A call looks at so many rows at most before it answers with what it found and where to go on.
MAX_EXAMINED = 20_000


#: Entries on a page.
MAX_PAGE = 500


#: Characters of a text to look for.
MAX_TEXT = 500


#: Rows that one request for a retry or a cancellation may change.
MAX_MATCHING = 1000


class InvalidCursor(ValueError):
    """A cursor that no page gave, or that of another sort order."""


@dataclass(frozen=True, kw_only=True)
class EntryFilter:
    """Which rows are wanted; each field that is set narrows it down."""

    #: empty = all
    states: frozenset[Status] = frozenset()
    #: empty = any; at most :data:`MAX_MATCHING`
    ids: frozenset[int] = frozenset()
    #: ``sales``: exactly this one; each ``*`` stands for any text
    table: str | None = None
    workspace: str | None = None
    #: of the row's current run or of any earlier one
    run_id: int | None = None
    #: the row's last change, aware
    since: datetime | None = None
    until: datetime | None = None
    #: text in ``last_error``, upper or lower case
    error: str | None = None


class Sort(StrEnum):
    """By id, or by the last change of the row."""

    NEWEST = "-id"
    OLDEST = "id"
    LAST_CHANGED = "-updated"
    FIRST_CHANGED = "updated"

    @property
    def descending(self) -> bool:
        """Whether the highest comes first."""
        return self.value.startswith("-")

    @property
    def by_id(self) -> bool:
        """Whether the id alone decides."""
        return self.value.endswith("id")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A place in the order of the rows: behind the row that it names."""

    id: int
    updated_at: datetime


def cursor(key: Key, sort: Sort) -> str:
    """Return a place as text that goes into an address."""
    text = json.dumps([sort.value, key.id, key.updated_at.isoformat()])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str, sort: Sort) -> Key:
    """Return the place that a cursor names. :raises InvalidCursor: it is none for this order."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        written, entry_id, updated_at = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        key = Key(id=int(entry_id), updated_at=datetime.fromisoformat(updated_at))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise InvalidCursor("this is no cursor: give `after` exactly what `next` said") from None
    if written != sort.value or key.updated_at.tzinfo is None or not 0 <= key.id < 2**63:
        raise InvalidCursor("this cursor is of another order: page with the same sort throughout")
    return key


@dataclass(frozen=True, kw_only=True)
class EntryPage:
    """Rows in the order asked for."""

    entries: list[Entry]
    #: cursor of the next page, None at the end. Set on a page that is not full too, even on an empty one,
    #: when the search stopped at its bound and can go on.
    next: str | None


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Rows to change."""

    ids: list[int]
    #: in one of which each of them was
    states: frozenset[Status]
    #: there are, or may be, others
    more: bool
