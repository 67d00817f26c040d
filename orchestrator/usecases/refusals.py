"""Decide what follows a call that was refused or not answered: another request, a wait, or an end."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.core import decisions, run_requests
from orchestrator.core.doubts import Doubt
from orchestrator.core.errors import (
    DatabricksError,
    InvalidEntry,
    NoRunNamed,
    RequestRefused,
    TokenRunDeleted,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Entry, RepairRequest, RunRequest, Unanswered
from orchestrator.core.policy import Policy
from orchestrator.ports import Runs, Store
from orchestrator.usecases.jobs import continuous_reason
from orchestrator.usecases.planning import Planner
from orchestrator.usecases.repair import QUIET, is_quiet_for_long, was_repaired
from orchestrator.usecases.unstarted import Unstarted, as_unavailable

_logger = logging.getLogger(__name__)

#: Time limit of the call that checks whether a workspace answers at all after a call without an answer.
_PROBE_SECONDS = 10.0

#: Waits after refusals of a repair, three minutes and a half in all, before a new run is started instead.
_REPAIR_PATIENCE = 3

#: Calls of ``runs/repair`` without a usable answer after which no more are made, if the run can be read.
_REPAIR_CALLS = 4

#: Waits after refusals of a request whose style was assumed, since the job cannot be read: some ten minutes.
_GUESS_PATIENCE = 5


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Decides about calls that have started no run that is known. Every method may raise a StoreError."""

    store: Store
    runs: Mapping[str, Runs]
    policy: Policy
    planner: Planner
    unstarted: Unstarted

    async def refused(
        self, entry: Entry, request: RunRequest | RepairRequest, error: RequestRefused, *, may_replace: bool
    ) -> Entry | None:
        """Return the entry with the request that is to be made instead of the refused one, or None.

        :param may_replace: False = the refused request has replaced another one already.
        """
        if isinstance(request, RunRequest) and not error.is_worded:
            try:
                error = await self._confirmed(entry, request, error)
            except WorkspaceUnavailable as unclear:
                await self.unstarted.postpone(entry, unclear, Unanswered.OUTAGE)
                return None
        if isinstance(error, TokenRunDeleted | NoRunNamed):
            await self.unstarted.refuse(entry, error)
        elif isinstance(request, RepairRequest) and entry.in_doubt:
            await self._doubtful_repair_refused(entry, request, error)
        elif entry.cancel_requested or not may_replace:
            await self.unstarted.refuse(entry, error)
        elif isinstance(request, RepairRequest):
            return await self._repair_refused(entry, error)
        else:
            return await self._run_refused(entry, request, error)
        return None

    async def unanswered(
        self, entry: Entry, request: RunRequest | RepairRequest, error: WorkspaceUnavailable
    ) -> None:
        """Let the message of an entry be sent again, and count the call if it speaks of the entry."""
        if isinstance(request, RepairRequest):
            await self._repair_unanswered(entry, request, error)
        else:
            await self.unstarted.postpone(entry, error, await self._why_unanswered(entry, request, error))

    async def _why_unanswered(
        self, entry: Entry, request: RunRequest, error: WorkspaceUnavailable
    ) -> Unanswered:
        if not error.in_doubt:
            return Unanswered.NO_EFFECT
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self.runs[entry.workspace].get_job(request.job_id)
        except (DatabricksError, TimeoutError) as probe:
            if not _is_refusal(probe):
                return Unanswered.OUTAGE
            _logger.debug("entry %s: the workspace answers with a refusal, too", entry.id)
        # Until others are accepted, what fails may concern every call.
        are_accepted = await self.store.calls_accepted(
            entry.workspace,
            within_seconds=decisions.ACCEPTED_WITHIN_SECONDS,
            address=entry.workspace_address or "",
        )
        return Unanswered.ENTRY if are_accepted else Unanswered.OUTAGE

    async def _confirmed(self, entry: Entry, request: RunRequest, error: RequestRefused) -> RequestRefused:
        """Return a refusal that any gateway could send, once it is known to be one of Databricks.

        It is if the job can be read now, or is refused in words that name it, or if calls of other entries
        were accepted since the refusal was first heard. A job with a continuous trigger explains why no run
        is named.

        :raises WorkspaceUnavailable: something else may answer, so the refusal says nothing of the entry.
        """
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                job = await self.runs[entry.workspace].get_job(request.job_id)
        except (DatabricksError, TimeoutError) as probe:
            is_worded = isinstance(probe, RequestRefused) and probe.is_worded
            if is_worded or (_is_refusal(probe) and await self._others_are_accepted(entry)):
                return error
            text = f"{error}; nor can the job be read, so that this may be no answer of Databricks: {probe}"
            raise WorkspaceUnavailable(text, status=error.status, error_code=error.error_code) from None
        if isinstance(error, NoRunNamed) and job.continuous:
            refusal = RequestRefused(
                continuous_reason(job), status=error.status, error_code="", permanent=True
            )
            refusal.of_job = True
            return refusal
        return error

    async def _others_are_accepted(self, entry: Entry) -> bool:
        heard = await self.store.hear(entry, Doubt.REFUSAL)
        seconds = min(heard.seconds, decisions.ACCEPTED_WITHIN_SECONDS)
        return await self.store.calls_accepted(
            entry.workspace, within_seconds=seconds, address=entry.workspace_address or ""
        )

    async def _run_refused(self, entry: Entry, request: RunRequest, error: RequestRefused) -> Entry | None:
        """Return the request that the job takes now, if that is another one; the token stays the same."""
        try:
            if await self.planner.is_outdated(entry, request):
                return await self._run_instead(entry, error)
        except WorkspaceUnavailable as unclear:
            was_accepted = error.status < 300  # without a run
            if not was_accepted and not await self._is_believed(entry, Doubt.REQUEST, _GUESS_PATIENCE):
                text = f"{error}; whether the job would take another request is not clear: {unclear}"
                await self.unstarted.postpone(entry, WorkspaceUnavailable(text), Unanswered.NO_EFFECT)
                return None
        await self.unstarted.refuse(entry, error)
        return None

    async def _run_instead(self, entry: Entry, error: RequestRefused) -> Entry | None:
        """Return the entry with a request for a new run, since the first was refused and started nothing."""
        _logger.warning("entry %s: %s; a new run is started instead", entry.id, error)
        try:
            request = await self.planner.new_run(entry)
        except InvalidEntry as invalid:
            final = RequestRefused(
                str(invalid), status=error.status, error_code=error.error_code, permanent=True
            )
            await self.unstarted.refuse(entry, final)
        except WorkspaceUnavailable as unavailable:
            await self.unstarted.postpone(entry, unavailable, Unanswered.NO_EFFECT)
        else:
            frozen = run_requests.freeze(request)
            if await self.store.replace_request(entry, frozen):
                return replace(entry, request=frozen)
        return None

    async def _repair_refused(self, entry: Entry, error: RequestRefused) -> Entry | None:
        """Wait and look at the run again; return a new run when that has not helped for some time.

        The refusal may mean that the run is active, since somebody has just repaired it, and what Databricks
        says of the run may be older.
        """
        if not await self._is_believed(entry, Doubt.REPAIR, _REPAIR_PATIENCE):
            await self.unstarted.postpone(entry, as_unavailable(error), Unanswered.NO_EFFECT)
            return None
        return await self._run_instead(entry, error)

    async def _is_believed(self, entry: Entry, doubt: Doubt, waits: int) -> bool:
        return (await self.store.hear(entry, doubt)).is_believed(waits)

    async def _repair_unanswered(
        self, entry: Entry, request: RepairRequest, error: WorkspaceUnavailable
    ) -> None:
        if request.quiet_since is not None:
            await self.unstarted.postpone(entry, _unseen(request, error), Unanswered.NO_EFFECT)
        elif not error.in_doubt:
            await self.unstarted.postpone(entry, error, Unanswered.NO_EFFECT)
        elif not await self._shows_no_repair(entry, request):
            await self.unstarted.postpone(entry, error, Unanswered.OUTAGE)
        elif entry.deliveries >= min(_REPAIR_CALLS, self.policy.max_deliveries - 1):
            await self._go_quiet(entry, request, error)
        else:
            await self.unstarted.postpone(entry, error, Unanswered.ENTRY)

    async def _shows_no_repair(self, entry: Entry, request: RepairRequest) -> bool:
        """Say whether Databricks shows the run as it was, so that only the call for its repair fails."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return not await was_repaired(self.runs[entry.workspace], request)
        except (DatabricksError, TimeoutError):
            return False

    async def _doubtful_repair_refused(
        self, entry: Entry, request: RepairRequest, error: RequestRefused
    ) -> None:
        """Give up a repair that keeps failing once it is certain that none has begun."""
        # A time in the future was kept before the database's clock went back: the wait counts from now.
        if request.quiet_since is None or request.quiet_since > entry.updated_at:
            await self._go_quiet(entry, request, error)
        elif not is_quiet_for_long(request, entry.updated_at):
            await self.unstarted.postpone(entry, as_unavailable(error), Unanswered.NO_EFFECT)
        elif entry.cancel_requested:
            await self.unstarted.cancel(entry, str(error))
        else:
            await self.unstarted.go_on(entry, f"{error}; a new run is started instead")

    async def _go_quiet(self, entry: Entry, request: RepairRequest, error: DatabricksError) -> None:
        """Make no further call for a repair: from now on it only remains to see whether one has begun.

        No other delivery has begun since this one, and whoever begins later finds the submission quiet. So no
        call is younger than this delivery, whose beginning the entry holds.
        """
        quiet = replace(request, quiet_since=entry.updated_at)
        if await self.store.replace_request(entry, run_requests.freeze(quiet)):
            minutes = QUIET.total_seconds() / 60
            text = (
                f"{error}; the app does not ask again for a repair of run {request.run_id}, and goes on "
                f"without one if the run shows none for {minutes:.0f} minutes"
            )
            await self.unstarted.postpone(entry, WorkspaceUnavailable(text), Unanswered.ENTRY)


def _is_refusal(probe: DatabricksError | TimeoutError) -> bool:
    """Say whether a workspace refuses to show a job, which an owner of the token may not see for example."""
    if isinstance(probe, WorkspaceUnavailable):
        return probe.answered and probe.status >= 400
    return isinstance(probe, DatabricksError)


def _unseen(request: RepairRequest, error: WorkspaceUnavailable) -> WorkspaceUnavailable:
    """Return the error of a quiet submission whose run cannot be read, with what a person can do."""
    text = (
        f"whether the repair of run {request.run_id} has begun cannot be seen: {error}; look at the run in "
        "Databricks, and cancel it if it is active; then resolve this entry and retry it"
    )
    unseen = WorkspaceUnavailable(text, status=error.status, error_code=error.error_code)
    unseen.retry_after = error.retry_after
    return unseen
