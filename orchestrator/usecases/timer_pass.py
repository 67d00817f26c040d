"""One pass of a timer function: run its work within time limits, record it, and send alerts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core import pass_budget
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import LastPass
from orchestrator.core.telemetry import Metric, fields
from orchestrator.ports import Clock, PassLog, Telemetry
from orchestrator.usecases.alerting import Alerting

_logger = logging.getLogger(__name__)

#: The timer functions.
TIMER_FUNCTIONS = ("trigger", "monitor")

OK = "ok"

#: The work of a pass; returns its problems, one line each.
PassWork = Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True, kw_only=True)
class TimerPass:
    """Makes passes of the timer functions."""

    pass_log: PassLog
    #: None = no alerts are sent
    alerting: Alerting | None
    telemetry: Telemetry
    clock: Clock
    #: raises if nothing may be written
    check: Callable[[], Awaitable[None]]

    async def __call__(self, name: str, work: PassWork, *, by_hand: bool) -> list[str]:
        """Make a pass and return its problems, one line each. An error that ends the pass is raised.

        :param by_hand: a person started the pass; it is not recorded, so that it cannot hide a missing timer.
        """
        began, outcome = self.clock.monotonic(), "failed"
        try:
            with self.telemetry.span(name):
                problems = await self._within_limits(name, work, by_hand)
            outcome = "problems" if problems else OK
        except TimeoutError:
            problems = [f"{name}: not done in time; the next pass continues"]
            _logger.error("%s", problems[0])  # noqa: TRY400 - the stack trace is of no use
        finally:
            label = f"{name} by hand" if by_hand else name
            self._record(label, outcome, seconds=self.clock.monotonic() - began)
        return problems

    def _record(self, name: str, outcome: str, *, seconds: float) -> None:
        extra = fields("pass", function=name, outcome=outcome, seconds=seconds)
        _logger.info("%s: %s after %.1f s", name, outcome, seconds, extra=extra)
        self.telemetry.record(Metric.PASS, seconds, function=name, outcome=outcome)

    async def _within_limits(self, name: str, work: PassWork, by_hand: bool) -> list[str]:
        work_until = asyncio.get_running_loop().time() + pass_budget.WORK_SECONDS
        async with asyncio.timeout(pass_budget.INVOCATION_SECONDS):
            await self.check()
            return await (work() if by_hand else self._recorded_pass(name, work, work_until))

    async def _recorded_pass(self, name: str, work: PassWork, work_until: float) -> list[str]:
        before = await self._snapshot()
        await self.pass_log.pass_started(name)
        failure: Exception | None = None
        try:
            async with asyncio.timeout_at(work_until):
                problems = await work()
            await self.pass_log.pass_finished(name, "\n".join(problems) or OK)
        except Exception as error:  # noqa: BLE001 - every error is recorded and raised again
            failure = error
            await self.pass_log.pass_failed(name, _describe(error))
        # A failed pass sends alerts, too: for entries that went DEAD, and that the app has recovered.
        if self.alerting and before:
            await self.alerting(name, *before)
        if failure is not None:
            raise failure
        return problems

    async def _snapshot(self) -> tuple[Sequence[LastPass], datetime] | None:
        """Return what alerting needs from before the work; None if no alerts are sent or on an error."""
        if self.alerting is None:
            return None
        try:
            async with asyncio.timeout(pass_budget.SNAPSHOT_SECONDS):
                return await self.alerting.snapshot()
        except (OrchestratorError, TimeoutError) as error:
            _logger.warning("alerts: this pass sends none: %s", _describe(error))
            return None


def _describe(error: Exception) -> str:
    """Say what went wrong; for an unexpected error only its type, as its text may contain anything."""
    if isinstance(error, OrchestratorError):
        return str(error)
    return "not done in time" if isinstance(error, TimeoutError) else f"failed: {type(error).__name__}"
