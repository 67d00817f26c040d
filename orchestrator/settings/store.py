"""Read where the state is kept: in Azure SQL or SQL Server, or in a SQLite file."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.states import Status
from orchestrator.settings import odbc
from orchestrator.settings.reader import Reader

#: What turns off the encryption, or the check of the certificate, in an ODBC connection string.
_UNVERIFIED = re.compile(
    r"(?:^|;)\s*(?:TrustServerCertificate\s*=\s*\{?(?:yes|true|1)|Encrypt\s*=\s*\{?(?:no|false|optional|0))",
    re.IGNORECASE,
)

#: Longer than the pause between two passes each minute, and shorter than the time without a session after
#: which a serverless database pauses.
_IDLE_SECONDS = 120.0
_MOST_IDLE_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where the state is kept: exactly one of the first two fields is set."""

    #: ODBC connection string of Azure SQL or SQL Server
    sql_connection_string: str | None = field(repr=False)
    #: SQLite file
    state_db: Path | None
    #: user-assigned managed identity for a connection string without credentials; None = the app's own
    client_id: str | None
    #: connections that nobody has used for so long are closed
    idle_seconds: float
    #: for ``init-db --adopt``: a team's own columns for the table's name and for the parameters
    table_name_column: str
    parameters_column: str
    #: for ``init-db --adopt``: from the team's own status values to ours
    status_map: Mapping[str, Status]

    @property
    def inserts_refused(self) -> str | None:
        """Why the app inserts no entries: this table may require columns it does not know. None = it does."""
        if (self.table_name_column, self.parameters_column) == ("table_name", "parameters"):
            return None
        return (
            f"this table's own columns are {self.table_name_column} and {self.parameters_column}: "
            "insert rows by SQL into them"
        )


def read_store(reader: Reader) -> StoreSettings:
    """Return where the state is kept."""
    connection_string, state_db = reader.text("SQL_CONNECTION_STRING"), reader.text("STATE_DB")
    if (connection_string is None) == (state_db is None):
        reader.problems.append(
            "set exactly one of SQL_CONNECTION_STRING (Azure SQL, SQL Server) and STATE_DB (SQLite file)"
        )
    if state_db is not None:
        _check_file(reader, state_db)
    if connection_string is not None and (problem := odbc.problem(connection_string)):
        reader.problems.append(f"SQL_CONNECTION_STRING {problem}")
    if reader.in_azure and connection_string is not None:
        _check_encryption(reader, connection_string)
    return StoreSettings(
        sql_connection_string=connection_string,
        state_db=None if state_db is None else Path(state_db),
        client_id=reader.text("AZURE_CLIENT_ID"),
        idle_seconds=reader.number("SQL_IDLE_SECONDS", _IDLE_SECONDS, least=1, most=_MOST_IDLE_SECONDS),
        table_name_column=reader.text("TABLE_NAME_COLUMN") or "table_name",
        parameters_column=reader.text("PARAMETERS_COLUMN") or "parameters",
        status_map=_status_map(reader),
    )


def _check_file(reader: Reader, state_db: str) -> None:
    if reader.in_azure:
        reader.problems.append(
            "STATE_DB is for one machine only and is refused in Azure: set SQL_CONNECTION_STRING"
        )
    if ";" in state_db:
        reader.problems.append(
            "STATE_DB must be the path of a SQLite file; put a connection string into SQL_CONNECTION_STRING"
        )


def _check_encryption(reader: Reader, connection_string: str) -> None:
    """Refuse what nothing in Azure needs: a plain connection, or a server that cannot prove its name."""
    if _UNVERIFIED.search(connection_string):
        reader.problems.append(
            "SQL_CONNECTION_STRING turns encryption or the check of the certificate off, which is refused in "
            "Azure: leave Encrypt and TrustServerCertificate out"
        )


def _status_map(reader: Reader) -> dict[str, Status]:
    text = reader.text("STATUS_MAP") or "{}"
    try:
        return {str(theirs): Status(ours) for theirs, ours in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        states = ", ".join(Status)
        reader.problems.append(f'STATUS_MAP must be JSON like {{"LOADED": "DONE"}}; the states are {states}')
        return {}
