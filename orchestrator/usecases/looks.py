"""Look at the runs of a workspace's RUNNING entries, in the list of active runs as soon as that is there."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.core import pass_budget, second_looks
from orchestrator.core.errors import OrchestratorError, RunNotCancelled, RunNotFound
from orchestrator.core.models import Entry
from orchestrator.usecases.listing import Listing
from orchestrator.usecases.settle import Settle, View
from orchestrator.usecases.tasks import both, gather_all

#: Runs fetched at the same time: so many that left the list, and so many that are listed. Both together stay
#: far below the 100 ``runs/get`` per second that Databricks allows.
_CONCURRENCY = 10

#: Calls without an answer, and without a single success, after which a pass leaves a workspace alone: it is
#: down, and each further call would wait for its time-out. Single runs that cannot be read block no others.
_MAX_FAILURES = _CONCURRENCY

_NOBODY: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class Looks:
    """The looks of one pass at the runs of one workspace, and what became of them."""

    settle: Settle
    listing: Listing
    #: when the pass began; by the database's clock
    began: datetime
    succeeded: int = 0
    #: entries that came to the end of their run
    finished: int = 0
    #: those of them whose run is listed as active
    wrongly_listed: int = 0
    failures: list[tuple[Entry, OrchestratorError]] = field(default_factory=list)
    #: entries whose run does not exist, as Databricks says
    missing: list[tuple[Entry, RunNotFound]] = field(default_factory=list)
    #: ids of entries whose run was looked up although it is listed
    _looked_up: set[int] = field(default_factory=set, repr=False)

    @property
    def is_answered(self) -> bool:
        """Whether the workspace said something about a run, be it that there is none."""
        return bool(self.succeeded or self.missing)

    @property
    def is_down(self) -> bool:
        """Whether the workspace seems not to answer at all. A refusal is an answer.

        A run is read before its cancellation is asked for, so one that was not cancelled was read.
        """
        errors = [error for _, error in self.failures]
        was_read = self.is_answered or any(isinstance(error, RunNotCancelled) for error in errors)
        silent = sum(not getattr(error, "answered", False) for error in errors)
        return silent >= _MAX_FAILURES and not was_read

    async def at_each(self, entries: Sequence[Entry]) -> None:
        """Look at the run of each entry, in the list of active runs as soon as that is there.

        Runs that left the list have mostly ended, so they do not wait for looks at listed ones.
        """
        view = self._view()
        listed = [entry for entry in entries if view.lists(entry)]
        await both(self._at([entry for entry in entries if not view.lists(entry)]), self._at_listed(listed))

    async def _at_listed(self, entries: Sequence[Entry]) -> None:
        await self._doubt_the_list({entry.id: entry for entry in entries})
        await self._at([entry for entry in entries if entry.id not in self._looked_up])

    async def _doubt_the_list(self, listed: Mapping[int, Entry]) -> None:
        """Look up a sample of the listed runs, and ever more while some are over."""
        order = second_looks.in_turn(listed.values(), self.began)
        end, size, found = 0, second_looks.sample_size(len(order)), -1
        try:
            async with asyncio.timeout(pass_budget.SECOND_LOOKS_SECONDS):
                while end < len(order) and self.wrongly_listed > found:
                    found = self.wrongly_listed
                    ids = order[end : end + size]
                    end, size = end + size, size * 2
                    await self._at([listed[entry_id] for entry_id in ids], doubted=frozenset(ids))
        except TimeoutError:
            pass  # the next pass looks at another sample

    async def _at(self, entries: Sequence[Entry], *, doubted: Set[int] = _NOBODY) -> None:
        """Look at the runs of entries, a few at the same time.

        :param doubted: ids of entries whose run is looked up although it is listed.
        """
        limit = asyncio.Semaphore(_CONCURRENCY)

        async def look(entry: Entry) -> None:
            async with limit:
                if not self.is_down:
                    await self._settle(entry, self._view(doubted))
                    if entry.id in doubted:
                        self._looked_up.add(entry.id)

        await gather_all(map(look, entries))

    def _view(self, doubted: Set[int] = _NOBODY) -> View:
        active = self.listing.result
        if active is None or active.error is not None:
            return View(began=self.began)
        return View(began=self.began, active=active.by_id, doubted=doubted)

    async def _settle(self, entry: Entry, view: View) -> None:
        try:
            is_finished = await self.settle(entry, view)
        except RunNotFound as error:
            self.missing.append((entry, error))
        except OrchestratorError as error:
            self.failures.append((entry, error))
        else:
            self.succeeded += 1
            self.finished += is_finished
            self.wrongly_listed += is_finished and view.lists(entry)
