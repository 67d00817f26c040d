"""A run that Databricks reports as over: finish its entry at once and fill its slot again.

A run may be reported again after it was over: somebody repaired it, and its entry then follows it once more.

Polling remains the source of truth. Only the run's id is taken from the event; the monitor's own code then
fetches the run. A false or repeated event therefore changes nothing.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.errors import DatabricksError
from orchestrator.core.models import Entry
from orchestrator.core.numbers import MAX_ID
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.ports import Runs, Store
from orchestrator.usecases.refill import Refill
from orchestrator.usecases.revive import revive_reported
from orchestrator.usecases.settle import Settle

_logger = logging.getLogger(__name__)

#: Time limit for one event: a few calls of Databricks. Databricks itself does not wait long for a response.
_EVENT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """Settles one run between two passes."""

    store: Store
    #: by the workspace's name
    runs: Mapping[str, Runs]
    workspaces: Mapping[str, WorkspacePolicy]
    settle: Settle
    refill: Refill

    async def __call__(self, run_id: int) -> bool:
        """Finish the entry of a run that is over; return whether it was finished.

        If the workspace does not answer, the next pass settles the run.

        :raises StoreError: the entry could not be read or changed.
        :raises TimeoutError: it was not done in 30 s; the next pass does the rest.
        """
        if not 0 < run_id <= MAX_ID:
            return False
        async with asyncio.timeout(_EVENT_SECONDS):
            # Two workspaces may have a run of the same id.
            followed = [await self._followed(workspace, run_id) for workspace in self.runs]
            finished = [entry for entry in followed if entry and await self.settle.reported(entry)]
        tasks = [self.refill.after_an_end(entry.workspace) for entry in finished]
        if tasks:
            await asyncio.wait(tasks, timeout=_EVENT_SECONDS)
        return bool(finished)

    async def _followed(self, workspace: str, run_id: int) -> Entry | None:
        """Return the entry that follows a run, or follows it again because of this event."""
        address = self.workspaces[workspace].address
        entry = await self.store.running_run(workspace, run_id)
        if entry is not None:
            return entry if entry.is_at(address) else None
        try:
            return await revive_reported(self.store, self.runs[workspace], workspace, run_id, address=address)
        except DatabricksError as error:
            _logger.warning("run %s is reported as over and could not be read: %s", run_id, error)
            return None
