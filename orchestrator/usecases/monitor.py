"""The monitor: looks at all runs together and brings each row whose run is over to its end."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.core import decisions
from orchestrator.core.errors import DatabricksError, OrchestratorError, RunNotFound
from orchestrator.core.models import Entry, Run, RunFailure, Verdict
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.redaction import one_line
from orchestrator.core.states import Status
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.ports import Clock, Queue, Runs, Store, Telemetry
from orchestrator.usecases.dispatch import dispatch
from orchestrator.usecases.tasks import all_of

logger = logging.getLogger(__name__)

#: Runs looked at together. Databricks takes some 100 ``runs/get`` a second; ten keep well below.
CONCURRENCY = 10

#: A pass gives up after this and leaves the rest to the next one: the functions' time-out is 300 s, and the
#: trigger has its own work to do after its pass.
PASS_SECONDS = 120.0

#: After so many failed calls and none that went well a pass leaves the rest of the workspace alone: it is
#: down, and each further call would wait out its time. Runs that cannot be read never hinder the others.
MAX_FAILURES = CONCURRENCY

#: A run that was accepted since then shows that the workspace takes submissions: twice the longest wait
#: before a call is repeated.
ACCEPTED_WITHIN_SECONDS = 2 * decisions.MAX_POSTPONE_SECONDS

#: Rows cancelled or recovered in one pass; what is over it waits for the next.
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One pass over everything that is in flight."""

    store: Store
    queue: Queue
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    policy: Policy
    clock: Clock
    #: what the app itself keeps secret, and what must not be stored where a run's own error quotes it
    secrets: Sequence[str] = field(default=(), repr=False)
    telemetry: Telemetry = NO_TELEMETRY

    async def __call__(self) -> list[str]:
        """Make a pass and return what went wrong, a line each; an empty list when all is well.

        A workspace that does not answer is left for the next pass and hinders no other.

        :raises StoreError: nothing can be done without the store.
        """
        canceled = await self.store.cancel_waiting(BATCH)
        if canceled:
            logger.info("%s waiting rows canceled", canceled, extra=fields("canceled", rows=canceled))
        problems = await all_of(self._watch(name) for name in self.workspaces)
        problems.append(await self._name_orphans())
        problems.append(await self._send_lost_messages_again())
        return [problem for problem in problems if problem]

    async def look_at_one(self, entry: Entry) -> bool:
        """Look at the run of one RUNNING row out of turn, as a pass does; return whether it is finished.

        A workspace that does not answer leaves it to the next pass.

        :raises StoreError: nothing can be done without the store.
        """
        try:
            return await self._settle(self.runs[entry.workspace], entry, await self.store.now())
        except DatabricksError as error:
            logger.warning("entry %s: run %s is left to the next pass: %s", entry.id, entry.runid, error)
            return False

    async def _watch(self, workspace: str) -> str:
        try:
            async with asyncio.timeout(PASS_SECONDS):
                await self._settle_finished(workspace)
        except OrchestratorError as error:
            problem = f"workspace {workspace}: {error}"
        except TimeoutError:
            problem = f"workspace {workspace}: the pass took over {PASS_SECONDS:.0f} s; the next one goes on"
        else:
            return ""
        logger.warning("%s", problem)
        return problem

    async def _settle_finished(self, workspace: str) -> None:
        runs = self.runs[workspace]
        # The rows are read first: a run that is recorded by then and missing from the listing has ended.
        entries = await self.store.running(workspace)
        if not entries:
            return
        active = await runs.active_run_ids()
        now = await self.store.now()
        limit = asyncio.Semaphore(CONCURRENCY)
        failures: list[OrchestratorError] = []
        looked_at = 0

        async def look_at(entry: Entry) -> None:
            nonlocal looked_at
            async with limit:
                if len(failures) >= MAX_FAILURES and not looked_at:
                    return
                try:
                    await self._look_at(runs, entry, entry.runid in active, now)
                    looked_at += 1
                except OrchestratorError as error:
                    failures.append(error)

        # In an order of chance, so that rows that fail at every pass do not always come first.
        entries.sort(key=lambda _: self.clock.jitter())
        await all_of(look_at(entry) for entry in entries)
        if failures:
            raise failures[0]

    async def _name_orphans(self) -> str:
        unknown = sorted(await self.store.running_workspaces() - set(self.workspaces))
        if not unknown:
            return ""
        names = ", ".join(one_line(name) for name in unknown)
        problem = f"rows with runs in workspaces that the settings do not know: {names}"
        logger.warning("%s", problem)
        return problem

    async def _look_at(self, runs: Runs, entry: Entry, active: bool, now: datetime) -> None:
        if active:
            await self._cancel_if_due(runs, entry, now)
        else:
            await self._settle(runs, entry, now)

    async def _cancel_if_due(self, runs: Runs, entry: Entry, now: datetime) -> None:
        if entry.runid is not None and (entry.cancel_requested or self._overdue(entry, now)):
            logger.info("entry %s: asking for the end of run %s", entry.id, entry.runid)
            await runs.cancel(entry.runid)

    def _overdue(self, entry: Entry, now: datetime) -> bool:
        age = (now - entry.submitted_at).total_seconds() if entry.submitted_at else 0.0
        return 0 < self.policy.run_timeout_seconds < age

    async def _settle(self, runs: Runs, entry: Entry, now: datetime) -> bool:
        """Finish a row whose run is over; return whether it is finished now by this."""
        if entry.runid is None:
            return False
        run, failure = await self._look_up(runs, entry.runid)
        if decisions.outcome_of(run) is decisions.Outcome.ACTIVE:
            # The listing lags behind, or leaves this state out: BLOCKED, WAITING_FOR_RETRY, one of tomorrow.
            await self._cancel_if_due(runs, entry, now)
            return False
        secrets = (*self.secrets, *decisions.parameter_values(entry))
        run, failure = decisions.without_secrets(run, failure, secrets, keep=entry.table_name)
        error = decisions.describe(run, failure)
        if self._overdue(entry, now) and decisions.was_cancelled(run):
            error = f"went on for over RUN_TIMEOUT_SECONDS and was cancelled; {error}"
        verdict = decisions.verdict_on_run(entry, run, error, policy=self.policy, jitter=self.clock.jitter())
        finished = await self.store.finish(entry, verdict, decisions.log_of_run(entry, run, failure, verdict))
        if finished:
            self._tell(entry, run, verdict)
        return finished

    def _tell(self, entry: Entry, run: Run, verdict: Verdict) -> None:
        extra = fields(
            "canceled" if verdict.to is Status.CANCELED else "finished",
            entry,
            status=verdict.to.value,
            queue_seconds=run.queue_seconds,
            setup_seconds=run.setup_seconds,
            execution_seconds=run.execution_seconds,
        )
        logger.info("entry %s: run %s is over, now %s", entry.id, entry.runid, verdict.to, extra=extra)
        labels = {"workspace": entry.workspace, "status": verdict.to.value}
        self.telemetry.record(Metric.FINISHED, 1, **labels)
        if run.execution_seconds is not None:
            self.telemetry.record(Metric.RUN, run.execution_seconds, **labels)

    async def _look_up(self, runs: Runs, run_id: int) -> tuple[Run, RunFailure]:
        try:
            run = await runs.get_run(run_id)
        except RunNotFound as error:
            return decisions.run_that_is_gone(run_id), RunFailure(message=str(error))
        if decisions.outcome_of(run) in {decisions.Outcome.FAILED, decisions.Outcome.HOPELESS}:
            return run, await runs.failure_of(run)
        return run, RunFailure()

    async def _send_lost_messages_again(self) -> str:
        for entry in await self.store.unanswered(deliveries=self.policy.max_deliveries, limit=BATCH):
            await self._give_up_if_alone(entry)
        claims = await self.store.recover(lease_seconds=self.policy.submit_lease_seconds, limit=BATCH)
        return await dispatch(self.store, self.queue, claims)

    async def _give_up_if_alone(self, entry: Entry) -> None:
        """End a row whose calls never come to anything, unless the others' do not either: an outage.

        Its lease is over, so no call is under way any more.
        """
        others = await self.store.calls_elsewhere(entry, within_seconds=ACCEPTED_WITHIN_SECONDS)
        if others.unanswered and not others.accepted:
            return
        verdict = decisions.verdict_on_giving_up(entry)
        if await self.store.leave_open(entry, verdict):
            logger.error("entry %s: now %s: %s", entry.id, verdict.to, verdict.error)
