"""Claims between two passes: a slot has fallen free, or there are new entries."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from orchestrator.ports import Clock
from orchestrator.usecases.tasks import BackgroundTasks
from orchestrator.usecases.trigger import Trigger

#: Between the starts of two claims that new entries ask for: each lists the active runs, and a loader may
#: insert hundreds of entries a second.
_PAUSE_SECONDS = 2.0

#: For the claims that are under way when the app ends.
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Refill:
    """Starts claims in the background, one at a time for each workspace.

    A claim that waits for its turn sees every slot and every entry that comes before it starts, so no more
    than one waits. What a claim cannot do is left to the next pass.
    """

    trigger: Trigger
    clock: Clock
    #: True = somebody has switched the trigger off, so that nothing is claimed
    is_off: bool = False
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock), repr=False)
    #: workspaces with a claim that waits for its turn
    _waiting: set[str] = field(default_factory=set, repr=False)
    #: workspaces with new entries whose claim is put off
    _put_off: set[str] = field(default_factory=set, repr=False)
    #: when the last claim of a workspace began, by the monotonic clock
    _began: dict[str, float] = field(default_factory=dict, repr=False)
    #: running claims; a caller that stops waiting must not separate a claim from its messages
    _claims: BackgroundTasks = field(
        default_factory=lambda: BackgroundTasks("a free slot is left to the next pass"), repr=False
    )

    def after_an_end(self, workspace: str) -> asyncio.Task[None]:
        """Claim for a slot that has fallen free. The task ends with the claim, or as another sees to it."""
        return self._claims.start(self._fill(workspace))

    def after_an_insert(self, workspace: str) -> None:
        """Claim new entries soon. Those of a workspace that the settings do not know wait."""
        if not self.is_off and workspace in self.trigger.workspaces and workspace not in self._put_off:
            self._put_off.add(workspace)
            self._claims.start(self._fill_soon(workspace))

    async def close(self) -> None:
        """Let claims that are under way send their messages; those that take long are left to the leases."""
        await self._claims.close(_CLOSE_SECONDS)

    async def _fill_soon(self, workspace: str) -> None:
        try:
            if workspace in self._began:
                await self.clock.sleep(self._began[workspace] + _PAUSE_SECONDS - self.clock.monotonic())
        finally:
            self._put_off.discard(workspace)
        await self._fill(workspace)

    async def _fill(self, workspace: str) -> None:
        if self.is_off or workspace in self._waiting:
            return
        self._waiting.add(workspace)
        try:
            await self._locks[workspace].acquire()
        finally:
            self._waiting.discard(workspace)
        try:
            self._began[workspace] = self.clock.monotonic()
            await self.trigger.fill(workspace)
        finally:
            self._locks[workspace].release()
