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


async def test_nothing_is_claimed_where_the_trigger_is_disabled(stack: Stack) -> None:
    """As in a deployment slot, or where somebody holds all claims; monitor passes do the rest of it."""
    stack.start_simulator()
    host = stack.start_host(
        DATABRICKS_TOKEN="t", MONITOR_SCHEDULE="* * * * * *", **{"AzureWebJobs.trigger.Disabled": "true"}
    )
    await asyncio.to_thread(insert, host.url, "sales")
    # The second one is seen by a pass that begins after a claim for the insert would have begun.
    for canceled in (1, 2):
        stack.execute(
            "INSERT INTO track_processing (table_name, cancel_requested) VALUES (?, 1)", [(f"{canceled}",)]
        )
        await stack.until(lambda: stack.count("CANCELED") == canceled, 30, "a monitor pass")  # noqa: B023
    left = stack.query("SELECT status, submission FROM track_processing WHERE table_name = 'sales'")
    assert left == [("PENDING", 0)]


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
