"""Connections to SQL Server and Azure SQL through pyodbc: the store for production."""

import importlib
import importlib.util
import platform
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.adapters.store import sqlserver_errors
from orchestrator.adapters.store.access_token import SQL_COPT_SS_ACCESS_TOKEN, SqlToken
from orchestrator.adapters.store.connector import (
    LOGIN_TIMEOUT_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
    Connection,
    Opened,
    store_error,
)
from orchestrator.adapters.store.dialects import ROW_COUNT
from orchestrator.core.errors import OTHER_BUILD_ADVICE, PackageMissing, StoreError, StoreUnavailable

#: Length to which the driver's text is cut. It may name several errors, of which the first one matters.
_MAX_TEXT_LENGTH = 500

#: The longest ``nvarchar`` that is not ``nvarchar(max)``, in UTF-16 code units.
_LONGEST_NVARCHAR = 4000

#: Azure's images contain version 18, older ones 17.
_DRIVER = re.compile(r"^ODBC Driver (\d+) for SQL Server$")

#: The system's own library, which no Python package has.
_MANAGER_ADVICE = (
    "install the ODBC driver manager "
    "(Debian and Ubuntu: apt-get install libodbc2; macOS: brew install unixodbc)"
)

#: A connection string with one of these keys says how to sign in.
_SIGNS_IN = re.compile(
    r"(^|;)\s*(uid|user id|pwd|password|authentication|trusted_connection)\s*=", re.IGNORECASE
)

#: Holds Microsoft's driver as a file, under the names of machines that are not always Python's.
_DRIVER_PACKAGE = "mssql_python_odbc"
_MACHINES = {"aarch64": "arm64"}

#: A data source in odbc.ini names its own driver.
_HAS_DRIVER = re.compile(r"(^|;)\s*(driver|dsn|filedsn)\s*=", re.IGNORECASE)
_HAS_ENCRYPT = re.compile(r"(^|;)\s*encrypt\s*=", re.IGNORECASE)

#: A server by name and port. The port of a named instance (``HOST\\NAME``) is known to the server only.
_SERVER = re.compile(
    r"(?:^|;)\s*(?:server|addr|address)\s*=\s*(?:tcp:)?([^,;\\]+?)\s*(?:,\s*(\d+)\s*)?(?:;|$)", re.IGNORECASE
)
_DEFAULT_PORT = 1433


def _complete(connection_string: str, drivers: list[str]) -> str:
    """Return a connection string with the driver and the encryption that it leaves open.

    :param drivers: the installed ones, from ``pyodbc.drivers()``.
    :raises StoreError: it names no driver, and none for SQL Server is installed.
    """
    parts = [connection_string.strip().rstrip(";")]
    if not _HAS_DRIVER.search(connection_string):
        parts.insert(0, f"DRIVER={{{_newest(drivers)}}}")
    if not _HAS_ENCRYPT.search(connection_string):
        parts.append("Encrypt=yes")
    return ";".join(parts)


def _signs_in(connection_string: str) -> bool:
    """Say whether a connection string names credentials or a way to sign in."""
    return bool(_SIGNS_IN.search(connection_string))


def address(connection_string: str) -> tuple[str, int] | None:
    """Return the server's name and port, or None if the connection string does not say."""
    match = _SERVER.search(connection_string)
    return (match[1], int(match[2] or _DEFAULT_PORT)) if match else None


def _newest(drivers: list[str]) -> str:
    found = sorted((int(match[1]), name) for name in drivers if (match := _DRIVER.match(name)))
    if not found:
        raise StoreError(
            f"no ODBC driver for SQL Server is installed: {sqlserver_errors.INSTALL_ADVICE}, or {_packaged()}"
        )
    return found[-1][1]


def _packaged() -> str:
    """Say how to use the driver of the Python package that holds it, by its path if it is there."""
    spec = importlib.util.find_spec(_DRIVER_PACKAGE)
    folders = (spec and spec.submodule_search_locations) or ()
    machine = _MACHINES.get(platform.machine(), platform.machine())
    pattern = f"libs/linux/debian_ubuntu/{machine}/lib/libmsodbcsql*"  # Azure's images are Debian
    found = next((path for folder in folders for path in Path(folder).glob(pattern)), None)
    if found is None:
        return "add the package mssql-python-odbc to requirements.txt (docs/sqlserver.md#a-driver-from-pypi)"
    return f"add DRIVER={found} to SQL_CONNECTION_STRING, the driver of the package mssql-python-odbc"


class SqlServerConnector:
    """Connections through one ODBC connection string.

    A string without credentials signs in with an access token: managed identity in Azure.

    :param token: gives the token; needed only for such a string.
    :param login_timeout_seconds: whole seconds; the driver takes no fractions.
    :param statement_timeout_seconds: whole seconds. If the server does not answer at all, the driver gives
        up about four seconds later.
    """

    dialect = "sqlserver"

    def __init__(
        self,
        connection_string: str,
        *,
        token: SqlToken | None = None,
        login_timeout_seconds: int = LOGIN_TIMEOUT_SECONDS,
        statement_timeout_seconds: int = STATEMENT_TIMEOUT_SECONDS,
    ) -> None:
        self._connection_string = connection_string
        self._token = token
        self._login_timeout_seconds = login_timeout_seconds
        self._statement_timeout_seconds = statement_timeout_seconds

    @cached_property
    def _pyodbc(self) -> Any:
        """The driver's package, loaded with the first connection: an app without it can still say so."""
        return _import_pyodbc()

    @property
    def error(self) -> type[Exception]:
        """The base of what the driver raises."""
        raised: type[Exception] = self._pyodbc.Error
        return raised

    def connect(self) -> Opened:
        """Open a connection.

        :raises StoreUnavailable: the server does not answer, or is not available now.
        :raises StoreError: there is no permission; or pyodbc, the ODBC driver manager or a driver is not
            installed.
        """
        text = _complete(self._connection_string, self._pyodbc.drivers())
        if self._token is None or _signs_in(text):
            return Opened(connection=self._prepared(self.open(text)), cursors={})
        token = self._token.get()
        connection = self.open(text, attrs_before={SQL_COPT_SS_ACCESS_TOKEN: token.attribute()})
        return Opened(connection=self._prepared(connection), seconds=token.seconds_left(), cursors={})

    def _prepared(self, connection: Connection) -> Connection:
        """Make every error roll back the whole transaction, and no statement send a count of its own."""
        try:
            connection.cursor().execute("SET XACT_ABORT, NOCOUNT ON").close()
        except self._pyodbc.Error as error:
            connection.close()
            raise store_error(self, error) from None
        return connection

    def open(self, connection_string: str, **options: object) -> Connection:
        """Open a connection with a complete string and bounded time-outs."""
        try:
            connection = self._pyodbc.connect(
                connection_string, timeout=self._login_timeout_seconds, autocommit=False, **options
            )
            connection.timeout = self._statement_timeout_seconds
            for kind in (self._pyodbc.SQL_WVARCHAR, self._pyodbc.SQL_WLONGVARCHAR):
                connection.add_output_converter(kind, _text)
        except self._pyodbc.Error as error:
            raise store_error(self, error) from None  # the driver's error may quote the string
        opened: Connection = connection
        return opened

    def is_transient(self, error: Exception) -> bool:
        """Say whether a statement that failed may succeed later."""
        return sqlserver_errors.is_transient(error)

    def turn(self) -> AbstractContextManager[None]:
        """Let all go on at once: the server sees to who waits for whom."""
        return nullcontext()

    def begin_write(self, connection: Connection) -> None:
        """Do nothing: without autocommit, the driver begins a transaction with the first statement."""

    def declare(self, cursor: Any, parameters: Sequence[Any]) -> None:
        """Declare texts with one of two lengths, and not each with its own.

        pyodbc declares a long text as ``ntext``, which databases with a UTF-8 or ``_SC`` collation refuse
        (error 4189), and a short one by its length, so that the server keeps a plan for each length. A NULL
        without a type costs a round trip, in which the server is asked what it could be.
        """
        cursor.setinputsizes([self._declared(value) for value in parameters])

    def _declared(self, value: object) -> tuple[int, int, int] | None:
        if not isinstance(value, str | None):
            return None
        # A character outside the Basic Multilingual Plane takes two units.
        is_long = value is not None and 2 * len(value) > _LONGEST_NVARCHAR
        return (self._pyodbc.SQL_WVARCHAR, 0 if is_long else _LONGEST_NVARCHAR, 0)

    def read(self, cursor: Any) -> tuple[list[str], list[Any]]:
        """Return the names of the columns and the rows of a batch's last result.

        A trigger on a team's table may send rows and counts of its own before that. An error that comes after
        them is raised here.

        :raises StoreUnavailable: the batch ended without any result, as when its wait for a lock is over.
        """
        columns: list[str] = []
        rows: list[Any] = []
        while True:
            if cursor.description is not None:
                columns, rows = [column[0] for column in cursor.description], cursor.fetchall()
            if not cursor.nextset():
                break
        if not columns:
            raise StoreUnavailable("SQL Server: a statement ended without a result, as after a lock time-out")
        return columns, rows

    def changed(self, cursor: Any) -> int:
        """Return how many rows a statement has changed, by the ``@@ROWCOUNT`` that its batch ends with."""
        columns, rows = self.read(cursor)
        return int(rows[0][0]) if columns == [ROW_COUNT] else -1

    def split(self, script: str) -> list[str]:
        """Split a script at lines that say GO, as Microsoft's own tools do."""
        pieces = re.split(r"^\s*GO\s*$", script, flags=re.MULTILINE | re.IGNORECASE)
        return [piece.strip() for piece in pieces if piece.strip()]

    def to_database(self, value: datetime) -> datetime:
        """Return naive UTC in whole milliseconds, as ``datetime2(3)`` holds it."""
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.replace(microsecond=utc.microsecond // 1000 * 1000)

    def explain(self, error: Exception) -> str:
        """Return the SQLSTATE and the driver's text, or error numbers if the server quotes a value."""
        state = sqlserver_errors.sqlstate(error)
        quoting = sqlserver_errors.native_numbers(error) & sqlserver_errors.QUOTING_NUMBERS
        if quoting:
            return f"SQL Server [{state}]: a value was refused (error {', '.join(map(str, sorted(quoting)))})"
        what_to_do = sqlserver_errors.advice(error)
        text = sqlserver_errors.text(error)[:_MAX_TEXT_LENGTH]
        return f"SQL Server [{state}]: {text}" + (f"; {what_to_do}" if what_to_do else "")


def _text(utf16: bytes | None) -> str | None:
    """Read ``nvarchar``. It may hold half a surrogate pair, for which pyodbc's own converter raises."""
    return None if utf16 is None else utf16.decode("utf-16-le", "replace")


def _import_pyodbc() -> Any:
    try:
        pyodbc: Any = importlib.import_module("pyodbc")
    except ModuleNotFoundError as error:
        raise StoreError(str(PackageMissing(error.name))) from error
    except ImportError as error:
        advice = _MANAGER_ADVICE if "libodbc" in str(error) else OTHER_BUILD_ADVICE
        raise StoreError(f"pyodbc cannot be loaded ({error}): {advice}") from error
    # The driver manager's own pool could return a connection that is broken or whose token has expired.
    pyodbc.pooling = False
    return pyodbc
