"""Which errors of a database pass by themselves. Pure."""

import re

#: Native error numbers of SQL Server and Azure SQL that a later try may not meet again.
#: https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues
TRANSIENT_NUMBERS = frozenset(
    {
        20,  # the instance does not support encryption (sent while it starts)
        64,  # connection dropped during login
        233,  # connection closed by the server
        1204,  # no lock resources
        1205,  # deadlock victim
        1222,  # lock time-out
        4060,  # database not open yet (during a failover)
        4221,  # login to a secondary that is not ready
        10053,
        10054,
        10060,  # network
        10928,
        10929,  # resource limits of the database
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

#: The server repeats the offending value in these: duplicate key, truncation, conversion.
QUOTING_NUMBERS = frozenset({245, 248, 2601, 2627, 2628, 8114})

#: SQLSTATEs of the ODBC driver that mean the same.
TRANSIENT_STATES = frozenset({"08001", "08S01", "08007", "HYT00", "HYT01", "40001"})

#: A login that was refused may come with a transient SQLSTATE; these numbers say that a person has to act.
_FINAL_NUMBERS = frozenset({18456, 18452, 18470, 18487, 18488, 916})

#: The driver writes ``… (1205) (SQLExecDirectW)``.
_NUMBER = re.compile(r"\((-?\d+)\)")


def sqlstate(error: Exception) -> str:
    """Return the SQLSTATE of a pyodbc error, empty when it has none."""
    return str(error.args[0]) if error.args else ""


def native_numbers(error: Exception) -> set[int]:
    """Return the native error numbers in the driver's text."""
    text = str(error.args[1]) if len(error.args) > 1 else ""
    return {int(number) for number in _NUMBER.findall(text)}


def is_transient(error: Exception) -> bool:
    """Say whether a pyodbc error may be gone at the next try."""
    numbers = native_numbers(error)
    if numbers & _FINAL_NUMBERS:
        return False
    return bool(numbers & TRANSIENT_NUMBERS) or sqlstate(error) in TRANSIENT_STATES
