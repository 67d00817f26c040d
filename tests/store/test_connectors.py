"""What the SQL Server connector adds to a connection string, and how it and SQLite explain their errors."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from operator import sub
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.connector import Connection, Cursor
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.adapters.store.sqlserver import SqlServerConnector, _complete, _signs_in, address
from orchestrator.core.errors import StoreError
from orchestrator.core.states import Status
from tests.empty_store import make_empty_store
from tests.store.conftest import SQLSERVER
from tests.store.helpers import add, begun, claim, entry_of, finish
from tests.store.odbc import Line

DRIVERS = ["PostgreSQL", "ODBC Driver 17 for SQL Server", "ODBC Driver 18 for SQL Server"]

#: Debian's package libsqliteodbc: a real ODBC driver that needs no server.
SQLITE_ODBC = next(Path("/usr/lib").glob("*/odbc/libsqlite3odbc.so"), None)


def test_string_without_driver_and_encryption_gets_both() -> None:
    text = _complete("SERVER=tcp:x.database.windows.net;DATABASE=d;", DRIVERS)
    assert text == (
        "DRIVER={ODBC Driver 18 for SQL Server};SERVER=tcp:x.database.windows.net;DATABASE=d;Encrypt=yes"
    )


def test_complete_string_is_left_alone() -> None:
    text = "DRIVER={Mine};SERVER=x;UID=a;PWD=b;Encrypt=no"
    assert _complete(text, []) == text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("UID=a;PWD=b", True),
        ("Authentication=ActiveDirectoryDefault", True),
        ("User Id=a", True),
        ("trusted_connection=yes", True),
        ("DATABASE=uid", False),
    ],
)
def test_strings_that_sign_in_themselves(said: str, expected: bool) -> None:
    assert _signs_in(f"SERVER=x;{said};Encrypt=no") is expected


@pytest.mark.parametrize("named", ["DSN=orchestrator", "FileDSN=/etc/orchestrator.dsn", "driver={Mine}"])
def test_driver_is_left_to_what_the_string_names(named: str) -> None:
    assert _complete(f"{named};UID=a", DRIVERS) == f"{named};UID=a;Encrypt=yes"


@pytest.mark.parametrize(
    ("connection_string", "expected"),
    [
        ("SERVER=tcp:x.database.windows.net,1433;DATABASE=d", ("x.database.windows.net", 1433)),
        ("DRIVER={Mine};Server = x , 1500 ;DATABASE=d", ("x", 1500)),
        ("DATABASE=d;ADDR=127.0.0.1", ("127.0.0.1", 1433)),
        (r"SERVER=host\instance;DATABASE=d", None),
        ("DSN=orchestrator", None),
        ("DATABASE=server", None),
    ],
)
def test_address_of_the_server(connection_string: str, expected: tuple[str, int] | None) -> None:
    assert address(connection_string) == expected


def test_older_driver_when_there_is_no_newer() -> None:
    assert "{ODBC Driver 17 for SQL Server}" in _complete("SERVER=x", DRIVERS[:2])


def test_no_driver_says_what_to_install() -> None:
    with pytest.raises(StoreError, match=r"no ODBC driver .* install Microsoft's ODBC Driver 18"):
        _complete("SERVER=x", ["PostgreSQL"])


async def test_driver_that_is_not_there_is_a_clear_error() -> None:
    store = Store(Pool(SqlServerConnector("DRIVER={No Such Driver};SERVER=x;UID=a;PWD=s3cr3t")))
    with pytest.raises(StoreError, match=r"SQL Server \[\w+\]") as caught:
        await store.now()
    assert "s3cr3t" not in str(caught.value)
    await store.pool.close()


@pytest.mark.skipif(SQLITE_ODBC is None, reason="no libsqlite3odbc.so; Debian and Ubuntu: make odbc")
def test_connector_over_a_real_odbc_driver(tmp_path: Path) -> None:
    """pyodbc's own connection, transaction and error classes, without a server."""
    connector = SqlServerConnector("")
    connection = connector.open(f"DRIVER={SQLITE_ODBC};Database={tmp_path / 'odbc.db'}")
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (x int)")
    connection.commit()
    cursor.execute("INSERT INTO t VALUES (?)", [1])
    assert cursor.rowcount == 1
    connection.rollback()
    cursor.execute("SELECT x FROM t")
    assert [column[0] for column in cursor.description] == ["x"]
    assert cursor.fetchall() == []
    with pytest.raises(connector.error) as caught:
        cursor.execute("SELECT * FROM missing WHERE x = ?", ["s3cr3t"])
    assert re.match(r"SQL Server \[\w+\]: .*missing", connector.explain(caught.value))
    assert "s3cr3t" not in connector.explain(caught.value)
    connection.close()


async def test_sqlite_folder_that_is_not_there() -> None:
    store = Store(Pool(SqliteConnector(Path("/no/such/folder/state.db"))))
    with pytest.raises(StoreError, match="STATE_DB"):
        await store.now()
    await store.pool.close()


async def test_missing_tables_say_what_to_run(tmp_path: Path) -> None:
    store = Store(Pool(SqliteConnector(tmp_path / "state.db", create=True)))
    with pytest.raises(StoreError, match="init-db"):
        await store.get(1)
    await store.pool.close()


def test_many_connections_may_make_one_sqlite_file(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def make(path: Path) -> None:
        together.wait(10)
        SqliteConnector(path, create=True).connect().connection.close()

    files = [tmp_path / f"{number}.db" for number in range(40)]
    with ThreadPoolExecutor(6) as threads:
        for path in files:
            list(threads.map(make, [path] * 6))


def test_an_error_of_sql_server_undoes_its_whole_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the driver would commit what the statements before the failed one have changed."""
    connector = SqlServerConnector("DRIVER={Mine};SERVER=x;UID=a;PWD=b")
    said: list[str] = []

    class Noting:
        def cursor(self) -> "Noting":
            return self

        def execute(self, sql: str) -> "Noting":
            said.append(sql)
            return self

        def close(self) -> None:
            said.append("closed")

    monkeypatch.setattr(connector, "open", lambda _: Noting())
    connector.connect()
    assert re.fullmatch(r"SET (\w+, )*XACT_ABORT(, \w+)* ON", said[0])
    assert said[1:] == ["closed"]


def test_texts_are_declared_with_one_of_two_lengths() -> None:
    """``ntext``, which pyodbc would declare, is refused by databases with a UTF-8 or _SC collation (4189)."""
    connector = SqlServerConnector("DRIVER={Mine};SERVER=x;UID=a;PWD=b")
    declared: list[Any] = []

    class Cursor:
        def setinputsizes(self, sizes: list[Any]) -> None:
            declared.extend(sizes)

    connector.declare(Cursor(), ["sales", None, 7, "x" * 2001, "é" * 2000])
    nvarchar = connector._pyodbc.SQL_WVARCHAR
    of_4000, of_max = (nvarchar, 4000, 0), (nvarchar, 0, 0)
    assert declared == [of_4000, of_4000, None, of_max, of_4000]


class CountedConnection:
    """A connection that counts the cursors that it is asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.cursors = 0

    def cursor(self) -> Cursor:
        self.cursors += 1
        cursor: Cursor = self._connection.cursor()
        return cursor

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


def test_a_statement_that_is_repeated_keeps_its_cursor(tmp_path: Path) -> None:
    """A driver prepares a statement once for a cursor: asking again costs a round trip or more."""
    connector = SqliteConnector(make_empty_store(tmp_path / "state.db"))
    opened = connector.connect()
    with closing(opened.connection):
        counted, kept = CountedConnection(opened.connection), dict[str, Cursor]()
        for entry_id in range(3):
            session = Session(counted, connector, kept)  # as many transactions of one connection
            session.now()
            session.rows("get_entry", entry_id)
        assert (counted.cursors, sorted(kept)) == (2, ["get_entry", "now"])


@pytest.mark.skipif(not SQLSERVER, reason="TEST_SQLSERVER is not set")
async def test_a_claim_and_an_end_take_few_round_trips(database: Any) -> None:
    """Counted between Microsoft's driver and the server, for the first entry and for a later one."""
    if database.connector.dialect != "sqlserver":
        pytest.skip("a file has no round trips")
    counted: list[dict[str, int]] = []
    async with Line(SQLSERVER or "").open() as line:
        pool = Pool(type(database.connector)(line.connection_string))
        store = Store(pool)
        for number in range(3):
            [entry_id] = await add(store, f"table {number}")
            began = line.round_trips
            [claimed] = await claim(store)
            has_claimed = line.round_trips
            await begun(store, claimed)
            assert await store.record_run(claimed, 1000 + number, new_in="default", address="")
            is_submitted = line.round_trips
            assert await finish(store, await entry_of(store, entry_id), Status.DONE)
            steps = (began, has_claimed, is_submitted, line.round_trips)
            counted.append(dict(zip(("claim", "submission", "end"), map(sub, steps[1:], steps), strict=True)))
        await pool.close()
    assert line.connections == 1
    assert all(counted[2][step] < counted[0][step] for step in counted[0]), counted
