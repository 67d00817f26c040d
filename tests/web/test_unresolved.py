"""A setting whose reference Azure has not resolved: the deployed functions say so and do without."""

import base64
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from aiohttp import web

from devstack.serving import serving
from orchestrator import bootstrap
from orchestrator.web import databricks_events, routes
from orchestrator.web.api import Api
from tests.applications import idle_workspace
from tests.empty_store import make_empty_store
from tests.web.conftest import ENVIRONMENT

REFERENCE = "@Microsoft.KeyVault(SecretUri=https://team.vault.azure.net/secrets/s)"

OPTIONAL = ("EVENTS_SECRET", "ALERT_WEBHOOK_URL", "APPLICATIONINSIGHTS_CONNECTION_STRING")

#: Without these, the Functions host does not start.
OF_THE_HOST = {
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TRIGGER_SCHEDULE": "0 * * * * *",
    "MONITOR_SCHEDULE": "30 * * * * *",
}

Call = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
async def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Call]:
    """Call a function of the app that a process's environment makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "application", functools.cache(bootstrap.application.__wrapped__))
    workspace = web.Application()
    workspace.router.add_get("/{path:.*}", idle_workspace)
    app = func.FunctionApp()
    app.register_functions(
        routes.make_blueprint(routes.Server(functools.cache(lambda: Api(bootstrap.application))))
    )
    app.register_functions(databricks_events.make_blueprint())
    functions = {each.get_function_name(): each.get_user_function() for each in app.get_functions()}

    async def call(name: str, method: str = "GET", **request: Any) -> tuple[int, dict[str, Any]]:
        asked = func.HttpRequest(method, "http://127.0.0.1/api", **{"body": b"", **request})
        response = await functions[name](asked)
        return response.status_code, json.loads(response.get_body())

    async with serving(workspace) as url:
        database = make_empty_store(tmp_path / "state.db")
        environment = {**ENVIRONMENT, **OF_THE_HOST, "DATABRICKS_HOST": url, "STATE_DB": str(database)}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield call
        if bootstrap.application.cache_info().currsize:
            await bootstrap.application().close()


def notification(password: str) -> dict[str, Any]:
    """Return a notification of Databricks with a password."""
    encoded = base64.b64encode(f"databricks:{password}".encode()).decode()
    return {"headers": {"Authorization": f"Basic {encoded}"}, "body": b'{"run": {"run_id": 1}}'}


@pytest.mark.parametrize("name", OPTIONAL)
async def test_an_optional_one_is_named_by_health_and_by_check(
    call: Call, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, REFERENCE)
    status, told = await call("api_health")
    [reason] = [each for each in told["reasons"] if "reference" in each]
    assert (status, reason.split()[0]) == (503, name)
    assert await finding(call, "settings") == (False, reason)


async def finding(call: Call, subject: str) -> tuple[bool, str]:
    """Return what the check says of a subject."""
    _, told = await call("api_check")
    [found] = [each for each in told["findings"] if each["subject"] == subject]
    return found["ok"], found["text"]


@pytest.mark.parametrize("lacking", OF_THE_HOST)
async def test_check_names_it_beside_what_the_host_lacks(
    call: Call, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", REFERENCE)
    monkeypatch.delenv(lacking)
    _, told = await call("api_check")
    texts = [each["text"] for each in told["findings"] if not each["ok"]]
    for name in (lacking, "ALERT_WEBHOOK_URL"):
        assert any(name in text for text in texts), name


async def test_health_names_it_while_the_store_cannot_be_read(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", REFERENCE)
    monkeypatch.setenv("STATE_DB", str(tmp_path / "none.db"))
    _, told = await call("api_health")
    setting, store = told["reasons"]
    assert setting.startswith("ALERT_WEBHOOK_URL holds a reference")
    assert "none.db" in store


@pytest.mark.parametrize("password", [REFERENCE, "", "a-secret-of-some-length"])
async def test_nobody_s_events_are_taken(call: Call, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows how vaults are named could guess the text."""
    monkeypatch.setenv("EVENTS_SECRET", REFERENCE)
    status, told = await call("databricks_events", "POST", **notification(password))
    assert (status, told["detail"]) == (404, "events are not taken: the app has no EVENTS_SECRET")


async def test_events_are_taken_once_it_is_resolved(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_SECRET", "a-secret-of-some-length")
    assert (await call("databricks_events", "POST", **notification(REFERENCE)))[0] == 401
    answer = await call("databricks_events", "POST", **notification("a-secret-of-some-length"))
    assert answer == (200, {"finished": False})
    assert (await finding(call, "settings"))[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABRICKS_TOKEN", REFERENCE),
        ("AzureWebJobsStorage", REFERENCE),
        ("AzureWebJobsStorage", f"DefaultEndpointsProtocol=https;AccountName=team;AccountKey={REFERENCE}"),
        ("azurewebjobsstorage", REFERENCE),
    ],
)
async def test_a_needed_one_is_named_and_stops_the_app(
    call: Call, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.islower():
        monkeypatch.delenv("AzureWebJobsStorage")
    monkeypatch.setenv(name, value)
    status, told = await call("api_health")
    [reason] = told["reasons"]
    assert (status, f"{name} holds a reference that Azure has not resolved" in reason) == (503, True)
    ok, text = await finding(call, "settings")
    assert (ok, text.split()[0]) == (False, name)
    status, _ = await call("databricks_events", "POST", **notification(REFERENCE))
    assert status == 503


async def test_all_are_named_at_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity without its role resolves none of them."""
    for name in ("DATABRICKS_TOKEN", *OPTIONAL):
        monkeypatch.setenv(name, REFERENCE)
    _, health = await call("api_health")
    _, check = await call("api_check")
    findings = [each["text"] for each in check["findings"] if each["subject"] == "settings"]
    for name in ("DATABRICKS_TOKEN", *OPTIONAL):
        assert sum(f"{name} holds a reference" in each for each in health["reasons"]) == 1, name
        assert sum(f"{name} holds a reference" in each for each in findings) == 1, name
