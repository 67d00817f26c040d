"""The list of a workspace's active runs, fetched in the background while its entries are settled."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from orchestrator.core import pass_budget
from orchestrator.core.errors import DatabricksError, ListIncomplete
from orchestrator.core.models import ActiveRun
from orchestrator.ports import Clock, Runs


@dataclass(frozen=True, kw_only=True)
class ActiveList:
    """The active runs of a workspace at one time."""

    runs: tuple[ActiveRun, ...]
    #: when it was asked for and when it was there, on the clock
    began: float
    ended: float
    #: why runs may be missing; None = all are here
    error: DatabricksError | None = None

    @cached_property
    def by_id(self) -> Mapping[int, ActiveRun]:
        """The runs by their ids."""
        return {run.run_id: run for run in self.runs}

    @property
    def takes_long(self) -> bool:
        """Whether it took longer than another one may."""
        return self.ended - self.began > pass_budget.LIST_AGAIN_SECONDS

    def is_out_of_date(self, now: float) -> bool:
        """Say whether a claim should list the active runs once more.

        A list that failed after a long time would fail again in the little time that a claim has.
        """
        if self.error is not None:
            return not self.takes_long
        return now - self.ended > pass_budget.FRESH_SECONDS

    def brought_up_to_date(self, newer: "ActiveList") -> "ActiveList":
        """Return what a newer list shows, or both together if only this one was read to its end.

        The newest runs come first, so a part has those that have begun since. Runs that have ended since are
        still in it, which makes too few slots seem free, not too many.
        """
        if newer.error is None or self.error is not None:
            return newer
        return replace(self, runs=tuple({**self.by_id, **newer.by_id}.values()))


async def known_active_runs(
    runs: Runs, *, seconds: float
) -> tuple[tuple[ActiveRun, ...], DatabricksError | None]:
    """Return the active runs as far as they can be listed, and why some may be missing; None = none is."""
    try:
        return await runs.active_runs(seconds=seconds), None
    except ListIncomplete as error:
        return error.runs, error
    except DatabricksError as error:
        return (), error


async def list_active(runs: Runs, clock: Clock, *, seconds: float) -> ActiveList:
    """List the active runs. An error of the workspace is returned with the runs that are known."""
    began = clock.monotonic()
    found, error = await known_active_runs(runs, seconds=seconds)
    return ActiveList(runs=found, began=began, ended=clock.monotonic(), error=error)


class Listing:
    """A list that is being fetched until the context ends."""

    def __init__(self, runs: Runs, clock: Clock, *, seconds: float) -> None:
        self._task = asyncio.create_task(list_active(runs, clock, seconds=seconds))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until the list is there; None = as long as it takes."""
        await asyncio.wait({self._task}, timeout=seconds)

    @property
    def result(self) -> ActiveList | None:
        """The list; None = it is not there yet."""
        return self._task.result() if self._task.done() else None
