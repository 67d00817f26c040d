"""Tokens of Databricks' OAuth from a real server: one fetch at a time, renewed in time, nothing shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from orchestrator import settings
from orchestrator.adapters.databricks.auth import token_source
from orchestrator.adapters.databricks.auth.oauth import OAuthToken
from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.bootstrap import Application
from orchestrator.core.errors import DatabricksError, TokenUnavailable
from tests.databricks.oauth import BASIC, CLIENT_ID, CLIENT_SECRET, OAuthWorkspace
from tests.databricks.support import (
    ManualClock,
    Reply,
    Tokens,
    assert_no_leak,
    drop,
    endless,
    error,
    hang,
    ok,
    plain,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def oauth() -> AsyncIterator[OAuthWorkspace]:
    async with OAuthWorkspace().serve() as serving:
        yield serving


@asynccontextmanager
async def source(
    oauth: OAuthWorkspace, clock: ManualClock, secret: Any = None, workspace_id: int | None = None
) -> AsyncIterator[OAuthToken]:
    async with aiohttp.ClientSession() as session:
        made = OAuthToken(
            oauth.url,
            CLIENT_ID,
            secret or StaticToken(CLIENT_SECRET, "DATABRICKS_CLIENT_SECRET"),
            session=lambda: session,
            clock=clock,
            workspace_id=workspace_id,
        )
        yield made
        await made.close()


async def test_one_fetch_for_all_callers(oauth: OAuthWorkspace, clock: ManualClock) -> None:
    oauth.gate = asyncio.Event()
    async with source(oauth, clock) as tokens:
        callers = [asyncio.create_task(tokens.token()) for _ in range(10)]
        async with asyncio.timeout(5):
            await oauth.asked.wait()
        oauth.gate.set()
        assert set(await asyncio.gather(*callers)) == {"oauth-token-1-canary"}
        assert await tokens.token() == "oauth-token-1-canary"
    assert oauth.forms == [{"grant_type": "client_credentials", "scope": "all-apis"}]


async def test_it_is_renewed_ahead_of_its_end_and_never_used_past_it(
    oauth: OAuthWorkspace, clock: ManualClock
) -> None:
    async with source(oauth, clock) as tokens:
        assert await tokens.token() == "oauth-token-1-canary"
        clock.now += 3600 - token_source.RENEW_AHEAD_SECONDS - 1
        assert await tokens.token() == "oauth-token-1-canary"
        oauth.fault = error(503, {})
        clock.now += 2
        assert await tokens.token() == "oauth-token-1-canary"  # it lives for five more minutes
        clock.now += token_source._STALE_SECONDS + 1
        oauth.fault = None
        assert await tokens.token() == "oauth-token-2-canary"
        oauth.fault = error(503, {})
        clock.now += 3600 - token_source.REFUSED_AHEAD_SECONDS + 1
        with pytest.raises(TokenUnavailable, match="HTTP 503: the app tries again later"):
            await tokens.token()


@pytest.mark.parametrize("lifetime", [2, 60, 299, 301])
async def test_a_short_life_is_used_for_its_first_half_at_least(
    oauth: OAuthWorkspace, clock: ManualClock, lifetime: int
) -> None:
    oauth.expires_in = lifetime
    async with source(oauth, clock) as tokens:
        await tokens.token()
        clock.now += 0.49 * min(lifetime, 2)
        await tokens.token()
        assert len(oauth.issued) == 1
        clock.now += lifetime
        await tokens.token()
        assert len(oauth.issued) == 2


@pytest.mark.parametrize("odd", [None, "3600", 0, -5, "soon", "nan", "inf", 10**400, {}, [], True])
async def test_an_odd_life_stops_nobody(oauth: OAuthWorkspace, clock: ManualClock, odd: object) -> None:
    oauth.expires_in = odd
    async with source(oauth, clock) as tokens:
        assert await tokens.token() == "oauth-token-1-canary"
        clock.now += 86_401
        assert await tokens.token() == "oauth-token-2-canary"


async def test_a_refused_token_is_replaced_within_the_request(
    oauth: OAuthWorkspace, clock: ManualClock
) -> None:
    async with source(oauth, clock, workspace_id=42) as tokens, aiohttp.ClientSession() as session:
        client = DatabricksClient(
            host=oauth.url, tokens=tokens, session=lambda: session, clock=clock, workspace_id=42
        )
        assert (await client.get_job(7)).job_id == 7
        oauth.revoked.add("oauth-token-1-canary")
        assert (await client.get_job(7)).job_id == 7
    assert oauth.calls == ["oauth-token-1-canary"] * 2 + ["oauth-token-2-canary"]
    assert set(oauth.workspace_ids) == {"42"}


async def test_no_text_shows_a_token_of_the_past_or_the_client_secret(
    oauth: OAuthWorkspace, clock: ManualClock
) -> None:
    """A notebook may print what its run was started with; the token is valid for an hour."""
    async with source(oauth, clock) as tokens, aiohttp.ClientSession() as session:
        client = DatabricksClient(host=oauth.url, tokens=tokens, session=lambda: session, clock=clock)
        await client.get_job(7)
        oauth.revoked.add("oauth-token-1-canary")
        oauth.job_name = f"oauth-token-1-canary, oauth-token-2-canary, {CLIENT_SECRET}"
        assert (await client.get_job(7)).name == "[…], […], […]"
        oauth.refusal = oauth.job_name
        with pytest.raises(DatabricksError) as caught:
            await client.get_job(7)
    assert str(caught.value).endswith("[…], […], […]")


async def test_a_host_with_one_workspace_gets_no_workspace_id(
    oauth: OAuthWorkspace, clock: ManualClock
) -> None:
    async with source(oauth, clock) as tokens, aiohttp.ClientSession() as session:
        client = DatabricksClient(host=oauth.url, tokens=tokens, session=lambda: session, clock=clock)
        await client.get_job(7)
    assert oauth.workspace_ids == [None, None]


async def test_a_rotated_client_secret_is_read_again(oauth: OAuthWorkspace, clock: ManualClock) -> None:
    oauth.secret = f"{CLIENT_SECRET}-rotated"
    secret = Tokens(current=CLIENT_SECRET, fresh=oauth.secret)
    async with source(oauth, clock, secret) as tokens:
        assert await tokens.token() == "oauth-token-1-canary"
    assert (secret.refreshed, len(oauth.forms)) == ([CLIENT_SECRET], 2)


def echo(status: int, *, in_code: bool) -> Reply:
    """A refusal that says again what was sent."""

    async def reply(request: web.Request) -> web.StreamResponse:
        sent = f"{request.headers['Authorization']} of {CLIENT_SECRET}"
        return web.json_response(
            {"error": sent if in_code else "invalid_client", "error_description": sent}, status=status
        )

    return reply


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (error(401, {"error": "invalid_client"}), "HTTP 401: invalid_client: check the client id"),
        (
            error(400, {"error": "invalid_request", "error_description": "no such"}),
            "no such: check the client id",
        ),
        (error(400, {"error_code": "INVALID_STATE", "message": "later"}), "INVALID_STATE later"),
        (error(403, [1]), "HTTP 403: check the client id"),
        (plain(404, "<h1>no</h1>"), "HTTP 404: check that the host is a Databricks workspace"),
        (error(429, {}), "HTTP 429: the app tries again later"),
        (error(500, {"error": {"a": 1}}), "HTTP 500: the app tries again later"),
        (error(302, {}, Location="/login.html"), "the host redirects"),
        (error(303, {}, Location="/login.html?error=private-link-validation-error:1"), "Private Link"),
        (plain(200, "<html>maintenance</html>"), "not an access token"),
        (ok({}), "not an access token"),
        (ok({"access_token": 5, "expires_in": 3600}), "not an access token"),
        (ok({"access_token": "two words"}), "not an access token"),
        (echo(401, in_code=False), "HTTP 401"),
        (echo(500, in_code=True), "HTTP 500"),
        (drop, "ServerDisconnectedError"),
        (endless, "not an access token"),
        (hang, "TimeoutError"),
    ],
)
async def test_a_token_endpoint_that_fails(
    oauth: OAuthWorkspace,
    clock: ManualClock,
    *,
    fault: Reply,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(f"{OAuthToken.__module__}.FETCH_SECONDS", 0.5)
    oauth.fault = fault
    async with source(oauth, clock) as tokens, aiohttp.ClientSession() as session:
        client = DatabricksClient(host=oauth.url, tokens=tokens, session=lambda: session, clock=clock)
        with pytest.raises(TokenUnavailable, match=text) as caught:
            await client.get_job(7)
        assert not caught.value.in_doubt
        assert f"Databricks OAuth, {oauth.url}/oidc/v1/token" in str(caught.value)
        for secret in (CLIENT_SECRET, BASIC):
            assert_no_leak(caplog, caught.value, of=secret)
        oauth.fault = None
        clock.now += token_source._FORCED_PAUSE_SECONDS
        assert (await client.get_job(7)).job_id == 7
    assert oauth.calls == ["oauth-token-1-canary"]


async def test_a_redirect_takes_the_secret_nowhere(oauth: OAuthWorkspace, clock: ManualClock) -> None:
    async with OAuthWorkspace().serve() as elsewhere:
        oauth.fault = error(307, {}, Location=f"{elsewhere.url}/oidc/v1/token")
        async with source(oauth, clock) as tokens:
            with pytest.raises(TokenUnavailable, match="redirects"):
                await tokens.token()
        assert elsewhere.forms == []


async def test_a_closed_port(clock: ManualClock, unused_tcp_port: int) -> None:
    oauth = OAuthWorkspace(url=f"http://127.0.0.1:{unused_tcp_port}")
    async with source(oauth, clock) as tokens:
        with pytest.raises(TokenUnavailable, match="ClientConnectorError"):
            await tokens.token()


async def test_the_app_signs_in_by_its_settings(oauth: OAuthWorkspace, tmp_path: Path) -> None:
    app = Application(
        settings.load(
            {
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "STATE_DB": str(tmp_path / "state.db"),
                "DATABRICKS_HOST": oauth.url,
                "DATABRICKS_AUTH": "oauth",
                "DATABRICKS_CLIENT_ID": CLIENT_ID,
                "DATABRICKS_CLIENT_SECRET": CLIENT_SECRET,
                "DATABRICKS_WORKSPACE_ID": "6123456789012345",
                "DATABRICKS_WORKSPACES": (
                    f'{{"b": {{"host": "{oauth.url}", "workspace_id": 7, "auth": "oauth",'
                    f' "client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}"}}}}'
                ),
            }
        )
    )
    try:
        for runs in (app.runs["default"], app.web_runs["default"], app.runs["b"]):
            assert (await runs.get_job(7)).job_id == 7
    finally:
        await app.close()
    assert oauth.workspace_ids == ["6123456789012345"] * 3 + ["7"] * 2
    assert oauth.calls == ["oauth-token-1-canary"] * 2 + ["oauth-token-2-canary"]
    assert CLIENT_SECRET in app.settings.secrets()
    assert CLIENT_SECRET not in repr(app.settings)
