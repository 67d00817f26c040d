"""Send alerts at the end of each pass: DEAD entries, functions that are late, workspaces that stand still."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.core import pass_budget
from orchestrator.core.alerts import (
    SHOWN_ENTRIES,
    Alert,
    Delivery,
    Kind,
    PassEvent,
    late,
    overdue,
    recovered,
)
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import LastPass
from orchestrator.ports import AlertStore, PassLog, Receiver
from orchestrator.usecases.standstill import Standstill

_logger = logging.getLogger(__name__)

#: Entries that went DEAD longer ago are not reported: neither a first deployment nor a receiver that was down
#: for days should bring up the distant past.
WINDOW_SECONDS = 24 * 3600

#: The function that takes messages from the queue. It makes no passes; the entries tell whether it runs.
_SUBMIT = "submit"

#: Later than something else, as far as the database tells times apart.
_MOMENT = timedelta(milliseconds=1)

#: Claims are kept for longer than their entries are examined.
_KEEP_SECONDS = 2 * WINDOW_SECONDS

#: DEAD entries that a pass examines, newest first. A workspace allows 10,000 runs an hour.
_EXAMINED_ENTRIES = 10_000

#: Claims deleted per pass.
_FORGOTTEN_CLAIMS = 10_000

#: Time limit for claiming events: the last claim still has 10 s to be sent and 5 s to be recorded.
_CLAIMING_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class _Deadline:
    """When a pass sends its alerts."""

    #: by the database's clock
    now: datetime
    #: by the event loop's clock, in seconds
    claims_until: float

    def claiming(self) -> asyncio.Timeout:
        """Limit the time of a claim. :raises TimeoutError: no time would be left to send its alert."""
        if asyncio.get_running_loop().time() >= self.claims_until:
            raise TimeoutError
        return asyncio.timeout_at(self.claims_until)


@dataclass(frozen=True, kw_only=True)
class Alerting:
    """Sends at most one alert of each kind per pass, and reports no event twice.

    Events are claimed in the database for one alert before it is sent. If the alert was certainly not
    delivered, its events are released and the next pass reports them. If delivery is uncertain, they are not
    released: one lost alert is better than the same alert again and again.
    """

    store: AlertStore
    pass_log: PassLog
    receiver: Receiver
    standstill: Standstill
    pass_late_seconds: float
    #: how long an entry may be QUEUED without any call
    queued_seconds: float

    async def snapshot(self) -> tuple[Sequence[LastPass], datetime]:
        """Return the last passes and the database's time, as they are before a pass starts."""
        return await self.pass_log.passes(), await self.pass_log.now()

    async def __call__(self, own: str, before: Sequence[LastPass], taken_at: datetime) -> None:
        """Send the alerts that are due. Errors are logged and never fail the pass.

        :param own: the timer function that makes the pass.
        :param before: the last passes, as they were before this pass.
        :param taken_at: the time of that snapshot by the database's clock; a pass takes minutes.
        """
        try:
            async with asyncio.timeout(pass_budget.ALERTING_SECONDS):
                await self._alert(own, before, taken_at)
        except OrchestratorError as error:
            _logger.warning("alerts: %s", error)
        except TimeoutError:
            _logger.warning("alerts: not done in time; the next pass sends the rest")

    async def _alert(self, own: str, before: Sequence[LastPass], taken_at: datetime) -> None:
        claims_until = asyncio.get_running_loop().time() + _CLAIMING_SECONDS
        deadline = _Deadline(now=await self.pass_log.now(), claims_until=claims_until)
        await self._alert_dead(deadline)
        reported = await self.store.late_passes()
        submit = await self._submit_is_late(reported)
        missing = [*overdue(before, now=taken_at, limit_seconds=self.pass_late_seconds), *submit]
        if missing:
            passes = await self._passes(deadline.now)
            events = late(missing, own=own, before=before, passes=passes)
            await self._alert_passes(Kind.LATE, events, deadline)
        standing = await self.standstill(deadline.now)
        await self._alert_passes(Kind.STUCK, standing, deadline)
        # Including functions never reported as late: nothing can report while the whole app is down.
        missed = [*await self.store.late_passes(), *missing]
        if missed:
            # Read again: a function may have started while the alert above was being sent.
            passes = [*await self._passes(deadline.now), *self._going_on(missed, standing, deadline.now)]
            await self._alert_passes(Kind.RECOVERED, recovered(missed, passes), deadline)
        await self.store.forget(older_than_seconds=_KEEP_SECONDS, limit=_FORGOTTEN_CLAIMS)

    async def _submit_is_late(self, reported: Sequence[PassEvent]) -> list[PassEvent]:
        """Return the event that the submit function looks at no entry, unless it has been reported."""
        since = await self.store.uncalled_since(self.queued_seconds)
        if since is None or any(event.name == _SUBMIT for event in reported):
            return []
        return [PassEvent(name=_SUBMIT, since=since)]

    async def _passes(self, now: datetime) -> list[LastPass]:
        """Return the last passes, and among them the submit function's if it looks at entries."""
        passes = list(await self.pass_log.passes())
        if await self.store.uncalled_since(self.queued_seconds) is None:
            passes.append(_runs(_SUBMIT, now))
        return passes

    def _going_on(
        self, missed: Sequence[PassEvent], standing: Sequence[PassEvent], now: datetime
    ) -> list[LastPass]:
        """Return a pass for each workspace of the settings that stood still and goes on."""
        names = self.standstill.names - {event.name for event in standing}
        # It may have been noticed in the future, by a clock that has gone back since.
        return [_runs(event.name, max(now, event.since + _MOMENT)) for event in missed if event.name in names]

    async def _alert_dead(self, deadline: _Deadline) -> None:
        message = str(uuid.uuid4())
        async with deadline.claiming():
            dead = await self.store.claim_dead(
                message, window_seconds=WINDOW_SECONDS, examined=_EXAMINED_ENTRIES, shown=SHOWN_ENTRIES
            )
        if dead is not None:
            await self._deliver(message, Alert(kind=Kind.DEAD, dead=dead), deadline)

    async def _alert_passes(self, kind: Kind, events: Sequence[PassEvent], deadline: _Deadline) -> None:
        if not events:
            return
        message = str(uuid.uuid4())
        async with deadline.claiming():
            claimed = await self.store.claim_passes(message, kind, events)
        if claimed:
            await self._deliver(message, Alert(kind=kind, passes=claimed), deadline)

    async def _deliver(self, message: str, alert: Alert, deadline: _Deadline) -> None:
        delivery = Delivery.UNCERTAIN
        try:
            delivery = await self.receiver.deliver(alert, deadline.now)
        finally:  # also when the pass is cancelled meanwhile
            if delivery is Delivery.UNCERTAIN:
                _logger.warning("alert may be lost and is not sent again: %s", alert.title)
        if delivery is Delivery.SENT:
            _logger.info("alert sent: %s", alert.title)
            await self.store.sent(message)
        elif delivery is Delivery.REFUSED:
            await self.store.release(message)


def _runs(name: str, now: datetime) -> LastPass:
    """Return the pass of something that makes none, and goes on."""
    return LastPass(name=name, started_at=now, finished_at=None, outcome=None)
