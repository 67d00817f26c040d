"""Changes that operators make: retry or cancel many entries, add entries once per request."""

import json
from collections.abc import Callable, Sequence

from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import NO_LIMIT
from orchestrator.adapters.store.session import Session
from orchestrator.core.errors import RequestConflict, StoreError, StoreInDoubt
from orchestrator.core.models import ANYTHING, Expected, IdempotencyKey, NewEntry
from orchestrator.core.states import Status

#: Entries changed in one transaction, far below the 5,000 locks at which SQL Server locks the whole table.
BATCH = 200

#: A request that is repeated after this time is a new one.
_REMEMBERED_SECONDS = 86_400

#: Lets one request with a key run at a time, so that two with the same key never both find it new.
_REQUEST_LOCK = "databricks-job-orchestrator/request"


class Operations:
    """Makes the changes. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def retry(self, entry_ids: Sequence[int], expected: Expected = ANYTHING) -> list[int]:
        """Run final entries again, and FAILED ones without their back-off; return the ids of those changed.

        An entry that is not as expected is left alone.
        """
        return await self._each(entry_ids, _run_again, expected)

    async def cancel(self, entry_ids: Sequence[int], expected: Expected = ANYTHING) -> list[int]:
        """Request the cancellation of entries that are not final; return which. See :meth:`retry`."""
        return await self._each(entry_ids, _ask_to_cancel, expected)

    async def add(self, entries: Sequence[NewEntry], request: IdempotencyKey | None = None) -> list[int]:
        """Insert entries, all or none, and return their ids; for a repeated request, the ids of the first.

        :raises RequestConflict: the key was used with a different body.
        """

        def work(session: Session) -> list[int]:
            if request is None:
                return _insert(session, entries)
            session.acquire_lock(_REQUEST_LOCK)
            known = session.rows("answer_of_request", request.key, _REMEMBERED_SECONDS)
            if known:
                return _known(known[0]["body_hash"], known[0]["answer"], request)
            session.change("forget_requests", _REMEMBERED_SECONDS)
            ids = _insert(session, entries)
            session.change("remember_request", request.key, request.body_hash, json.dumps(ids))
            return ids

        return await self._pool.transact(work, writes=True)

    async def _each(
        self, entry_ids: Sequence[int], change: Callable[[Session, int, Expected], bool], expected: Expected
    ) -> list[int]:
        changed: list[int] = []
        for start in range(0, len(entry_ids), BATCH):
            batch = entry_ids[start : start + BATCH]

            def work(session: Session, batch: Sequence[int] = batch) -> list[int]:
                return [each for each in batch if change(session, each, expected)]

            try:
                changed += await self._pool.transact(work, writes=True)
            except StoreError as error:
                if not changed:
                    raise
                done = f"{len(changed)} of {len(entry_ids)} entries were changed"
                raise StoreInDoubt(f"{done}, then it failed: {error}") from error
        return changed


def _known(body_hash: str, answer: str, request: IdempotencyKey) -> list[int]:
    if body_hash != request.body_hash:
        raise RequestConflict("this Idempotency-Key was used with a different body before: use a new key")
    return [int(each) for each in json.loads(answer)]


def _insert(session: Session, entries: Sequence[NewEntry]) -> list[int]:
    rows = [
        session.rows(
            "insert_entry",
            new.table_name,
            new.workspace,
            new.job_id,
            new.parameter_style,
            new.parameters,
            new.priority,
            new.max_attempts,
        )
        for new in entries
    ]
    return [int(inserted["id"]) for [inserted] in rows]


def _ask_to_cancel(session: Session, entry_id: int, expected: Expected) -> bool:
    return session.change("request_cancel", entry_id, *as_seen(expected)) == 1


def _run_again(session: Session, entry_id: int, expected: Expected) -> bool:
    seen = as_seen(expected)
    return any(session.change(name, entry_id, *seen) == 1 for name in ("retry", "retry_now"))


def as_seen(expected: Expected) -> tuple[int | str, ...]:
    """Return the parameters by which a statement names how an entry must be; '' is not a state."""
    least, most = (0, NO_LIMIT) if expected.submission is None else (expected.submission,) * 2
    return (least, most, *(state.value if state in expected.states else "" for state in Status))
