"""SQL Server and Azure SQL through pyodbc: the store for production."""

import importlib
import re
from datetime import UTC, datetime
from types import ModuleType

from orchestrator.errors import StoreError, StoreUnavailable
from orchestrator.store import access_token, faults
from orchestrator.store.access_token import SQL_COPT_SS_ACCESS_TOKEN
from orchestrator.store.connector import STATEMENT_TIMEOUT_SECONDS, Connection, Opened

#: A closed port never fails fast: the driver waits the whole login time-out (HYT00 after it).
LOGIN_TIMEOUT_SECONDS = 15

#: Newest first; Azure's images carry 18, older ones 17.
_DRIVER = re.compile(r"^ODBC Driver (\d+) for SQL Server$")

#: A connection string that has one of these says itself how to sign in.
_SIGNS_IN = re.compile(
    r"(^|;)\s*(uid|user id|pwd|password|authentication|trusted_connection)\s*=", re.IGNORECASE
)

_HAS_DRIVER = re.compile(r"(^|;)\s*driver\s*=", re.IGNORECASE)
_HAS_ENCRYPT = re.compile(r"(^|;)\s*encrypt\s*=", re.IGNORECASE)

INSTALL_ADVICE = (
    "install Microsoft's ODBC Driver 18 for SQL Server "
    "(https://learn.microsoft.com/sql/connect/odbc/download-odbc-driver-for-sql-server)"
)


def complete(connection_string: str, drivers: list[str]) -> str:
    """Return a connection string with what it leaves open: driver and encryption.

    :param drivers: what ``pyodbc.drivers()`` says is installed.
    :raises StoreError: it names no driver and none for SQL Server is installed.
    """
    parts = [connection_string.strip().rstrip(";")]
    if not _HAS_DRIVER.search(connection_string):
        parts.insert(0, f"DRIVER={{{_newest(drivers)}}}")
    if not _HAS_ENCRYPT.search(connection_string):
        parts.append("Encrypt=yes")
    return ";".join(parts)


def signs_in(connection_string: str) -> bool:
    """Say whether a connection string names credentials or a way to sign in."""
    return bool(_SIGNS_IN.search(connection_string))


def _newest(drivers: list[str]) -> str:
    found = sorted((int(match[1]), name) for name in drivers if (match := _DRIVER.match(name)))
    if not found:
        raise StoreError(f"no ODBC driver for SQL Server is installed: {INSTALL_ADVICE}")
    return found[-1][1]


class SqlServerConnector:
    """Connections through one ODBC connection string.

    A string without credentials signs in with an access token: managed identity in Azure.

    :param client_id: of a user-assigned managed identity.
    :raises StoreError: pyodbc cannot be loaded, because the system lacks the ODBC driver manager.
    """

    dialect = "sqlserver"

    def __init__(self, connection_string: str, client_id: str | None = None) -> None:
        self._pyodbc = _import_pyodbc()
        self.error: type[Exception] = self._pyodbc.Error
        self._connection_string = connection_string
        self._client_id = client_id

    def connect(self) -> Opened:
        """Open a connection.

        :raises StoreUnavailable: the server does not answer, or asks to come back later.
        :raises StoreError: no driver, or no permission.
        """
        text = complete(self._connection_string, self._pyodbc.drivers())
        if signs_in(text):
            return Opened(connection=self.open(text))
        token = access_token.fetch(self._client_id)
        connection = self.open(text, attrs_before={SQL_COPT_SS_ACCESS_TOKEN: token.attribute()})
        return Opened(connection=connection, seconds=token.seconds_left())

    def open(self, connection_string: str, **options: object) -> Connection:
        """Open a connection by a complete string, with bounded time-outs."""
        try:
            connection = self._pyodbc.connect(
                connection_string, timeout=LOGIN_TIMEOUT_SECONDS, autocommit=False, **options
            )
            connection.timeout = STATEMENT_TIMEOUT_SECONDS
        except self._pyodbc.Error as error:
            kind = StoreUnavailable if faults.is_transient(error) else StoreError
            raise kind(self.explain(error)) from None  # the driver's error may quote the string
        opened: Connection = connection
        return opened

    def is_transient(self, error: Exception) -> bool:
        """Say whether a statement may succeed later."""
        return faults.is_transient(error)

    def begin_write(self, connection: Connection) -> None:
        """Do nothing: without autocommit the driver begins a transaction with the first statement."""

    def split(self, script: str) -> list[str]:
        """Cut a script at lines that say GO, as Microsoft's own tools do."""
        pieces = re.split(r"^\s*GO\s*$", script, flags=re.MULTILINE | re.IGNORECASE)
        return [piece.strip() for piece in pieces if piece.strip()]

    def to_database(self, value: datetime) -> datetime:
        """Return naive UTC in whole milliseconds, as ``datetime2(3)`` holds it."""
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.replace(microsecond=utc.microsecond // 1000 * 1000)

    def explain(self, error: Exception) -> str:
        """Return SQLSTATE and the driver's words, but for the errors in which the server quotes a value."""
        state = faults.sqlstate(error)
        quoting = faults.native_numbers(error) & faults.QUOTING_NUMBERS
        if quoting:
            return f"SQL Server [{state}]: a value was refused (error {', '.join(map(str, sorted(quoting)))})"
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        return f"SQL Server [{state}]: {text[:500]}{_ADVICE.get(state, '')}"


_ADVICE = {
    "08001": "; check the server's name, its firewall and that it runs",
    "HYT00": "; no answer in time: check the server's name and its firewall",
    "28000": "; the login was refused: check the identity's user in the database",
    "42S02": "; run: python -m orchestrator init-db",
    "42S22": "; run: python -m orchestrator init-db",
    "01000": f"; {INSTALL_ADVICE}",
    "IM002": f"; {INSTALL_ADVICE}",
}


def _import_pyodbc() -> ModuleType:
    try:
        return importlib.import_module("pyodbc")
    except ImportError as error:
        raise StoreError(
            f"pyodbc cannot be loaded ({error}): install the ODBC driver manager "
            "(Debian and Ubuntu: apt-get install libodbc2; macOS: brew install unixodbc)"
        ) from error
