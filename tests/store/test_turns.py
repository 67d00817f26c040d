"""Transactions that write to a SQLite file take turns: who asked first goes on first."""

import asyncio
import functools
import threading
import time
from pathlib import Path

from orchestrator.adapters.store.connector import Connection
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.adapters.store.turns import Turns
from tests.empty_store import make_empty_store


class CountingConnector(SqliteConnector):
    """Counts the transactions that have asked SQLite for its lock."""

    begun = 0

    def begin_write(self, connection: Connection) -> None:
        self.begun += 1
        super().begin_write(connection)

    async def until_waiting(self, number: int) -> None:
        """Wait until so many transactions wait for their turn."""

        def wait() -> None:
            give_up_at = time.monotonic() + 10
            while len(self._turns._waiting) < number:
                assert time.monotonic() < give_up_at
                time.sleep(0.001)

        await asyncio.to_thread(wait)


async def test_writers_go_on_in_the_order_in_which_they_asked(tmp_path: Path) -> None:
    connector = CountingConnector(make_empty_store(tmp_path / "state.db"))
    pool = Pool(connector)
    done: list[int] = []
    may_end = threading.Event()

    def work(number: int, session: Session) -> None:
        session.now()
        if number == 0:
            assert may_end.wait(10)
        done.append(number)

    transactions = []
    for number in range(8):
        write = pool.transact(functools.partial(work, number), writes=True)
        transactions.append(asyncio.create_task(write))
        await connector.until_waiting(number)
    assert connector.begun == 1  # the others do not even ask SQLite
    may_end.set()
    await asyncio.gather(*transactions)
    assert done == list(range(8))
    await pool.close()


async def test_readers_do_not_wait_for_a_turn(tmp_path: Path) -> None:
    pool = Pool(CountingConnector(make_empty_store(tmp_path / "state.db")))
    has_begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def write(session: Session) -> None:
        session.now()
        loop.call_soon_threadsafe(has_begun.set)
        assert may_end.wait(10)

    writing = asyncio.create_task(pool.transact(write, writes=True))
    await has_begun.wait()
    await pool.transact(Session.now, writes=False)
    may_end.set()
    await writing
    await pool.close()


async def test_failed_transaction_ends_its_turn(tmp_path: Path) -> None:
    connector = CountingConnector(make_empty_store(tmp_path / "state.db"))
    pool = Pool(connector)

    def fail(session: Session) -> None:
        session.now()
        raise ZeroDivisionError

    for _ in range(3):
        try:
            await pool.transact(fail, writes=True)
        except ZeroDivisionError:
            continue
    async with asyncio.timeout(2):  # far less than the patience
        await pool.transact(Session.now, writes=True)
    await pool.close()


def test_who_has_waited_for_long_goes_on_and_leaves_the_line() -> None:
    turns = Turns(patience=0.05)
    with turns.turn():
        with turns.turn():
            pass
        with turns.turn():
            pass
    with turns.turn():  # nobody who went on without a turn has ended or is given one
        assert turns._is_taken
        assert not turns._waiting
    assert not turns._is_taken
