"""What an error of SQL Server means. The texts are pyodbc's, from the driver and from servers."""

import pytest

from orchestrator.adapters.store import sqlserver_errors

_DRIVER = "[Microsoft][ODBC Driver 18 for SQL Server]"


def error(state: str, *records: str, function: str = "SQLExecDirectW") -> Exception:
    """Make an error as pyodbc raises it: SQLSTATE, then all records of the driver in one text."""
    first, *others = (f"[{state}] {_DRIVER}{record}" for record in records)
    return Exception(state, "; ".join([f"{first} ({function})", *others]))


LOGIN_TIMEOUT = error("HYT00", "Login timeout expired (0)", function="SQLDriverConnect")
QUERY_TIMEOUT = error("HYT00", "Query timeout expired (0)")
WRONG_PASSWORD = error("28000", "[SQL Server]Login failed for user 'u'. (18456)", function="SQLDriverConnect")
NOT_OPEN_YET = error(
    "42000",
    '[SQL Server]Cannot open database "d" requested by the login. The login failed. (4060)',
    "[SQL Server]Login failed for user 'u'. (18456)",
    function="SQLDriverConnect",
)
RESUMING = error(
    "HY000",
    "[SQL Server]Database 'd' on server 's' is not currently available. (40613)",
    function="SQLDriverConnect",
)
NO_DRIVER = Exception(
    "01000",
    "[01000] [unixODBC][Driver Manager]Can't open lib 'x' : file not found (0) (SQLDriverConnect)",
)


@pytest.mark.parametrize(
    "transient",
    [
        LOGIN_TIMEOUT,
        QUERY_TIMEOUT,
        NOT_OPEN_YET,
        RESUMING,
        error("40001", "[SQL Server]Transaction (Process ID 52) was deadlocked. (1205)"),
        error("08S01", "TCP Provider: Error code 0x2746 (10054)"),
        error("08S01", "Communication link failure (0)"),
        error("08001", "TCP Provider: Error code 0x274C (10060)", "Login timeout expired (0)"),
        error("42000", "[SQL Server]Lock request time out period exceeded. (1222)"),
        error("HY000", "[SQL Server]Resource ID : 1. The request limit is 60. (10928)"),
        error("42000", "[SQL Server]Could not find database ID 5, name 'd'. (615)"),
        error("42000", "[SQL Server]Database 'd' cannot be opened. It is being recovered. (926)"),
        error("42000", "[SQL Server]Resource ID : 1. The request limit for the elastic pool is 60. (10936)"),
        error("22008", "[SQL Server]Data modification failed on system-versioned table 't'. (13535)"),
    ],
    ids=lambda found: f"{sqlserver_errors.sqlstate(found)}-{sorted(sqlserver_errors.native_numbers(found))}",
)
def test_transient_errors(transient: Exception) -> None:
    assert sqlserver_errors.is_transient(transient)


@pytest.mark.parametrize(
    "final",
    [
        WRONG_PASSWORD,
        NO_DRIVER,
        error("08001", "[SQL Server]Login failed for user 'u'. (18456)", function="SQLDriverConnect"),
        error("23000", "[SQL Server]Violation of UNIQUE KEY constraint 'k'. (2627)"),
        error("42000", "[SQL Server]The UPDATE permission was denied on the object 't'. (229)"),
        error("42S02", "[SQL Server]Invalid object name 'track_processing'. (208)"),
        error("22018", "[SQL Server]Conversion failed when converting the value '(1205)' to int. (245)"),
        error("42000", "[SQL Server]The value (40613) is not good. (50000)"),
        Exception("something that is no database error"),
        Exception(),
    ],
    ids=lambda found: (
        f"{sqlserver_errors.sqlstate(found)[:5]}-{sorted(sqlserver_errors.native_numbers(found))}"
    ),
)
def test_permanent_errors(final: Exception) -> None:
    assert not sqlserver_errors.is_transient(final)


def test_number_of_every_record_is_read_and_no_other() -> None:
    assert sqlserver_errors.native_numbers(NOT_OPEN_YET) == {4060, 18456}
    assert sqlserver_errors.native_numbers(error("22018", "[SQL Server]the value '(20) (64)' (245)")) == {245}
    assert sqlserver_errors.native_numbers(error("08S01", "link failure (-2147467259)")) == {-2147467259}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (NO_DRIVER, "ODBC Driver 18"),
        (LOGIN_TIMEOUT, "check SERVER"),
        (QUERY_TIMEOUT, "another transaction"),
        (WRONG_PASSWORD, "the login was refused"),
        (NOT_OPEN_YET, "check DATABASE"),
        (RESUMING, "paused"),
        (error("42000", "[SQL Server]Client with IP address 'x' is not allowed. (40615)"), "firewall"),
        (error("42000", "[SQL Server]The SELECT permission was denied. (229)"), "lacks a right"),
        (error("42000", "[SQL Server]CREATE TABLE permission denied. (262)"), "db_ddladmin"),
        (error("42S02", "[SQL Server]Invalid object name 't'. (208)"), "init-db"),
        (error("42S22", "[SQL Server]Invalid column name 'c'. (207)"), "init-db"),
    ],
)
def test_advice(found: Exception, expected: str) -> None:
    assert expected in (sqlserver_errors.advice(found) or "")


def test_no_advice_where_none_is_known() -> None:
    assert sqlserver_errors.advice(error("42000", "[SQL Server]Incorrect syntax. (102)")) is None
    assert sqlserver_errors.advice(Exception()) is None
