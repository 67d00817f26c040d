"""The monitor: check all runs together and finish every entry whose run is over."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.core import decisions, run_requests
from orchestrator.core.errors import DatabricksError, OrchestratorError, RunNotFound
from orchestrator.core.models import Entry, Run, RunFailure, Verdict
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.redaction import one_line
from orchestrator.core.states import Status
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.ports import Clock, Queue, Runs, Store, Telemetry
from orchestrator.usecases.dispatch import dispatch
from orchestrator.usecases.tasks import gather_all

_logger = logging.getLogger(__name__)

#: Runs fetched at the same time, far below the 100 ``runs/get`` per second that Databricks allows.
_CONCURRENCY = 10

#: Time limit of a pass; the next pass continues. The functions' time-out is 300 s, and the trigger still has
#: to claim entries after its monitor pass.
_PASS_SECONDS = 120.0

#: Failed calls without a single success after which a pass leaves a workspace alone: the workspace is down,
#: and each further call would wait for its time-out. Single runs that cannot be read never block the others.
_MAX_FAILURES = _CONCURRENCY

#: A run that was accepted this recently shows that the workspace takes submissions: twice the longest wait
#: before a call is repeated.
_ACCEPTED_WITHIN_SECONDS = 2 * decisions.MAX_POSTPONE_SECONDS

#: Entries cancelled or recovered in one pass; the rest waits for the next pass.
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One monitor pass over all entries in flight."""

    store: Store
    queue: Queue
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    policy: Policy
    clock: Clock
    #: the app's own secrets, removed from run errors before those are stored
    secrets: Sequence[str] = field(default=(), repr=False)
    telemetry: Telemetry = NO_TELEMETRY

    async def __call__(self) -> list[str]:
        """Make a pass and return its problems, one line each.

        A workspace that does not answer is left to the next pass and does not block the others.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        canceled = await self.store.cancel_waiting(_BATCH)
        if canceled:
            _logger.info("%s waiting entries canceled", canceled, extra=fields("canceled", entries=canceled))
        problems = await gather_all(self._check_workspace(name) for name in self.workspaces)
        problems.append(await self._report_unknown_workspaces())
        problems.append(await self._resend_lost_messages())
        return [problem for problem in problems if problem]

    async def settle_one(self, entry: Entry) -> bool:
        """Settle the run of one RUNNING entry between two passes; return whether the entry was finished.

        If the workspace does not answer, the next pass settles the run.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        try:
            return await self._settle(self.runs[entry.workspace], entry, await self.store.now())
        except DatabricksError as error:
            _logger.warning("entry %s: run %s is left to the next pass: %s", entry.id, entry.runid, error)
            return False

    async def _check_workspace(self, workspace: str) -> str:
        try:
            async with asyncio.timeout(_PASS_SECONDS):
                await self._settle_finished(workspace)
        except OrchestratorError as error:
            problem = f"workspace {workspace}: {error}"
        except TimeoutError:
            problem = f"workspace {workspace}: the pass took over {_PASS_SECONDS:.0f} s; the next continues"
        else:
            return ""
        _logger.warning("%s", problem)
        return problem

    async def _settle_finished(self, workspace: str) -> None:
        runs = self.runs[workspace]
        # Entries are read before the list of active runs: a recorded run that the list lacks has ended.
        entries = await self.store.running(workspace)
        if not entries:
            return
        active = {run.run_id for run in await runs.active_runs()}
        now = await self.store.now()
        limit = asyncio.Semaphore(_CONCURRENCY)
        failures: list[OrchestratorError] = []
        succeeded = 0

        async def check(entry: Entry) -> None:
            nonlocal succeeded
            async with limit:
                if len(failures) >= _MAX_FAILURES and not succeeded:
                    return
                try:
                    await self._check_entry(runs, entry, entry.runid in active, now)
                    succeeded += 1
                except OrchestratorError as error:
                    failures.append(error)

        # In random order, so that entries that fail in every pass do not always come first.
        entries.sort(key=lambda _: self.clock.jitter())
        await gather_all(check(entry) for entry in entries)
        if failures:
            raise failures[0]

    async def _report_unknown_workspaces(self) -> str:
        unknown = sorted(await self.store.running_workspaces() - set(self.workspaces))
        if not unknown:
            return ""
        names = ", ".join(one_line(name) for name in unknown)
        problem = f"RUNNING entries in workspaces that are not in the settings: {names}"
        _logger.warning("%s", problem)
        return problem

    async def _check_entry(self, runs: Runs, entry: Entry, active: bool, now: datetime) -> None:
        if active:
            await self._cancel_if_due(runs, entry, now)
        else:
            await self._settle(runs, entry, now)

    async def _cancel_if_due(self, runs: Runs, entry: Entry, now: datetime) -> None:
        if entry.runid is not None and (entry.cancel_requested or self._overdue(entry, now)):
            _logger.info("entry %s: cancelling run %s", entry.id, entry.runid)
            await runs.cancel(entry.runid)

    def _overdue(self, entry: Entry, now: datetime) -> bool:
        age = (now - entry.submitted_at).total_seconds() if entry.submitted_at else 0.0
        return 0 < self.policy.run_timeout_seconds < age

    async def _settle(self, runs: Runs, entry: Entry, now: datetime) -> bool:
        """Finish an entry if its run is over; return whether this call finished it."""
        if entry.runid is None:
            return False
        run, failure = await self._fetch_run(runs, entry.runid)
        if decisions.outcome_of(run) is decisions.RunOutcome.ACTIVE:
            # The list of active runs is out of date or omits this state: BLOCKED, WAITING_FOR_RETRY, a new
            # one.
            await self._cancel_if_due(runs, entry, now)
            return False
        secrets = (*self.secrets, *run_requests.parameter_values(entry))
        run, failure = decisions.without_secrets(run, failure, secrets, keep=entry.table_name)
        error = decisions.describe(run, failure)
        if self._overdue(entry, now) and decisions.was_cancelled(run):
            error = f"the run took longer than RUN_TIMEOUT_SECONDS and was cancelled; {error}"
        verdict = decisions.verdict_on_run(entry, run, error, policy=self.policy, jitter=self.clock.jitter())
        finished = await self.store.finish(entry, verdict, decisions.log_of_run(entry, run, failure, verdict))
        if finished:
            self._record(entry, run, verdict)
        return finished

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

    async def _fetch_run(self, runs: Runs, run_id: int) -> tuple[Run, RunFailure]:
        try:
            run = await runs.get_run(run_id)
        except RunNotFound as error:
            return decisions.run_that_is_gone(run_id), RunFailure(message=str(error))
        if decisions.outcome_of(run) in {decisions.RunOutcome.FAILED, decisions.RunOutcome.UNRECOVERABLE}:
            return run, await runs.failure_of(run)
        return run, RunFailure()

    async def _resend_lost_messages(self) -> str:
        for entry in await self.store.unanswered(deliveries=self.policy.max_deliveries, limit=_BATCH):
            await self._give_up_if_alone(entry)
        claims = await self.store.recover(lease_seconds=self.policy.submit_lease_seconds, limit=_BATCH)
        return await dispatch(self.store, self.queue, claims)

    async def _give_up_if_alone(self, entry: Entry) -> None:
        """End an entry whose calls never have a known outcome, unless other entries fare alike: an outage.

        Its lease has expired, so none of its calls is still in progress.
        """
        others = await self.store.calls_elsewhere(entry, within_seconds=_ACCEPTED_WITHIN_SECONDS)
        if others.unanswered and not others.accepted:
            return
        verdict = decisions.verdict_on_giving_up(entry)
        if await self.store.leave_open(entry, verdict):
            _logger.error("entry %s: now %s: %s", entry.id, verdict.to, verdict.error)
