"""What an error of SQL Server means: whether it is transient, and what to do about it. Pure."""

import re

#: Native error numbers of SQL Server and Azure SQL that a later try may not hit again.
#: https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues
_TRANSIENT_NUMBERS = frozenset(
    {
        20,  # the instance does not support encryption (sent while it starts)
        64,  # connection dropped during login
        233,  # connection closed by the server
        615,  # the database has gone, as during a failover
        926,  # the database is being recovered
        1204,  # no lock resources
        1205,  # deadlock victim
        1222,  # lock time-out
        4060,  # database not open yet (during a failover)
        4221,  # login to a secondary that is not ready
        10053,
        10054,
        10060,  # network
        10928,
        10929,
        10936,  # resource limits of the database
        13535,  # another transaction changed the row of a temporal table a moment later
        40143,
        40197,  # service error, failover
        40501,  # service busy
        40540,
        40613,  # database not available: a failover, or a paused serverless database that resumes
        42108,
        42109,  # pool resuming
        49918,
        49919,
        49920,  # too many operations on the server
    }
)

#: Errors in which the server quotes the offending value: overflow, conversion, duplicate key, truncation.
QUOTING_NUMBERS = frozenset({220, 232, 244, 245, 248, 2601, 2627, 2628, 8114})

#: SQLSTATEs of the ODBC driver that mean the same.
_TRANSIENT_STATES = frozenset({"08001", "08S01", "08007", "HYT00", "HYT01", "40001"})

#: A refused login may have a transient SQLSTATE; these numbers say that a person has to act.
_FINAL_NUMBERS = frozenset({18456, 18452, 18470, 18487, 18488, 916})

#: pyodbc writes ``[state] text (number) (SQLExecDirectW); [state] text (number)``. Only a number in such a
#: place is the server's: the text may hold others in parentheses.
_NUMBER = re.compile(r"\((-?\d+)\)(?= \(SQL\w+\)|; \[|$)")

INSTALL_ADVICE = (
    "install Microsoft's ODBC Driver 18 for SQL Server "
    "(https://learn.microsoft.com/sql/connect/odbc/download-odbc-driver-for-sql-server)"
)

_DRIVER_ADVICE = (
    f"{INSTALL_ADVICE}, or leave DRIVER out of SQL_CONNECTION_STRING: then the one that is installed is used"
)

_USER_ADVICE = (
    "check DATABASE in SQL_CONNECTION_STRING, and that this login or identity has a user in that database "
    "(CREATE USER [NAME] FROM EXTERNAL PROVIDER)"
)

_RIGHTS_ADVICE = (
    "this login lacks a right in the database: python -m orchestrator check names it "
    "(purge also needs DELETE on track_processing)"
)

_LOGIN_ADVICE = (
    "the login was refused: check user and password in SQL_CONNECTION_STRING, or that the app's managed "
    "identity has a user in the database (CREATE USER [NAME] FROM EXTERNAL PROVIDER)"
)

#: A number says more than a SQLSTATE. If an error has several numbers, the first one in this list counts.
_ADVICE_BY_NUMBER = {
    40613: "the database is paused and resumes, or moves to another machine: try again in a minute",
    40615: "the server's firewall keeps this address out: add a firewall rule or a private endpoint",
    47073: "the server takes private endpoints only: connect the app to their network",
    4060: _USER_ADVICE,
    911: _USER_ADVICE,
    916: _USER_ADVICE,
    18456: _LOGIN_ADVICE,
    229: _RIGHTS_ADVICE,
    230: _RIGHTS_ADVICE,
    262: "this login may not change the schema: use one that may create tables (db_ddladmin)",
}

_ADVICE_ON_CONNECT = {
    "01000": _DRIVER_ADVICE,
    "IM002": _DRIVER_ADVICE,
    "08001": "check SQL_CONNECTION_STRING, the server's certificate and that it runs",
    "HYT00": "no answer in time: check SERVER in SQL_CONNECTION_STRING, its firewall and that it runs",
    "28000": _LOGIN_ADVICE,
}

_ADVICE_ON_STATEMENT = {
    "42S02": "run: python -m orchestrator init-db",
    "42S22": "run: python -m orchestrator init-db",
    "HYT00": "the statement was given up; another transaction may hold the rows, or the server is overloaded",
}


def sqlstate(error: Exception) -> str:
    """Return the SQLSTATE of a pyodbc error, or an empty text."""
    return str(error.args[0]) if error.args else ""


def text(error: Exception) -> str:
    """Return the driver's text."""
    return str(error.args[1]) if len(error.args) > 1 else str(error)


def native_numbers(error: Exception) -> set[int]:
    """Return the server's error numbers in the driver's text."""
    return {int(number) for number in _NUMBER.findall(text(error))}


def is_transient(error: Exception) -> bool:
    """Say whether the next try may succeed after a pyodbc error."""
    numbers = native_numbers(error)
    if numbers & _TRANSIENT_NUMBERS:  # checked first: an 18456 always follows a 4060
        return True
    return sqlstate(error) in _TRANSIENT_STATES and not numbers & _FINAL_NUMBERS


def advice(error: Exception) -> str | None:
    """Say what to do about a pyodbc error, if it is known."""
    numbers = native_numbers(error)
    for number, what_to_do in _ADVICE_BY_NUMBER.items():
        if number in numbers:
            return what_to_do
    connecting = "(SQLDriverConnect)" in text(error)
    return (_ADVICE_ON_CONNECT if connecting else _ADVICE_ON_STATEMENT).get(sqlstate(error))
