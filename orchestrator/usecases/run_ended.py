"""A run that Databricks says is over: its row is finished at once and its slot filled again.

Polling stays the truth. What a call says beyond the run's id is not even read: the run is looked up, by the
monitor's own code, so that a false or a repeated call changes nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.ports import FollowedRuns
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.tasks import Background
from orchestrator.usecases.trigger import Trigger

#: For one event: a few calls of Databricks. Databricks itself does not wait long for an answer.
EVENT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """Looks at one run out of turn."""

    rows: FollowedRuns
    monitor: Monitor
    trigger: Trigger
    workspaces: Sequence[str]
    #: one claim at a time for each workspace
    _turns: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock), repr=False)
    #: workspaces for which a claim waits for its turn: it will see the slots of all that ended until then
    _waiting: set[str] = field(default_factory=set, repr=False)
    #: claims: who gives up on an answer must not part one from its messages
    _claims: Background = field(
        default_factory=lambda: Background("a freed slot is left to the next pass"), repr=False
    )

    async def __call__(self, run_id: int) -> bool:
        """Finish the row of a run that is over, and say whether that was done.

        A workspace that does not answer leaves it to the next pass.

        :raises StoreError: the row could not be looked up or changed.
        :raises TimeoutError: it was not done in :data:`EVENT_SECONDS`; the next pass does the rest.
        """
        async with asyncio.timeout(EVENT_SECONDS):
            followed = [await self.rows.running_run(workspace, run_id) for workspace in self.workspaces]
            # Two workspaces may have a run of the same id.
            finished = [entry for entry in followed if entry and await self.monitor.look_at_one(entry)]
        tasks = [self._claims.start(self._fill(entry.workspace)) for entry in finished]
        if tasks:
            await asyncio.wait(tasks, timeout=EVENT_SECONDS)
        return bool(finished)

    async def _fill(self, workspace: str) -> None:
        if workspace in self._waiting:
            return
        self._waiting.add(workspace)
        try:
            await self._turns[workspace].acquire()
        finally:
            self._waiting.discard(workspace)
        try:
            await self.trigger.fill(workspace)
        finally:
            self._turns[workspace].release()
