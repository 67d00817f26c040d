"""The real store without threads, and a queue, each stopped before and after every effect."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.errors import StoreError, StoreInDoubt
from orchestrator.core.models import ActiveRun, Claim
from tests.simulation.scheduler import Scheduler

_T = TypeVar("_T")

#: Faults of a transaction: it fails, or it succeeds and its response is lost.
STORE_FAULTS = ("not done", "answer lost")

#: In the task of a claim: its workspace, and the list of active runs that it uses.
_listing: ContextVar[tuple[str, Collection[ActiveRun]] | None] = ContextVar("listing", default=None)


class SimulatedPool(Pool):
    """The real pool without threads: each transaction is one effect between two boundaries."""

    def __init__(self, connector: SqliteConnector, scheduler: Scheduler) -> None:
        super().__init__(connector)
        self._scheduler = scheduler
        self.faults: list[str] = []
        #: called right after each claim with its workspace and the list of active runs that it used
        self.claimed: Callable[[str, Collection[ActiveRun]], None] = lambda _, __: None

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        await self._scheduler.boundary()
        fault = self.faults.pop() if self.faults else ""
        if fault == "not done":
            raise StoreError("the database does not answer")
        with self._transaction(writes) as session:
            result = work(session)
        if (listing := _listing.get()) is not None:
            self.claimed(*listing)
        await self._scheduler.boundary()
        if fault == "answer lost" and writes:
            raise StoreInDoubt("whether it was committed is not known")
        return result

    def disconnect(self) -> None:
        """Close every connection."""
        self._disconnect()


class SimulatedStore(Store):
    """The real store; its pool knows the list of active runs that each claim uses."""

    async def claim(self, workspace: str, **options: Any) -> list[Claim]:
        """Claim, then let the test check at once."""
        _listing.set((workspace, options["active"]))
        try:
            return await super().claim(workspace, **options)
        finally:
            _listing.set(None)


@dataclass
class SimulatedQueue:
    """Delivers at least once, in any order; sometimes accepts nothing, or accepts without confirming."""

    scheduler: Scheduler
    messages: list[Claim] = field(default_factory=list)
    fault: str = ""
    #: it refuses every message, for as long as it likes
    refuses: bool = False
    #: how often each message was taken
    taken: Counter[Claim] = field(default_factory=Counter)

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Send messages to the queue."""
        await self.scheduler.boundary()
        if self.refuses:
            return list(claims)
        if self.fault != "full":
            self.messages += claims
            self.taken.update(claims)
            await self.scheduler.boundary()
        return list(claims) if self.fault else []
