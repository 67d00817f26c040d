"""The OpenAPI document against the routes, and against the API as the local host serves it."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest

from orchestrator.web import openapi
from orchestrator.web.api import Api
from orchestrator.web.limits import Rates
from orchestrator.web.routes import ROUTES
from tests.conftest import Azurite
from tests.e2e.stack import JOB_ID, ROOT, Stack

DOCUMENT: dict[str, Any] = openapi.document()

ST = Path(sys.executable).with_name("st")

EVENTS_SECRET = "a-shared-secret-of-20-characters"

#: So many calls of each operation, and as many ways through several, besides the phase that goes through
#: every bound of the document, which is always whole.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "50"))

#: Many times what all of them take on a machine that does nothing else.
SECONDS = 200 + 4 * EXAMPLES


def test_every_route_is_described_and_nothing_else() -> None:
    described = {
        (method.upper(), path.strip("/"))
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    served = {(route.method, route.path) for route in ROUTES}
    assert described == served | {("POST", "databricks-events")}
    assert all(callable(getattr(Api, route.handler)) for route in ROUTES)


def fill(database: Path) -> None:
    """Rows in every state, with logs, and timer functions that have just run."""
    states = ("PENDING", "RUNNING", "DONE", "FAILED", "DEAD", "CANCELED")
    with closing(sqlite3.connect(database)) as connection, connection:
        for name in ("trigger", "monitor"):
            connection.execute(
                "INSERT INTO orchestrator_tick (name, started_at, finished_at, outcome)"
                " VALUES (?, strftime('%Y-%m-%d %H:%M:%f'), strftime('%Y-%m-%d %H:%M:%f'), 'ok')",
                (name,),
            )
        for number in range(60):
            state = states[number % len(states)]
            connection.execute(
                "INSERT INTO track_processing (table_name, status, runid, submission, attempt, last_error,"
                " parameters) VALUES (?, ?, ?, 1, 1, ?, ?)",
                (
                    f"table_{number % 7}",
                    state,
                    1000 + number,
                    f"error {number}",
                    '{"secret": "s3cr3t-value"}',
                ),
            )
            if state in {"PENDING", "RUNNING"}:
                continue
            connection.execute(
                "INSERT INTO process_log (entry_id, submission, attempt, runid, status, queue_seconds,"
                " execution_seconds) VALUES (?, 1, 1, ?, ?, 1.5, 20)",
                (number + 1, 1000 + number, state),
            )


def start_runs(stack: Stack) -> None:
    """Start the runs of the rows that are RUNNING: runs that do not exist would make the app unwell."""
    for entry_id, guid in stack.query("SELECT id, entry_guid FROM track_processing WHERE status = 'RUNNING'"):
        call = Request(
            f"{stack.simulator_url}/api/2.2/jobs/run-now",
            data=json.dumps({"job_id": JOB_ID, "idempotency_token": f"{guid}-1"}).encode(),
            headers={"Authorization": "Bearer local"},
        )
        with urlopen(call, timeout=30) as answer:
            run_id = json.load(answer)["run_id"]
        stack.execute("UPDATE track_processing SET runid = ? WHERE id = ?", [(run_id, entry_id)])


@pytest.fixture
def served(azurite: Azurite, queue_name: str, tmp_path: Path) -> Iterator[str]:
    """The API's address on a local host whose timers rest."""
    with serving(Stack(folder=tmp_path, azurite=azurite.connection_string, queue_name=queue_name)) as url:
        yield url


@pytest.fixture
def served_fast(azurite: Azurite, queue_name: str, tmp_path: Path) -> Iterator[str]:
    """The same without the rates, which would be waited for most of the time."""
    stack = Stack(folder=tmp_path, azurite=azurite.connection_string, queue_name=queue_name)
    stack.function_app = Path(__file__).parent / "fast" / "function_app.py"
    with serving(stack) as url:
        yield url


@contextmanager
def serving(stack: Stack) -> Iterator[str]:
    """Run a host on a filled store until its address is no longer needed."""
    stack.prepare()
    fill(stack.database)
    try:
        stack.start_simulator("--run-seconds", str(SECONDS))
        start_runs(stack)
        rare = "0 0 0 1 1 *"
        settings = {
            "TRIGGER_SCHEDULE": rare,
            "MONITOR_SCHEDULE": rare,
            "DATABRICKS_TOKEN": "local",
            "EVENTS_SECRET": EVENTS_SECRET,
        }
        yield stack.start_host(**settings).url
    finally:
        stack.stop()


async def get(url: str, **options: Any) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return response.status, response.headers["Content-Type"], await response.text()


@pytest.mark.e2e
async def test_over_http(served: str) -> None:
    """What only the way over a host can get wrong: addresses, several values, types, parts of a path."""
    status, kind, text = await get(f"{served}/api/entries?state=DEAD&state=FAILED&table=table_*&limit=500")
    assert (status, kind) == (200, "application/json")
    assert {entry["status"] for entry in json.loads(text)["entries"]} == {"DEAD", "FAILED"}
    assert json.loads((await get(f"{served}/api/entries/3"))[2])["runs"][0]["run_id"] == "1002"
    status, kind, text = await get(f"{served}/api/entries/none")
    assert (status, kind) == (404, "application/problem+json")
    assert json.loads((await get(f"{served}/api/openapi.json"))[2]) == DOCUMENT
    status, kind, text = await get(f"{served}/api/dashboard?code=key")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<script" in text
    assert json.loads((await get(f"{served}/api/status"))[2])["workspaces"][0]["active"]["error"] is None


@pytest.mark.e2e
async def test_too_many_calls_over_http(served: str) -> None:
    """The calls are as cheap as can be, so that a slow machine makes more than the rate allows, too."""
    calls = iter(range(10 * Rates.READS.burst))  # the bucket is filled again meanwhile
    async with aiohttp.ClientSession() as session:

        async def call_until_refused() -> tuple[aiohttp.ClientResponse, Any]:
            for _ in calls:
                async with session.get(f"{served}/api/entries?limit=none") as response:
                    problem = await response.json(content_type=None)
                if response.status != 400:
                    break
            return response, problem

        [(response, problem), *_] = await asyncio.gather(*(call_until_refused() for _ in range(10)))
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    assert (response.content_type, problem["status"]) == ("application/problem+json", 429)
    assert problem["detail"] == "too many calls; retry in 1 s"


@pytest.mark.e2e
async def test_methods_that_the_document_does_not_name(served: str) -> None:
    """The host knows no such function: 404, as in Azure (https://github.com/Azure/azure-functions-host/issues/10098)."""
    async with aiohttp.ClientSession() as session:
        for path, operations in DOCUMENT["paths"].items():
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {name.upper() for name in operations}:
                async with session.request(method, f"{served}/api{path.replace('{id}', '3')}") as response:
                    assert (response.status, await response.read()) == (404, b""), f"{method} {path}"


@pytest.mark.e2e
@pytest.mark.timeout(SECONDS + 20)
def test_what_the_document_says_is_what_happens(served_fast: str, tmp_path: Path) -> None:
    """Schemathesis calls every operation with what is allowed and with what is not, and one after another."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(ST), "--config-file", str(Path(__file__).with_name("schemathesis.toml")), "--no-color"),
            *("run", str(document), "--url", f"{served_fast}/api"),
            *("--phases", "coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--seed", "1"),
            *("--no-shrink", "--generation-database", "none", "--continue-on-failure"),
            *("--request-timeout", "30"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EVENTS_SECRET": EVENTS_SECRET},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases, done.stdout[-3_000:]
    assert cases[1] == cases[2]
    assert int(cases[1]) > 2000
