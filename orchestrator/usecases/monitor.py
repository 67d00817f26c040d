"""The monitor: check all runs together and finish every entry whose run is over."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from orchestrator.core import decisions, health, missing, pass_budget
from orchestrator.core.errors import DatabricksError, OrchestratorError, RunNotCancelled
from orchestrator.core.models import ActiveRun, Entry
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.core.telemetry import fields
from orchestrator.core.waiting import unknown_workspace
from orchestrator.ports import Clock, Queue, Runs, Store
from orchestrator.usecases.dispatch import dispatch
from orchestrator.usecases.listing import ActiveList, Listing
from orchestrator.usecases.looks import Looks
from orchestrator.usecases.missing_runs import judge_missing
from orchestrator.usecases.revive import revive_repaired
from orchestrator.usecases.settle import Settle, View
from orchestrator.usecases.strays import cancel_strays, in_turn
from orchestrator.usecases.tasks import both, in_rounds
from orchestrator.usecases.timer_pass import PassWork

_logger = logging.getLogger(__name__)

#: Entries put right, cancelled or recovered in one pass; the rest waits for the next pass.
_BATCH = 500

#: Runs that nobody wants, looked at in one pass; the rest waits for the next pass.
_STRAYS = 20


@dataclass(kw_only=True)
class Checked:
    """What a look at the runs of one workspace has found."""

    #: one line each
    problems: list[str] = field(default_factory=list)
    #: the active runs; None = they were not asked for, or not in time
    active: ActiveList | None = None
    #: entries that came to the end of their run, and gave their slot back
    finished: int = 0


#: Is called with a workspace and what was found there; returns its problem, or ''.
AfterCheck = Callable[[str, Checked], Awaitable[str]]


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

    async def __call__(self, then: AfterCheck | None = None) -> list[str]:
        """Make a pass and return its problems, one line each.

        A workspace that does not answer is left to the next pass and keeps no other from being looked at as
        often as usual.

        :param then: what else a workspace needs after its check.
        :raises StoreError: the database is unavailable; nothing can be done without it.
        """
        chains = [partial(self._check_and_then, name, then) for name in self.workspaces]
        works: list[PassWork] = [self.aside, *chains]
        return await in_rounds(works, every=pass_budget.ROUND_SECONDS, at_most=pass_budget.ROUNDS_SECONDS)

    async def _check_and_then(self, workspace: str, then: AfterCheck | None) -> list[str]:
        checked = await self.check(workspace)
        return [*checked.problems, await then(workspace, checked) if then else ""]

    async def aside(self) -> list[str]:
        """Do what waits for no run, whatever the workspaces answer; return the problems.

        :raises StoreError: the database is unavailable.
        """
        stuck = await self.store.put_right(max_attempts=self.policy.max_attempts, limit=_BATCH)
        if stuck:
            _logger.warning("%s entries stood still, after a change by SQL or of MAX_ATTEMPTS", stuck)
        canceled = await self.store.cancel_waiting(_BATCH)
        if canceled:
            _logger.info("%s waiting entries canceled", canceled, extra=fields("canceled", entries=canceled))
        problems = [await self._resend_lost_messages(), *await self._report_unknown_workspaces()]
        return [problem for problem in problems if problem]

    async def check(self, workspace: str, *, everywhere: bool = False) -> Checked:
        """Look at the runs of one workspace. An error of it, or of the store, is among the problems.

        :param everywhere: list the active runs also if no entry is RUNNING: a run may have been repaired.
        """
        checked = Checked()
        try:
            async with asyncio.timeout(pass_budget.CHECK_SECONDS):
                await self._check_here(workspace, checked, everywhere=everywhere)
        except OrchestratorError as error:
            checked.problems.append(f"workspace {workspace}: {error}")
        except TimeoutError:
            checked.problems.append(
                f"workspace {workspace}: not everything was looked at; the next pass continues"
            )
        for problem in checked.problems:
            _logger.warning("%s", problem)
        return checked

    async def _check_here(self, workspace: str, checked: Checked, *, everywhere: bool) -> None:
        """Look at the runs that a workspace has at its address; of those at another one it knows nothing.

        As long as there are any, it is not known where those are whose address was not kept.
        """
        here = self.workspaces[workspace].address
        elsewhere = await self.store.elsewhere(workspace, here)
        if elsewhere is not None:
            checked.problems.append(health.elsewhere(elsewhere))
        places: set[str | None] = {here} if elsewhere else {here, None}
        await both(
            self._check_runs(workspace, checked, places, everywhere=everywhere),
            self._cancel_strays(workspace, places),
        )

    async def _cancel_strays(self, workspace: str, places: set[str | None]) -> None:
        strays = [each for each in await self.store.strays(workspace) if each.address in places]
        if not strays:
            return
        first = in_turn(strays, await self.store.now())[:_STRAYS]
        await cancel_strays(self.store, self.runs[workspace], first)

    async def _check_runs(
        self, workspace: str, checked: Checked, places: set[str | None], *, everywhere: bool
    ) -> None:
        """Look at every run of the app's own, and then for others that were repaired; note what is found."""
        settle_until = asyncio.get_running_loop().time() + pass_budget.SETTLE_SECONDS
        began = await self.store.now()
        # Entries are read before the list of active runs: a recorded run that the list lacks has ended.
        entries = await self._running(workspace, places)
        if not entries and not everywhere:
            return
        # In random order, so that entries that fail in every pass do not always come first.
        entries.sort(key=lambda _: self.clock.jitter())
        runs = self.runs[workspace]
        async with Listing(runs, self.clock, seconds=pass_budget.LIST_SECONDS) as listing:
            looks = Looks(settle=self.settle, listing=listing, began=began)
            try:
                async with asyncio.timeout_at(settle_until):
                    await listing.wait(pass_budget.FIRST_LIST_SECONDS)
                    await looks.at_each(entries)
            except TimeoutError:
                seconds = pass_budget.SETTLE_SECONDS
                checked.problems.append(
                    f"workspace {workspace}: settling took over {seconds:.0f} s; the next pass continues"
                )
            await listing.wait()
            active = listing.result
        checked.active, checked.finished = active, looks.finished
        if active is None:
            return
        if active.error is not None and entries:
            checked.problems.append(
                f"workspace {workspace}: active runs are looked up one by one: {active.error}"
            )
        try:
            async with asyncio.timeout(pass_budget.AFTER_LIST_SECONDS):
                view = View(began=began, active=active.by_id if active.error is None else None)
                checked.problems += await self._judge_missing(workspace, looks, view)
                if active.error is None or looks.is_answered:
                    await self._note_unreadable(looks)
                ours = {entry.runid for entry in entries}
                others = [run for run in active.runs if run.run_id not in ours]
                checked.problems += await self.revive(workspace, others)
        finally:
            if looks.failures:
                checked.problems.append(f"workspace {workspace}: {looks.failures[0][1]}")

    async def _running(self, workspace: str, places: set[str | None]) -> list[Entry]:
        """Return the RUNNING entries at these addresses, and note the address of those that have none."""
        entries = [
            entry for entry in await self.store.running(workspace) if entry.workspace_address in places
        ]
        address = self.workspaces[workspace].address
        if address and any(entry.workspace_address is None for entry in entries):
            await self.store.note_address(workspace, address)
        return entries

    async def revive(self, workspace: str, active: Sequence[ActiveRun]) -> list[str]:
        """Return every entry to RUNNING whose run is active again; return the problems, one line each.

        :raises StoreError: the database is unavailable.
        """
        return await revive_repaired(
            self.store,
            self.runs[workspace],
            workspace,
            active,
            jitter=self.clock.jitter,
            address=self.workspaces[workspace].address,
        )

    async def _judge_missing(self, workspace: str, looks: Looks, view: View) -> list[str]:
        """Settle or note what Databricks says does not exist; return the problems."""
        found = looks.missing
        looks.failures += await judge_missing(self.settle, found, view, others_are_read=looks.succeeded > 0)
        if not missing.vanished_together((entry for entry, _ in found), view.began):
            return []
        return [
            f"workspace {workspace}: {len(found)} runs do not exist, all at once, so the workspace is "
            f"doubted, not the runs: {found[0][1]}"
        ]

    async def _note_unreadable(self, looks: Looks) -> None:
        """Note which runs cannot be read although the workspace answers: that may never pass by itself."""
        for entry, error in looks.failures:
            if isinstance(error, DatabricksError):
                try:
                    await self.settle.note_unreadable(entry, error)
                except RunNotCancelled as failure:
                    _logger.warning("entry %s: %s", entry.id, failure)

    async def _report_unknown_workspaces(self) -> list[str]:
        """Say which workspaces the settings do not know although entries name them; the entries wait."""
        found = await self.store.open_workspaces()
        if all(each.name in self.workspaces for each in found):
            return []
        problems = health.unknown_workspaces(found, self.workspaces, await self.store.now())
        reason = unknown_workspace(self.workspaces)
        await self.store.note_unknown(self.workspaces, reason=reason, limit=_BATCH)
        for problem in problems:
            _logger.warning("%s", problem)
        return problems

    async def _resend_lost_messages(self) -> str:
        for entry in await self.store.unanswered(deliveries=self.policy.max_deliveries, limit=_BATCH):
            await self._give_up_if_alone(entry)
        claims = await self.store.recover(lease_seconds=self.policy.submit_lease_seconds, limit=_BATCH)
        return await dispatch(self.store, self.queue, claims)

    async def _give_up_if_alone(self, entry: Entry) -> None:
        """End an entry whose calls never start a run, if the workspace accepts other entries meanwhile.

        Its lease has expired, so none of its calls is still in progress.
        """
        known = self.workspaces.get(entry.workspace)
        address = known.address if known else ""
        if not entry.is_at(address):
            return
        are_accepted = await self.store.calls_accepted(
            entry.workspace, within_seconds=decisions.ACCEPTED_WITHIN_SECONDS, address=address
        )
        if not are_accepted:
            return
        verdict = decisions.verdict_on_giving_up(entry)
        if await self.store.leave_open(entry, verdict):
            _logger.error("entry %s: now %s: %s", entry.id, verdict.to, verdict.error)
