"""``GET /api/check``: the app checks itself, in bounded time, and shows no secret."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from devstack.serving import serving
from orchestrator import settings
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.bootstrap import Application
from orchestrator.checks import installation
from orchestrator.core.errors import PackageMissing, QueueError, SettingsError
from orchestrator.web import api as api_module
from orchestrator.web.api import Api
from orchestrator.web.http import Request
from tests.empty_store import make_empty_store
from tests.store import odbc
from tests.web.conftest import ENVIRONMENT

TOKEN = "token-of-the-workspace"

#: A queue's secret that a wrong setting could show.
ACCOUNT_KEY = "c2VjcmV0LWtleS1vZi10aGUtYWNjb3VudA=="


@asynccontextmanager
async def workspace(listed: Callable[[], Any]) -> AsyncIterator[str]:
    """Serve a workspace with one job, whose list of active runs is what a function says."""

    async def serve(request: web.Request) -> web.Response:
        if request.path.endswith("/jobs/get"):
            return web.json_response({"job_id": 5, "settings": {"name": "j", "max_concurrent_runs": 200}})
        answer = listed()
        if isinstance(answer, web.Response):
            return answer
        await answer
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    async with serving(app) as url:
        yield url


def environment(folder: Path, **changes: str) -> dict[str, str]:
    database = make_empty_store(folder / "state.db")
    queue = (
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={ACCOUNT_KEY};"
        "QueueEndpoint=http://127.0.0.1:1/a"
    )
    needed = {"SUBMIT_QUEUE_NAME": "submit-jobs", "TRIGGER_SCHEDULE": "0 * * * * *"}
    return {
        **ENVIRONMENT,
        **needed,
        "MONITOR_SCHEDULE": "30 * * * * *",
        "STATE_DB": str(database),
        "AzureWebJobsStorage": queue,
        **changes,
    }


@asynccontextmanager
async def api(environ: dict[str, str]) -> AsyncIterator[Api]:
    """The API of an app with these settings."""
    app = Application(settings.load(environ), patience=0)
    try:
        yield Api(lambda: app)
    finally:
        await app.close()


async def check(served: Api) -> tuple[bool, dict[str, tuple[bool, str]]]:
    """Return the verdict and the findings by their subject."""
    response = await served.check(Request(method="GET"))
    assert response.status == 200
    for secret in (TOKEN, ACCOUNT_KEY, odbc.PASSWORD):
        assert secret not in response.content
    document = json.loads(response.content)
    return document["ok"], {each["subject"]: (each["ok"], each["text"]) for each in document["findings"]}


async def test_every_part_has_its_finding(tmp_path: Path) -> None:
    forbidden = web.json_response(
        {"error_code": "403", "message": f"Invalid access token {TOKEN}"}, status=403
    )
    async with (
        workspace(lambda: asyncio.sleep(0)) as good,
        workspace(lambda: forbidden) as closed,
        api(
            environment(
                tmp_path,
                DATABRICKS_HOST=good,
                DATABRICKS_WORKSPACES=f'{{"eu": {{"host": "{closed}", "token": "{TOKEN}"}}}}',
            )
        ) as served,
    ):
        ok, found = await check(served)
    assert not ok
    assert {subject: each for subject, (each, _) in found.items()} == {
        "settings": True,
        "request bodies": True,
        "store": True,
        "entries": True,
        "queue": False,
        "workspace default, token": True,
        "workspace default, Databricks": True,
        "workspace default, job": True,
        "workspace eu, token": True,
        "workspace eu, Databricks": False,
    }
    assert found["workspace default, job"] == (True, "5 allows 200 runs at once, cap 3")


async def test_a_workspace_that_hangs_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_CHECK_SECONDS", 2.0)
    async with (
        workspace(lambda: asyncio.sleep(60)) as hanging,
        workspace(lambda: asyncio.sleep(0)) as good,
        api(
            environment(
                tmp_path,
                DATABRICKS_HOST=hanging,
                DATABRICKS_WORKSPACES=f'{{"eu": {{"host": "{good}", "token": "{TOKEN}", "job_id": 5}}}}',
            )
        ) as served,
    ):
        began = time.monotonic()
        ok, found = await check(served)
        took = time.monotonic() - began
    assert (ok, took < 4) == (False, True), took
    assert found["workspace default, Databricks"][0] is False
    assert "not done within" in found["workspace default, Databricks"][1]
    assert found["workspace eu, job"][0] is True


async def test_a_database_that_hangs_leaves_time_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "_CHECK_SECONDS", 2.0)
    defaults = SqlServerConnector.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "login_timeout_seconds", 3)
    with odbc.silent_port() as port:
        async with workspace(lambda: asyncio.sleep(0)) as good:
            place = {"STATE_DB": "", "SQL_CONNECTION_STRING": odbc.with_password(port)}
            environ = environment(tmp_path, DATABRICKS_HOST=good, **place)
            async with api(environ) as served:
                began = time.monotonic()
                ok, found = await check(served)
                took = time.monotonic() - began
    assert (ok, took < 3) == (False, True), took
    assert found["store"] == (False, "no result within the 1 s that these checks may take")
    assert found["workspace default, job"][0] is True
    assert "entries" not in found


async def test_settings_that_cannot_be_used_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUBMIT_QUEUE_NAME", "TRIGGER_SCHEDULE", "MONITOR_SCHEDULE"):
        monkeypatch.delenv(name, raising=False)

    def application() -> Application:
        raise SettingsError(["DATABRICKS_HOST must be set", "MAX_ATTEMPTS must be a number"])

    ok, found = await check(Api(application))
    assert not ok
    assert found["settings"][1].startswith("set SUBMIT_QUEUE_NAME")


async def test_callers_at_the_same_time_share_one_check(tmp_path: Path) -> None:
    lists = 0

    async def listed() -> None:
        nonlocal lists
        lists += 1
        await asyncio.sleep(0.05)

    async with workspace(listed) as good, api(environment(tmp_path, DATABRICKS_HOST=good)) as served:
        first, second = await asyncio.gather(check(served), check(served))
        assert (first, lists) == (second, 1)
        await check(served)
    assert lists == 2


async def test_packages_that_are_not_there_are_a_finding() -> None:
    def application() -> Application:
        raise PackageMissing("aiohttp")

    ok, found = await check(Api(application))
    assert (ok, list(found)) == (False, ["packages"])
    assert found["packages"][1].startswith("the Python package aiohttp is not there")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (QueueError(f"refused: {ACCOUNT_KEY}"), "refused: […]"),
        (
            ModuleNotFoundError("No module named '_cffi_backend'", name="_cffi_backend"),
            "the Python package _cffi_backend is not there: publish with a remote build, which installs "
            "requirements.txt (docs/deploy.md#publish), or, on a machine: pip install -r requirements.txt",
        ),
        (RuntimeError(ACCOUNT_KEY), "this check itself failed (RuntimeError): the log has the details"),
    ],
)
async def test_a_finding_holds_no_secret_and_a_fault_of_the_checks_hides_no_other(
    tmp_path: Path,
    error: Exception,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Application(settings.load(environment(tmp_path)), patience=0)

    async def fail() -> None:
        raise error

    monkeypatch.setattr(app.queue, "check", fail)
    try:
        found = {each.subject: each async for each in installation.run(app, seconds=20)}
    finally:
        await app.close()
    assert (found["queue"].ok, found["queue"].text) == (False, text)
    assert ACCOUNT_KEY not in caplog.text
    assert found["store"].ok
    assert not found["workspace default, Databricks"].ok
