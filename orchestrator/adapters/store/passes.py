"""The last pass of each timer function: the table ``orchestrator_tick``."""

import math
from datetime import datetime

from orchestrator.adapters.store.connector import as_utc
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import cut, read_time
from orchestrator.adapters.store.session import Session
from orchestrator.core.models import AskedBy, LastPass

#: Keeps two processes from both inserting the first pass of a timer function. The name is a contract between
#: versions of the app that run side by side while one replaces the other.
_PASSES_LOCK = "databricks-job-orchestrator/tick"


class PassLog:
    """Records the passes. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def pass_idle(self, name: str, *, late_seconds: float | None, window_seconds: float) -> bool:
        """Say whether a timer's pass has nothing to do, and if so record it as a whole pass.

        It is one statement. The first pass of each five minutes is never idle: it looks at everything.

        :param late_seconds: an alert is owed of a function that has not begun for so long; None = no alerts
            are sent.
        :param window_seconds: how far back alerts look for entries that went DEAD.
        """
        alerts = (int(late_seconds is not None), math.floor(late_seconds or 0), math.ceil(window_seconds))
        return await self._pool.transact(
            lambda session: session.changes_one("pass_idle", AskedBy.TIMER, name, *alerts), writes=True
        )

    async def pass_started(self, name: str, asked_by: AskedBy = AskedBy.TIMER) -> None:
        """Record that a pass of a timer function begins, and who asked for it."""

        def work(session: Session) -> None:
            session.acquire_lock(_PASSES_LOCK)
            if session.change("pass_started", asked_by, name) == 0:
                session.change("pass_first", asked_by, name)

        await self._pool.transact(work, writes=True)

    async def pass_finished(self, name: str, outcome: str, *, ok: bool = True) -> None:
        """Record how a pass of a timer function ended, and whether it met no problem."""
        await self._pool.transact(
            lambda session: session.change("pass_finished", cut(outcome), int(not ok), name), writes=True
        )

    async def pass_failed(self, name: str, outcome: str) -> None:
        """Record why a pass of a timer function did not come to its end."""
        await self._pool.transact(
            lambda session: session.change("pass_failed", cut(outcome), name), writes=True
        )

    async def passes(self) -> list[LastPass]:
        """Return the last pass of each timer function."""
        rows = await self._pool.transact(lambda session: session.rows("passes"), writes=False)
        return [
            LastPass(
                name=row["name"],
                started_at=read_time(row["started_at"]),
                finished_at=as_utc(row["finished_at"]),
                outcome=row["outcome"],
                asked_by=row["asked_by"],
                troubled_since=as_utc(row["troubled_since"]),
            )
            for row in rows
        ]

    async def now(self) -> datetime:
        """Return the database's clock, by which the passes are timed."""
        return await self._pool.transact(Session.now, writes=False)
