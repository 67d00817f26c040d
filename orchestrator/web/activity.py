"""The active runs of each workspace, asked for at most every few seconds however many people look."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.core.errors import DatabricksError
from orchestrator.ports import Clock, Runs

#: A page that waits longer for Databricks helps nobody; the rest is shown without it.
ASK_SECONDS = 5.0

#: A dashboard asks every few seconds; Databricks limits how often runs are listed.
KEEP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Active:
    """The active runs of a workspace, as Databricks tells them."""

    run_ids: frozenset[int] = frozenset()
    #: why they are not known, None when they are
    error: str | None = None


NO_SUCH_WORKSPACE = Active(error="the settings name no such workspace")


class ActiveRuns:
    """Asks each workspace, several at once, and keeps the answer or the error for a while."""

    def __init__(self, runs: Mapping[str, Runs], clock: Clock) -> None:
        self._runs = runs
        self._clock = clock
        self._locks = {name: asyncio.Lock() for name in runs}
        #: by workspace, with the time at which it grows old
        self._kept: dict[str, tuple[float, Active]] = {}

    async def of(self, workspaces: Iterable[str]) -> dict[str, Active]:
        """Return what is known of these workspaces, without those that the settings do not know."""
        known = [name for name in workspaces if name in self._runs]
        return dict(zip(known, await asyncio.gather(*(self._one(name) for name in known)), strict=True))

    async def _one(self, workspace: str) -> Active:
        async with self._locks[workspace]:
            until, active = self._kept.get(workspace, (0.0, Active()))
            if workspace not in self._kept or self._clock.monotonic() >= until:
                active = await self._ask(workspace)
                self._kept[workspace] = (self._clock.monotonic() + KEEP_SECONDS, active)
            return active

    async def _ask(self, workspace: str) -> Active:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return Active(run_ids=await self._runs[workspace].active_run_ids())
        except TimeoutError:
            return Active(error=f"no answer from Databricks within {ASK_SECONDS:.0f} s")
        except DatabricksError as error:
            return Active(error=str(error))
