"""Telling people, at the end of each pass, what went DEAD and which timer function is late or well again."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.alerts import (
    SHOWN_ROWS,
    Alert,
    Delivery,
    Kind,
    PassEvent,
    late,
    overdue,
    well_again,
)
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import LastPass
from orchestrator.ports import AlertStore, Clockwork, Receiver

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
    pass_late_seconds: float

    async def look(self) -> tuple[Sequence[LastPass], datetime]:
        """Return the last passes and the database's time: what a pass needs from before its begin."""
        return await self.clockwork.passes(), await self.clockwork.now()

    async def __call__(self, own: str, before: Sequence[LastPass], looked_at: datetime) -> None:
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

    async def _tell(self, own: str, before: Sequence[LastPass], looked_at: datetime) -> None:
        claims_until = asyncio.get_running_loop().time() + CLAIMING_SECONDS
        turn = _Turn(now=await self.clockwork.now(), claims_until=claims_until)
        await self._tell_of_dead_rows(turn)
        missing = overdue(before, now=looked_at, limit_seconds=self.pass_late_seconds)
        if missing:
            passes = await self.clockwork.passes()
            await self._tell_of_passes(Kind.LATE, late(missing, own=own, before=before, passes=passes), turn)
        # Also those of which nobody was told that they are late: when the whole app stands still, nobody can.
        missed = [*await self.store.late_passes(), *missing]
        if missed:
            # Looked up anew: a function may have begun while the message above was on its way.
            await self._tell_of_passes(Kind.WELL, well_again(missed, await self.clockwork.passes()), turn)
        await self.store.forget(older_than_seconds=KEEP_SECONDS, limit=FORGOTTEN_ROWS)

    async def _tell_of_dead_rows(self, turn: _Turn) -> None:
        message = str(uuid.uuid4())
        async with turn.claiming():
            rows = await self.store.claim_dead(
                message, window_seconds=WINDOW_SECONDS, examined=EXAMINED_ROWS, shown=SHOWN_ROWS
            )
        if rows is not None:
            await self._deliver(message, Alert(kind=Kind.DEAD, rows=rows), turn)

    async def _tell_of_passes(self, kind: Kind, events: Sequence[PassEvent], turn: _Turn) -> None:
        if not events:
            return
        message = str(uuid.uuid4())
        async with turn.claiming():
            claimed = await self.store.claim_passes(message, kind, events)
        if claimed:
            await self._deliver(message, Alert(kind=kind, passes=claimed), turn)

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
