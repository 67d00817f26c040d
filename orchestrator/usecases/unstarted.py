"""Store what becomes of a submission that has not started a run: it waits, is given back, or ends."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core import decisions, refused_jobs
from orchestrator.core.errors import (
    DatabricksError,
    InvalidEntry,
    NoCapacity,
    NoRunNamed,
    RequestRefused,
    TokenRunDeleted,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Claim, Entry, Unanswered, Verdict
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.refused_jobs import Mark
from orchestrator.core.states import Status
from orchestrator.core.telemetry import fields
from orchestrator.ports import Clock, Store

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Unstarted:
    """Brings QUEUED entries on whose calls started no run. Every method may raise :class:`StoreError`."""

    store: Store
    workspaces: Mapping[str, WorkspacePolicy]
    policy: Policy
    clock: Clock

    async def postpone(self, entry: Entry, error: WorkspaceUnavailable, unanswered: Unanswered) -> None:
        """Let the message of an entry be sent again, later each time."""
        seconds = decisions.postponement_seconds(entry.postponements + 1, self.policy)
        seconds = max(seconds, error.retry_after or 0.0)
        extra = fields("postponed", entry, delay_seconds=seconds)
        _logger.warning("entry %s: %s; its message is sent again", entry.id, error, extra=extra)
        claim = Claim(entry_id=entry.id, submission=entry.submission)
        await self.store.postpone(claim, seconds=seconds, reason=str(error), unanswered=unanswered)

    async def no_capacity(self, entry: Entry, error: NoCapacity) -> None:
        """Make an entry PENDING again, since the workspace is full, unless there may be a run already."""
        if entry.in_doubt:
            await self.postpone(entry, as_unavailable(error), Unanswered.NO_EFFECT)
            return
        verdict = decisions.verdict_without_slot(entry, str(error), jitter=self.clock.jitter())
        if await self.store.unclaim(entry, verdict):
            extra = fields("postponed", entry, delay_seconds=verdict.delay_seconds)
            _logger.info("entry %s: no capacity, PENDING again", entry.id, extra=extra)

    async def invalid(self, entry: Entry, error: InvalidEntry) -> None:
        """End an entry that cannot be submitted as it stands, unless that is not its own fault."""
        mark = await self._not_its_own(entry, error)
        if mark is not None:
            await self._wait(entry, error, mark)
        elif entry.deliveries > 0 and entry.resends == 0:
            # A call may be under way: its outcome comes first. The lease brings the message again.
            _logger.warning("entry %s: %s; it ends once no call is under way", entry.id, error)
        elif entry.deliveries > 0:
            # run-now was called before the entry (or the settings) became invalid: there may be a run.
            await self._leave_open(entry, str(error), permanent=True)
        else:
            await self._settle(entry, Verdict(to=Status.DEAD, error=str(error)))

    async def refuse(self, entry: Entry, error: RequestRefused) -> None:
        """End a submission that Databricks refused; one that may have started a run stays open.

        An entry whose refusal is not its own waits instead.
        """
        if isinstance(error, TokenRunDeleted):
            # The submission had a run, and it is gone: that is its end, however many calls are in doubt.
            await self._settle(entry, self._verdict(entry, str(error), permanent=False))
            return
        mark = await self._not_its_own(entry, error)
        if mark is not None:
            await self._wait(entry, error, mark)
        elif entry.in_doubt or isinstance(error, NoRunNamed):
            await self._leave_open(entry, str(error), permanent=error.permanent)
        elif entry.cancel_requested:
            await self.cancel(entry, str(error))
        else:
            await self._settle(entry, self._verdict(entry, str(error), permanent=error.permanent))

    async def _not_its_own(self, entry: Entry, error: RequestRefused | InvalidEntry) -> Mark | None:
        """Return what the entry keeps of a refusal that is, or may be, no fault of its own; None = it is.

        The workspace's own job is never the entry's fault. A missing permission is, once Databricks accepts
        other calls, or if nobody else hears the same for some time.
        """
        workspace = self.workspaces.get(entry.workspace)
        if entry.cancel_requested or workspace is None:
            return None
        setting = workspace.setting
        what = refused_jobs.what_is_refused(entry, error, setting)
        if what is None:
            return None
        holds, now = await self.store.holds(entry.workspace, setting=setting, address=workspace.address)
        mark = refused_jobs.heard(entry, what, holds, now)
        if what == setting:
            return mark
        if await self._are_others_accepted(entry, now, workspace.address):
            return None
        return mark if mark.is_believed or (mark.may_be_believed and not entry.in_doubt) else None

    async def _are_others_accepted(self, entry: Entry, now: datetime, address: str) -> bool:
        """Say whether Databricks accepted a call since the entry first heard that it lacks a permission."""
        mark = refused_jobs.mark_of(entry)
        if mark is None:
            return False
        seconds = min((now - mark.first_at).total_seconds(), refused_jobs.ACCEPTED_WITHIN_SECONDS)
        return await self.store.calls_accepted(entry.workspace, within_seconds=seconds, address=address)

    async def _wait(self, entry: Entry, error: RequestRefused | InvalidEntry, mark: Mark) -> None:
        """Make an entry PENDING again, unless there may be a run already; then its token is repeated."""
        if entry.in_doubt or (entry.deliveries > 0 and isinstance(error, InvalidEntry)):
            await self.postpone(entry, WorkspaceUnavailable(str(error)), Unanswered.NO_EFFECT)
            return
        verdict = Verdict(
            to=Status.PENDING,
            error=str(error),
            delay_seconds=refused_jobs.pause_seconds(mark.since, mark.heard_at),
            attempt_spent=False,
            slot_waits=entry.slot_waits,
            refusal=mark.kept(),
        )
        if await self.store.unclaim(entry, verdict):
            _logger.error("entry %s: %s; not its own fault, so it is PENDING again", entry.id, error)

    async def cancel(self, entry: Entry, reason: str) -> None:
        """End an entry whose cancellation was asked for, and whose submission has started nothing."""
        await self._settle(entry, Verdict(to=Status.CANCELED, error=reason))

    async def go_on(self, entry: Entry, reason: str) -> None:
        """End a submission that has certainly started nothing, and let the next one begin at once.

        The attempt is not spent: there was no run.
        """
        await self._settle(entry, Verdict(to=Status.FAILED, error=reason, attempt_spent=False))

    async def _leave_open(self, entry: Entry, reason: str, *, permanent: bool) -> None:
        text = (
            f"{reason} (there may be a run of an earlier call; a retry first looks for it; resolve the entry "
            "to let go of it)"
        )
        verdict = self._verdict(entry, text, permanent=permanent)
        if await self.store.leave_open(entry, verdict):
            extra = fields("refused", entry, status=verdict.to.value)
            _logger.error("entry %s: now %s: %s", entry.id, verdict.to, text, extra=extra)

    async def _settle(self, entry: Entry, verdict: Verdict) -> None:
        if await self.store.refuse(entry, verdict, decisions.log_of_refusal(entry, verdict)):
            extra = fields(
                "canceled" if verdict.to is Status.CANCELED else "refused", entry, status=verdict.to.value
            )
            _logger.warning("entry %s: refused, now %s: %s", entry.id, verdict.to, verdict.error, extra=extra)

    def _verdict(self, entry: Entry, error: str, *, permanent: bool) -> Verdict:
        return decisions.verdict_on_failure(
            entry,
            entry.attempt + 1,
            error,
            permanent=permanent,
            policy=self.policy,
            jitter=self.clock.jitter(),
        )


def as_unavailable(error: DatabricksError) -> WorkspaceUnavailable:
    """Return an error as one that the entry waits out."""
    return WorkspaceUnavailable(str(error), status=error.status, error_code=error.error_code)
