"""What waits for no trigger pass: entries that the API inserts, and slots that a monitor pass frees."""

import asyncio
import json
import urllib.request

import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_events import NEVER

pytestmark = [pytest.mark.e2e]


def insert(host: str, *tables: str) -> None:
    """Insert entries over HTTP."""
    body = json.dumps({"entries": [{"table_name": table} for table in tables]}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{host}/api/entries", data=body, headers=headers, method="POST")
    urllib.request.urlopen(request, timeout=10).close()


async def test_no_entry_of_the_api_and_no_free_slot_waits_for_the_trigger(stack: Stack) -> None:
    """One slot: the insert claims the first entry, and each monitor pass that sees an end claims the next."""
    stack.start_simulator("--run-seconds", "0.2")
    host = stack.start_host(
        DATABRICKS_TOKEN="t", MAX_ACTIVE_RUNS="1", TRIGGER_SCHEDULE=NEVER, MONITOR_SCHEDULE="* * * * * *"
    )
    await asyncio.to_thread(insert, host.url, "sales", "orders", "stock")
    await stack.until_all_ended(30)
    assert stack.count("DONE") == 3
    assert stack.query("SELECT name FROM orchestrator_tick") == [("monitor",)], "no trigger pass has been"
