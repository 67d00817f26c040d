"""The transactions of operators: change a batch of entries, insert entries once per idempotency key."""

import json
import uuid
from collections.abc import Sequence

from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import NO_LIMIT, cut, log_values, read_entry
from orchestrator.adapters.store.session import Session
from orchestrator.core.actions import Action, Resolve, Retry
from orchestrator.core.errors import RequestConflict, StoreError
from orchestrator.core.models import ANYTHING, Expected, IdempotencyKey, LogRow, NewEntry
from orchestrator.core.states import Status

#: A request that is repeated later than this counts as a new one.
_REMEMBERED_SECONDS = 86_400

#: Requests with a key take this lock, so that two with the same key never both find it new.
_REQUEST_LOCK = "databricks-job-orchestrator/request"


#: Entries that one statement inserts. Each number of rows is a statement with a plan of its own, SQL Server
#: takes 2,100 parameters at most, and on some servers the time to compile grows with the square of the rows.
_ROWS = 20

#: The statements that carry out an action; the first that changes the entry is the last.
_STATEMENTS = {
    "retry": ("retry", "retry_now"),
    "restart": ("retry", "retry_now", "restart"),
    "cancel": ("request_cancel",),
}


class Operations:
    """Changes that people request. Every method may raise :class:`~orchestrator.core.errors.StoreError`.

    :param pool: the connections; may be shared with a store.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def change(
        self, action: Action, entry_ids: Sequence[int], expected: Expected = ANYTHING
    ) -> list[int]:
        """Change, in one transaction, the entries that are as expected; return which."""

        def work(session: Session) -> list[int]:
            return [each for each in entry_ids if _change(session, action, each, expected)]

        return await self._pool.transact(work, writes=True)

    async def move(self, workspace: str, address: str, *, after: int, limit: int) -> list[int]:
        """Look for what a workspace has open elsewhere at this address from now on; return whose, by id.

        :param after: only entries with higher ids.
        """

        def work(session: Session) -> list[int]:
            rows = session.rows("move", address, workspace, after, address, limit)
            return sorted(int(row["id"]) for row in rows)

        return await self._pool.transact(work, writes=True)

    async def move_strays(self, workspace: str, address: str) -> list[int]:
        """Do the same for runs that nobody wants; return whose they are, by id."""

        def work(session: Session) -> list[int]:
            session.change("move_open", address, workspace, address)
            rows = session.rows("move_strays", address, workspace, address)
            return sorted({int(row["entry_id"]) for row in rows})

        return await self._pool.transact(work, writes=True)

    async def add(self, entries: Sequence[NewEntry], key: IdempotencyKey | None = None) -> list[int]:
        """Insert entries, all or none, and return their ids; a repeated request gets the ids of the first.

        :raises RequestConflict: the key came with a different body before.
        """

        def work(session: Session) -> list[int]:
            if key is None:
                return _insert(session, entries)
            session.acquire_lock(_REQUEST_LOCK)
            known = session.rows("answer_of_request", key.key, _REMEMBERED_SECONDS)
            if known:
                return _known(known[0]["body_hash"], known[0]["answer"], key)
            session.change("forget_requests", _REMEMBERED_SECONDS)
            ids = _insert(session, entries)
            session.change("remember_request", key.key, key.body_hash, json.dumps(ids))
            return ids

        return await self._pool.transact(work, writes=True)


def _known(body_hash: str, answer: str, key: IdempotencyKey) -> list[int]:
    if body_hash != key.body_hash:
        raise RequestConflict("this Idempotency-Key was used with a different body before: use a new key")
    return [int(each) for each in json.loads(answer)]


def _insert(session: Session, entries: Sequence[NewEntry]) -> list[int]:
    """Insert entries, many in one statement, and return their ids in the order of the entries.

    A statement returns its rows in any order, so each entry is known again by its GUID.
    """
    new = {str(uuid.uuid4()): entry for entry in entries}
    ids: dict[str, int] = {}
    values = [_values(guid, entry) for guid, entry in new.items()]
    for begin in range(0, len(values), _ROWS):
        rows = session.repeated("insert_entries", values[begin : begin + _ROWS])
        ids |= {str(row["entry_guid"]).lower(): int(row["id"]) for row in rows}
    if len(ids) != len(new):
        raise StoreError(f"{len(ids)} entries were inserted where {len(new)} were meant, so all was undone")
    return [ids[guid] for guid in new]


def _values(guid: str, new: NewEntry) -> tuple[object, ...]:
    return (
        guid,
        new.table_name,
        new.workspace,
        new.job_id,
        new.job_name,
        new.parameter_style,
        new.parameters,
        new.options,
        new.priority,
        new.max_attempts,
        new.retry_mode,
        new.run_timeout_seconds,
        new.queue_timeout_seconds,
    )


def _change(session: Session, action: Action, entry_id: int, expected: Expected) -> bool:
    seen = _as_seen(expected)
    if isinstance(action, Resolve):
        return _resolve(session, action, entry_id, seen)
    given = (int(action.name == "restart"), action.mode) if isinstance(action, Retry) else ()
    return any(session.changes_one(name, *given, entry_id, *seen) for name in _STATEMENTS[action.name])


def _resolve(session: Session, action: Resolve, entry_id: int, seen: tuple[int | str, ...]) -> bool:
    """Settle an entry, and its submission with a log row."""
    # An entry that is DONE with an error is one whose run succeeded with failures.
    error = None if action.to is Status.DONE else cut(action.message)
    if not session.changes_one("resolve", action.to, error, entry_id, action.to, *seen):
        return False
    entry = read_entry(session.rows("find_entry", entry_id)[0])
    log = LogRow(
        entry_id=entry.id,
        submission=entry.submission,
        attempt=entry.attempt,
        status=action.to,
        runid=entry.runid,
        message=action.message,
    )
    session.change("close_submission", entry.id)
    session.must_change_one("insert_log", *log_values(log))
    return True


def _as_seen(expected: Expected) -> tuple[int | str, ...]:
    """Return the parameters by which a statement names how an entry must be; '' is not a state."""
    least, most = (0, NO_LIMIT) if expected.submission is None else (expected.submission,) * 2
    return (least, most, *(state.value if state in expected.states else "" for state in Status))
