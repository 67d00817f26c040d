"""The whole chain on SQL Server, as a team has it: two hosts, one of which is killed, and triggers."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from tests.conftest import Azurite
from tests.e2e.stack import Stack
from tests.store.conftest import SqlServerDatabase

SQLSERVER = os.environ.get("TEST_SQLSERVER", "")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not SQLSERVER, reason="TEST_SQLSERVER is not set"),
]

TOKEN = "first-token"
CAP = 10
TABLES = 30

#: The team's own trigger sends counts and rows to the client.
AUDIT = """
CREATE TRIGGER team_audit_trigger ON track_processing AFTER INSERT, UPDATE AS BEGIN
    SET NOCOUNT OFF;
    INSERT INTO team_audit (entry_id, status) SELECT id, status FROM inserted;
    SELECT 'noise' AS noise;
END
"""

#: The settings refuse a lease that a call may outlive, so what a killed host leaves would wait for minutes.
SHORT_LEASES = """
CREATE TRIGGER short_leases ON track_processing AFTER UPDATE AS BEGIN
    UPDATE track_processing SET lease_expires_at = DATEADD(SECOND, 5, SYSUTCDATETIME())
    WHERE lease_expires_at > DATEADD(SECOND, 5, SYSUTCDATETIME()) AND id IN (SELECT id FROM inserted);
END
"""


class SqlServerStack(Stack):
    """A stack whose state store is a database of SQL Server."""

    def prepare(self) -> None:
        super().prepare()
        self.settings |= {"SQL_CONNECTION_STRING": SQLSERVER, "STATE_DB": ""}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(SqlServerConnector(SQLSERVER).connect().connection) as connection:
            return [tuple(row) for row in connection.cursor().execute(sql).fetchall()]


@pytest.fixture
def stack(azurite: Azurite, queue_name: str, tmp_path: Path) -> Iterator[SqlServerStack]:
    """An empty database with the team's triggers, and a queue of its own; the test starts the rest."""
    made = SqlServerStack(folder=tmp_path, azurite=azurite.connection_string, queue_name=queue_name)
    with made.prepared() as stack:
        yield stack


@pytest.fixture
def database(stack: SqlServerStack) -> Iterator[SqlServerDatabase]:
    """The database as the team sees it."""
    made = SqlServerDatabase(SQLSERVER)
    migrate.apply(made.connector)
    made.execute("DROP TABLE IF EXISTS team_audit")
    made.execute("CREATE TABLE team_audit (entry_id bigint, status nvarchar(20))")
    made.execute(AUDIT)
    made.execute(SHORT_LEASES)
    yield made
    made.close()


async def test_two_hosts_and_a_kill(stack: SqlServerStack, database: SqlServerDatabase) -> None:
    stack.start_simulator("--token", TOKEN)
    for table, results in (("Table 7", ["FAILED", "SUCCESS"]), ("Table 13", ["FAILED"])):
        outcome = {"match": {"table_name": table}, "results": results, "error": "Boom"}
        await stack.simulator("POST", "/_sim/outcomes", outcome)
    for number in range(TABLES):
        for spelling in ("Table", "table"):  # one table for a database that ignores case
            name = f"{spelling} {number}"
            database.execute("INSERT INTO track_processing (table_name) VALUES (?)", name)
    settings = {"DATABRICKS_TOKEN": TOKEN, "MAX_ACTIVE_RUNS": str(CAP)}
    killed, other = stack.start_host(**settings), stack.start_host(**settings)
    await stack.until(lambda: stack.count("DONE") >= TABLES // 2, 200, "the middle")
    stack.kill(killed)
    await stack.until_all_ended(300)
    assert other.returncode is None
    assert stack.count("DONE") == 2 * TABLES - 1
    [(dead, error)] = stack.query("SELECT table_name, last_error FROM track_processing WHERE status = 'DEAD'")
    assert (dead, "Boom" in error) == ("Table 13", True)
    runs = (await stack.simulator("GET", "/_sim/runs"))["runs"]
    assert len(runs) == 2 * TABLES + 1 + 2  # a run an entry, one retry, two more attempts
    assert max(Counter(run["idempotency_token"] for run in runs).values()) == 1
    assert 0 < (await stack.simulator("GET", "/_sim/stats"))["max_active"] <= CAP
    logged = database.execute("SELECT runid FROM process_log")
    assert {run for (run,) in logged} == {run["run_id"] for run in runs}
    assert len(logged) == len(runs)
    if database.execute("SELECT 1 WHERE N'a' = N'A'"):
        assert list(at_once(runs)) == []


def at_once(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Return the tables, whatever the case of their letters, that two runs had at once."""
    ends: dict[str, int] = {}
    for run in sorted(runs, key=lambda each: int(each["start_time"])):
        table = run["parameters"]["table_name"].lower()
        if run["start_time"] < ends.get(table, 0):
            yield table
        ends[table] = run["end_time"]
