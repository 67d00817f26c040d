"""Submit: turn one queue message into one run for one entry."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core import decisions, run_requests
from orchestrator.core.errors import (
    DatabricksError,
    InvalidEntry,
    NoCapacity,
    RequestRefused,
    TokenRunDeleted,
    WorkspaceUnavailable,
)
from orchestrator.core.models import (
    IN_DOUBT,
    Claim,
    Entry,
    LogRow,
    RepairRequest,
    RunRequest,
    Unanswered,
    Verdict,
)
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.ports import Clock, Runs, Store, Telemetry
from orchestrator.usecases.planning import Follow, Planner
from orchestrator.usecases.repair import repair_run

_logger = logging.getLogger(__name__)

#: Time limit of the call that checks whether a workspace answers at all after a call without an answer.
_PROBE_SECONDS = 10.0

#: Waits after refusals of a repair, three minutes and a half in all, before a new run is started instead.
_REPAIR_PATIENCE = 3

#: Waits after refusals of a request whose style was assumed, since the job cannot be read: some ten minutes.
_GUESS_PATIENCE = 5


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Submits claimed entries.

    An unavailable workspace never fails an entry: the entry stays QUEUED and its message is sent again.
    Errors of the store are raised, so that the queue delivers the message again.
    """

    store: Store
    runs: Mapping[str, Runs]
    policy: Policy
    clock: Clock
    planner: Planner
    telemetry: Telemetry = NO_TELEMETRY

    async def __call__(self, claim: Claim) -> None:
        """Submit the entry of a claim, unless the claim is stale.

        :raises StoreError: the outcome could not be stored; it is safe to call this again.
        """
        waiting = await self.store.get(claim.entry_id)
        if waiting is None or waiting.status is not Status.QUEUED or waiting.submission != claim.submission:
            _logger.info("entry %s: message of submission %s is stale", claim.entry_id, claim.submission)
            return
        planned = await self._plan(claim, waiting)
        if planned is None:
            return
        request = run_requests.freeze(planned)
        entry = await self.store.begin_submission(claim, self.policy.submit_lease_seconds, request)
        if entry is None:
            _logger.info("entry %s: must no longer be submitted", claim.entry_id)
            return
        # Another delivery of this message may have fixed the request first.
        await self._call(claim, entry, run_requests.thaw(entry))

    async def _plan(self, claim: Claim, waiting: Entry) -> RunRequest | RepairRequest | None:
        """Return the request to make, or None if there is none to make now."""
        try:
            planned = await self.planner.plan(waiting)
        except InvalidEntry as error:
            await self._refuse_invalid(waiting, error)
            return None
        except WorkspaceUnavailable as error:
            await self._postpone(claim, waiting, error, Unanswered.NOT_MADE)
            return None
        if not isinstance(planned, Follow):
            return planned
        if await self.store.record_run(claim, planned.run_id, deliveries=0):
            _logger.warning("entry %s: run %s is followed again: it was repaired", waiting.id, planned.run_id)
        return None

    async def _refuse_invalid(self, entry: Entry, error: InvalidEntry) -> None:
        if entry.deliveries > 0:
            # run-now was called before the entry (or the settings) became invalid: there may be a run.
            await self._leave_open(entry, str(error), permanent=True)
            return
        verdict = Verdict(to=Status.DEAD, error=str(error))
        await self._settle_refusal(entry, verdict)

    async def _call(self, claim: Claim, entry: Entry, request: RunRequest | RepairRequest) -> None:
        began = self.clock.monotonic()
        try:
            run_id = await self._start(entry, request)
        except NoCapacity as error:
            await self._no_capacity(claim, entry, error)
        except RequestRefused as error:
            await self._refused(claim, entry, request, error)
        except WorkspaceUnavailable as error:
            await self._postpone(claim, entry, error, await self._why_unanswered(entry, request, error))
        else:
            seconds = self.clock.monotonic() - began
            if await self.store.record_run(claim, run_id):
                self._record_submitted(entry, run_id, seconds)
            else:
                await self._came_too_late(claim, entry, run_id)

    async def _start(self, entry: Entry, request: RunRequest | RepairRequest) -> int:
        """Start the run and return its id. Raises what :meth:`Runs.run_now` and :func:`repair_run` raise."""
        runs = self.runs[entry.workspace]
        if isinstance(request, RepairRequest):
            with self.telemetry.span("repair", entry_id=entry.id, workspace=entry.workspace):
                return await repair_run(runs, request, in_doubt=_in_doubt(entry))
        with self.telemetry.span("run-now", entry_id=entry.id, workspace=entry.workspace):
            return await runs.run_now(request)

    async def _why_unanswered(
        self, entry: Entry, request: RunRequest | RepairRequest, error: WorkspaceUnavailable
    ) -> Unanswered:
        if not error.in_doubt:
            return Unanswered.NO_EFFECT
        runs = self.runs[entry.workspace]
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                if isinstance(request, RepairRequest):
                    await runs.get_run(request.run_id)
                else:
                    await runs.get_job(request.job_id)
        except (WorkspaceUnavailable, TimeoutError):
            return Unanswered.OUTAGE
        except DatabricksError:
            _logger.debug("entry %s: the workspace answers with a refusal, too", entry.id)
        # Until others are accepted, what fails may concern every call.
        are_accepted = await self.store.calls_accepted(
            entry.workspace, within_seconds=decisions.ACCEPTED_WITHIN_SECONDS
        )
        return Unanswered.ENTRY if are_accepted else Unanswered.OUTAGE

    async def _postpone(
        self, claim: Claim, entry: Entry, error: WorkspaceUnavailable, unanswered: Unanswered
    ) -> None:
        seconds = decisions.postponement_seconds(entry.postponements + 1, self.policy)
        seconds = max(seconds, error.retry_after or 0.0)
        extra = fields("postponed", entry, delay_seconds=seconds)
        _logger.warning("entry %s: %s; its message is sent again", claim.entry_id, error, extra=extra)
        await self.store.postpone(claim, seconds=seconds, reason=str(error), unanswered=unanswered)

    async def _leave_open(self, entry: Entry, reason: str, *, permanent: bool) -> None:
        text = (
            f"{reason} (an earlier call had no answer; a retry first looks for its run; resolve the entry to "
            "let go of it)"
        )
        verdict = self._verdict(entry, text, permanent=permanent)
        if await self.store.leave_open(entry, verdict):
            extra = fields("refused", entry, status=verdict.to.value)
            _logger.error("entry %s: now %s: %s", entry.id, verdict.to, text, extra=extra)

    async def _no_capacity(self, claim: Claim, entry: Entry, error: NoCapacity) -> None:
        if _in_doubt(entry):
            await self._postpone(claim, entry, _as_unavailable(error), Unanswered.NO_EFFECT)
            return
        verdict = decisions.verdict_without_slot(entry, str(error), jitter=self.clock.jitter())
        if await self.store.release(entry, verdict):
            extra = fields("postponed", entry, delay_seconds=verdict.delay_seconds)
            _logger.info("entry %s: no capacity, PENDING again", entry.id, extra=extra)

    async def _refused(
        self, claim: Claim, entry: Entry, request: RunRequest | RepairRequest, error: RequestRefused
    ) -> None:
        was_replaced = request != run_requests.thaw(entry)  # once is enough
        if was_replaced or isinstance(error, TokenRunDeleted) or entry.cancel_requested:
            await self._refuse(entry, error)
        elif isinstance(request, RepairRequest):
            await self._repair_refused(claim, entry, error)
        else:
            await self._run_refused(claim, entry, request, error)

    async def _repair_refused(self, claim: Claim, entry: Entry, error: RequestRefused) -> None:
        """Wait and look at the run again; start a new one when that has not helped for some time.

        The refusal may mean that the run is active, since somebody has just repaired it, and what Databricks
        says of the run may be older.
        """
        if _in_doubt(entry):
            await self._refuse(entry, error)
        elif entry.postponements < _REPAIR_PATIENCE:
            await self._postpone(claim, entry, _as_unavailable(error), Unanswered.NO_EFFECT)
        else:
            await self._run_instead(claim, entry, error)

    async def _run_refused(
        self, claim: Claim, entry: Entry, request: RunRequest, error: RequestRefused
    ) -> None:
        """Make the request that the job takes now, if that is another one; the token stays the same."""
        try:
            is_outdated = await self.planner.is_outdated(entry, request)
        except WorkspaceUnavailable as unreadable:
            if entry.postponements >= _GUESS_PATIENCE or error.status < 300:  # accepted without a run
                await self._refuse(entry, error)
                return
            text = f"{error}; the parameters' style was assumed, since the job cannot be read: {unreadable}"
            await self._postpone(claim, entry, WorkspaceUnavailable(text), Unanswered.NO_EFFECT)
            return
        if is_outdated:
            await self._run_instead(claim, entry, error)
        else:
            await self._refuse(entry, error)

    async def _run_instead(self, claim: Claim, entry: Entry, error: RequestRefused) -> None:
        """Make another request, since the first was refused and has started nothing."""
        _logger.warning("entry %s: %s; a new run is started instead", entry.id, error)
        try:
            request = await self.planner.new_run(entry)
        except InvalidEntry as invalid:
            final = RequestRefused(
                str(invalid), status=error.status, error_code=error.error_code, permanent=True
            )
            await self._refuse(entry, final)
        except WorkspaceUnavailable as unavailable:
            await self._postpone(claim, entry, unavailable, Unanswered.NO_EFFECT)
        else:
            if await self.store.replace_request(entry, run_requests.freeze(request)):
                await self._call(claim, entry, request)

    async def _refuse(self, entry: Entry, error: RequestRefused) -> None:
        if isinstance(error, TokenRunDeleted):
            # The submission had a run, and it is gone: that is its end, however many calls are in doubt.
            await self._settle_refusal(entry, self._verdict(entry, str(error), permanent=False))
        elif _in_doubt(entry):
            await self._leave_open(entry, str(error), permanent=error.permanent)
        elif entry.cancel_requested:
            await self._settle_refusal(entry, Verdict(to=Status.CANCELED, error=str(error)))
        else:
            await self._settle_refusal(entry, self._verdict(entry, str(error), permanent=error.permanent))

    def _verdict(self, entry: Entry, error: str, *, permanent: bool) -> Verdict:
        return decisions.verdict_on_failure(
            entry,
            entry.attempt + 1,
            error,
            permanent=permanent,
            policy=self.policy,
            jitter=self.clock.jitter(),
        )

    async def _settle_refusal(self, entry: Entry, verdict: Verdict) -> None:
        if await self.store.refuse(entry, verdict, decisions.log_of_refusal(entry, verdict)):
            extra = fields(
                "canceled" if verdict.to is Status.CANCELED else "refused", entry, status=verdict.to.value
            )
            _logger.warning("entry %s: refused, now %s: %s", entry.id, verdict.to, verdict.error, extra=extra)

    async def _came_too_late(self, claim: Claim, entry: Entry, run_id: int) -> None:
        now, logs = await self.store.get(claim.entry_id), await self.store.logs(claim.entry_id)
        if now is not None and _is_followed(now, logs, claim, run_id):
            _logger.info(
                "entry %s: run %s is recorded, or will be found by its token", claim.entry_id, run_id
            )
            return
        # The entry moved on while the response was on its way. Nobody would ever check this run.
        _logger.warning("entry %s: run %s came too late and is being cancelled", claim.entry_id, run_id)
        try:
            await self.runs[entry.workspace].cancel(run_id)
        except WorkspaceUnavailable:
            _logger.exception(
                "run %s belongs to no entry and could not be cancelled: cancel it by hand", run_id
            )

    def _record_submitted(self, entry: Entry, run_id: int, seconds: float) -> None:
        # begin_submission has just set updated_at, by the clock that also set available_at.
        queued = max(0.0, (entry.updated_at - entry.available_at).total_seconds())
        extra = fields("submitted", entry, run_id=run_id, submit_seconds=seconds, queue_seconds=queued)
        _logger.info("entry %s: submission %s is run %s", entry.id, entry.submission, run_id, extra=extra)
        self.telemetry.record(Metric.SUBMISSION, seconds, workspace=entry.workspace)
        self.telemetry.record(Metric.QUEUE, queued, workspace=entry.workspace)


def _is_followed(entry: Entry, logs: Sequence[LogRow], claim: Claim, run_id: int) -> bool:
    """Say whether another delivery recorded a run that this claim did not, or will still find it.

    An open submission keeps its token, so whoever repeats it finds the run. A canceled entry is never
    repeated. Log rows of other submissions say nothing: a run that is repaired has one of its earlier end.
    """
    settled = [log for log in logs if log.submission == claim.submission]
    if run_id in {log.runid for log in settled} or (entry.status is Status.RUNNING and entry.runid == run_id):
        return True
    is_open = entry.submission == claim.submission and entry.runid is None and not settled
    return is_open and entry.status is not Status.CANCELED


def _as_unavailable(error: DatabricksError) -> WorkspaceUnavailable:
    return WorkspaceUnavailable(str(error), status=error.status, error_code=error.error_code)


def _in_doubt(entry: Entry) -> bool:
    """Say whether an earlier call of this submission may have started a run.

    Databricks does not document whether it looks up the token before it refuses a call. A refusal now is
    therefore no proof that there is no run, and the submission keeps its number and its token.
    """
    return entry.deliveries >= IN_DOUBT
