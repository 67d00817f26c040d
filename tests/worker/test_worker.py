"""Microsoft's own worker library accepts the app: what it accepts is what Azure accepts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.web.routes import ROUTES, Route

ROOT = Path(__file__).parents[2]

#: An app with an annotation that Azure refuses on a trigger.
REFUSED_APP = """
import azure.functions as func

app = func.FunctionApp()

@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def wrong(timer: func.TimerRequest | None) -> None:
    pass
"""


def drive(folder: Path) -> dict[str, Any]:
    """Run the worker library over the app in a folder and return its report."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.worker.drive", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What the worker library made of the real app."""
    return drive(ROOT)


def test_the_app_is_indexed(report: dict[str, Any]) -> None:
    assert report["indexed"] == {"ok": True, "error": ""}


@pytest.mark.parametrize(
    ("name", "binding"),
    [
        ("trigger", {"type": "timerTrigger", "name": "timer", "schedule": "%TRIGGER_SCHEDULE%"}),
        ("monitor", {"type": "timerTrigger", "name": "timer", "schedule": "%MONITOR_SCHEDULE%"}),
        (
            "submit",
            {
                "type": "queueTrigger",
                "name": "message",
                "queueName": "%SUBMIT_QUEUE_NAME%",
                "connection": "AzureWebJobsStorage",
            },
        ),
    ],
)
def test_a_function_is_found_with_its_trigger_and_loads(
    report: dict[str, Any], name: str, binding: dict[str, str]
) -> None:
    assert report["functions"][name] == {
        "ok": True,
        "error": "",
        "bindings": [{"direction": "IN", **binding}],
    }


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_route_is_a_function_that_asks_for_a_key(report: dict[str, Any], route: Route) -> None:
    found = report["functions"][route.name]
    assert (found["ok"], found["error"]) == (True, "")
    trigger = next(binding for binding in found["bindings"] if binding["type"] == "httpTrigger")
    assert (trigger["route"], trigger["methods"]) == (route.path, [route.method])
    assert trigger["authLevel"] == "FUNCTION"


def test_there_is_no_route_without_a_test(report: dict[str, Any]) -> None:
    assert report["functions"].keys() == {
        *("trigger", "submit", "monitor", "databricks_events"),
        *(route.name for route in ROUTES),
    }


def test_an_http_function_answers(report: dict[str, Any]) -> None:
    answered = report["answered"]
    assert (answered["status"], answered["type"]) == ("200", "application/json")
    assert json.loads(answered["body"])["openapi"] == "3.1.0"


def test_each_invocation_reaches_the_application(report: dict[str, Any]) -> None:
    succeeded = {name for name, result in report["invoked"].items() if result["ok"]}
    assert succeeded == {"trigger", "monitor", "submit"}
    message = {"type": "bytes", "text": '{"entry_id": 1, "submission": 2}'}
    assert report["calls"] == [["trigger", True], ["monitor", False], ["submit", message]]


def test_an_error_of_the_application_fails_the_invocation(report: dict[str, Any]) -> None:
    """So that the queue delivers the message again."""
    assert report["invoked"]["refused"] == {
        "ok": False,
        "error": "ValueError: the application refused the message",
    }


def test_an_app_that_azure_would_refuse_is_refused_here(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(REFUSED_APP, encoding="utf-8")
    refused = drive(tmp_path)["indexed"]
    assert not refused["ok"]
    assert "invalid non-type annotation" in refused["error"]
