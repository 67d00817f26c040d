"""What a request asks for: its fields → records. Pure; every :class:`Problem` says what would be right."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.adapters.store.operations import Request
from orchestrator.core import new_entry
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import Expected, NewEntry
from orchestrator.core.numbers import MAX_ID, MAX_INT32, whole, whole_of_text
from orchestrator.core.search import MAX_MATCHING, MAX_TEXT, EntryFilter, Sort
from orchestrator.core.states import Status
from orchestrator.web.http import Call
from orchestrator.web.problems import bad_request

#: Rows that one request inserts.
MAX_NEW_ENTRIES = 1000

#: Azure takes these from the address itself.
_AZURE_FIELDS = frozenset({"code", "clientid"})

_FILTER_FIELDS = ("state", "table", "workspace", "run_id", "since", "until", "error")

#: A body may name the rows themselves, too.
_FILTER_KEYS = (*_FILTER_FIELDS, "ids")


#: Printable ASCII, as header fields have it.
_KEY = re.compile(r"[\x21-\x7e]{1,200}")

Fields = Mapping[str, list[str]]


def only(fields: Fields, allowed: Collection[str]) -> None:
    """Check that an address has no other fields: a mistyped one would be passed over.

    :raises Problem: it has.
    """
    for name in fields:
        if name not in allowed and name.lower() not in _AZURE_FIELDS:
            raise bad_request(f"there is no field {name[:40]!r} here; the fields are {', '.join(allowed)}")


def one(fields: Fields, name: str) -> str | None:
    """Return a field's value, None when it is not there. :raises Problem: it is empty, or there twice."""
    values = fields.get(name, [])
    if len(values) > 1:
        raise bad_request(f"{name} stands there {len(values)} times")
    if values == [""]:
        raise bad_request(f"{name} is empty: give it a value, or leave it out")
    return values[0] if values else None


def text(fields: Fields, name: str) -> str | None:
    """Return a field's text within its bounds."""
    return _text({name: one(fields, name)}, name)


def number(text: str | None, name: str, *, least: int, most: int, default: int | None = None) -> int:
    """Return a field's number. :raises Problem: it is none, or out of its bounds."""
    if text is None and default is not None:
        return default
    try:
        return whole_of_text(text or "", least=least, most=most)
    except ValueError as error:
        raise bad_request(f"{name} {error}") from None


def flag(text: str | None, name: str) -> bool:
    """Return a field that is ``true`` or ``false``; false when it is not there."""
    if text not in {None, "true", "false"}:
        raise bad_request(f"{name} must be true or false")
    return text == "true"


def sort(text: str | None) -> Sort:
    """Return the order asked for."""
    try:
        return Sort(text) if text is not None else Sort.LAST_CHANGED
    except ValueError:
        raise bad_request(f"sort must be one of {', '.join(Sort)}") from None


def entry_id(text: str) -> int | None:
    """Return the id in a route; None for what can be none."""
    try:
        return whole_of_text(text, least=0, most=MAX_ID)
    except ValueError:
        return None


def filter_of_query(fields: Fields) -> EntryFilter:
    """Return the rows that an address asks for. Azure joins a field that comes twice by commas."""
    states = [part for value in fields.get("state", []) for part in value.split(",")]
    given: dict[str, Any] = {name: one(fields, name) for name in _FILTER_FIELDS if name != "state"}
    given["state"] = states or None
    if given["run_id"] is not None:
        given["run_id"] = number(given["run_id"], "run_id", least=1, most=MAX_ID)
    return _filter(given)


def filter_of_json(given: object) -> EntryFilter:
    """Return the rows that a body's ``filter`` asks for. :raises Problem: it names no condition at all."""
    if not isinstance(given, dict) or not given:
        raise bad_request(f"filter must be an object with one of {', '.join(_FILTER_KEYS)} at least")
    unknown = next((name for name in given if name not in _FILTER_KEYS), None)
    if unknown is not None:
        raise bad_request(f"there is no condition {unknown[:40]!r}; there are {', '.join(_FILTER_KEYS)}")
    empty = next((name for name, value in given.items() if value is None), None)
    if empty is not None:
        raise bad_request(f"{empty} is null: give it a value, or leave it out")
    states, run_id = given.get("state"), given.get("run_id")
    if run_id is not None:
        run_id = _whole(run_id, f"run_id must be a whole number from 1 to {MAX_ID}", least=1, most=MAX_ID)
    states = [states] if isinstance(states, str) else states
    return _filter({**given, "state": states, "run_id": run_id})


def _filter(given: Mapping[str, Any]) -> EntryFilter:
    return EntryFilter(
        states=_states(given.get("state")),
        ids=_ids(given.get("ids")),
        table=_text(given, "table"),
        workspace=_text(given, "workspace"),
        run_id=given.get("run_id"),
        since=_time(given, "since"),
        until=_time(given, "until"),
        error=_text(given, "error"),
    )


def _states(given: object) -> frozenset[Status]:
    if given is None:
        return frozenset()
    try:
        return (
            frozenset(Status(each) for each in given) if isinstance(given, list) and given else _no_states()
        )
    except (ValueError, TypeError):
        return _no_states()


def _no_states() -> frozenset[Status]:
    raise bad_request(f"state must be one or more of {', '.join(Status)}")


def _ids(given: object) -> frozenset[int]:
    if given is None:
        return frozenset()
    detail = f"ids must be 1 to {MAX_MATCHING} ids of entries"
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_MATCHING:
        raise bad_request(detail)
    return frozenset(_whole(each, detail, least=1, most=MAX_ID) for each in given)


def _whole(value: object, detail: str, *, least: int, most: int) -> int:
    try:
        return whole(value, least=least, most=most)
    except ValueError:
        raise bad_request(detail) from None


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise bad_request(f"{name} must be a text of 1 to {MAX_TEXT} printable characters")
    return value


def _time(given: Mapping[str, Any], name: str) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise bad_request(f"{name} must be a time like 2026-01-31T06:00:00Z") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else _as_utc(time)


def _as_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # before the year 1 or after 9999 by Greenwich: before or after all rows
        return datetime.min.replace(tzinfo=UTC) if time.year == 1 else datetime.max.replace(tzinfo=UTC)


def new_entries(content: Mapping[str, Any], workspaces: Collection[str]) -> list[NewEntry]:
    """Return the rows to insert.

    :param workspaces: that the settings know.
    :raises Problem: names the first row that is wrong.
    """
    given = content.get("entries")
    if content.keys() != {"entries"} or not isinstance(given, list):
        raise bad_request('the body must be {"entries": [{"table_name": …}, …]}')
    if not 1 <= len(given) <= MAX_NEW_ENTRIES:
        raise bad_request(f"give 1 to {MAX_NEW_ENTRIES} entries")
    return [_new_entry(position, each, workspaces) for position, each in enumerate(given)]


def _new_entry(position: int, given: object, workspaces: Collection[str]) -> NewEntry:
    if not isinstance(given, dict):
        raise bad_request(f"entries[{position}] is no object; nothing was inserted")
    try:
        return new_entry.new_entry(given, workspaces)
    except InvalidEntry as error:
        raise bad_request(f"entries[{position}]: {error}; nothing was inserted") from None


def request_key(headers: Mapping[str, str], body_hash: str) -> Request | None:
    """Return what tells a repeat of a request; None without an Idempotency-Key."""
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise bad_request("Idempotency-Key must be 1 to 200 printable ASCII characters without spaces")
    return Request(key=key, body_hash=body_hash)


def expected(call: Call) -> Expected:
    """Return how the row must still be. A body need not be sent. :raises Problem: it says something else."""
    content = call.json() if call.body else {}
    unknown = next((name for name in content if name not in {"status", "submission"}), None)
    if unknown is not None:
        raise bad_request(f"there is no {unknown[:40]!r}; give status and submission, or no body")
    status, submission = content.get("status"), content.get("submission")
    if submission is not None:
        detail = "submission must be a whole number from 0, as the entry shows it"
        submission = _whole(submission, detail, least=0, most=MAX_INT32)
    return Expected(states=frozenset(Status) if status is None else _states([status]), submission=submission)


def bulk(content: Mapping[str, Any]) -> tuple[EntryFilter, bool, int]:
    """Return which rows to change, whether only to try it, and how many at most."""
    unknown = next((name for name in content if name not in {"filter", "dry_run", "limit"}), None)
    if unknown is not None:
        raise bad_request(f"there is no {unknown[:40]!r}; give filter, dry_run and limit")
    dry_run, limit = content.get("dry_run", True), content.get("limit", MAX_MATCHING)
    if not isinstance(dry_run, bool):
        raise bad_request("dry_run must be true or false")
    detail = f"limit must be a whole number from 1 to {MAX_MATCHING}"
    limit = _whole(limit, detail, least=1, most=MAX_MATCHING)
    return filter_of_json(content.get("filter")), dry_run, limit
