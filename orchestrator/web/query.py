"""What a request asks for → the records that use cases take. Pure; every problem says what would be right."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from msgspec import UNSET, UnsetType, structs

from orchestrator.core import actions, new_entry
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import Expected, IdempotencyKey, NewEntry
from orchestrator.core.numbers import MAX_ID, MIN_ID, whole_of_text
from orchestrator.core.search import EntryFilter
from orchestrator.core.states import NoStatus, Status
from orchestrator.web import schemas
from orchestrator.web.http import Problem, Request, bad_request, not_found
from orchestrator.web.validation import read_json

#: By their words.
_STATES: Mapping[str, Status | NoStatus] = {state.value: state for state in (*Status, *NoStatus)}

_KEY = re.compile(schemas.IDEMPOTENCY_KEY_PATTERN)


def entry_id(request: Request) -> int:
    """Return the id in the path. :raises Problem: no entry can have it."""
    try:
        return whole_of_text(request.route.get("id", ""), least=MIN_ID, most=MAX_ID)
    except ValueError:
        raise no_entry(request) from None


def no_entry(request: Request) -> Problem:
    """Return a 404: there is no entry with the id in the path."""
    return not_found(f"there is no entry {request.route.get('id', '')[:40]!r}")


def entry_filter(asked: schemas.EntriesQuery | schemas.Filter) -> EntryFilter:
    """Return the entries that a query string or a body's ``filter`` asks for."""
    states = asked.state or []
    return EntryFilter(
        states=frozenset(_STATES[each] for each in ([states] if isinstance(states, str) else states)),
        ids=frozenset(map(int, asked.ids or ())) if isinstance(asked, schemas.Filter) else frozenset(),
        table=asked.table or None,
        workspace=asked.workspace or None,
        run_id=None if asked.run_id is UNSET else int(asked.run_id),
        since=_time(asked.since),
        until=_time(asked.until),
        error=asked.error or None,
        with_failures=None if asked.with_failures is UNSET else asked.with_failures,
    )


def bulk_filter(asked: schemas.Bulk) -> EntryFilter:
    """Return the entries to change. :raises Problem: there is no condition at all."""
    if all(value is UNSET for value in structs.astuple(asked.filter)):
        conditions = ", ".join(asked.filter.__struct_encode_fields__)
        raise bad_request(f"$.filter must have at least one of {conditions}")
    return entry_filter(asked.filter)


def _time(text: str | UnsetType) -> datetime | None:
    if text is UNSET:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else _as_utc(time)


def _as_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # before the year 1 or after 9999 in UTC: before or after all entries
        return datetime.min.replace(tzinfo=UTC) if time.year == 1 else datetime.max.replace(tzinfo=UTC)


def new_entries(request: Request, workspaces: Collection[str]) -> list[NewEntry]:
    """Return the entries to insert.

    :param workspaces: that the settings know.
    :raises Problem: names the first field that is wrong.
    """
    content = request.json()
    try:
        body = read_json(content, schemas.NewEntries)
        return [_new_entry(index, each, workspaces) for index, each in enumerate(body.entries)]
    except Problem as problem:
        raise bad_request(f"{problem.detail}; nothing was inserted") from None


def _new_entry(index: int, given: schemas.NewEntry, workspaces: Collection[str]) -> NewEntry:
    try:
        return new_entry.new_entry(structs.asdict(given), workspaces)
    except InvalidEntry as error:
        path = f"$.entries[{index}]"
        raise bad_request(f"{path}.{error}" if error.column else f"{path}: {error}") from None


def idempotency(request: Request) -> IdempotencyKey | None:
    """Return what tells a repeat of a request; None without an Idempotency-Key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise bad_request("Idempotency-Key must be 1 to 200 printable ASCII characters without spaces")
    return IdempotencyKey(key=key, body_hash=hashlib.sha256(request.body).hexdigest())


def expected(asked: schemas.Expected) -> Expected:
    """Return how the entry must still be."""
    states = frozenset(Status) if asked.status is None else frozenset({asked.status})
    return Expected(states=states, submission=asked.submission)


def retry(asked: schemas.Retry | schemas.BulkRetry) -> actions.Retry:
    """Return how entries are run again."""
    return replace(actions.RESTART if asked.restart else actions.RETRY, mode=asked.mode)


def resolve(asked: schemas.Resolve | schemas.BulkResolve) -> actions.Resolve:
    """Return how entries are settled by hand. :raises Problem: the reason says nothing."""
    try:
        return actions.resolve(asked.resolution, asked.reason)
    except ValueError as error:
        raise bad_request(f"$.reason {error}") from None
