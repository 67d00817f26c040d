"""A pass of a timer function: its work in bounded time, noted in the database, told to whom it concerns."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import LastPass
from orchestrator.core.telemetry import Metric, fields
from orchestrator.ports import Clock, PassLog, Telemetry
from orchestrator.usecases.alerting import Alerting

logger = logging.getLogger(__name__)

#: An invocation gives up after this, in seconds; below the 300 s of ``functionTimeout`` in host.json, at
#: which the host would end the worker process and everything else that runs in it.
INVOCATION_SECONDS = 280.0

#: Of these, up to the end of the work: it is noted, and people are told (``alerting.ALERTING_SECONDS``).
WORK_SECONDS = 220.0

#: What there is to tell is looked up before the work, and must not keep it waiting.
LOOK_SECONDS = 5.0

#: The timer functions.
TIMER_FUNCTIONS = ("trigger", "monitor")

OK = "ok"

#: What a timer function does; returns its problems, a line each.
Work = Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True, kw_only=True)
class TimerPass:
    """Makes the passes of the timer functions."""

    store: PassLog
    #: None = there is nobody to tell
    alerting: Alerting | None
    telemetry: Telemetry
    clock: Clock
    #: raises when nothing may be written
    check: Callable[[], Awaitable[None]]

    async def __call__(self, name: str, work: Work, *, by_hand: bool) -> list[str]:
        """Make a pass and return its problems, a line each. What makes it fail is raised.

        :param by_hand: it is no pass of the timer, whose absence it must not hide.
        """
        began, outcome = self.clock.monotonic(), "failed"
        try:
            with self.telemetry.span(name):
                problems = await self._in_time(name, work, by_hand)
            outcome = "problems" if problems else OK
        except TimeoutError:
            problems = [f"{name}: not done in time; the next pass goes on"]
            logger.error("%s", problems[0])  # noqa: TRY400 - the stack says nothing of use
        finally:
            label = f"{name} by hand" if by_hand else name
            self._tell_of(label, outcome, seconds=self.clock.monotonic() - began)
        return problems

    def _tell_of(self, name: str, outcome: str, *, seconds: float) -> None:
        extra = fields("pass", function=name, outcome=outcome, seconds=seconds)
        logger.info("%s: %s after %.1f s", name, outcome, seconds, extra=extra)
        self.telemetry.record(Metric.PASS, seconds, function=name, outcome=outcome)

    async def _in_time(self, name: str, work: Work, by_hand: bool) -> list[str]:
        work_until = asyncio.get_running_loop().time() + WORK_SECONDS
        async with asyncio.timeout(INVOCATION_SECONDS):
            await self.check()
            return await (work() if by_hand else self._recorded(name, work, work_until))

    async def _recorded(self, name: str, work: Work, work_until: float) -> list[str]:
        before = await self._look()
        await self.store.pass_started(name)
        failure: Exception | None = None
        try:
            async with asyncio.timeout_at(work_until):
                problems = await work()
            await self.store.pass_finished(name, "\n".join(problems) or OK)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is noted and raised again
            failure = error
            await self.store.pass_failed(name, _told(error))
        # A pass that failed has something to tell, too: what went DEAD, and that the app is back.
        if self.alerting and before:
            await self.alerting(name, *before)
        if failure is not None:
            raise failure
        return problems

    async def _look(self) -> tuple[Sequence[LastPass], datetime] | None:
        """Return what people have to be told from; None when that is nothing, or cannot be had."""
        if self.alerting is None:
            return None
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self.alerting.look()
        except (OrchestratorError, TimeoutError) as error:
            logger.warning("alerts: nothing is told by this pass: %s", _told(error))
            return None


def _told(error: Exception) -> str:
    """Say what went wrong; of an error that nobody foresaw only its kind: its text may hold anything."""
    if isinstance(error, OrchestratorError):
        return str(error)
    return "not done in time" if isinstance(error, TimeoutError) else f"failed: {type(error).__name__}"
