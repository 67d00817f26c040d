"""OAuth and workspace ids, driven with databricks-sdk and over HTTP."""

import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.service.jobs import RunResultState

from devstack import processes
from tests.devstack.databricks.conftest import JOB_ID
from tests.devstack.databricks.helpers import ROOT, finished, result_of, sdk_client, steer, submit

WORKSPACE_ID = 17

LIST = "/api/2.2/jobs/runs/list"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A workspace with an id, a token and a service principal."""
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0", "--with-job", str(JOB_ID)]
    argv += ["--token", "personal", "--client", "app=s3cret", "--oauth-seconds", "1800"]
    argv += ["--workspace-id", str(WORKSPACE_ID), "--pending-seconds", "0", "--run-seconds", "0"]
    process = processes.start("databricks", argv, log=tmp_path / "log", cwd=ROOT)
    yield process.url
    process.kill()


def principal(url: str, secret: str, **settings: Any) -> WorkspaceClient:
    config = Config(
        host=url,
        client_id="app",
        client_secret=secret,
        auth_type="oauth-m2m",
        retry_timeout_seconds=3,
        http_timeout_seconds=10,
        **settings,
    )
    return WorkspaceClient(config=config)


def basic(client: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{client}:{secret}'.encode()).decode()}"}


FORM = {"grant_type": "client_credentials", "scope": "all-apis"}


async def token(url: str, headers: dict[str, str], **form: str) -> tuple[int, dict[str, Any]]:
    """Ask for a token; return status and body."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/oidc/v1/token", data={**FORM, **form}, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def status_with(url: str, bearer: str, **headers: str) -> int:
    """The status of a request with a bearer token."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}{LIST}", headers={"Authorization": f"Bearer {bearer}", **headers}) as answer,
    ):
        return answer.status


def test_a_service_principal_runs_a_job(url: str) -> None:
    sdk = principal(url, "s3cret")
    run = finished(sdk, submit(sdk, JOB_ID))
    assert result_of(run) == RunResultState.SUCCESS
    assert run.run_page_url == f"{url}/?o={WORKSPACE_ID}#job/{JOB_ID}/run/{run.run_id}"
    assert sdk_client(url, "personal").jobs.get(JOB_ID).job_id == JOB_ID


def test_a_wrong_secret_gets_no_token(url: str) -> None:
    with pytest.raises(ValueError, match="invalid_client: Client authentication failed"):
        principal(url, "wrong").jobs.get(JOB_ID)


def test_another_workspace_is_refused(url: str) -> None:
    assert principal(url, "s3cret").config.workspace_id == str(WORKSPACE_ID), "the client finds it out"
    with pytest.raises(PermissionDenied, match="Workspace 18 is not served here, but 17"):
        sdk_client(url, "personal", workspace_id="18").jobs.get(JOB_ID)


async def test_a_token_is_accepted_for_its_time_and_secret(url: str) -> None:
    status, answer = await token(url, basic("app", "s3cret"))
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 1800)
    bearer = answer["access_token"]
    assert await status_with(url, bearer) == 200
    assert await status_with(url, bearer, **{"X-Databricks-Workspace-Id": str(WORKSPACE_ID)}) == 200
    assert await status_with(url, bearer[:-1]) == 403
    assert await status_with(url, "e30=.x") == 403
    steer(url, "clients", {"clients": {"app": "rotated"}})
    assert await status_with(url, bearer) == 403
    assert (await token(url, basic("app", "s3cret")))[0] == 401
    assert await status_with(url, (await token(url, basic("app", "rotated")))[1]["access_token"]) == 200


@pytest.mark.parametrize(
    ("headers", "form", "status", "error"),
    [
        ({}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic ?"}, {}, 401, "invalid_client"),
        ({"Authorization": "Bearer personal"}, {}, 401, "invalid_client"),
        (basic("other", "s3cret"), {}, 401, "invalid_client"),
        (basic("app", ""), {}, 401, "invalid_client"),
        (basic("app", "s3cret"), {"scope": "sql"}, 400, "invalid_scope"),
        (basic("app", "s3cret"), {"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_a_bad_token_request_is_refused(
    url: str, headers: dict[str, str], form: dict[str, str], *, status: int, error: str
) -> None:
    answered, body = await token(url, headers, **form)
    assert (answered, body["error"]) == (status, error)
    assert body.keys() == {"error", "error_description"}


async def test_faults_meet_requests_for_tokens(url: str) -> None:
    steer(url, "faults", {"match": "/oidc/v1/token", "kind": "status", "status": 503})
    assert (await token(url, basic("app", "s3cret")))[0] == 503
    assert (await token(url, basic("app", "s3cret")))[0] == 200
