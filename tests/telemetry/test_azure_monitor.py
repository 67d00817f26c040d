"""Application Insights: what is sent, and that nothing of it is loaded without its setting."""

import asyncio
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator import bootstrap
from orchestrator.telemetry import NO_TELEMETRY

ROOT = Path(__file__).parents[2]

KEY = "11111111-2222-3333-4444-555555555555"

#: An app's process: one line, one metric and one span of ours, and a line of somebody else.
WORK = """
import logging, os
from orchestrator import bootstrap
from orchestrator.telemetry import Metric, fields
logging.basicConfig(level=logging.INFO)
telemetry = bootstrap._telemetry(os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"])
assert telemetry is bootstrap._telemetry(os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"])
with telemetry.span("submit", entry_id=17):
    logging.getLogger("orchestrator.submit").info(
        "entry %s: submission 1 is run 77", 17, extra=fields("submitted", entry_id=17, submit_seconds=0.5)
    )
logging.getLogger("elsewhere").info("none of ours")
telemetry.record(Metric.SUBMISSION, 0.5, workspace="default")
"""

#: All that an app loads when its functions are registered and its parts are wired.
IDLE = """
import sys
import function_app
from orchestrator import bootstrap
bootstrap.application()
print([name for name in sys.modules if name.startswith(("opentelemetry", "azure.monitor"))])
"""

SETTINGS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": "t",
    "STATE_DB": "state.db",
    "PATH": "",
}


async def run(code: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code,
        cwd=ROOT, env={**SETTINGS, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(50):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_nothing_is_loaded_without_the_setting() -> None:
    assert (await run(IDLE)).strip() == "[]"


async def test_what_application_insights_gets() -> None:
    received: list[dict[str, Any]] = []

    async def track(request: web.Request) -> web.Response:
        body = await request.read()
        is_packed = body[:2] == b"\x1f\x8b"
        received.extend(json.loads(gzip.decompress(body) if is_packed else body))
        return web.json_response({"itemsReceived": 1, "itemsAccepted": 1, "errors": []})

    app = web.Application()
    app.router.add_post("/{anything:.*}", track)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        await run(
            WORK,
            APPLICATIONINSIGHTS_CONNECTION_STRING=f"InstrumentationKey={KEY};IngestionEndpoint={endpoint}/",
            APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL="true",
            OTEL_TRACES_SAMPLER="always_on",  # by default five a second are kept, fewer at the start
        )
    finally:
        await runner.cleanup()
    data = [(item["data"]["baseType"], item["data"]["baseData"]) for item in received]
    [line] = [content for kind, content in data if kind == "MessageData"]
    assert line["message"] == "entry 17: submission 1 is run 77"
    properties = line["properties"]
    assert (properties["event"], str(properties["entry_id"]), str(properties["submit_seconds"])) == (
        "submitted",
        "17",
        "0.5",
    )
    spans = [content["name"] for kind, content in data if kind in {"RemoteDependencyData", "RequestData"}]
    assert spans == ["submit"]
    metrics = {content["metrics"][0]["name"] for kind, content in data if kind == "MetricData"}
    assert "orchestrator.submission.duration" in metrics


def test_what_is_no_connection_string_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert bootstrap._telemetry("not-a-secret-to-show") is NO_TELEMETRY
    assert "no telemetry" in caplog.text
    assert "not-a-secret" not in caplog.text
    assert bootstrap._telemetry(None) is NO_TELEMETRY
