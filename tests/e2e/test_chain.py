"""300 rows through the real queue, host and simulator: in peace, over kills, and through faults."""

import asyncio
import json
import urllib.request
from typing import Any

import pytest

from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

ROWS = 300
CAP = 40
MAX_ATTEMPTS = 3  # the default
LOST_ANSWERS = 12
TOKEN = "first-token"

INSERT = "INSERT INTO track_processing (table_name, priority) VALUES (?, ?)"


def insert_rows(stack: Stack) -> None:
    stack.execute(INSERT, [(f"table_{number:03}", number % 3) for number in range(ROWS)])


async def test_300_rows_stay_under_the_cap(stack: Stack) -> None:
    stack.start_simulator("--token", TOKEN)
    await stack.simulator(
        "POST", "/_sim/outcomes", {"match": {"table_name": "table_007"}, "results": ["FAILED", "SUCCESS"]}
    )
    await stack.simulator(
        "POST",
        "/_sim/outcomes",
        {"match": {"table_name": "table_013"}, "results": ["FAILED"], "error": "Boom"},
    )
    await stack.simulator("POST", "/_sim/foreign-runs", {"count": 5, "seconds": 5})
    insert_rows(stack)
    stack.execute(
        "INSERT INTO track_processing (table_name, parameters, workspace) VALUES (?, ?, ?)",
        [("bad", "{", "default"), ("lost", None, "nowhere")],
    )
    # An entry of a workspace that nobody knows waits until somebody lets go of it.
    stack.execute(
        "UPDATE track_processing SET cancel_requested = 1 WHERE table_name IN ('table_299', 'lost')"
    )
    stack.start_host(DATABRICKS_TOKEN=TOKEN, MAX_ACTIVE_RUNS=str(CAP))
    await stack.until_all_ended(100)
    runs = await stack.check_invariants(CAP, MAX_ATTEMPTS)
    assert (stack.count("DONE"), stack.count("DEAD"), stack.count("CANCELED")) == (ROWS - 2, 2, 2)
    assert len(runs) == (ROWS - 2) + 1 + 3  # a run a row, one retry, three attempts
    errors = dict(stack.query("SELECT table_name, last_error FROM track_processing WHERE status = 'DEAD'"))
    assert "not valid JSON" in errors["bad"]
    assert "Boom" in errors["table_013"]


async def test_host_is_killed_in_the_middle(stack: Stack) -> None:
    stack.start_simulator("--token", TOKEN)
    insert_rows(stack)
    stack.shorten_leases(3)
    settings = {"DATABRICKS_TOKEN": TOKEN, "MAX_ACTIVE_RUNS": str(CAP)}
    host = stack.start_host(**settings)
    for finished in (40, 120):

        def in_the_middle(finished: int = finished) -> bool:
            return stack.count("DONE") >= finished and stack.count("QUEUED", "RUNNING") > 0

        await stack.until(in_the_middle, 60, "the middle")
        host.kill()
        host = stack.start_host(**settings)
    await stack.until_all_ended(100)
    runs = await stack.check_invariants(CAP, MAX_ATTEMPTS)
    assert stack.count("DONE") == ROWS
    assert len(runs) == ROWS


async def test_faults_of_databricks_and_key_vault_spend_no_attempt(stack: Stack) -> None:
    stack.start_simulator("--token", TOKEN)
    fakes = stack.start("fakes", "--secret", f"dbx-token={TOKEN}")
    environment = await asyncio.to_thread(_get_json, f"{fakes.url}/environment")
    insert_rows(stack)
    stack.shorten_leases(3)
    stack.start_host(
        DATABRICKS_TOKEN_SECRET="dbx-token",
        MAX_ACTIVE_RUNS=str(CAP),
        RETRY_BACKOFF_SECONDS="0",
        **environment,
    )

    async def after(finished: int) -> None:
        await stack.until(lambda: stack.count("DONE") >= finished, 60, f"{finished} rows done")

    await after(30)
    await asyncio.to_thread(_put_json, f"{fakes.url}/secrets/dbx-token", {"value": "second-token"})
    await stack.simulator("POST", "/_sim/tokens", {"tokens": ["second-token"]})
    await after(90)
    await stack.simulator(
        "POST", "/_sim/faults", {"match": "run-now", "kind": "drop_after", "times": LOST_ANSWERS}
    )
    await after(130)
    burst = {
        "match": "run-now",
        "kind": "status",
        "status": 429,
        "body": {"error_code": "RESOURCE_EXHAUSTED", "message": "Too many requests."},
        "headers": {"Retry-After": "1"},
        "times": 40,
    }
    await stack.simulator("POST", "/_sim/faults", burst)
    await after(180)
    await stack.simulator("POST", "/_sim/faults", {"kind": "drop_before", "for_seconds": 10})
    await stack.until_all_ended(100)
    runs = await stack.check_invariants(CAP, MAX_ATTEMPTS)
    assert stack.count("DONE") == ROWS
    assert len(runs) == ROWS
    spent = stack.query("SELECT COUNT(*) FROM track_processing WHERE attempt <> 1 OR submission <> 1")
    assert spent == [(0,)]
    answers = (await stack.simulator("GET", "/_sim/stats"))["calls_by_status"]
    assert answers.get("401", 0) + answers.get("403", 0) > 0
    assert answers["429"] >= 40
    assert answers["dropped"] > LOST_ANSWERS, "the lost answers, and the connections of the outage"


def _get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def _put_json(url: str, body: dict[str, str]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10):
        return
