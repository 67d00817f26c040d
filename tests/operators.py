"""People who change one entry at a time: by the app's own transactions, or by SQL as they like."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.actions import RESTART, RETRY, Action, Resolution, resolve
from orchestrator.core.policy import RetryMode
from tests.invariants import BY_HAND

_T = TypeVar("_T")

#: What people set by SQL to have an entry run again, or not at all, whatever becomes of it at that moment.
HANDS = (
    "status = 'PENDING'",
    "status = 'PENDING', submission = 0",
    "status = 'PENDING', runid = NULL",
    "status = 'PENDING', submission = 0, runid = NULL, attempt = 0",
    "status = 'FAILED'",
    "status = 'CANCELED'",
    "status = 'RUNNING'",
    "status = 'QUEUED'",
    "submission = 0",
    "submission = submission - 1",
    "runid = NULL",
    "attempt = 0",
)


class Operator:
    """An operator at a database that holds the :data:`tests.invariants.AUDIT`, which names the action.

    Each method changes an entry, if it can be, and says whether it did.
    """

    def __init__(self, connector: SqliteConnector) -> None:
        self._connector = connector

    def retry(self, entry_id: int, mode: RetryMode | None = None) -> bool:
        """Run an entry again: as a new run, by a repair, or as the entry says."""
        return self._change(replace(RETRY, mode=mode), entry_id)

    def restart(self, entry_id: int) -> bool:
        """Run an entry again; if it has a live run, that is cancelled first."""
        return self._change(RESTART, entry_id)

    def resolve(self, entry_id: int, resolution: Resolution) -> bool:
        """Settle an entry by hand, so that its runs are let go."""
        return self._change(resolve(resolution, "by hand"), entry_id)

    def set_by_hand(self, entry_id: int, what: str) -> None:
        """Change an entry by SQL that knows nothing of the app's rules; the database may refuse it.

        :param what: one of :data:`HANDS`.
        """
        with closing(self._connector.connect().connection) as connection:
            self._connector.begin_write(connection)
            cursor = connection.cursor()
            cursor.execute("SELECT COALESCE(MAX(rowid), 0) FROM audit")
            [(before,)] = cursor.fetchall()
            with contextlib.suppress(sqlite3.IntegrityError):
                cursor.execute(f"UPDATE track_processing SET {what} WHERE id = ?", (entry_id,))
            cursor.execute("UPDATE audit SET action = ? WHERE rowid > ?", (BY_HAND, before))
            connection.commit()

    def delete(self, entry_id: int) -> None:
        """Delete an entry by SQL."""
        with closing(self._connector.connect().connection) as connection:
            connection.cursor().execute("DELETE FROM track_processing WHERE id = ?", (entry_id,))

    def say_moved(self, workspace: str, address: str) -> None:
        """Say that a workspace has moved to the address in the settings."""
        operations = Operations(_AuditedPool(self._connector, "moved"))

        async def move() -> None:
            await operations.move_strays(workspace, address)
            await operations.move(workspace, address, after=0, limit=1000)

        asyncio.run(move())

    def _change(self, action: Action, entry_id: int) -> bool:
        operations = Operations(_AuditedPool(self._connector, action.name))
        return asyncio.run(operations.change(action, [entry_id])) == [entry_id]


class _AuditedPool(Pool):
    """Makes each transaction at once, on a connection of its own, and names the action in the audit."""

    def __init__(self, connector: SqliteConnector, action: str) -> None:
        super().__init__(connector)
        self._action = action

    async def transact(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        with closing(self._connector.connect().connection) as connection:
            self._connector.begin_write(connection)
            cursor = connection.cursor()
            cursor.execute("SELECT COALESCE(MAX(rowid), 0) FROM audit")
            [(before,)] = cursor.fetchall()
            result = work(Session(connection, self._connector))
            cursor.execute("UPDATE audit SET action = ? WHERE rowid > ?", (self._action, before))
            connection.commit()
            return result
