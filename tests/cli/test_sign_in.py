"""``check`` signs in to each workspace in the way of its settings, as a process with real servers."""

import asyncio
import json
from pathlib import Path

import pytest

from devstack.fakes.identity import FakeIdentity
from devstack.fakes.keyvault import FakeKeyVault
from tests.cli.support import CommandLine
from tests.databricks.oauth import BASIC, CLIENT_ID, CLIENT_SECRET, OAuthWorkspace
from tests.http_proxy import PASSWORD, HttpProxy

OAUTH = {
    "DATABRICKS_AUTH": "oauth",
    "DATABRICKS_TOKEN": "",
    "DATABRICKS_CLIENT_ID": CLIENT_ID,
    "DATABRICKS_JOB_ID": "7",
}


async def check(cli: CommandLine, **environment: str) -> dict[str, str]:
    """Return the lines of ``check`` by their subject; each begins with ``ok`` or ``FAIL``."""
    # From the start: which certificates are trusted is read when aiohttp is loaded.
    done = await asyncio.to_thread(cli.from_shell, "check", **environment)
    for secret in (CLIENT_SECRET, BASIC, PASSWORD, "Traceback"):
        assert secret not in done.stdout + done.stderr
    lines = (line.split(None, 1) for line in done.stdout.splitlines())
    return {
        subject: f"{verdict} {text}" for verdict, rest in lines for subject, _, text in [rest.partition(": ")]
    }


@pytest.mark.parametrize("wrong", [False, True])
async def test_oauth(full_cli: CommandLine, *, wrong: bool) -> None:
    async with OAuthWorkspace(secret="other" if wrong else CLIENT_SECRET).serve() as oauth:
        found = await check(
            full_cli, **OAUTH, DATABRICKS_HOST=oauth.url, DATABRICKS_CLIENT_SECRET=CLIENT_SECRET
        )
    token = found["workspace default, token"]
    if wrong:
        assert token.startswith(f"FAIL Databricks OAuth, {oauth.url}/oidc/v1/token: HTTP 401: invalid_client")
        assert "check the client id" in token
    else:
        assert token == "ok found, from Databricks OAuth, for a service principal"
        assert found["workspace default, job"].startswith("ok 7 allows 200 runs at once")


async def test_oauth_with_its_secret_in_key_vault_through_a_proxy(
    full_cli: CommandLine, tmp_path: Path
) -> None:
    """Everything: the vault over TLS, by CONNECT; the workspace, the identity and the queue plainly."""
    async with (
        OAuthWorkspace().serve() as oauth,
        FakeIdentity().serve() as identity,
        FakeKeyVault(identity.accepts).serve(tmp_path) as vault,
        HttpProxy(locked=True).serve() as proxy,
    ):
        vault.set_secret("dbx-client", CLIENT_SECRET)
        found = await check(
            full_cli,
            **OAUTH,
            **identity.environment(),
            **vault.environment(),
            DATABRICKS_HOST=oauth.url,
            DATABRICKS_CLIENT_SECRET_NAME="dbx-client",
            HTTPS_PROXY=proxy.url_with_password,
            HTTP_PROXY=proxy.url_with_password,
        )
    assert found["settings"] == (
        f"ok complete; workspaces: default; the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY)"
        f"; the proxy 127.0.0.1:{proxy.port} (HTTP_PROXY)"
    )
    assert found["workspace default, token"].startswith("ok"), found
    assert found["workspace default, job"].startswith("ok"), found
    assert f"CONNECT {vault.url[8:]}" in proxy.forwarded
    assert f"POST {oauth.url}/oidc/v1/token" in proxy.forwarded
    assert [line for line in proxy.forwarded if line.startswith(f"GET {identity.url}/msi/token?")]
    assert [line for line in proxy.forwarded if f"/{full_cli.environment['SUBMIT_QUEUE_NAME']}" in line]
    assert proxy.refused == []


async def test_a_workspace_with_an_identity_of_its_own(full_cli: CommandLine) -> None:
    async with OAuthWorkspace().serve() as api, FakeIdentity().serve() as identity:
        further = {"eu": {"host": api.url, "auth": "entra", "client_id": CLIENT_ID, "job_id": 7}}
        found = await check(full_cli, **identity.environment(), DATABRICKS_WORKSPACES=json.dumps(further))
    assert (
        found["workspace eu, token"] == "ok found, from Microsoft Entra ID, for a managed identity of its own"
    )
    assert identity.clients == [CLIENT_ID]
