"""What a cold start costs, and what ``host.json`` asks of the Functions host."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

#: Packages that take long to import, or that connect: a function imports them when it needs them.
LATE = ("azure.identity", "azure.keyvault", "azure.storage", "aiohttp", "pyodbc")

#: Reports the modules that importing the app brings in, and every attempt to connect meanwhile.
IMPORT_APP = """
import json, sys
connections = []
sys.addaudithook(lambda event, args: connections.append(event) if event == "socket.connect" else None)
import function_app
print(json.dumps({"modules": sorted(sys.modules), "connections": connections}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """What importing the app does, in a process with no setting of the app at all."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_APP],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return report


#: Packages of the HTTP functions and of the command line: the timer and queue functions never import them.
NOT_OURS = (
    "msgspec",
    "click",
    "rich",
    "orchestrator.web.api",
    "orchestrator.web.schemas",
    "orchestrator.cli",
)


def test_importing_the_app_brings_in_nothing_of_http_or_of_the_command_line(
    imported: dict[str, list[str]],
) -> None:
    assert [name for name in imported["modules"] if name.startswith(NOT_OURS)] == []


def test_importing_the_app_connects_to_nothing(imported: dict[str, list[str]]) -> None:
    assert imported["connections"] == []


def test_importing_the_app_leaves_the_heavy_packages_for_later(imported: dict[str, list[str]]) -> None:
    early = [name for name in imported["modules"] if name.startswith(LATE)]
    assert early == []


@pytest.fixture(scope="module")
def host() -> dict[str, Any]:
    """The settings in ``host.json``."""
    settings: dict[str, Any] = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    return settings


def test_ten_messages_at_once_per_instance(host: dict[str, Any]) -> None:
    queues = host["extensions"]["queues"]
    assert queues["batchSize"] + queues["newBatchThreshold"] == 10


def test_the_queue_settings_are_within_the_bounds_of_azure(host: dict[str, Any]) -> None:
    """https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#hostjson-settings"""
    queues = host["extensions"]["queues"]
    assert 1 <= queues["batchSize"] <= 32
    assert queues["newBatchThreshold"] >= 0
    assert queues["maxDequeueCount"] == 5
    assert queues["messageEncoding"] == "base64"
    assert 0.1 <= seconds(queues["maxPollingInterval"]) <= 60
    assert 0 <= seconds(queues["visibilityTimeout"]) <= 7 * 24 * 3600


def test_the_function_timeout_is_one_that_every_plan_allows(host: dict[str, Any]) -> None:
    """https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout (Consumption: 10 minutes)."""
    assert 60 <= seconds(host["functionTimeout"]) <= 600


def test_the_extension_bundle_is_the_one_for_runtime_4(host: dict[str, Any]) -> None:
    assert host["version"] == "2.0"
    assert host["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"


def seconds(text: str) -> int:
    """Read a time span ``hh:mm:ss``."""
    hours, minutes, rest = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + rest
