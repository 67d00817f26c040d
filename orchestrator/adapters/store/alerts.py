"""What people have been alerted to: each event is claimed for one message, in one short transaction."""

import asyncio
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.adapters.store.connector import as_utc
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import read_time
from orchestrator.adapters.store.session import Session
from orchestrator.core.alerts import ERROR_LENGTH, DeadEntries, DeadEntry, Kind, PassEvent, shortened
from orchestrator.core.errors import StoreInDoubt
from orchestrator.usecases.tasks import BackgroundTasks

_T = TypeVar("_T")

#: Keeps two passes from both claiming the same event.
_ALERT_LOCK = "databricks-job-orchestrator/alert"


class AlertLog:
    """The claims in the table ``orchestrator_alert``.

    A claim is released if its caller is cancelled meanwhile, or does not learn whether it was committed: no
    message was sent for it. Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._background = BackgroundTasks("alerts: what was claimed and not sent could not be released")

    async def claim_dead(
        self, message: str, *, window_seconds: int, examined: int, shown: int
    ) -> DeadEntries | None:
        """Claim the entries that went DEAD lately and are in no alert yet; None when there are none.

        :param window_seconds: leave out entries that went DEAD longer ago.
        :param examined: look at this many entries at most, the newest first.
        :param shown: return this many of them at most.
        """

        def work(session: Session) -> DeadEntries | None:
            session.acquire_lock(_ALERT_LOCK)
            count = session.change("claim_dead", message, window_seconds, examined)
            rows = session.rows("dead_of_message", message, shown) if count else []
            return DeadEntries(count=count, shown=[_dead_entry(row) for row in rows]) if count else None

        return await self._claim(message, work)

    async def claim_passes(self, message: str, kind: Kind, events: Sequence[PassEvent]) -> list[PassEvent]:
        """Claim that functions or workspaces stand still or have recovered; return those in no alert yet.

        A function whose recovery was reported is never reported late for the same pass again, nor a workspace
        in which nothing begins before its recovery was reported.
        """
        kept = Kind.LATE if kind is Kind.STUCK else kind

        def work(session: Session) -> list[PassEvent]:
            session.acquire_lock(_ALERT_LOCK)
            reported = (
                {row["subject"] for row in session.rows("late_passes")} if kind is Kind.STUCK else set()
            )
            return [
                event
                for event in events
                if event.name not in reported
                and session.changes_one("claim_pass_event", message, kept, event.name, event.since)
            ]

        return await self._claim(message, work)

    async def uncalled_since(self, seconds: float) -> datetime | None:
        """Return since when the oldest entry is QUEUED without any call for `seconds`; None = none is."""
        rows = await self._pool.transact(
            lambda session: session.rows("uncalled_since", math.ceil(seconds)), writes=False
        )
        return as_utc(rows[0]["since"])

    async def late_passes(self) -> list[PassEvent]:
        """Return the functions that were late and still need their "recovered" alert."""
        rows = await self._pool.transact(lambda session: session.rows("late_passes"), writes=False)
        return [_pass_event(row) for row in rows]

    async def sent(self, message: str) -> None:
        """Record that a message arrived."""
        await self._pool.transact(lambda session: session.change("alert_sent", message), writes=True)

    async def release(self, message: str) -> None:
        """Release the events of a message that certainly did not arrive.

        A function that was late still needs its "recovered" alert, whether or not people know it was late.
        """
        await asyncio.shield(self._background.start(self._free(message)))

    async def forget(self, *, older_than_seconds: int, limit: int) -> None:
        """Delete old claims of DEAD entries, oldest first."""
        await self._pool.transact(
            lambda session: session.change("forget_dead", older_than_seconds, limit), writes=True
        )

    async def _claim(self, message: str, work: Callable[[Session], _T]) -> _T:
        claim = asyncio.create_task(self._pool.transact(work, writes=True))
        try:
            return await asyncio.shield(claim)
        except (asyncio.CancelledError, StoreInDoubt):
            # The caller leaves now, but the transaction's thread cannot be stopped and commits when it likes.
            self._background.start(self._undo(claim, message))
            raise

    async def _undo(self, claim: asyncio.Task[Any], message: str) -> None:
        await asyncio.wait([claim])  # ends in bounded time, as each of its statements does
        await self._free(message)

    async def _free(self, message: str) -> None:
        def work(session: Session) -> None:
            session.acquire_lock(_ALERT_LOCK)
            for step in ("release_dead", "release_late", "release_recovered", "keep_recovered_as_late"):
                session.change(step, message)

        await self._pool.transact(work, writes=True)


def _dead_entry(row: dict[str, Any]) -> DeadEntry:
    return DeadEntry(
        id=int(row["id"]),
        table_name=row["table_name"],
        workspace=row["workspace"],
        error=shortened(row["last_error"] or "no error is known", ERROR_LENGTH),
    )


def _pass_event(row: dict[str, Any]) -> PassEvent:
    return PassEvent(name=row["subject"], since=read_time(row["occurred_at"]))
