"""Bring one RUNNING entry on: cancel its run when it is due, and finish the entry once its run is over."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from orchestrator.core import decisions, missing, outcomes, redaction, run_requests
from orchestrator.core.errors import (
    DatabricksError,
    RunNotCancelled,
    RunNotFound,
    RunOfAnotherJob,
    WorkspaceUnavailable,
)
from orchestrator.core.health import second
from orchestrator.core.models import ActiveRun, Entry, Run, RunFailure, Verdict
from orchestrator.core.outcomes import RunOutcome
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.core.time_limits import (
    exceeded_limit,
    heeds_no_cancellation,
    may_ask_to_cancel,
    seconds_since_submission,
    state_worth_noting,
)
from orchestrator.ports import Clock, Runs, Store, Telemetry
from orchestrator.usecases.jobs import Jobs

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")

#: A run that was repaired may still show its old end, at first or in an answer that is out of date. That end
#: is believed once the passes have seen nothing else for so long.
_OLD_END_TAKES = timedelta(minutes=10)

#: A shorter wait in Databricks' own queue that no pass saw is not worth a write for each run.
_SHORT_WAIT_SECONDS = 1.0

#: Time limit for the texts of one run's end, or for its result. They only inform, and a pass has many runs to
#: settle in its two minutes.
_TEXT_SECONDS = 45.0

#: Outcomes of runs that did nothing, so that no task has an error or a result.
_DID_NOTHING = frozenset({RunOutcome.NO_SLOT, RunOutcome.SKIPPED})

#: A run that is over without a result: after this time the result is not expected any more.
_RESULT_TAKES = timedelta(minutes=10)

#: Time limit for the look at a run that is listed.
_SECOND_LOOK_SECONDS = 10.0

#: Begin ``last_error`` of an entry whose run is out of the app's reach.
_UNREADABLE = "its run cannot be read"
_NOT_CANCELLED = "its run cannot be cancelled"
_GOES_ON = "its run goes on although Databricks accepted a call to cancel it"

#: The same while the result of a run is awaited.
_NO_RESULT = f"{_UNREADABLE}: it is TERMINATED, and Databricks does not say how it ended"

#: Statuses below 500 that speak of the token, of the rate, or of something else that passes by itself.
_PASSING_STATUSES = frozenset({401, 408, 409, 425, 429})


@dataclass(frozen=True, kw_only=True)
class View:
    """What is known before an entry is looked at."""

    #: when the pass, or the look at a single run, began; by the database's clock
    began: datetime
    #: the active runs of the workspace by id; None = the list is not known
    active: Mapping[int, ActiveRun] | None = None
    #: ids of entries whose run is looked up although it is listed: the list may be out of date
    doubted: Set[int] = frozenset()

    def lists(self, entry: Entry) -> bool:
        """Say whether the run of an entry is listed as active."""
        return self.active is not None and entry.runid in self.active


@dataclass(frozen=True, kw_only=True)
class Settle:
    """Settles RUNNING entries, one at a time. Every method may raise :class:`StoreError`."""

    store: Store
    runs: Mapping[str, Runs]
    policy: Policy
    clock: Clock
    jobs: Jobs
    #: the app's own secrets, removed from run errors before those are stored
    secrets: Sequence[str] = field(default=(), repr=False)
    telemetry: Telemetry = NO_TELEMETRY

    async def __call__(self, entry: Entry, view: View) -> bool:
        """Look at the run of a RUNNING entry; return whether this call finished the entry.

        :raises RunNotFound: Databricks says that the run does not exist. Nothing was noted.
        :raises DatabricksError: the run could not be read.
        :raises RunNotCancelled: the run is to be cancelled and could not be.
        """
        if entry.runid is None:
            return False
        listed = None if view.active is None else view.active.get(entry.runid)
        if listed is None or run_requests.is_of_another_job(listed, run_requests.requested_job_id(entry)):
            return await self._settle_unlisted(entry, entry.runid, view)
        run = await self._end_of_listed(entry, entry.runid, view)
        if run is not None:
            return await self._finish(entry, run, await self._failure_of(entry, run))
        state = "QUEUED" if listed.queued else listed.life_cycle_state
        await self._watch(entry, view.began, state=state, waited=listed.queue_seconds)
        return False

    async def _settle_unlisted(self, entry: Entry, run_id: int, view: View) -> bool:
        """Look up the run of an entry; return whether this call finished the entry."""
        run = await self._read(entry, run_id)
        if outcomes.has_unknown_state(run):
            text = f"its state {run.life_cycle_state} says neither that it goes on nor that it is over"
            await self.note_unreadable(entry, WorkspaceUnavailable(text, status=200))
            return False
        is_over = outcomes.outcome_of(run) is not RunOutcome.ACTIVE
        if not is_over or await self._awaits_other_end(entry, run, view.began):
            # The list of active runs is out of date or omits this state: BLOCKED, WAITING_FOR_RETRY.
            await self._watch(entry, view.began, state=run.life_cycle_state, waited=run.queue_seconds)
            return False
        if outcomes.lacks_result(run) and not _is_result_overdue(entry, view.began):
            await self._note_no_result(entry)
            return False
        return await self._finish(entry, run, await self._failure_of(entry, run))

    async def _end_of_listed(self, entry: Entry, run_id: int, view: View) -> Run | None:
        """Return the run of an entry if it is over although it is listed; None = the list is believed."""
        if entry.id not in view.doubted:
            return None
        try:
            async with asyncio.timeout(_SECOND_LOOK_SECONDS):
                run = await self._read(entry, run_id)
        except (DatabricksError, TimeoutError):
            return None
        is_over = outcomes.outcome_of(run) is not RunOutcome.ACTIVE and not outcomes.lacks_result(run)
        return run if is_over and not await self._shows_old_end(entry, run) else None

    async def _read(self, entry: Entry, run_id: int) -> Run:
        """Look up the run of an entry. Raises what :meth:`Runs.get_run` and ``check_job`` raise."""
        run = await self.runs[entry.workspace].get_run(run_id)
        run_requests.check_job(run, run_requests.requested_job_id(entry))
        return run

    async def reported(self, entry: Entry) -> bool:
        """Look at the run of a RUNNING entry between two passes; return whether this call finished the entry.

        If the workspace does not answer, the next pass settles the run.
        """
        try:
            return await self(entry, View(began=await self.store.now()))
        except (DatabricksError, RunNotCancelled) as error:
            _logger.warning("entry %s: run %s is left to the next pass: %s", entry.id, entry.runid, error)
            return False

    async def note_unreadable(self, entry: Entry, error: DatabricksError) -> None:
        """Note that the run of an entry cannot be read, although the workspace answers otherwise.

        An asked-for cancellation is tried all the same, unless it would meet a run of another job.

        :raises RunNotCancelled: the run is to be cancelled and could not be.
        """
        await self._note_out_of_reach(entry, _UNREADABLE, error)
        if not isinstance(error, RunOfAnotherJob):
            await self._stop_out_of_reach(entry, await self.store.now())

    async def _note_out_of_reach(self, entry: Entry, trouble: str, error: DatabricksError) -> None:
        """Note that a run cannot be read or cancelled; what may pass by itself counts from the second time.

        :param trouble: begins the text, and tells whether the pass before noted the same.
        """
        again = entry.unreadable_since is not None or (entry.last_error or "").startswith(trouble)
        text = f"{trouble}: {error}; its table stays busy until it can, or until somebody resolves it"
        if entry.unreadable_since is None or entry.last_error != text:
            await self.store.note_trouble(entry, text, unreadable=again or _is_refusal(error))

    async def _note_no_result(self, entry: Entry) -> None:
        """Note that a run is over without a result; the wait for it counts from the second time in a row."""
        if not (entry.last_error or "").startswith(_NO_RESULT):
            await self.store.note_trouble(entry, _NO_RESULT)
        elif entry.unreadable_since is None:
            await self.store.note_trouble(entry, _NO_RESULT, unreadable=True)

    async def _watch(self, entry: Entry, now: datetime, *, state: str | None, waited: float | None) -> None:
        """Note what is new about a run that goes on, and cancel it if that is due.

        :param state: Databricks' state of it; None = not said.
        :param waited: how many seconds it was queued, as far as Databricks says so.
        :raises RunNotCancelled: it is to be cancelled and could not be.
        """
        seconds = None if state == "QUEUED" else _queue_seconds(entry, now, waited or 0.0)
        if seconds != entry.queue_seconds:
            await self.store.note_queue(entry, seconds)
            entry = replace(entry, queue_seconds=seconds)
        noted = None if state is None else state_worth_noting(entry, state, now)
        if noted != entry.run_state:
            await self.store.note_state(entry, noted)
        try:
            await self._stop_if_due(entry, now)
        except DatabricksError as error:
            await self._note_out_of_reach(entry, _NOT_CANCELLED, error)
            raise RunNotCancelled(str(error)) from error
        await self._note_well_or_unheeded(entry, now)

    async def _note_well_or_unheeded(self, entry: Entry, now: datetime) -> None:
        """Note that nothing is wrong with a run that goes on, or that it heeds no cancellation."""
        text = None
        if entry.cancel_asked_at is not None and heeds_no_cancellation(entry.cancel_asked_at, now):
            text = f"{_GOES_ON} at {second(entry.cancel_asked_at)}; its table stays busy until it ends"
        # The doubt lasts: a run that vanished with others and is back may vanish once more, then alone.
        vanished = _is_still_doubted(entry, now)
        is_news = _is_in_trouble(entry) if text is None else entry.last_error != text
        if is_news or vanished is not None:
            await self.store.note_trouble(entry, text, vanished=vanished)

    async def _stop_if_due(self, entry: Entry, now: datetime) -> None:
        """Ask Databricks to cancel a run; later passes ask again, with growing pauses, until the run is over.

        :raises DatabricksError: Databricks did not take the call.
        """
        if entry.runid is None:
            return
        if not entry.cancel_requested and entry.stop_reason is None:
            reason = exceeded_limit(entry, now, self.policy)
            # Noted first, so that the end of the run is not taken for a person's cancellation.
            if reason is None or not await self.store.note_stop(entry, reason):
                return
        if not may_ask_to_cancel(entry, now):
            return
        _logger.info("entry %s: cancelling run %s", entry.id, entry.runid)
        await self.runs[entry.workspace].cancel(entry.runid)
        await self.store.note_cancel(entry)

    async def _stop_out_of_reach(self, entry: Entry, now: datetime) -> None:
        """Ask Databricks to cancel a run whose trouble is noted already.

        :raises RunNotCancelled: Databricks did not take the call.
        """
        try:
            await self._stop_if_due(entry, now)
        except DatabricksError as error:
            raise RunNotCancelled(str(error)) from error

    async def _awaits_other_end(self, entry: Entry, run: Run, now: datetime) -> bool:
        """Say whether the end that a run shows is that before its repair, and not believed yet."""
        is_shown_for_long = (
            entry.run_state == run.life_cycle_state
            and entry.run_state_since is not None
            and now - entry.run_state_since >= _OLD_END_TAKES
        )
        return not is_shown_for_long and await self._shows_old_end(entry, run)

    async def _shows_old_end(self, entry: Entry, run: Run) -> bool:
        """Say whether a run shows an end that is logged already: it may go on, since it was repaired."""
        if entry.submission == 1:
            return False
        logs = await self.store.logs(entry.id, run_id=run.run_id)
        return any(outcomes.is_same_moment(run, log) for log in logs)

    async def finish_missing(self, entry: Entry, error: RunNotFound) -> None:
        """Finish an entry whose run is gone."""
        run = outcomes.run_that_is_gone(entry.runid or 0)
        await self._finish(entry, run, RunFailure(message=str(error)))

    async def note_missing(self, entry: Entry, judgement: missing.Judgement, now: datetime) -> None:
        """Note that the run of an entry is missing; an asked-for cancellation is tried all the same.

        :raises RunNotCancelled: the run is to be cancelled and could not be.
        """
        if judgement.note is not None:
            vanished = judgement.vanished or None
            await self.store.note_trouble(entry, judgement.note, missing=True, vanished=vanished)
        await self._stop_out_of_reach(entry, now)

    async def _failure_of(self, entry: Entry, run: Run) -> RunFailure:
        outcome = outcomes.outcome_of(run)
        if outcome in _DID_NOTHING or (outcome is RunOutcome.SUCCEEDED and not outcomes.has_failures(run)):
            return RunFailure()
        return await _in_time(self.runs[entry.workspace].failure_of(run), otherwise=RunFailure())

    async def _result_of(self, entry: Entry, run: Run) -> str | None:
        did_nothing = outcomes.is_gone(run) or outcomes.outcome_of(run) in _DID_NOTHING
        if did_nothing or not self.policy.store_results:
            return None
        return await _in_time(self.runs[entry.workspace].result_of(run), otherwise=None)

    async def _finish(self, entry: Entry, run: Run, failure: RunFailure) -> bool:
        """Write the end of an entry's run; return whether this call did."""
        secrets = (*self.secrets, *await self._secrets_of(entry))
        run, failure = outcomes.without_secrets(run, failure, secrets)
        error = outcomes.describe(run, failure)
        verdict = decisions.verdict_on_run(entry, run, error, policy=self.policy, jitter=self.clock.jitter())
        result = await self._result_of(entry, run)
        result = None if result is None else redaction.without(result, secrets)
        log = decisions.log_of_run(entry, run, failure, verdict, result=result)
        if not await self.store.finish(entry, verdict, log):
            return False
        if outcomes.outcome_of(run) is RunOutcome.NO_SLOT and run.job_id is not None:
            self.jobs.had_no_slot(entry, run.job_id, await self.store.running(entry.workspace))
        self._record(entry, run, verdict)
        return True

    async def _secrets_of(self, entry: Entry) -> list[str]:
        """Return the secrets in what was sent for an entry, and in its parameters as they are now."""
        whole = await self.store.get(entry.id)
        return run_requests.secret_values(entry if whole is None else replace(whole, request=entry.request))

    def _record(self, entry: Entry, run: Run, verdict: Verdict) -> None:
        extra = fields(
            "canceled" if verdict.to is Status.CANCELED else "finished",
            entry,
            status=verdict.to.value,
            queue_seconds=run.queue_seconds,
            setup_seconds=run.setup_seconds,
            execution_seconds=run.execution_seconds,
        )
        _logger.info("entry %s: run %s is over, now %s", entry.id, entry.runid, verdict.to, extra=extra)
        labels = {"workspace": entry.workspace, "status": verdict.to.value}
        self.telemetry.record(Metric.FINISHED, 1, **labels)
        if run.execution_seconds is not None:
            self.telemetry.record(Metric.RUN, run.execution_seconds, **labels)


def _queue_seconds(entry: Entry, now: datetime, waited: float) -> float:
    """Return how long the run of an entry was queued, now that it is not.

    It may have been queued between two passes, so that only Databricks knows. A longer time than that since
    the submission is of the run before its repair.

    :param waited: what Databricks says, 0 = nothing.
    """
    since = seconds_since_submission(entry, now)
    if entry.queue_seconds is None:
        return min(since, waited or since)
    if waited <= since and waited - entry.queue_seconds >= _SHORT_WAIT_SECONDS:
        return waited
    return entry.queue_seconds


def _is_in_trouble(entry: Entry) -> bool:
    """Say whether a pass before noted that something is wrong with the run."""
    return _was_out_of_sight(entry) or (entry.last_error or "").startswith((_NOT_CANCELLED, _GOES_ON))


def _is_still_doubted(entry: Entry, now: datetime) -> bool | None:
    """Say whether a run that can be read is doubted from now on; None = as before."""
    if entry.vanished_at is None:
        return None
    if _was_out_of_sight(entry):
        return True
    return False if missing.is_read_for_long(entry, now) else None


def _was_out_of_sight(entry: Entry) -> bool:
    """Say whether a pass before noted that the run is missing or cannot be read."""
    is_noted = (entry.last_error or "").startswith(_UNREADABLE)
    return is_noted or entry.missing_since is not None or entry.unreadable_since is not None


def _is_result_overdue(entry: Entry, now: datetime) -> bool:
    """Say whether the result of a run that is over has been awaited for long enough."""
    is_awaited = (entry.last_error or "").startswith(_NO_RESULT) and entry.unreadable_since is not None
    return is_awaited and now - (entry.unreadable_since or now) >= _RESULT_TAKES


def _is_refusal(error: DatabricksError) -> bool:
    """Say whether Databricks refused to show or to cancel a run, rather than failed to."""
    return 400 <= error.status < 500 and error.status not in _PASSING_STATUSES


async def _in_time(work: Awaitable[_T], *, otherwise: _T) -> _T:
    """Await what only informs about a run; return ``otherwise`` if it takes too long or fails."""
    try:
        async with asyncio.timeout(_TEXT_SECONDS):
            return await work
    except (DatabricksError, TimeoutError) as error:
        _logger.info("the texts of a run's end could not be read: %s", error or "not done in time")
        return otherwise
