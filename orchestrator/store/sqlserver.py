"""SQL Server and Azure SQL through pyodbc: the store for production."""

import importlib
import re
from datetime import UTC, datetime
from types import ModuleType

from orchestrator.errors import StoreError
from orchestrator.store.connector import STATEMENT_TIMEOUT_SECONDS, Connection

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


def complete(connection_string: str, drivers: list[str], client_id: str | None) -> str:
    """Return a connection string with what it leaves open: driver, managed identity, encryption.

    :param drivers: what ``pyodbc.drivers()`` says is installed.
    :param client_id: of a user-assigned managed identity, None = the app's own.
    :raises StoreError: it names no driver and none for SQL Server is installed.
    """
    parts = [connection_string.strip().rstrip(";")]
    if not _HAS_DRIVER.search(connection_string):
        parts.insert(0, f"DRIVER={{{_newest(drivers)}}}")
    if not _SIGNS_IN.search(connection_string):
        parts.append("Authentication=ActiveDirectoryMsi")
        if client_id:
            parts.append(f"UID={client_id}")
    if not _HAS_ENCRYPT.search(connection_string):
        parts.append("Encrypt=yes")
    return ";".join(parts)


def _newest(drivers: list[str]) -> str:
    found = sorted((int(match[1]), name) for name in drivers if (match := _DRIVER.match(name)))
    if not found:
        raise StoreError(f"no ODBC driver for SQL Server is installed: {INSTALL_ADVICE}")
    return found[-1][1]


class SqlServerConnector:
    """Connections through one ODBC connection string.

    :param client_id: of a user-assigned managed identity, used when the string names no credentials.
    :raises StoreError: pyodbc cannot be loaded, because the system lacks the ODBC driver manager.
    """

    dialect = "sqlserver"

    def __init__(self, connection_string: str, client_id: str | None = None) -> None:
        self._pyodbc = _import_pyodbc()
        self.error: type[Exception] = self._pyodbc.Error
        self._connection_string = connection_string
        self._client_id = client_id

    def connect(self) -> Connection:
        """Open a connection. :raises StoreError: no driver, no server, or no permission."""
        connection = self.open(complete(self._connection_string, self._pyodbc.drivers(), self._client_id))
        connection.cursor().execute("SET XACT_ABORT ON").close()  # an error undoes the whole transaction
        return connection

    def open(self, connection_string: str) -> Connection:
        """Open a connection by a complete string, with bounded time-outs."""
        try:
            connection = self._pyodbc.connect(
                connection_string, timeout=LOGIN_TIMEOUT_SECONDS, autocommit=False
            )
        except self._pyodbc.Error as error:
            raise StoreError(self.explain(error)) from None  # the driver's error may quote the string
        connection.timeout = STATEMENT_TIMEOUT_SECONDS
        opened: Connection = connection
        return opened

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
        """Return SQLSTATE and the driver's words; statements carry parameters apart, so none is in there."""
        state = str(error.args[0]) if error.args else ""
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
