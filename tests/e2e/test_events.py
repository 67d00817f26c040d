"""The whole way of an event: a run ends, the workspace tells the app, the row is finished without a pass."""

import urllib.request

import pytest

from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e]

SECRET = "a-shared-secret-of-20-characters"

#: 1 January, midnight: no timer function runs in the test unless it is told to.
NEVER = "0 0 0 1 1 *"


async def test_events_alone_bring_all_rows_to_their_end(stack: Stack) -> None:
    """One pass claims the first row. Each end that Databricks tells of finishes a row and claims the next."""
    stack.start_simulator("--run-seconds", "0.2")
    host = stack.start_host(
        DATABRICKS_TOKEN="t",
        EVENTS_SECRET=SECRET,
        MAX_ACTIVE_RUNS="1",
        TRIGGER_SCHEDULE=NEVER,
        MONITOR_SCHEDULE=NEVER,
    )
    stack.terminate(stack.processes[0])
    webhook = host.url.replace("http://", f"http://databricks:{SECRET}@") + "/api/databricks-events"
    stack.start_simulator("--run-seconds", "0.2", "--webhook", webhook)
    stack.execute(
        "INSERT INTO track_processing (table_name) VALUES (?)", [("sales",), ("orders",), ("stock",)]
    )
    request = urllib.request.Request(
        f"{host.url}/admin/functions/trigger", data=b'{"input": ""}', method="POST"
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: ASYNC210 - nothing else is to be done meanwhile
    await stack.until_all_ended(30)
    assert stack.count("DONE") == 3
    assert stack.query("SELECT name FROM orchestrator_tick") == [("trigger",)], "no monitor has been"
