"""The trigger: make a monitor pass, then claim waiting entries for each workspace's free slots."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core import pass_budget
from orchestrator.core.errors import DatabricksError, OrchestratorError
from orchestrator.core.models import ActiveRun, Claim, JobKey, JobLimit
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.redaction import one_line
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.ports import Clock, Queue, Runs, Store, Telemetry
from orchestrator.usecases.dispatch import dispatch
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.listing import ActiveList, list_active
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.revive import revive_repaired
from orchestrator.usecases.tasks import both, gather_all

_logger = logging.getLogger(__name__)

#: Entries claimed per pass for a workspace that the settings do not know; each is then refused.
_UNKNOWN_WORKSPACE_CAP = 100


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """One trigger pass: settle the runs that are over, then claim entries and send their messages."""

    store: Store
    queue: Queue
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    policy: Policy
    monitor: Monitor
    jobs: Jobs
    clock: Clock
    telemetry: Telemetry = NO_TELEMETRY
    #: by workspace, the last list that was whole, for readers who cannot wait for one
    lists: dict[str, ActiveList] = field(default_factory=dict, repr=False)

    async def __call__(self) -> list[str]:
        """Make a pass and return its problems, one line each.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        # Also where nothing waits: somebody may have repaired the run of an entry that is over, and only the
        # list of active runs tells. It costs one listing per pass and workspace.
        (problems, checked), _ = await both(
            self.monitor.check(everywhere=True), gather_all(map(self._look_up_jobs, self.workspaces))
        )
        problems += [problem for each in checked.values() for problem in each.problems]
        lists = {name: each.active for name, each in checked.items()}
        workspaces = await self.store.waiting_workspaces() | self.workspaces.keys()
        problems += await gather_all(self.fill(name, lists.get(name)) for name in sorted(workspaces))
        return [problem for problem in problems if problem]

    async def fill(self, workspace: str, active: ActiveList | None = None) -> str:
        """Claim waiting entries for a workspace's free slots; return the problem, empty if there is none.

        :param active: the active runs, if they were listed a moment ago.
        """
        shown = one_line(workspace)  # an entry may name anything
        try:
            async with asyncio.timeout(pass_budget.FILL_SECONDS):
                problem = await self._fill(workspace, shown, active)
        except OrchestratorError as error:
            problem = f"workspace {shown}: nothing claimed: {error}"
        except TimeoutError:
            problem = f"workspace {shown}: claiming took over {pass_budget.FILL_SECONDS:.0f} s"
        if problem:
            _logger.warning("%s", problem)
        return problem

    async def _fill(self, workspace: str, shown: str, known: ActiveList | None) -> str:
        policy = self.workspaces.get(workspace)
        if policy is None:
            return await self._claim(workspace, cap=_UNKNOWN_WORKSPACE_CAP, active=(), jobs={})
        problems: list[str] = []
        if known is None or known.is_out_of_date(self.clock.monotonic()):
            seconds = pass_budget.LIST_AGAIN_SECONDS
            active, limits = await both(
                list_active(self.runs[workspace], self.clock, seconds=seconds),
                self._job_limits(workspace, seconds=seconds),
            )
            problems += await self._revive(workspace, active.runs)
        else:
            active = known
            limits = await self._job_limits(workspace, seconds=pass_budget.NEW_JOBS_SECONDS)
        await self._note_answer(workspace, active)
        if active.error is not None:
            # The number of free slots is unknown, or known to be none.
            problems.append(_without_list(shown, policy.cap, active.runs, active.error))
        else:
            self.lists[workspace] = active
            self.telemetry.record(Metric.ACTIVE_RUNS, len(active.runs), workspace=workspace)
            problems.append(await self._claim(workspace, cap=policy.cap, active=active.runs, jobs=limits))
        return "; ".join(problem for problem in problems if problem)

    async def _note_answer(self, workspace: str, active: ActiveList) -> None:
        """Count a pass without an answer; an answer, also in part, ends the count."""
        if active.error is None or active.runs:
            await self.store.note_answer(workspace)
        else:
            await self.store.note_silence(workspace, str(active.error))

    async def _claim(
        self, workspace: str, *, cap: int, active: Sequence[ActiveRun], jobs: dict[JobKey, JobLimit]
    ) -> str:
        """Claim entries and send their messages; return the problem, empty if there is none."""
        shown = one_line(workspace)
        claims = await self.store.claim(
            workspace,
            cap=cap,
            active=active,
            jobs=jobs,
            lease_seconds=self.policy.submit_lease_seconds,
            max_attempts=self.policy.max_attempts,
            serialize_tables=self.policy.serialize_tables,
        )
        problem = await dispatch(self.store, self.queue, claims)
        _logger.info("workspace %s: claimed %s entries", shown, len(claims))
        self._record(shown, claims)
        return problem

    async def _revive(self, workspace: str, active: Sequence[ActiveRun]) -> list[str]:
        """Return entries to RUNNING whose run was repaired, so that the claim sees their tables as busy."""
        try:
            async with asyncio.timeout(pass_budget.REVIVE_SECONDS):
                return await revive_repaired(self.store, self.runs[workspace], workspace, active)
        except TimeoutError:
            # The claim leaves entries and tables alone whose last run is active.
            seconds = pass_budget.REVIVE_SECONDS
            return [f"workspace {workspace}: looking up repaired runs took over {seconds:.0f} s"]

    async def _look_up_jobs(self, workspace: str) -> None:
        """Look up the jobs that entries name while the runs are checked, so that the claim knows them."""
        await self._job_limits(workspace, seconds=pass_budget.JOBS_SECONDS)

    async def _job_limits(self, workspace: str, *, seconds: float) -> dict[JobKey, JobLimit]:
        """Return the limits of the jobs that open entries name, as far as they are known in time."""
        keys = await self.store.open_jobs(workspace)
        return await self.jobs.limits(workspace, keys, seconds=seconds)

    def _record(self, workspace: str, claims: Sequence[Claim]) -> None:
        known = workspace if workspace in self.workspaces else "unknown"
        self.telemetry.record(Metric.CLAIMED, len(claims), workspace=known)
        for claim in claims:
            extra = fields(
                "claimed", entry_id=claim.entry_id, workspace=workspace, submission=claim.submission
            )
            _logger.info("entry %s: claimed for submission %s", claim.entry_id, claim.submission, extra=extra)


def _without_list(workspace: str, cap: int, runs: Sequence[ActiveRun], error: DatabricksError) -> str:
    """Say why nothing is claimed. Each of these runs takes a slot, whoever started it."""
    taken = sum(run.takes_slot for run in runs)
    if taken < cap:
        return f"workspace {workspace}: nothing claimed: {error}"
    return f"workspace {workspace}: no slot is free: {taken:,} or more runs take its {cap:,}; {error}"
