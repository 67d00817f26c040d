"""What people were told of: each event is claimed for one message, in one short transaction."""

from collections.abc import Sequence
from typing import Any

from orchestrator.alerts import ERROR_LENGTH, DeadRow, DeadRows, Kind, TickEvent, shortened
from orchestrator.store.pool import Pool
from orchestrator.store.records import read_time
from orchestrator.store.session import Session, pass_gate
from orchestrator.store.store import GATE_TIMEOUT_MS

#: Behind it, two passes never both find that nobody was told of an event.
ALERT_GATE = "databricks-job-orchestrator/alert"


class AlertLog:
    """The claims of ``orchestrator_alert``.

    Every method may raise :class:`~orchestrator.errors.StoreError`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim_dead(
        self, message: str, *, window_seconds: int, examined: int, shown: int
    ) -> DeadRows | None:
        """Claim the rows that went DEAD lately and that nobody was told of; None when there are none.

        :param window_seconds: rows that went DEAD longer ago are not looked at.
        :param examined: at most so many rows are looked at, the newest first.
        :param shown: so many of them are returned.
        """

        def work(session: Session) -> DeadRows | None:
            pass_gate(session, ALERT_GATE, GATE_TIMEOUT_MS)
            count = session.change("claim_dead", message, window_seconds, examined)
            rows = session.rows("dead_of_message", message, shown) if count else []
            return DeadRows(count=count, shown=[_dead_row(row) for row in rows]) if count else None

        return await self._pool.transact(work, writes=True)

    async def claim_ticks(self, message: str, kind: Kind, events: Sequence[TickEvent]) -> list[TickEvent]:
        """Claim that timer functions are late or well again; return the events that no message had.

        No function is called late after it was called well again.
        """

        def work(session: Session) -> list[TickEvent]:
            pass_gate(session, ALERT_GATE, GATE_TIMEOUT_MS)
            return [
                event
                for event in events
                if session.changed_one("claim_tick_event", message, kind, event.name, event.since)
            ]

        return await self._pool.transact(work, writes=True)

    async def late_ticks(self) -> list[TickEvent]:
        """Return the functions of which it is still owed that they are well again."""
        rows = await self._pool.transact(lambda session: session.rows("late_ticks"), writes=False)
        return [_tick_event(row) for row in rows]

    async def sent(self, message: str) -> None:
        """Note that a message arrived."""
        await self._pool.transact(lambda session: session.change("alert_sent", message), writes=True)

    async def give_back(self, message: str) -> None:
        """Free the events of a message that surely did not arrive.

        That a function is well again stays owed, whether or not people were told that it is late.
        """

        def work(session: Session) -> None:
            pass_gate(session, ALERT_GATE, GATE_TIMEOUT_MS)
            session.change("alert_given_back", message)
            session.change("alert_owed", message)

        await self._pool.transact(work, writes=True)

    async def forget(self, *, older_than_seconds: int, limit: int) -> None:
        """Delete old claims of DEAD rows, oldest first."""
        await self._pool.transact(
            lambda session: session.change("forget_dead", older_than_seconds, limit), writes=True
        )


def _dead_row(row: dict[str, Any]) -> DeadRow:
    return DeadRow(
        id=int(row["id"]),
        table_name=row["table_name"],
        workspace=row["workspace"],
        error=shortened(row["last_error"] or "no error is known", ERROR_LENGTH),
    )


def _tick_event(row: dict[str, Any]) -> TickEvent:
    return TickEvent(name=row["subject"], since=read_time(row["occurred_at"]))
