"""What operators do to many rows at once, and inserts that may come twice, by named SQL."""

import json
from collections.abc import Callable, Sequence

from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import NO_LIMIT
from orchestrator.adapters.store.session import Session
from orchestrator.core.errors import RequestConflict, StoreError, StoreInDoubt
from orchestrator.core.models import ANYTHING, Expected, IdempotencyKey, NewEntry
from orchestrator.core.states import Status

#: Rows changed in one transaction: it stays far below the 5,000 locks at which SQL Server locks the table.
BATCH = 200

#: A repeat of a request later than this is a new request.
REMEMBERED_SECONDS = 86_400

#: Requests with a key pass one at a time, so that two with the same key never both find that it is new.
REQUEST_LOCK = "databricks-job-orchestrator/request"


class Operations:
    """Changes that people ask for. Every method may raise :class:`~orchestrator.core.errors.StoreError`.

    :param pool: a store's, or one of its own.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def retry(self, entry_ids: Sequence[int], expected: Expected = ANYTHING) -> list[int]:
        """Run rows again that are over, or FAILED ones without waiting; return which.

        Each as by itself. A row that is not as expected is left alone.
        """
        return await self._each(entry_ids, _run_again, expected)

    async def cancel(self, entry_ids: Sequence[int], expected: Expected = ANYTHING) -> list[int]:
        """Ask for the cancellation of rows that are not over; return which. See :meth:`retry`."""
        return await self._each(entry_ids, _ask_to_cancel, expected)

    async def add(self, entries: Sequence[NewEntry], request: IdempotencyKey | None = None) -> list[int]:
        """Insert rows, all or none, and return their ids; of a repeated request those of the first.

        :raises RequestConflict: its key came with another body.
        """

        def work(session: Session) -> list[int]:
            if request is None:
                return _insert(session, entries)
            session.acquire_lock(REQUEST_LOCK)
            known = session.rows("answer_of_request", request.key, REMEMBERED_SECONDS)
            if known:
                return _known(known[0]["body_hash"], known[0]["answer"], request)
            session.change("forget_requests", REMEMBERED_SECONDS)
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
                done = f"{len(changed)} of {len(entry_ids)} rows were changed"
                raise StoreInDoubt(f"{done}, then it broke off: {error}") from error
        return changed


def _known(body_hash: str, answer: str, request: IdempotencyKey) -> list[int]:
    if body_hash != request.body_hash:
        raise RequestConflict("this Idempotency-Key came with another body before: take a new key")
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
