"""Two processes on one database: one stops inside its transaction while the other continues."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from orchestrator.adapters.store import dialects
from orchestrator.adapters.store.connector import Connector
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session

_T = TypeVar("_T")
_A = TypeVar("_A")
_B = TypeVar("_B")

#: The place after a transaction's last statement; every other place has the name of the query before it.
COMMIT = "commit"

#: How long the follower may take to finish or to reach a lock, by dialect. Not every engine says who waits
#: for whom, so this is a time. On a machine that is too slow, a race proves less, but no test fails.
MEETING_SECONDS = {"sqlite": 0.04, "sqlserver": 1.0}

#: A transaction is never held longer than this, whatever the test does.
HOLD_SECONDS = 20.0


class Stop:
    """A place where a transaction waits until it is released."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._go_on = threading.Event()
        #: set once the transaction has reached the place
        self.reached = asyncio.Event()

    def pass_by(self, place: str) -> None:
        """Wait if this is the place; called by the transaction's thread."""
        if place != self._place or self._go_on.is_set():
            return
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._go_on.wait(HOLD_SECONDS), f"held for {HOLD_SECONDS} s after {place}"

    def let_go(self) -> None:
        """Let the transaction continue. If it is repeated, it does not stop again."""
        self._go_on.set()


class _StoppingSession(Session):
    """A transaction that passes a stop after every query."""

    def __init__(self, real: Session, stop: Stop) -> None:
        self._real = real
        self._stop = stop

    def rows(self, name: str, *parameters: Any) -> list[dict[str, Any]]:
        rows = self._real.rows(name, *parameters)
        self._stop.pass_by(name)
        return rows

    def change(self, name: str, *parameters: Any) -> int:
        count = self._real.change(name, *parameters)
        self._stop.pass_by(name)
        return count

    def changes_one(self, name: str, *parameters: Any) -> bool:
        changed = self._real.changes_one(name, *parameters)
        self._stop.pass_by(name)
        return changed


class _StoppingPool(Pool):
    """A pool with one connection, whose next writing transaction can be made to stop."""

    def __init__(self, connector: Connector) -> None:
        super().__init__(connector, threads=1)
        self.stop: Stop | None = None

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        stop = self.take_stop() if writes else None
        if stop is None:
            return await super().transact(work, writes=writes)

        def stopping(session: Session) -> _T:
            result = work(_StoppingSession(session, stop))
            stop.pass_by(COMMIT)
            return result

        return await super().transact(stopping, writes=writes)

    def take_stop(self) -> Stop | None:
        stop, self.stop = self.stop, None
        return stop


class Rival(Store):
    """The store of a separate process, on one connection, with the default patience."""

    def __init__(self, connector: Connector) -> None:
        self._stopping = _StoppingPool(connector)
        super().__init__(self._stopping)
        self._connector = connector
        self.dialect = connector.dialect

    def stop_next(self, place: str) -> Stop:
        """Make the next writing transaction stop at a place."""
        self._stopping.stop = stop = Stop(place)
        return stop

    async def warm_up(self) -> None:
        """Connect, and let a server plan the longest statement, which takes longer than a race."""
        await self.claim(
            "nobody's", cap=1, active=[], jobs={}, lease_seconds=1, max_attempts=1, serialize_tables=True
        )

    async def by_hand(self, sql: str) -> int:
        """Run a statement as an operator's SQL client does and return how many rows it changed."""
        return await asyncio.to_thread(self._by_hand, sql, self._stopping.take_stop())

    def _by_hand(self, sql: str, stop: Stop | None) -> int:
        connection = self._connector.connect().connection
        try:
            self._connector.begin_write(connection)
            cursor = connection.cursor()
            cursor.execute(dialects.render(sql, self._connector.dialect))
            changed = self._connector.changed(cursor)
            if stop is not None:
                stop.pass_by(COMMIT)
            connection.commit()
        finally:
            connection.close()
        return changed


async def race(
    ahead: tuple[Rival, Callable[[Rival], Coroutine[Any, Any, _A]]],
    behind: tuple[Rival, Callable[[Rival], Coroutine[Any, Any, _B]]],
    *,
    place: str = COMMIT,
) -> tuple[_A, _B]:
    """Let the changes of two rivals meet and return both results.

    The leader stops at a place in its first transaction and holds its locks. The follower runs until it is
    done or waits for them. Then the leader continues.
    """
    leader, lead = ahead
    follower, follow = behind
    await asyncio.gather(leader.warm_up(), follower.warm_up())
    stop = leader.stop_next(place)
    leading = asyncio.create_task(lead(leader))
    leading.add_done_callback(lambda _: stop.reached.set())
    try:
        async with asyncio.timeout(HOLD_SECONDS):
            await stop.reached.wait()
        assert not leading.done(), f"ended before it reached {place}: {leading}"
        following = asyncio.create_task(follow(follower))
        await asyncio.wait({following}, timeout=MEETING_SECONDS[follower.dialect])
    finally:
        stop.let_go()
    return await asyncio.gather(leading, following)
