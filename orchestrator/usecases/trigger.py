"""The trigger: make a monitor pass, then claim waiting entries for each workspace's free slots."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

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
from orchestrator.usecases.monitor import Checked, Monitor
from orchestrator.usecases.tasks import BackgroundTasks, both, in_rounds, to_its_end
from orchestrator.usecases.timer_pass import PassWork

_logger = logging.getLogger(__name__)


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
    #: running claims: a time limit must not separate a claim from its messages
    _claims: BackgroundTasks = field(
        default_factory=lambda: BackgroundTasks("what was claimed waits for its lease"), repr=False
    )

    async def __call__(self) -> list[str]:
        """Make a pass and return its problems, one line each.

        A workspace that is slow keeps no other from being looked at as often as usual.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        chains = [partial(self._check_and_fill, name) for name in sorted(self.workspaces)]
        works: list[PassWork] = [self.monitor.aside, *chains]
        return await in_rounds(works, every=pass_budget.ROUND_SECONDS, at_most=pass_budget.ROUNDS_SECONDS)

    async def watch(self) -> list[str]:
        """Make a monitor pass, claim for the slots that it has freed, and return its problems, one line each.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        return await self.monitor(self._fill_freed)

    async def _fill_freed(self, workspace: str, checked: Checked) -> str:
        """Claim for the slots that a check has freed, unless only a trigger pass can tell how many."""
        active = checked.active
        if not checked.finished or active is None:
            return ""
        if active.is_out_of_date(self.clock.monotonic()):
            _logger.info("workspace %s: its list is out of date: slots are left to a trigger pass", workspace)
            return ""
        work = self._fill_by(workspace, active, guesses=False)
        return await self._in_time(workspace, work, pass_budget.FILL_BY_LIST_SECONDS)

    async def _check_and_fill(self, workspace: str) -> list[str]:
        """Check a workspace's runs, then claim for its free slots. It waits for no other workspace."""
        # Also where nothing waits: somebody may have repaired the run of an entry that is over, and only the
        # list of active runs tells. It costs one listing per pass and workspace.
        checked, _ = await both(self.monitor.check(workspace, everywhere=True), self._look_up_jobs(workspace))
        if checked.active is None:  # the time for another list is over, or the store fails
            problem = f"workspace {workspace}: nothing claimed: its active runs were not listed"
            _logger.warning("%s", problem)
            return [*checked.problems, problem]
        return [*checked.problems, await self.fill(workspace, checked.active)]

    async def fill(self, workspace: str, active: ActiveList | None = None) -> str:
        """Claim waiting entries for a workspace's free slots; return the problem, empty if there is none.

        :param active: the active runs, if they were listed a moment ago.
        """
        if active is None or active.is_out_of_date(self.clock.monotonic()):
            return await self._in_time(
                workspace, self._list_and_fill(workspace, active), pass_budget.FILL_SECONDS
            )
        work = self._fill_by(workspace, active, guesses=True)
        return await self._in_time(workspace, work, pass_budget.FILL_BY_LIST_SECONDS)

    async def _in_time(self, workspace: str, work: Awaitable[str], seconds: float) -> str:
        """Await a claim; return its problem, or what kept it from ending."""
        shown = one_line(workspace)  # an entry may name anything
        try:
            async with asyncio.timeout(seconds):
                problem = await work
        except OrchestratorError as error:
            problem = f"workspace {shown}: nothing claimed: {error}"
        except TimeoutError:
            problem = f"workspace {shown}: claiming took over {seconds:.0f} s"
        if problem:
            _logger.warning("%s", problem)
        return problem

    async def _list_and_fill(self, workspace: str, known: ActiveList | None) -> str:
        """List the active runs, as far as there is time, and claim."""
        shown = one_line(workspace)
        if known is None and workspace in self.lists and self.lists[workspace].takes_long:
            return f"workspace {shown}: nothing claimed before the next pass: its list of active runs is long"
        seconds = pass_budget.LIST_AGAIN_SECONDS
        newer, (limits, _) = await both(
            list_active(self.runs[workspace], self.clock, seconds=seconds),
            self._job_limits(workspace, seconds=seconds),
        )
        problems = await self._revive(workspace, newer.runs)
        active = newer if known is None else known.brought_up_to_date(newer)
        problems.append(await self._fill_from(workspace, active, limits))
        return "; ".join(problem for problem in problems if problem)

    async def _fill_by(self, workspace: str, active: ActiveList, *, guesses: bool) -> str:
        """Claim by a list that the check of the runs has just read.

        :param guesses: claim also while the limit of a job is not known, as if it had none.
        """
        limits, are_all = await self._job_limits(workspace, seconds=pass_budget.NEW_JOBS_SECONDS)
        if not are_all and not guesses:
            _logger.info(
                "workspace %s: the limit of a job is not known: slots are left to a trigger pass", workspace
            )
            return ""
        return await self._fill_from(workspace, active, limits)

    async def _fill_from(self, workspace: str, active: ActiveList, limits: dict[JobKey, JobLimit]) -> str:
        """Claim if the number of free slots is known; return the problem, empty if there is none."""
        await self._note_answer(workspace, active)
        cap = self.workspaces[workspace].cap
        if active.error is not None:
            # The number of free slots is unknown, or known to be none.
            return _without_list(one_line(workspace), cap, active.runs, active.error)
        self.lists[workspace] = active
        self.telemetry.record(Metric.ACTIVE_RUNS, len(active.runs), workspace=workspace)
        claim = self._claim(workspace, cap=cap, active=active.runs, jobs=limits)
        return await to_its_end(self._claims.start(claim))

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
            setting=self.workspaces[workspace].setting,
            address=self.workspaces[workspace].address,
        )
        problem = await dispatch(self.store, self.queue, claims)
        _logger.info("workspace %s: claimed %s entries", shown, len(claims))
        self._record(shown, claims)
        return problem

    async def _revive(self, workspace: str, active: Sequence[ActiveRun]) -> list[str]:
        """Return entries to RUNNING whose run was repaired, so that the claim sees their tables as busy."""
        try:
            async with asyncio.timeout(pass_budget.REVIVE_SECONDS):
                return await self.monitor.revive(workspace, active)
        except TimeoutError:
            # The claim leaves entries and tables alone whose last run is active.
            seconds = pass_budget.REVIVE_SECONDS
            return [f"workspace {workspace}: looking up repaired runs took over {seconds:.0f} s"]

    async def _look_up_jobs(self, workspace: str) -> None:
        """Look up the jobs that entries name while the runs are checked, so that the claim knows them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pass_budget.JOBS_SECONDS):
                await self._job_limits(workspace, seconds=pass_budget.JOBS_SECONDS)

    async def _job_limits(self, workspace: str, *, seconds: float) -> tuple[dict[JobKey, JobLimit], bool]:
        """Return the limits of the jobs that open entries name, as far as they are known in time.

        The second value says whether these are all.
        """
        keys = await self.store.open_jobs(workspace)
        limits = await self.jobs.limits(workspace, keys, seconds=seconds)
        return limits, len(limits) == len(keys)

    def _record(self, workspace: str, claims: Sequence[Claim]) -> None:
        self.telemetry.record(Metric.CLAIMED, len(claims), workspace=workspace)
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
