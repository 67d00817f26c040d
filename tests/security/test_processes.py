"""Canaries in the app as the host and as a person runs it: nothing that it prints or stores shows one."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from orchestrator.web.routes import ROUTES
from tests.alerts.receiver import Receiver
from tests.cli.support import CommandLine
from tests.conftest import ROOT, Azurite
from tests.databricks.support import Workspace, ok
from tests.e2e.stack import Stack
from tests.security.canary import EVENTS_SECRET, LOGGERS, PARAMETERS, SIGNATURE, TOKEN, Evidence
from tests.security.servers import FAULTS
from tests.telemetry.ingestion import ingestion

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

#: The app, with every logger at its most verbose.
TALKATIVE = f"""
import logging
logging.getLogger().setLevel(logging.DEBUG)
for name in {LOGGERS!r}:
    logging.getLogger(name).setLevel(logging.DEBUG)
"""

INSERT = (
    "INSERT INTO track_processing (table_name, parameters, parameter_style, max_attempts)"
    " VALUES (?, ?, 'notebook_params', 1)"
)

ROWS = 12

#: Faults after which the client waits for seconds before its next try, in a process with a real clock.
SLOW = {"dropped", "broken off", "lock", "not JSON", "empty", "null"} | {
    f"{kind} {status}" for kind in ("json", "page", "code") for status in (409, 429, 500, 503)
}


@pytest.fixture
def stack(azurite: Azurite, queue_name: str, tmp_path: Path) -> Iterator[Stack]:
    """The app's folder with the verbose app, whose failed messages are delivered again immediately."""
    made = Stack(folder=tmp_path, azurite=azurite.connection_string, queue_name=queue_name)
    made.prepare()
    function_app, host = tmp_path / "function_app.py", tmp_path / "host.json"
    function_app.unlink()
    function_app.write_text(TALKATIVE + (ROOT / "function_app.py").read_text(encoding="utf-8"))
    options = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    options["extensions"]["queues"] |= {"visibilityTimeout": "00:00:00", "maxPollingInterval": "00:00:00.2"}
    host.unlink()
    host.write_text(json.dumps(options))
    try:
        yield made
    finally:
        made.stop()


def every_fault(workspace: Workspace) -> None:
    """Make run-now fail in one way after the other, and the listing sometimes."""
    faults = itertools.cycle(reply for name, reply in FAULTS.items() if name not in SLOW)
    listings = itertools.cycle([ok({}), ok({}), ok({}), FAULTS["json 403"]])

    async def reply(request: web.Request) -> web.StreamResponse:
        return await next(faults if request.path.endswith("run-now") else listings)(request)

    workspace.replies = [reply]


def on_queue(stack: Stack, name: str) -> int:
    """Return how many messages a queue holds, hidden ones included."""
    try:
        with QueueClient.from_connection_string(stack.azurite, name) as queue:
            return int(queue.get_queue_properties().approximate_message_count or 0)
    except ResourceNotFoundError:
        return 0


def late(stack: Stack) -> list[tuple[str, int]]:
    """Return the state of the entry whose message was poison, and how many log rows it has."""
    return stack.query(
        "SELECT status, (SELECT COUNT(*) FROM process_log WHERE entry_id = t.id)"
        " FROM track_processing AS t WHERE table_name = 'late'"
    )


def send_foreign_messages(stack: Stack) -> None:
    """Put messages of another system on the queue, one of them without an encoding."""
    encoded = QueueClient.from_connection_string(
        stack.azurite, stack.queue_name, message_encode_policy=TextBase64EncodePolicy()
    )
    plain = QueueClient.from_connection_string(stack.azurite, stack.queue_name)
    with encoded, plain:
        encoded.send_message(json.dumps({"entry_id": TOKEN}))
        plain.send_message(f"not encoded: {TOKEN}")


@asynccontextmanager
async def listeners(evidence: Evidence) -> AsyncIterator[dict[str, str]]:
    """Run the receivers of alerts and telemetry, keep what they get and yield the settings that name them."""
    async with ingestion() as azure, Receiver().serve() as receiver:
        yield {
            **azure.settings,
            "OTEL_METRIC_EXPORT_INTERVAL": "500",  # ms; by default a minute
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "ALERT_WEBHOOK_URL": f"{receiver.url.partition('?')[0]}?sig={SIGNATURE}",
            "EVENTS_SECRET": EVENTS_SECRET,
        }
        assert receiver.taken
        evidence.add("alerts", json.dumps(receiver.taken))
        kinds = {item["data"]["baseType"] for item in azure.items}
        assert {"MessageData", "MetricData"} <= kinds
        assert kinds & {"RequestData", "RemoteDependencyData"}
        evidence.add("telemetry", json.dumps(azure.items))


async def ask_over_http(url: str, evidence: Evidence) -> None:
    """Keep the responses that every caller can get."""
    addresses = [route.path.replace("{id}", "1") for route in ROUTES if route.method == "GET"]
    async with aiohttp.ClientSession(base_url=f"{url}/api/") as session:
        for address in addresses:
            async with session.get(address) as response:
                evidence.add(f"GET {address}", f"{response.headers} {await response.text()}")
        for password in (EVENTS_SECRET, TOKEN):
            headers = {"Authorization": aiohttp.encode_basic_auth("databricks", password)}
            body = {"run": {"run_id": 1}, "job": PARAMETERS}
            async with session.post("databricks-events", json=body, headers=headers) as response:
                assert response.status == (200 if password == EVENTS_SECRET else 401)
                evidence.add("event", f"{response.headers} {await response.text()}")


async def test_no_process_shows_a_secret(stack: Stack, workspace: Workspace, evidence: Evidence) -> None:
    async with listeners(evidence) as receivers:
        await everything_goes_wrong(stack, workspace, evidence, receivers)


async def everything_goes_wrong(
    stack: Stack, workspace: Workspace, evidence: Evidence, receivers: dict[str, str]
) -> None:
    """Run the app through all faults, and then a person's commands."""
    every_fault(workspace)
    stack.shorten_leases(1)
    fakes = stack.start("fakes", "--secret", f"databricks-token={TOKEN}")
    async with aiohttp.ClientSession() as session, session.get(f"{fakes.url}/environment") as response:
        vault = await response.json()
    rows = [(f"table_{number}", json.dumps(PARAMETERS)) for number in range(ROWS)]
    stack.execute(INSERT, [*rows, ("broken", json.dumps(PARAMETERS)[:-1])])
    environment = {
        **vault,
        "DATABRICKS_HOST": workspace.url.rstrip("/"),
        "DATABRICKS_TOKEN_SECRET": "databricks-token",
        "MAX_ACTIVE_RUNS": "50",
        **receivers,
    }
    host = await asyncio.to_thread(stack.start_host, **environment)
    await stack.until(lambda: stack.count("DEAD") >= 4, 40, "entries refused in several ways")
    # The log refuses every row: the store fails, and after five deliveries the message is poison.
    poison = f"{stack.queue_name}-poison"
    stack.execute(
        "CREATE TRIGGER no_log BEFORE INSERT ON process_log BEGIN SELECT RAISE(ABORT, 'no log today'); END"
    )
    stack.execute("INSERT INTO track_processing (table_name, parameters) VALUES (?, ?)", [("late", "{")])
    await stack.until(lambda: on_queue(stack, poison) > 0, 40, "a message on the poison queue")
    stack.execute("DROP TRIGGER no_log")
    # Nobody sends the poison message again: the entry goes on when its lease is over.
    await stack.until(lambda: late(stack) == [("DEAD", 1)], 40, "the end of the poison message's entry")
    for name in (poison, stack.queue_name):  # before the foreign messages, which may hold anything
        evidence.queue(stack.azurite, name)
    await asyncio.to_thread(send_foreign_messages, stack)
    await stack.until(lambda: "is not base64" in host.log.read_text(), 20, "the foreign messages are met")
    await ask_over_http(host.url, evidence)
    await asyncio.to_thread(host.stop)

    evidence.database(stack.database)
    text = host.log.read_text(encoding="utf-8")
    evidence.add("host", text)
    for expected in ("DEBUG", "Traceback", "StoreError", "QueueError", "Request URL", "run-now: HTTP 400"):
        assert expected in text
    await command_line(stack, environment, evidence)


async def command_line(stack: Stack, environment: dict[str, str], evidence: Evidence) -> None:
    """Keep what the commands print."""
    settings = {
        "AzureWebJobsStorage": stack.azurite,
        "SUBMIT_QUEUE_NAME": stack.queue_name,
        "STATE_DB": str(stack.database),
        "TRIGGER_SCHEDULE": "0 * * * * *",
        "MONITOR_SCHEDULE": "0 * * * * *",
        "DATABRICKS_JOB_ID": "5",
        **environment,
    }
    run = CommandLine(folder=stack.folder, environment=settings)
    commands = [
        *(("status",), ("status", "--json"), ("check",), ("pass", "trigger"), ("list", "--limit", "100")),
        *(("export",), ("retry", "--state", "DEAD", "--dry-run"), ("cancel", "13"), ("retry", "13")),
        ("add", "sales", "--parameters", json.dumps(PARAMETERS)[:-1]),
        *(("show", str(row)) for row in (1, 2, 3, 13)),
    ]
    for command in commands:
        result = await asyncio.to_thread(run, *command)
        assert result.stdout or result.stderr
        evidence.add(f"{command}", result.stdout + result.stderr)
