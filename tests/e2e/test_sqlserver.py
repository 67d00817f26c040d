"""The whole chain with SQL Server as its store, where one is named by ``TEST_SQLSERVER``."""

from collections import Counter

import pytest

from tests.e2e.stack import FINAL, Stack
from tests.store.conftest import SQLSERVER, open_database

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROWS = 40
CAP = 8


@pytest.mark.skipif(not SQLSERVER, reason="TEST_SQLSERVER is not set")
async def test_entries_come_to_their_end(stack: Stack) -> None:
    stack.start_simulator("--token", "t")
    for results, table in ((["FAILED", "SUCCESS"], "table_07"), (["FAILED"], "table_13")):
        await stack.simulator(
            "POST", "/_sim/outcomes", {"match": {"table_name": table}, "results": results, "error": "Boom"}
        )
    with open_database("sqlserver", stack.folder) as database:
        for number in range(ROWS):
            database.execute("INSERT INTO track_processing (table_name) VALUES (?)", f"table_{number:02}")

        def states() -> Counter[str]:
            return Counter(
                dict(database.execute("SELECT status, COUNT(*) FROM track_processing GROUP BY status"))
            )

        stack.start_host(
            DATABRICKS_TOKEN="t", MAX_ACTIVE_RUNS=str(CAP), STATE_DB="", SQL_CONNECTION_STRING=SQLSERVER or ""
        )
        await stack.until(
            lambda: sum(states()[each] for each in FINAL) == ROWS, 240, f"all {ROWS} entries at their end"
        )
        assert states() == {"DONE": ROWS - 1, "DEAD": 1}
        [(dead, error)] = database.execute(
            "SELECT table_name, last_error FROM track_processing WHERE status = 'DEAD'"
        )
        assert (dead, "Boom" in error) == ("table_13", True)
        [(logged,)] = database.execute("SELECT COUNT(*) FROM process_log")
    stats = await stack.simulator("GET", "/_sim/stats")
    runs = (await stack.simulator("GET", "/_sim/runs"))["runs"]
    assert logged == len(runs) == (ROWS - 1) + 1 + 3  # a run an entry, one retry, three attempts
    assert 0 < stats["max_active"] <= CAP
