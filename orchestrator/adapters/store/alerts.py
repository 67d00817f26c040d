"""What people were told of: each event is claimed for one message, in one short transaction."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from orchestrator.adapters.store.entries import LOCK_TIMEOUT_MS
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import read_time
from orchestrator.adapters.store.session import Session, acquire_lock
from orchestrator.core.alerts import ERROR_LENGTH, DeadEntries, DeadEntry, Kind, PassEvent, shortened
from orchestrator.core.errors import OrchestratorError, StoreInDoubt

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

#: Behind it, two passes never both find that nobody was told of an event.
ALERT_LOCK = "databricks-job-orchestrator/alert"


class AlertLog:
    """The claims of ``orchestrator_alert``.

    A claim whose caller does not wait for its end, or does not learn what became of it, is given back: no
    message was sent for it. Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._under_way: set[asyncio.Task[Any]] = set()  # the event loop itself keeps no task alive

    async def claim_dead(
        self, message: str, *, window_seconds: int, examined: int, shown: int
    ) -> DeadEntries | None:
        """Claim the rows that went DEAD lately and that nobody was told of; None when there are none.

        :param window_seconds: rows that went DEAD longer ago are not looked at.
        :param examined: at most so many rows are looked at, the newest first.
        :param shown: so many of them are returned.
        """

        def work(session: Session) -> DeadEntries | None:
            acquire_lock(session, ALERT_LOCK, LOCK_TIMEOUT_MS)
            count = session.change("claim_dead", message, window_seconds, examined)
            rows = session.rows("dead_of_message", message, shown) if count else []
            return DeadEntries(count=count, shown=[_dead_row(row) for row in rows]) if count else None

        return await self._claim(message, work)

    async def claim_passes(self, message: str, kind: Kind, events: Sequence[PassEvent]) -> list[PassEvent]:
        """Claim that timer functions are late or well again; return the events that no message had.

        No function is called late after it was called well again.
        """

        def work(session: Session) -> list[PassEvent]:
            acquire_lock(session, ALERT_LOCK, LOCK_TIMEOUT_MS)
            return [
                event
                for event in events
                if session.changed_one("claim_pass_event", message, kind, event.name, event.since)
            ]

        return await self._claim(message, work)

    async def late_passes(self) -> list[PassEvent]:
        """Return the functions of which it is still owed that they are well again."""
        rows = await self._pool.transact(lambda session: session.rows("late_passes"), writes=False)
        return [_pass_event(row) for row in rows]

    async def sent(self, message: str) -> None:
        """Note that a message arrived."""
        await self._pool.transact(lambda session: session.change("alert_sent", message), writes=True)

    async def release(self, message: str) -> None:
        """Free the events of a message that surely did not arrive.

        That a function is well again stays owed, whether or not people were told that it is late.
        """

        def work(session: Session) -> None:
            acquire_lock(session, ALERT_LOCK, LOCK_TIMEOUT_MS)
            for step in ("dead_given_back", "late_given_back", "well_given_back", "well_owed"):
                session.change(step, message)

        await asyncio.shield(self._start(self._pool.transact(work, writes=True)))

    async def forget(self, *, older_than_seconds: int, limit: int) -> None:
        """Delete old claims of DEAD rows, oldest first."""
        await self._pool.transact(
            lambda session: session.change("forget_dead", older_than_seconds, limit), writes=True
        )

    async def _claim(self, message: str, work: Callable[[Session], _T]) -> _T:
        claim = self._start(self._pool.transact(work, writes=True))
        try:
            return await asyncio.shield(claim)
        except (asyncio.CancelledError, StoreInDoubt):
            # The caller goes now; the transaction's thread cannot be stopped, and commits when it likes.
            self._start(self._undo(claim, message))
            raise

    async def _undo(self, claim: asyncio.Task[Any], message: str) -> None:
        await asyncio.wait([claim])  # it ends in bounded time, as each of its statements does
        try:
            await self.release(message)
        except (OrchestratorError, RuntimeError) as error:  # RuntimeError: the pool is closed
            logger.warning("alerts: what was claimed and not sent could not be given back: %s", error)

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin something that comes to its end whether or not somebody waits for it."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


def _dead_row(row: dict[str, Any]) -> DeadEntry:
    return DeadEntry(
        id=int(row["id"]),
        table_name=row["table_name"],
        workspace=row["workspace"],
        error=shortened(row["last_error"] or "no error is known", ERROR_LENGTH),
    )


def _pass_event(row: dict[str, Any]) -> PassEvent:
    return PassEvent(name=row["subject"], since=read_time(row["occurred_at"]))
