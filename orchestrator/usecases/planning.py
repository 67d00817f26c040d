"""Decide what to ask Databricks for at the first call of a submission: a new run, a repair, or nothing.

What is decided here is stored before the call is made, and a repeated call is the same.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from orchestrator.core import decisions, doubts, health, run_requests, templates
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.doubts import Doubt
from orchestrator.core.errors import (
    DatabricksError,
    InvalidEntry,
    JobContinuous,
    JobUnclear,
    RequestRefused,
    RunNotFound,
    RunOfAnotherJob,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Entry, Job, JobKey, LogRow, RepairRequest, Run, RunRequest, StopReason
from orchestrator.core.outcomes import (
    RunOutcome,
    had_succeeded,
    has_ended_anew,
    has_failures,
    outcome_of,
    was_repaired_since,
)
from orchestrator.core.policy import RETRY_MODES, Policy, RetryMode, WorkspacePolicy
from orchestrator.core.states import Status
from orchestrator.core.times import iso_utc
from orchestrator.core.waiting import unknown_workspace
from orchestrator.ports import Runs, Store
from orchestrator.usecases.jobs import Jobs, continuous_reason
from orchestrator.usecases.listing import known_active_runs
from orchestrator.usecases.strays import stray_that_goes_on

_logger = logging.getLogger(__name__)

#: Waits for a job that cannot be read, after which ``auto`` means ``notebook_params``, as for a job that
#: declares no parameters: an endpoint that fails for good must not keep an entry from its run.
_PATIENCE = 1

#: Waits for a job's name to stand for one job, three minutes and a half in all; nearly eight where the
#: workspace has accepted no call lately, so that all its answers may be wrong.
_NAME_PATIENCE = 3
_LONG_NAME_PATIENCE = 4

#: Waits for a last run that cannot be read, or that is missing and cannot be cancelled, some thirteen minutes
#: in all: refusals come in bursts during maintenance, and each may hide a live run.
_LAST_RUN_PATIENCE = 5

#: Earlier runs of an entry that are looked at before a new one begins, the newest first.
_EARLIER_RUNS = 5

#: Time limit of the list that is asked for such a run, within the lease of the submission.
_LIST_SECONDS = 60.0

#: The ends of a run after which its failed tasks can be run again. A run without a slot has no such tasks.
_REPAIRABLE = frozenset({RunOutcome.FAILED, RunOutcome.PLATFORM, RunOutcome.CANCELED, RunOutcome.SUCCEEDED})


@dataclass(frozen=True, kw_only=True)
class Follow:
    """No call is needed: the entry's last run is active again, or has succeeded since it was settled."""

    run_id: int


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Decides how entries are submitted."""

    store: Store
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    policy: Policy
    jobs: Jobs

    def address_of(self, entry: Entry) -> str:
        """Return the address of an entry's workspace; '' = the settings do not know the workspace."""
        workspace = self.workspaces.get(entry.workspace)
        return workspace.address if workspace else ""

    async def plan(self, entry: Entry, elsewhere: Elsewhere | None) -> RunRequest | RepairRequest | Follow:
        """Return what to do for the current submission of an entry.

        A repeated call is the same as the first. As long as no call can have had an effect, the last run is
        looked at before each: somebody may repair it while the call is put off.

        :param elsewhere: what the workspace has open at another address.
        :raises InvalidEntry: the entry cannot be submitted as it stands.
        :raises WorkspaceUnavailable: what has to be known could not be read; nothing was started.
        """
        if entry.workspace not in self.workspaces:
            raise WorkspaceUnavailable(unknown_workspace(self.workspaces))
        entry = await self._brought_here(entry, elsewhere)
        if entry.request and entry.deliveries > 0:
            return run_requests.thaw(entry)
        if entry.retry_mode not in {None, *RETRY_MODES}:
            raise InvalidEntry(f"must be {' or '.join(RETRY_MODES)}", column="retry_mode")
        if entry.deliveries == 0 and entry.submission > 1:
            await self._await_strays(entry)
        last_run = await self._last_run(entry) if entry.deliveries == 0 else None
        if isinstance(last_run, Follow):
            return last_run
        if entry.request:
            return run_requests.thaw(entry)
        request = await self.new_run(entry)
        return request if last_run is None else _repair_of(last_run, request)

    def at_once(self, entry: Entry, elsewhere: Elsewhere | None, now: float) -> RunRequest | None:
        """Return what :meth:`plan` would, if it would ask neither Databricks nor the store; None = it would.

        Most entries are so: their first call, for a job that is kept. May be called from any thread.

        :param now: on the clock.
        """
        is_first = entry.submission <= 1 and entry.deliveries == 0 and entry.last_runid is None
        if not is_first or entry.request or elsewhere is not None or entry.workspace not in self.workspaces:
            return None
        if entry.retry_mode not in {None, *RETRY_MODES} or not entry.is_at(self.address_of(entry)):
            return None
        try:
            job = self.jobs.kept(entry.workspace, self._key(entry), now)
            if job is None or job.continuous:
                return None
            request = run_requests.run_request(entry, job)
        except InvalidEntry:
            return None
        has_templates = entry.parameters is not None and templates.names_in(request.parameters)
        return None if has_templates else request

    async def new_run(self, entry: Entry) -> RunRequest:
        """Return the request for a new run. Raises what :meth:`plan` raises."""
        request = run_requests.run_request(entry, await self._job(entry))
        if entry.parameters is None:  # a table's name is no template
            return request
        return replace(request, parameters=await self._filled(entry, request.parameters))

    async def is_outdated(self, entry: Entry, request: RunRequest) -> bool:
        """Say whether a request would be another one by now.

        The job's name stands for another job since it was deployed anew, or the job takes its parameters in
        another style than was known or assumed.

        :raises WorkspaceUnavailable: the style was assumed, and the job still cannot be read; or its
            name is unclear, perhaps for a moment only.
        """
        self.jobs.forget(entry.workspace, request.job_id)
        try:
            job = await self.jobs.resolve(entry.workspace, self._key(entry))
            newer = run_requests.run_request(entry, job)
        except JobUnclear as error:
            await self._doubt(entry, error)
            return False
        except (InvalidEntry, RequestRefused):
            return False
        except WorkspaceUnavailable:
            if request.is_guess:
                raise
            return False
        return (newer.job_id, newer.parameter_style) != (request.job_id, request.parameter_style)

    async def _brought_here(self, entry: Entry, elsewhere: Elsewhere | None) -> Entry:
        """Return the entry, without the runs that it has had at another address; only that one knows them.

        :raises WorkspaceUnavailable: something is open at another address, and this is no repeated call.
        """
        here = self.address_of(entry)
        is_repeated = entry.deliveries > 0 and entry.workspace_address == here
        if elsewhere is not None and not is_repeated:
            raise WorkspaceUnavailable(health.elsewhere(elsewhere))
        if entry.is_at(here):
            return entry
        run_id = entry.last_runid or await self._let_go_run(entry)
        if run_id is not None and not _was_seen_over(await self._settled(entry, run_id)):
            raise WorkspaceUnavailable(health.last_run_elsewhere(entry, run_id, here))
        await self.store.leave_address(entry, here)
        return replace(
            entry, workspace_address=here, address_submission=entry.submission, last_runid=None, request=None
        )

    async def _let_go_run(self, entry: Entry) -> int | None:
        """Return the last run, where the workspace is, of an entry that has let go of it; None = none."""
        return await self.store.last_logged_run(entry.id, since=entry.address_submission or 0)

    async def _settled(self, entry: Entry, run_id: int) -> list[LogRow]:
        """Return the log rows of a run where the workspace is; elsewhere another run may have its id."""
        return entry.made_here(await self.store.logs(entry.id, run_id=run_id))

    async def _await_strays(self, entry: Entry) -> None:
        """Return once no run goes on that came when the entry had gone on without it.

        :raises WorkspaceUnavailable: one goes on, or cannot be read.
        """
        strays = [each for each in await self.store.strays(entry.workspace) if each.entry_id == entry.id]
        stray = await stray_that_goes_on(self.store, self.runs[entry.workspace], strays)
        if stray is not None:
            raise WorkspaceUnavailable(
                f"run {stray.run_id}, which an earlier call of this entry began, is still active, and no "
                "other begins beside it: it is being cancelled"
            )

    async def _last_run(self, entry: Entry) -> Run | Follow | None:
        """Look at the last run once more before a new one begins.

        Return it if it is to be repaired; None = a new run may begin.
        """
        if entry.last_runid is None and entry.submission <= 1:
            return None
        logs = entry.made_here(await self.store.logs(entry.id))
        # A resolution lets go of the last run, but no second one may be active beside it.
        let_go = None if entry.last_runid else await self._let_go_run(entry)
        run_id = entry.last_runid or let_go
        if run_id is None:
            return None
        settled = await self._settled(entry, run_id)
        run = await self._looked_at(
            entry, run_id, was_let_go=let_go is not None, was_seen_over=_was_seen_over(settled)
        )
        if isinstance(run, Follow):
            return run
        if let_go is None:
            repaired = await self._repaired(entry, run, logs)
            if repaired is not None:
                return repaired
        elif run is not None and outcome_of(run) is RunOutcome.ACTIVE:
            await self._await_end(entry, run_id)
        mode = entry.retry_mode or self.policy.retry_mode
        starts_anew = entry.stop_reason == StopReason.RESTART
        if run is None or mode != RetryMode.REPAIR or starts_anew or _was_given_up(logs):
            return None
        return run if _can_be_repaired(run, outcome_of(run)) else None

    async def _repaired(self, entry: Entry, last: Run | None, logs: Sequence[LogRow]) -> Follow | None:
        """Return the run that somebody has repaired, the last one first; a restart wants no earlier one."""
        if last is not None:
            settled = [log for log in logs if log.runid == last.run_id]
            if outcome_of(last) is RunOutcome.ACTIVE or _has_unseen_end(entry, last, settled):
                return Follow(run_id=last.run_id)
        return None if entry.stop_reason == StopReason.RESTART else await self._earlier_run(entry, logs)

    async def _earlier_run(self, entry: Entry, logs: Sequence[LogRow]) -> Follow | None:
        """Return an earlier run that somebody has repaired: it is active, or has succeeded since.

        :raises RunOfAnotherJob: one is shown as active, and as one of another job than the entry names.
        """
        others = (log.runid for log in reversed(logs) if log.runid != entry.last_runid)
        for run_id in list(dict.fromkeys(filter(None, others)))[:_EARLIER_RUNS]:
            try:
                run = await self.runs[entry.workspace].get_run(run_id)
            except DatabricksError as error:
                _logger.info("entry %s: its earlier run %s cannot be read: %s", entry.id, run_id, error)
                continue
            settled = [log for log in logs if log.runid == run_id]
            outcome = outcome_of(run)
            has_succeeded = outcome is RunOutcome.SUCCEEDED and _has_unseen_end(entry, run, settled)
            if outcome is RunOutcome.ACTIVE:
                self._check_job(entry, run)
            if outcome is RunOutcome.ACTIVE or (has_succeeded and not self._is_of_another_job(entry, run)):
                return Follow(run_id=run_id)
        return None

    async def _looked_at(
        self, entry: Entry, run_id: int, *, was_let_go: bool, was_seen_over: bool
    ) -> Run | Follow | None:
        """Return the last run, or what to do if it does not exist or cannot be read; None = it is over."""
        try:
            run = await self.runs[entry.workspace].get_run(run_id, with_history=True)
            self._check_job(entry, run)
        except RunOfAnotherJob:
            # Nor is one followed or repaired if the entry names another job than its last run had.
            if await self._is_believed_over(entry, run, was_seen_over=was_seen_over):
                return None
            raise
        except RunNotFound:
            await self._cancel_missing(entry, run_id)
            return None
        except WorkspaceUnavailable as error:
            if Doubt.LAST_RUN_GOES_ON in doubts.read(entry.doubts):
                raise WorkspaceUnavailable(f"{_let_go(run_id)} was active, and now: {error}") from error
            if not was_let_go and not was_seen_over:
                raise
            return await self._unreadable(entry, run_id, error, was_seen_over=was_seen_over)
        if Doubt.LAST_RUN in doubts.read(entry.doubts):
            await self.store.forget(entry, Doubt.LAST_RUN)
        return run

    async def _is_believed_over(self, entry: Entry, run: Run, *, was_seen_over: bool) -> bool:
        """Say whether a run that is shown as one of another job is over; a mixed-up answer does not last."""
        if outcome_of(run) is RunOutcome.ACTIVE:
            return False
        return was_seen_over or (await self.store.hear(entry, Doubt.LAST_RUN)).is_believed(_LAST_RUN_PATIENCE)

    def _check_job(self, entry: Entry, run: Run) -> None:
        """Return if a run may be of the job that an entry names. :raises RunOfAnotherJob: it is not."""
        run_requests.check_job(run, self._named_job(entry))

    def _is_of_another_job(self, entry: Entry, run: Run) -> bool:
        return run_requests.is_of_another_job(run, self._named_job(entry))

    async def _unreadable(
        self, entry: Entry, run_id: int, error: WorkspaceUnavailable, *, was_seen_over: bool
    ) -> Follow | None:
        """Decide about a last run that cannot be read: None = a new one may begin.

        Whatever the answer, it may hide a live run. So it has to be repeated, and then the list of active
        runs is asked. A run that was seen to be over is not waited for any longer if there is no list either.

        :raises WorkspaceUnavailable: the run may be active.
        """
        heard = await self.store.hear(entry, Doubt.LAST_RUN)
        if not heard.is_believed(_LAST_RUN_PATIENCE):
            raise error
        active, list_error = await known_active_runs(self.runs[entry.workspace], seconds=_LIST_SECONDS)
        if run_id in {run.run_id for run in active}:
            if entry.last_runid is None:
                await self._await_end(entry, run_id)
            return Follow(run_id=run_id)
        if list_error is not None and not was_seen_over:
            raise error
        _logger.warning("entry %s: run %s cannot be read, and is not listed: %s", entry.id, run_id, error)
        return None

    async def _await_end(self, entry: Entry, run_id: int) -> NoReturn:
        """Let an entry wait for the end of a run that was let go, and cancel that run for a restart.

        :raises WorkspaceUnavailable: always.
        """
        await self.store.hear(entry, Doubt.LAST_RUN_GOES_ON)
        await self.store.forget(entry, Doubt.LAST_RUN)
        advice = "wait, cancel it in Databricks, or cancel this entry and retry it with --restart"
        if entry.stop_reason == StopReason.RESTART:
            try:
                await self.runs[entry.workspace].cancel(run_id)
                advice = "it is being cancelled"
            except DatabricksError as error:
                advice = f"it cannot be cancelled: {error}"
        raise WorkspaceUnavailable(
            f"{_let_go(run_id)} is still active, and no other begins beside it: {advice}"
        )

    async def _cancel_missing(self, entry: Entry, run_id: int) -> None:
        """Cancel a run that is said not to exist: that may be wrong, and two runs must not be active.

        :raises WorkspaceUnavailable: it cannot be cancelled, which is not believed yet.
        """
        try:
            await self.runs[entry.workspace].cancel(run_id)
        except WorkspaceUnavailable as error:
            heard = await self.store.hear(entry, Doubt.LAST_RUN)
            if not heard.is_believed(_LAST_RUN_PATIENCE):
                raise
            _logger.warning("entry %s: missing run %s cannot be cancelled: %s", entry.id, run_id, error)

    async def _job(self, entry: Entry) -> Job:
        """Return the job of an entry. :raises InvalidEntry: it cannot take runs from outside."""
        key = self._key(entry)
        job = await self._looked_up(entry, key)
        if job.continuous:
            job = await self._anew(entry, key)
        if job.continuous:
            raise JobContinuous(continuous_reason(job))
        return job

    async def _anew(self, entry: Entry, key: JobKey) -> Job:
        """Return a job as it is now: no entry ends for what was so some minutes ago.

        :raises WorkspaceUnavailable: it cannot be read, or is no longer there, which the next look settles.
        """
        try:
            return await self.jobs.resolve_anew(entry.workspace, key)
        except (JobUnclear, RequestRefused) as error:
            raise WorkspaceUnavailable(str(error)) from None

    def _key(self, entry: Entry) -> JobKey:
        return run_requests.job_key(entry.job_key, self.workspaces[entry.workspace])

    def _named_job(self, entry: Entry) -> int | None:
        """Return the job whose id an entry, or its workspace, names; None = none, or it is named wrongly."""
        try:
            return self._key(entry).job_id
        except InvalidEntry:
            return None

    async def _looked_up(self, entry: Entry, key: JobKey) -> Job:
        """Return what Databricks says of a job, or what is assumed of one that cannot be read."""
        try:
            return await self.jobs.resolve(entry.workspace, key)
        except JobUnclear as error:
            await self._doubt(entry, error)
            return await self.jobs.resolve_anew(entry.workspace, key)
        except (RequestRefused, WorkspaceUnavailable) as error:
            if key.job_id is None:
                raise
            # After a refusal run-now says the same, or the job may be run and not be read.
            is_refused = isinstance(error, RequestRefused) or error.answered
            needed = entry.parameter_style == run_requests.AUTO and not is_refused
            if needed and (await self.store.hear(entry, Doubt.JOB)).times <= _PATIENCE:
                raise
            _logger.info("entry %s: job %s cannot be read: %s", entry.id, key.job_id, error)
            return _assumed(key.job_id)

    async def _doubt(self, entry: Entry, error: JobUnclear) -> None:
        """Return if it is believed that a job's name stands for no one job.

        :raises WorkspaceUnavailable: it may be so for a moment only.
        """
        if not await self._is_believed(entry):
            text = f"{error} (believed once the same is said again in later passes)"
            raise WorkspaceUnavailable(text) from None

    async def _is_believed(self, entry: Entry) -> bool:
        heard = await self.store.hear(entry, Doubt.NAME)
        others_are_accepted = await self.store.calls_accepted(
            entry.workspace,
            within_seconds=decisions.ACCEPTED_WITHIN_SECONDS,
            address=self.workspaces[entry.workspace].address,
        )
        return heard.is_believed(_NAME_PATIENCE if others_are_accepted else _LONG_NAME_PATIENCE)

    async def _filled(self, entry: Entry, values: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        wanted = templates.names_in(values)
        if not wanted:
            return values
        last_success = await self._last_success(entry) if templates.LAST_SUCCESS in wanted else ""
        facts = {
            "entry_id": str(entry.id),
            "attempt": str(entry.attempt + 1),
            "table_name": entry.table_name,
            "created_at": iso_utc(entry.created_at, "milliseconds"),
            templates.LAST_SUCCESS: last_success,
        }
        return run_requests.within_limit(templates.fill(values, facts))

    async def _last_success(self, entry: Entry) -> str:
        started_at = await self.store.last_success(entry.workspace, entry.table_name)
        return "" if started_at is None else iso_utc(started_at, "milliseconds")


def _let_go(run_id: int) -> str:
    """Return how the reason to wait for a run begins that an operator's resolution has let go."""
    return f"run {run_id}, which a resolution has let go,"


def _was_seen_over(settled: list[LogRow]) -> bool:
    """Say whether Databricks itself once said that a run is over: one that was only missing may be active."""
    return any(log.life_cycle_state not in {None, "NOT_FOUND"} for log in settled)


def _has_unseen_end(entry: Entry, run: Run, settled: list[LogRow]) -> bool:
    """Say whether a person's repair of a run that is over has to be recorded before the entry goes on.

    A success ends the entry, unless the run had succeeded before: then an operator wants another run. Another
    end only needs its log row, and an operator's retry, which begins with no attempts, does not wait for it.

    :param settled: the log rows of the run.
    """
    if outcome_of(run) is RunOutcome.SUCCEEDED:
        return has_ended_anew(run, settled) and not had_succeeded(settled[-1])
    return entry.attempt > 0 and was_repaired_since(run, settled)


def _was_given_up(logs: Sequence[LogRow]) -> bool:
    """Say whether the submission after the last run was refused, as a repair that is given up is.

    A refusal that ended the entry says nothing: an operator has run it again since.
    """
    return bool(logs) and logs[-1].runid is None and logs[-1].status is Status.FAILED


def _repair_of(run: Run, request: RunRequest) -> RepairRequest:
    """Return the request that repairs a run with the parameters of what would be a new one."""
    return RepairRequest(
        run_id=run.run_id,
        latest_repair_id=run.latest_repair_id,
        ended_at=run.finished_at,
        parameter_style=request.parameter_style,
        parameters=request.parameters,
    )


def _can_be_repaired(run: Run, outcome: RunOutcome) -> bool:
    """Say whether a run has tasks that failed and can be run again."""
    return outcome in _REPAIRABLE and (outcome is not RunOutcome.SUCCEEDED or has_failures(run))


def _assumed(job_id: int) -> Job:
    return Job(job_id=job_id, name="", max_concurrent_runs=1, queue_enabled=False, is_assumed=True)
