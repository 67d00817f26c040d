"""Submit: turn one queue message into one run for one entry."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core import run_requests
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.errors import (
    InvalidEntry,
    NoCapacity,
    RequestRefused,
    RunTaken,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Claim, Entry, LogRow, RepairRequest, RunRequest, Unanswered
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.ports import Clock, Runs, Store, Telemetry
from orchestrator.usecases.planning import Follow, Planner
from orchestrator.usecases.refusals import Refusals
from orchestrator.usecases.repair import LATEST_CALL_SECONDS, repair_run
from orchestrator.usecases.strays import cancel_strays
from orchestrator.usecases.unstarted import Unstarted

_logger = logging.getLogger(__name__)


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
        began = self.clock.monotonic()
        taken = await self.store.take_up(
            claim,
            self.policy.submit_lease_seconds,
            address_of=self.planner.address_of,
            request_of=lambda waiting, elsewhere: self._request_at_once(waiting, elsewhere, began),
            serialize_tables=self.policy.serialize_tables,
        )
        if taken is None:
            _logger.info("entry %s: message of submission %s is stale", claim.entry_id, claim.submission)
            return
        entry = taken.begun
        if not taken.is_planned:
            planned = await self._plan(claim, taken.waiting, taken.elsewhere)
            if planned is None:
                return
            began = self.clock.monotonic()
            entry = await self.store.begin_submission(
                claim,
                self.policy.submit_lease_seconds,
                run_requests.freeze(planned),
                address=self.planner.address_of(taken.waiting),
                serialize_tables=self.policy.serialize_tables,
            )
        if entry is None:
            _logger.info("entry %s: must no longer be submitted", claim.entry_id)
            return
        replaced = await self._call(entry, began, may_replace=True)
        if replaced is not None:
            await self._call(replaced, began, may_replace=False)

    @property
    def _unstarted(self) -> Unstarted:
        return Unstarted(
            store=self.store, workspaces=self.planner.workspaces, policy=self.policy, clock=self.clock
        )

    @property
    def _refusals(self) -> Refusals:
        return Refusals(
            store=self.store,
            runs=self.runs,
            policy=self.policy,
            planner=self.planner,
            unstarted=self._unstarted,
        )

    def _request_at_once(self, waiting: Entry, elsewhere: Elsewhere | None, now: float) -> str | None:
        """Return the request of an entry, to be kept, if nobody has to be asked for it."""
        planned = self.planner.at_once(waiting, elsewhere, now)
        return None if planned is None else run_requests.freeze(planned)

    async def _plan(
        self, claim: Claim, waiting: Entry, elsewhere: Elsewhere | None
    ) -> RunRequest | RepairRequest | None:
        """Return the request to make, or None if there is none to make now."""
        try:
            planned = await self.planner.plan(waiting, elsewhere)
        except InvalidEntry as error:
            await self._unstarted.invalid(waiting, error)
            return None
        except WorkspaceUnavailable as error:
            await self._unstarted.postpone(waiting, error, Unanswered.NOT_MADE)
            return None
        if not isinstance(planned, Follow):
            return planned
        follower = await self.store.running_run(waiting.workspace, planned.run_id)
        if follower is not None:  # somebody has copied its row
            text = f"run {planned.run_id} is followed by entry {follower.id}, so this one waits for its end"
            await self._unstarted.postpone(waiting, WorkspaceUnavailable(text), Unanswered.NOT_MADE)
            return None
        if await self.store.record_run(claim, planned.run_id, deliveries=0):
            _logger.warning("entry %s: run %s is followed again: it was repaired", waiting.id, planned.run_id)
        return None

    async def _call(self, entry: Entry, began: float, *, may_replace: bool) -> Entry | None:
        """Make the request of an entry, and store what comes of it.

        Return the entry if it has another request now, which is to be made instead.

        :param began: when the submission was begun, by the monotonic clock.
        :param may_replace: False = the request has replaced a refused one already; once is enough.
        """
        request = run_requests.thaw(entry)  # another delivery of the message may have fixed it first
        called_at = self.clock.monotonic()
        claim = Claim(entry_id=entry.id, submission=entry.submission)
        new_in = entry.workspace if isinstance(request, RunRequest) else None
        try:
            run_id = await self._start(entry, request, began)
            seconds = self.clock.monotonic() - called_at
            is_recorded = await self.store.record_run(
                claim, run_id, new_in=new_in, address=entry.workspace_address or ""
            )
        except NoCapacity as error:
            await self._unstarted.no_capacity(entry, error)
            if isinstance(request, RunRequest):
                running = await self.store.running(entry.workspace)
                self.planner.jobs.had_no_slot(entry, request.job_id, running)
        except RequestRefused as error:
            return await self._refusals.refused(entry, request, error, may_replace=may_replace)
        except WorkspaceUnavailable as error:
            await self._refusals.unanswered(entry, request, error)
        except RunTaken as error:
            await self._refusals.unanswered(entry, request, _not_its_own(error))
        else:
            if is_recorded:
                self._recorded(entry, run_id, seconds)
            else:
                await self._came_too_late(claim, entry, request, run_id)
        return None

    async def _start(self, entry: Entry, request: RunRequest | RepairRequest, began: float) -> int:
        """Start the run and return its id. Raises what :meth:`Runs.run_now` and :func:`repair_run` raise."""
        runs = self.runs[entry.workspace]
        if isinstance(request, RunRequest):
            with self.telemetry.span("run-now", entry_id=entry.id, workspace=entry.workspace):
                return await runs.run_now(request)
        with self.telemetry.span("repair", entry_id=entry.id, workspace=entry.workspace):
            return await repair_run(
                runs,
                request,
                in_doubt=entry.in_doubt,
                is_wanted=not entry.cancel_requested,
                is_late=lambda: self.clock.monotonic() - began > LATEST_CALL_SECONDS,
            )

    def _recorded(self, entry: Entry, run_id: int, seconds: float) -> None:
        # begin_submission has just set updated_at, by the clock that also set available_at.
        queued = max(0.0, (entry.updated_at - entry.available_at).total_seconds())
        extra = fields("submitted", entry, run_id=run_id, submit_seconds=seconds, queue_seconds=queued)
        _logger.info("entry %s: submission %s is run %s", entry.id, entry.submission, run_id, extra=extra)
        self.telemetry.record(Metric.SUBMISSION, seconds, workspace=entry.workspace)
        self.telemetry.record(Metric.QUEUE, queued, workspace=entry.workspace)

    async def _came_too_late(
        self, claim: Claim, entry: Entry, request: RunRequest | RepairRequest, run_id: int
    ) -> None:
        now = await self.store.get(claim.entry_id)
        log = await self.store.last_log(claim.entry_id, until=claim.submission)
        if now is not None and _is_followed(now, log, claim, run_id):
            _logger.info(
                "entry %s: run %s is recorded, or will be found by its token", claim.entry_id, run_id
            )
            return
        # The entry moved on while the response was on its way. Nobody would ever check this run. It is kept
        # before it is cancelled, so that a later pass does that if this call fails.
        address = entry.workspace_address or ""
        job_id = request.job_id if isinstance(request, RunRequest) else None
        if not await self.store.note_stray(entry.workspace, run_id, entry.id, job_id=job_id, address=address):
            _logger.warning("entry %s: run %s came too late, and is another's", claim.entry_id, run_id)
            return
        _logger.warning("entry %s: run %s came too late and is being cancelled", claim.entry_id, run_id)
        strays = [each for each in await self.store.strays(entry.workspace) if each.run_id == run_id]
        await cancel_strays(self.store, self.runs[entry.workspace], strays)


def _not_its_own(error: RunTaken) -> WorkspaceUnavailable:
    """Return the error of an answer that names a run which cannot be this submission's."""
    _logger.warning("a run cannot be recorded: %s", error)
    return WorkspaceUnavailable(
        f"Databricks answered with run {error.run_id}, which is an earlier one, of entry {error.entry_id}: "
        "one run cannot be that of two submissions, so whether this one has a run is not known"
    )


def _is_followed(entry: Entry, log: LogRow | None, claim: Claim, run_id: int) -> bool:
    """Say whether another delivery recorded a run that this claim did not, or will still find it.

    An open submission keeps its token, so whoever repeats it finds the run. A canceled entry is never
    repeated. Log rows of other submissions say nothing: a run that is repaired has one of its earlier end.

    :param log: the last one up to the claim's submission.
    """
    settled = log if log is not None and log.submission == claim.submission else None
    if settled is not None and settled.runid == run_id:
        return True
    if entry.status is Status.RUNNING and entry.runid == run_id:
        return True
    is_open = entry.submission == claim.submission and entry.runid is None and settled is None
    return is_open and entry.status is not Status.CANCELED
