"""A wait for a lock that is over: the database is not available now, whatever the batch leaves behind."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.adapters.store.connector import Connection, Opened
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import StoreUnavailable

pytest.importorskip("pyodbc")


class _Cursor:
    """A cursor of a batch; without a result it has neither columns nor a further set."""

    def __init__(self, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.description = [(column,) for column in columns] or None
        self._rows = rows

    def execute(self, sql: str, parameters: Any) -> None: ...

    def setinputsizes(self, sizes: Any) -> None: ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def nextset(self) -> bool:
        return False

    def close(self) -> None: ...


class _Server(SqlServerConnector):
    """A server whose first batches end without a result."""

    def __init__(self, answers: list[_Cursor]) -> None:
        super().__init__("SERVER=localhost")
        self._answers = answers

    def connect(self) -> Opened:
        return Opened(connection=_Connection(self._answers))


class _Connection(Connection):
    def __init__(self, answers: list[_Cursor]) -> None:
        self._answers = answers

    def cursor(self) -> _Cursor:
        return self._answers.pop(0)

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


_STATEMENTS: dict[str, tuple[Callable[[Session], Any], _Cursor]] = {
    "lock": (lambda session: session.acquire_lock("x"), _Cursor(["result"], [(0,)])),
    "rows": (lambda session: session.rows("is_silent", "default"), _Cursor(["passes"], [])),
    "change": (lambda session: session.change("silence_ends", "default"), _Cursor(["changed_rows"], [(1,)])),
    "select": (lambda session: session.select("SELECT 1 AS one"), _Cursor(["one"], [(1,)])),
}


@pytest.mark.parametrize(("work", "answer"), _STATEMENTS.values(), ids=_STATEMENTS)
async def test_a_batch_without_its_result_is_waited_for(
    work: Callable[[Session], Any], answer: _Cursor
) -> None:
    nothing = [_Cursor([], []), _Cursor([], [])]
    waits: list[float] = []
    pool = Pool(_Server([*nothing, answer]), sleep=waits.append)
    await pool.transact(work, writes=True)
    assert len(waits) == len(nothing)
    await pool.close()


async def test_it_is_told_as_what_it_is() -> None:
    pool = Pool(_Server([_Cursor([], [])]), patience=0)
    with pytest.raises(StoreUnavailable, match="lock time-out"):
        await pool.transact(lambda session: session.acquire_lock("x"), writes=True)
    await pool.close()
