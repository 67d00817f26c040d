"""What is sent to Application Insights, and that none of it is loaded without its setting."""

import asyncio
import sys
from pathlib import Path

import pytest

from orchestrator import bootstrap
from orchestrator.core.telemetry import NO_TELEMETRY
from tests.telemetry.ingestion import Ingestion, ingestion

ROOT = Path(__file__).parents[2]

#: An app's process: one line, one metric and one span of ours, and a line of another library.
WORK = """
import logging, os
from orchestrator import bootstrap
from orchestrator.core.telemetry import Metric, fields
logging.basicConfig(level=logging.INFO)
where = os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"], "jobs-staging"
telemetry = bootstrap._telemetry(*where)
assert telemetry is bootstrap._telemetry(*where)
with telemetry.span("submit", entry_id=17):
    logging.getLogger("orchestrator.usecases.submit").info(
        "entry %s: submission 1 is run 77", 17, extra=fields("submitted", entry_id=17, submit_seconds=0.5)
    )
logging.getLogger("elsewhere").info("none of ours")
telemetry.record(Metric.SUBMISSION, 0.5, workspace="default")
"""

#: The application of a process in Azure: one line, one metric and one span of ours.
WIRED = """
import logging
from orchestrator import bootstrap
from orchestrator.core.telemetry import Metric, fields
logging.basicConfig(level=logging.INFO)
app = bootstrap.application()
with app.telemetry.span("submit", entry_id=17):
    logging.getLogger("orchestrator.usecases.submit").info("a line", extra=fields("submitted", entry_id=17))
app.telemetry.record(Metric.SUBMISSION, 0.5, workspace="default")
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


#: The store and the queue of an app in Azure, where no file and no plain HTTP is taken. Nobody calls them.
IN_AZURE = {
    "AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=YQ==",
    "SQL_CONNECTION_STRING": "SERVER=127.0.0.1,1;DATABASE=d",
    "STATE_DB": "",
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


def roles(azure: Ingestion) -> dict[str, set[str]]:
    """Return the roles of the app's own items by their kind."""
    found: dict[str, set[str]] = {}
    for item in azure.items:
        data = item["data"]
        # The exporter sends counts of its own work under another name.
        if data["baseType"] != "MetricData" or "orchestrator." in str(data["baseData"]["metrics"]):
            found.setdefault(data["baseType"], set()).add(item["tags"]["ai.cloud.role"])
    return found


@pytest.mark.parametrize(
    ("slot", "host", "role"),
    [
        ("Production", "jobs.azurewebsites.net", "jobs"),
        ("Staging", "jobs-staging.azurewebsites.net", "jobs-staging"),
        ("", "Jobs-a1b2c3d4e5f6g7h8.northeurope-01.azurewebsites.net", "jobs-a1b2c3d4e5f6g7h8"),
        ("staging", "jobs-staging-a1b2c3d4.northeurope-01.azurewebsites.net", "jobs-staging-a1b2c3d4"),
        # not every plan tells the address
        ("Production", "", "jobs"),
        ("Staging", "", "jobs-staging"),
    ],
)
async def test_the_role_of_an_app_in_azure(slot: str, host: str, role: str) -> None:
    """Staging must not vouch for production: a query tells them apart by the role alone."""
    site = {"WEBSITE_SITE_NAME": "Jobs", "WEBSITE_SLOT_NAME": slot, "WEBSITE_HOSTNAME": host}
    async with ingestion() as azure:
        await run(WIRED, **azure.settings, **site, **IN_AZURE)
    assert roles(azure) == {kind: {role} for kind in ("MessageData", "MetricData", "RemoteDependencyData")}


async def test_the_role_of_an_app_elsewhere() -> None:
    async with ingestion() as azure:
        await run(WIRED, **azure.settings, WEBSITE_HOSTNAME="localhost:7071")
    assert set().union(*roles(azure).values()) == {"databricks-job-orchestrator"}


async def test_what_application_insights_gets() -> None:
    async with ingestion() as azure:
        await run(WORK, **azure.settings)
    assert set().union(*roles(azure).values()) == {"jobs-staging"}
    data = [(item["data"]["baseType"], item["data"]["baseData"]) for item in azure.items]
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


def test_a_wrong_connection_string_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert bootstrap._telemetry("not-a-secret-to-show") is NO_TELEMETRY
    assert "no telemetry" in caplog.text
    assert "not-a-secret" not in caplog.text
    assert bootstrap._telemetry(None) is NO_TELEMETRY
