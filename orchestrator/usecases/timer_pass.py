"""One pass of a timer function: run its work within time limits, record it, and send alerts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core import pass_budget
from orchestrator.core.errors import OrchestratorError, StoreError, StoreUnavailable
from orchestrator.core.models import AskedBy, LastPass
from orchestrator.core.telemetry import Metric, fields
from orchestrator.ports import Clock, PassLog, Telemetry
from orchestrator.usecases.alerting import WINDOW_SECONDS, Alerting

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

    async def __call__(self, name: str, work: PassWork, *, asked_by: AskedBy) -> list[str]:
        """Make a pass and return its problems, one line each. An error that ends the pass is raised.

        A pass counts, whoever asked for it: where the timers stand still, somebody may drive the app. A
        timer's pass with nothing to do is one statement; one that somebody asks for always looks.
        """
        by_hand = asked_by is not AskedBy.TIMER
        began, outcome = self.clock.monotonic(), "failed"
        try:
            with self.telemetry.span(name):
                problems = await self._within_limits(name, work, asked_by)
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

    async def _within_limits(self, name: str, work: PassWork, asked_by: AskedBy) -> list[str]:
        work_until = asyncio.get_running_loop().time() + pass_budget.WORK_SECONDS
        async with asyncio.timeout(pass_budget.INVOCATION_SECONDS):
            await self.check()
            return await self._recorded_pass(name, work, work_until, asked_by)

    async def _recorded_pass(
        self, name: str, work: PassWork, work_until: float, asked_by: AskedBy
    ) -> list[str]:
        if asked_by is AskedBy.TIMER and await self._is_idle(name):
            return []
        # The trigger makes a monitor pass as well. Who asks for the one means the other; a timer has its own.
        names = TIMER_FUNCTIONS if name == "trigger" and asked_by is not AskedBy.TIMER else (name,)
        before = await self._snapshot()
        for each in names:
            await self.pass_log.pass_started(each, asked_by)
        failure: Exception | None = None
        try:
            async with asyncio.timeout_at(work_until):
                problems = await work()
            for each in names:
                await self.pass_log.pass_finished(each, "\n".join(problems) or OK, ok=not problems)
        except Exception as error:  # noqa: BLE001 - every error is recorded and raised again
            failure = error
            for each in names:
                await self.pass_log.pass_failed(each, _describe(error))
        # A failed pass sends alerts, too: for entries that went DEAD, and that the app has recovered.
        if self.alerting and before:
            await self.alerting(name, *before)
        if failure is not None:
            raise failure
        return problems

    async def _is_idle(self, name: str) -> bool:
        """Say whether nothing is to be done, which is then recorded; on an error the pass finds out itself.

        :raises StoreUnavailable: the database is away, so the pass cannot do anything either.
        """
        late_seconds = self.alerting.pass_late_seconds if self.alerting else None
        try:
            return await self.pass_log.pass_idle(
                name, late_seconds=late_seconds, window_seconds=WINDOW_SECONDS
            )
        except StoreUnavailable:
            raise
        except StoreError as error:
            _logger.warning("%s: whether there is something to do: %s", name, error)
            return False

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
