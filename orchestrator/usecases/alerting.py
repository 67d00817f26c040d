"""Telling people, at the end of each pass, what went DEAD and which timer function is late or well again."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orchestrator.core.alerts import (
    SHOWN_ROWS,
    Alert,
    DeadRows,
    Delivery,
    Kind,
    TickEvent,
    late,
    overdue,
    well_again,
)
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import Tick

logger = logging.getLogger(__name__)

#: Nobody is told of rows that went DEAD longer ago: neither a first deployment nor a receiver that was down
#: for days brings up the distant past.
WINDOW_SECONDS = 24 * 3600

#: Claims are kept for longer than their rows are looked at.
KEEP_SECONDS = 2 * WINDOW_SECONDS

#: DEAD rows that a pass looks at, the newest first. A workspace takes 10,000 runs an hour.
EXAMINED_ROWS = 10_000

#: Claims deleted in a pass.
FORGOTTEN_ROWS = 10_000

#: All of a pass's messages together. The invocation has 280 s for everything.
ALERTING_SECONDS = 45.0

#: So long a pass claims: what it claims last has its 10 s to be sent yet, and 5 s to be noted.
CLAIMING_SECONDS = 30.0


class AlertStore(Protocol):
    """What people were told of. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def claim_dead(
        self, message: str, *, window_seconds: int, examined: int, shown: int
    ) -> DeadRows | None:
        """Claim the DEAD rows that nobody was told of for a message; None when there are none."""
        ...

    async def claim_ticks(self, message: str, kind: Kind, events: Sequence[TickEvent]) -> list[TickEvent]:
        """Claim events for a message and return those that no other message has.

        No function is called late after it was called well again.
        """
        ...

    async def late_ticks(self) -> list[TickEvent]:
        """Return the functions of which it is still owed that they are well again."""
        ...

    async def sent(self, message: str) -> None:
        """Note that a message arrived."""
        ...

    async def give_back(self, message: str) -> None:
        """Free the events of a message that did not arrive, for the next one."""
        ...

    async def forget(self, *, older_than_seconds: int, limit: int) -> None:
        """Delete old claims."""
        ...


class Clockwork(Protocol):
    """The timer functions' passes. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def ticks(self) -> list[Tick]:
        """Return the last pass of each timer function."""
        ...

    async def now(self) -> datetime:
        """Return the database's clock."""
        ...


class Receiver(Protocol):
    """Where messages go."""

    async def deliver(self, alert: Alert, at: datetime) -> Delivery:
        """Send a message; ends in bounded time and raises nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """When a pass tells people."""

    #: by the database's clock
    now: datetime
    #: by the event loop's clock
    claims_until: float

    def claiming(self) -> asyncio.Timeout:
        """Bound a claim. :raises TimeoutError: too late for one, as no time is left to send it."""
        if asyncio.get_running_loop().time() >= self.claims_until:
            raise TimeoutError
        return asyncio.timeout_at(self.claims_until)


@dataclass(frozen=True, kw_only=True)
class Alerting:
    """Sends at most one message of each kind a pass, and no event twice.

    An event is claimed in the database, for one message, before that is sent. A message that surely did not
    arrive gives its events back to the next pass. One of which that is not known does not: better one message
    lost than the same one again and again.
    """

    store: AlertStore
    clockwork: Clockwork
    receiver: Receiver
    tick_late_seconds: float

    async def look(self) -> tuple[Sequence[Tick], datetime]:
        """Return the last passes and the database's time: what a pass needs from before its begin."""
        return await self.clockwork.ticks(), await self.clockwork.now()

    async def __call__(self, own: str, before: Sequence[Tick], looked_at: datetime) -> None:
        """Tell what there is to tell. What goes wrong is logged, and fails nothing.

        :param own: the timer function that the pass is of.
        :param before: the last passes as they were before this one.
        :param looked_at: when that was, by the database's clock: a pass takes minutes.
        """
        try:
            async with asyncio.timeout(ALERTING_SECONDS):
                await self._tell(own, before, looked_at)
        except OrchestratorError as error:
            logger.warning("alerts: %s", error)
        except TimeoutError:
            logger.warning("alerts: not done in time; the next pass tells the rest")

    async def _tell(self, own: str, before: Sequence[Tick], looked_at: datetime) -> None:
        claims_until = asyncio.get_running_loop().time() + CLAIMING_SECONDS
        turn = _Turn(now=await self.clockwork.now(), claims_until=claims_until)
        await self._tell_of_dead_rows(turn)
        missing = overdue(before, now=looked_at, limit_seconds=self.tick_late_seconds)
        if missing:
            ticks = await self.clockwork.ticks()
            await self._tell_of_ticks(Kind.LATE, late(missing, own=own, before=before, ticks=ticks), turn)
        # Also those of which nobody was told that they are late: when the whole app stands still, nobody can.
        missed = [*await self.store.late_ticks(), *missing]
        if missed:
            # Looked up anew: a function may have begun while the message above was on its way.
            await self._tell_of_ticks(Kind.WELL, well_again(missed, await self.clockwork.ticks()), turn)
        await self.store.forget(older_than_seconds=KEEP_SECONDS, limit=FORGOTTEN_ROWS)

    async def _tell_of_dead_rows(self, turn: _Turn) -> None:
        message = str(uuid.uuid4())
        async with turn.claiming():
            rows = await self.store.claim_dead(
                message, window_seconds=WINDOW_SECONDS, examined=EXAMINED_ROWS, shown=SHOWN_ROWS
            )
        if rows is not None:
            await self._deliver(message, Alert(kind=Kind.DEAD, rows=rows), turn)

    async def _tell_of_ticks(self, kind: Kind, events: Sequence[TickEvent], turn: _Turn) -> None:
        if not events:
            return
        message = str(uuid.uuid4())
        async with turn.claiming():
            claimed = await self.store.claim_ticks(message, kind, events)
        if claimed:
            await self._deliver(message, Alert(kind=kind, ticks=claimed), turn)

    async def _deliver(self, message: str, alert: Alert, turn: _Turn) -> None:
        delivery = Delivery.UNCERTAIN
        try:
            delivery = await self.receiver.deliver(alert, turn.now)
        finally:  # also when the pass is ended meanwhile
            if delivery is Delivery.UNCERTAIN:
                logger.warning("alert may be lost, and is not sent again: %s", alert.title)
        if delivery is Delivery.SENT:
            logger.info("alert sent: %s", alert.title)
            await self.store.sent(message)
        elif delivery is Delivery.REFUSED:
            await self.store.give_back(message)
