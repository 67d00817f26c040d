"""The monitor: check all runs together and finish every entry whose run is over."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core import decisions
from orchestrator.core.errors import DatabricksError, OrchestratorError, RunNotCancelled
from orchestrator.core.models import ActiveRun, Entry
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.redaction import one_line
from orchestrator.core.telemetry import fields
from orchestrator.ports import Clock, Queue, Runs, Store
from orchestrator.usecases.dispatch import dispatch
from orchestrator.usecases.revive import revive_repaired
from orchestrator.usecases.settle import Settle, View
from orchestrator.usecases.tasks import gather_all

_logger = logging.getLogger(__name__)

#: Runs fetched at the same time, far below the 100 ``runs/get`` per second that Databricks allows.
_CONCURRENCY = 10

#: Time limit of a pass; the next pass continues. The functions' time-out is 300 s, and the trigger still has
#: to claim entries after its monitor pass.
_PASS_SECONDS = 120.0

#: Time limit of the list of active runs. It only saves calls: how long it is depends on other people's runs,
#: and settling the app's own must not.
_LIST_SECONDS = 30.0

#: Failed calls without a single success after which a pass leaves a workspace alone: the workspace is down,
#: and each further call would wait for its time-out. Single runs that cannot be read never block the others.
_MAX_FAILURES = _CONCURRENCY

#: Entries cancelled or recovered in one pass; the rest waits for the next pass.
_BATCH = 500


@dataclass(kw_only=True)
class _Looks:
    """What became of the looks at the runs of one workspace."""

    succeeded: int = 0
    failures: list[tuple[Entry, OrchestratorError]] = field(default_factory=list)

    @property
    def is_down(self) -> bool:
        """Whether the workspace seems not to answer at all."""
        return len(self.failures) >= _MAX_FAILURES and not self.succeeded


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One monitor pass over all entries in flight."""

    store: Store
    queue: Queue
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    policy: Policy
    clock: Clock
    settle: Settle

    async def __call__(self) -> list[str]:
        """Make a pass and return its problems, one line each.

        A workspace that does not answer is left to the next pass and does not block the others.

        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        canceled = await self.store.cancel_waiting(_BATCH)
        if canceled:
            _logger.info("%s waiting entries canceled", canceled, extra=fields("canceled", entries=canceled))
        of_workspaces = await gather_all(self._check_workspace(name) for name in self.workspaces)
        problems = [problem for found in of_workspaces for problem in found]
        problems.append(await self._report_unknown_workspaces())
        problems.append(await self._resend_lost_messages())
        return [problem for problem in problems if problem]

    async def _check_workspace(self, workspace: str) -> list[str]:
        problems: list[str] = []
        try:
            async with asyncio.timeout(_PASS_SECONDS):
                await self._check_runs(workspace, problems)
        except OrchestratorError as error:
            problems.append(f"workspace {workspace}: {error}")
        except TimeoutError:
            problems.append(
                f"workspace {workspace}: the pass took over {_PASS_SECONDS:.0f} s; the next continues"
            )
        for problem in problems:
            _logger.warning("%s", problem)
        return problems

    async def _check_runs(self, workspace: str, problems: list[str]) -> None:
        """Look at every run of the app's own, and then for others that were repaired; add what is wrong."""
        began = await self.store.now()
        # Entries are read before the list of active runs: a recorded run that the list lacks has ended.
        entries = await self.store.running(workspace)
        if not entries:
            return
        active = await self._active_runs(workspace, problems)
        view = View(began=began, active=None if active is None else {run.run_id: run for run in active})
        looks = await self._look_at_each(entries, view)
        if looks.failures:
            problems.append(f"workspace {workspace}: {looks.failures[0][1]}")
        if active is not None or looks.succeeded:
            await self._note_unreadable(looks)
        if active is not None:
            ours = {entry.runid for entry in entries}
            others = [run for run in active if run.run_id not in ours]
            problems += await revive_repaired(self.store, self.runs[workspace], workspace, others)

    async def _active_runs(self, workspace: str, problems: list[str]) -> Sequence[ActiveRun] | None:
        """Return the active runs, or None if they cannot be listed in time."""
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                return await self.runs[workspace].active_runs()
        except DatabricksError as error:
            reason = str(error)
        except TimeoutError:
            reason = f"the list was not complete after {_LIST_SECONDS:.0f} s"
        problems.append(f"workspace {workspace}: active runs are looked up one by one: {reason}")
        return None

    async def _look_at_each(self, entries: list[Entry], view: View) -> _Looks:
        limit = asyncio.Semaphore(_CONCURRENCY)
        looks = _Looks()

        async def look(entry: Entry) -> None:
            async with limit:
                if looks.is_down:
                    return
                try:
                    await self.settle(entry, view)
                    looks.succeeded += 1
                except OrchestratorError as error:
                    looks.failures.append((entry, error))

        # In random order, so that entries that fail in every pass do not always come first.
        entries.sort(key=lambda _: self.clock.jitter())
        await gather_all(look(entry) for entry in entries)
        return looks

    async def _note_unreadable(self, looks: _Looks) -> None:
        """Note which runs cannot be read although the workspace answers: that may never pass by itself."""
        for entry, error in looks.failures:
            if isinstance(error, DatabricksError):
                try:
                    await self.settle.note_unreadable(entry, error)
                except RunNotCancelled as failure:
                    _logger.warning("entry %s: %s", entry.id, failure)

    async def _report_unknown_workspaces(self) -> str:
        unknown = sorted(await self.store.running_workspaces() - set(self.workspaces))
        if not unknown:
            return ""
        names = ", ".join(one_line(name) for name in unknown)
        problem = f"RUNNING entries in workspaces that are not in the settings: {names}"
        _logger.warning("%s", problem)
        return problem

    async def _resend_lost_messages(self) -> str:
        for entry in await self.store.unanswered(deliveries=self.policy.max_deliveries, limit=_BATCH):
            await self._give_up_if_alone(entry)
        claims = await self.store.recover(lease_seconds=self.policy.submit_lease_seconds, limit=_BATCH)
        return await dispatch(self.store, self.queue, claims)

    async def _give_up_if_alone(self, entry: Entry) -> None:
        """End an entry whose calls never start a run, if the workspace accepts other entries meanwhile.

        Its lease has expired, so none of its calls is still in progress.
        """
        are_accepted = await self.store.calls_accepted(
            entry.workspace, within_seconds=decisions.ACCEPTED_WITHIN_SECONDS
        )
        if not are_accepted:
            return
        verdict = decisions.verdict_on_giving_up(entry)
        if await self.store.leave_open(entry, verdict):
            _logger.error("entry %s: now %s: %s", entry.id, verdict.to, verdict.error)
