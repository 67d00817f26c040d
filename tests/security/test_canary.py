"""Canaries in the token and the parameters, through everything that Databricks can do wrong."""

import json

import pytest
from aiohttp import web

from devstack.fakes.identity import FakeIdentity
from orchestrator.adapters.databricks.client import DatabricksClient, Limits
from orchestrator.core.errors import DatabricksError, TokenUnavailable
from orchestrator.core.models import RunRequest
from tests.databricks.support import Reply, Tokens, Workspace, connected, hang, ok
from tests.security.app import ROW, Apps
from tests.security.canary import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    PARAMETERS,
    PROXY_PASSWORD,
    ROTATED_TOKEN,
    TOKEN,
    Evidence,
    leaks,
)
from tests.security.servers import FAULTS, NO_HTTP, no_http

REQUEST = RunRequest(
    job_id=7, idempotency_token="0f3a-1", parameter_style="notebook_params", parameters=PARAMETERS
)

LIMITS = Limits(request_seconds=2, operation_seconds=10, tries=2, response_bytes=100_000)


def canary_tokens() -> Tokens:
    return Tokens(current=TOKEN, fresh=ROTATED_TOKEN)


def only_run_now(fault: Reply) -> Reply:
    """Answer well, but for ``run-now``."""
    job = {"job_id": 7, "settings": {"max_concurrent_runs": 5}}

    async def reply(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("run-now"):
            return await fault(request)
        return await ok(job if request.path.endswith("jobs/get") else {})(request)

    return reply


async def call_everything(client: DatabricksClient, evidence: Evidence) -> int:
    """Send every request and return how many failed."""
    calls = (
        client.run_now(REQUEST),
        client.active_runs(),
        client.get_run(1),
        client.cancel(1),
        client.get_job(1),
        client.create_job(name="job", notebook_path="/x", max_concurrent_runs=1),
    )
    failed = 0
    for call in calls:
        try:
            evidence.add("result", await call)
        except DatabricksError as error:
            evidence.error(error)
            failed += 1
    return failed


def test_the_search_finds_what_is_planted() -> None:
    """Whole, quoted, encoded or in part: otherwise nothing here would prove anything."""
    note = PARAMETERS["db_password"]
    for text in (f"x{TOKEN}x", TOKEN[5:17], json.dumps({"note": note}), repr([note]), note[-12:]):
        assert leaks(text)
    assert not leaks("Databricks run-now: HTTP 403: […]")


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_response_brings_a_secret_out(workspace: Workspace, evidence: Evidence, fault: str) -> None:
    workspace.replies = [FAULTS[fault]]
    async with connected(workspace, tokens=canary_tokens(), limits=LIMITS) as client:
        # A cancellation accepts any body, and a run that does not exist needs none.
        assert await call_everything(client, evidence) >= 4
    assert any(TOKEN in seen.authorization for seen in workspace.seen)
    assert any(seen.json and seen.json.get("notebook_params") == PARAMETERS for seen in workspace.seen)


@pytest.mark.parametrize("response", NO_HTTP)
async def test_no_broken_http_brings_a_secret_out(evidence: Evidence, response: str) -> None:
    async with no_http(NO_HTTP[response]) as url:
        workspace = Workspace()
        workspace.url = url
        async with connected(workspace, tokens=canary_tokens(), limits=LIMITS) as client:
            assert await call_everything(client, evidence) >= 5


async def test_no_time_out_brings_a_secret_out(workspace: Workspace, evidence: Evidence) -> None:
    workspace.replies = [hang]
    limits = Limits(request_seconds=0.1, operation_seconds=0.15, tries=2)
    async with connected(workspace, tokens=canary_tokens(), limits=limits) as client:
        assert await call_everything(client, evidence) == 6


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_entry_whose_submission_fails(apps: Apps, workspace: Workspace, fault: str) -> None:
    """The whole path: insert, claim, message, run-now, monitor; then the same with everything failing."""

    workspace.replies = [only_run_now(FAULTS[fault])]
    async with apps.app(workspace) as running:
        await running.app.operator.add([ROW, ROW])
        assert await running.app.trigger() == []
        assert len(await running.submit_all()) == 1
        workspace.replies = [FAULTS[fault]]
        await running.attempt(running.app.monitor())
        await running.attempt(running.app.trigger())
        running.look_everywhere()
    assert any(seen.json and seen.json.get("notebook_params") == PARAMETERS for seen in workspace.seen)


@pytest.mark.parametrize("fault", ["json 401", "json 403", "page 403", "json 400", "page 500", "wrong shape"])
async def test_an_access_token_of_entra_id(
    apps: Apps, workspace: Workspace, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.replies = [FAULTS[fault]]
    async with FakeIdentity().serve() as identity:
        for name, value in identity.environment().items():
            monkeypatch.setenv(name, value)
        async with apps.app(workspace, DATABRICKS_AUTH="entra") as running:
            await running.app.operator.add([ROW])
            await running.attempt(running.app.trigger())
            await running.attempt(running.app.runs["default"].run_now(REQUEST))
            running.look_everywhere()
        assert any(ACCESS_TOKEN in seen.authorization for seen in workspace.seen)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_client_secret_and_the_password_of_a_proxy(
    apps: Apps, workspace: Workspace, fault: str, unused_tcp_port: int
) -> None:
    """The token endpoint fails in every way, echoing what it was sent; then nothing listens at the proxy."""
    workspace.replies = [FAULTS[fault]]
    proxy = f"http://app:{PROXY_PASSWORD}@127.0.0.1:{unused_tcp_port}"
    for through in ({}, {"HTTP_PROXY": proxy}):
        async with apps.app(
            workspace,
            DATABRICKS_AUTH="oauth",
            DATABRICKS_CLIENT_ID="0a1b2c3d-1111-2222-3333-444455556666",
            DATABRICKS_CLIENT_SECRET=CLIENT_SECRET,
            **through,
        ) as running:
            await running.app.operator.add([ROW])
            await running.attempt(running.app.trigger())
            error = await running.attempt(running.app.runs["default"].run_now(REQUEST))
            assert isinstance(error, TokenUnavailable)
            assert {CLIENT_SECRET, *([PROXY_PASSWORD] if through else [])} <= set(
                running.app.settings.secrets()
            )
            running.look_everywhere()
    assert {seen.path for seen in workspace.seen} == {"/oidc/v1/token"}


async def test_a_crash_in_the_middle_of_a_request(
    apps: Apps, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of an unforeseen error shows no local variable."""

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("unforeseen")

    workspace.replies = [only_run_now(FAULTS["json 403"])]
    async with apps.app(workspace) as running:
        await running.app.operator.add([ROW])
        await running.app.trigger()
        monkeypatch.setattr("orchestrator.adapters.databricks.errors.json_object", crash)
        [error] = await running.submit_all()
        running.look_everywhere()
    assert isinstance(error, RuntimeError)
