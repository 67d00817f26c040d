"""The trigger: make a monitor pass, then claim waiting entries for each workspace's free slots."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import ActiveRun, Claim, JobKey, JobLimit
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.redaction import one_line
from orchestrator.core.telemetry import NO_TELEMETRY, Metric, fields
from orchestrator.ports import Queue, Runs, Store, Telemetry
from orchestrator.usecases.dispatch import dispatch
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.revive import revive_repaired
from orchestrator.usecases.tasks import gather_all

_logger = logging.getLogger(__name__)

#: Time limit for one workspace's claims. With the monitor's pass it stays below the functions' time-out.
_CLAIM_SECONDS = 100.0

#: Time limit for looking up the jobs' limits. A job that is not looked up in time has no limit.
_JOBS_SECONDS = 20.0

#: Time limit for looking up runs that seem to be repaired; the next pass does the rest.
_REVIVE_SECONDS = 20.0

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
    telemetry: Telemetry = NO_TELEMETRY

    async def __call__(self) -> list[str]:
        """Make a pass and return its problems, one line each.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        problems = await self.monitor()
        # Also where nothing waits: somebody may have repaired the run of an entry that is over, and only the
        # list of active runs tells. It costs one listing per pass and workspace.
        workspaces = await self.store.waiting_workspaces() | self.workspaces.keys()
        problems += await gather_all(self.fill(name) for name in sorted(workspaces))
        return [problem for problem in problems if problem]

    async def fill(self, workspace: str) -> str:
        """Claim waiting entries for a workspace's free slots; return the problem, empty if there is none."""
        shown = one_line(workspace)  # an entry may name anything
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                limits = await self._job_limits(workspace)
                cap, active = await self._room(workspace)
                problems = await self._revive(workspace, active)
                claims = await self.store.claim(
                    workspace,
                    cap=cap,
                    active=active,
                    jobs=limits,
                    lease_seconds=self.policy.submit_lease_seconds,
                    max_attempts=self.policy.max_attempts,
                    serialize_tables=self.policy.serialize_tables,
                )
                problems.append(await dispatch(self.store, self.queue, claims))
                _logger.info("workspace %s: claimed %s entries", shown, len(claims))
                self._record(shown, claims)
                return "; ".join(problem for problem in problems if problem)
        except OrchestratorError as error:
            # Without the list of active runs the number of free slots is unknown, so nothing is claimed.
            problem = f"workspace {shown}: nothing claimed: {error}"
        except TimeoutError:
            problem = f"workspace {shown}: claiming took over {_CLAIM_SECONDS:.0f} s"
        _logger.warning("%s", problem)
        return problem

    async def _room(self, workspace: str) -> tuple[int, tuple[ActiveRun, ...]]:
        policy = self.workspaces.get(workspace)
        if policy is None:
            return _UNKNOWN_WORKSPACE_CAP, ()
        active = await self.runs[workspace].active_runs()
        self.telemetry.record(Metric.ACTIVE_RUNS, len(active), workspace=workspace)
        return policy.cap, active

    async def _revive(self, workspace: str, active: Sequence[ActiveRun]) -> list[str]:
        """Return entries to RUNNING whose run was repaired, so that the claim sees their tables as busy."""
        if workspace not in self.workspaces:
            return []
        try:
            async with asyncio.timeout(_REVIVE_SECONDS):
                return await revive_repaired(self.store, self.runs[workspace], workspace, active)
        except TimeoutError:
            # The claim leaves entries and tables alone whose last run is active.
            return [f"workspace {workspace}: looking up repaired runs took over {_REVIVE_SECONDS:.0f} s"]

    async def _job_limits(self, workspace: str) -> dict[JobKey, JobLimit]:
        """Return the limits of the jobs that open entries name, as far as they are known."""
        if workspace not in self.workspaces:
            return {}
        keys = await self.store.open_jobs(workspace)
        return await self.jobs.limits(workspace, keys, seconds=_JOBS_SECONDS)

    def _record(self, workspace: str, claims: Sequence[Claim]) -> None:
        known = workspace if workspace in self.workspaces else "unknown"
        self.telemetry.record(Metric.CLAIMED, len(claims), workspace=known)
        for claim in claims:
            extra = fields(
                "claimed", entry_id=claim.entry_id, workspace=workspace, submission=claim.submission
            )
            _logger.info("entry %s: claimed for submission %s", claim.entry_id, claim.submission, extra=extra)
