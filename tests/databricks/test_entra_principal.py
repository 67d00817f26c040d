"""A service principal of Microsoft Entra ID signs in with its secret, through the real azure-identity."""

import functools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from devstack.fakes import certificate
from devstack.fakes.identity import FakeIdentity
from devstack.serving import serving
from orchestrator import settings
from orchestrator.adapters import credentials
from orchestrator.adapters.databricks.auth import token_source
from orchestrator.adapters.databricks.auth.entra import EntraPrincipalToken
from orchestrator.adapters.databricks.auth.token_source import StaticToken, TokenSource
from orchestrator.bootstrap import Application
from orchestrator.core.errors import TokenUnavailable
from tests.databricks.support import ManualClock, Tokens, assert_no_leak

TENANT = "9f8e7d6c-aaaa-bbbb-cccc-ddddeeeeffff"
CLIENT_ID = "0a1b2c3d-1111-2222-3333-444455556666"
SECRET = "Abc8Q~entra-canary-7d6e5f"


@dataclass
class Entra:
    """The token endpoint of a tenant, over TLS."""

    secret: str = SECRET
    lifetime: int = 3600
    #: refuse everything with this HTTP status; None = work
    fault: int | None = None
    #: form fields of each request
    forms: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    ca_file: Path = Path()

    @asynccontextmanager
    async def serve(self, folder: Path) -> AsyncIterator["Entra"]:
        app = web.Application()
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        self.ca_file = certificate.create(folder)
        async with serving(app, tls=certificate.server_context(self.ca_file)) as self.url:
            yield self

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append({"tenant": request.match_info["tenant"], **form})
        if self.fault is not None:
            return web.json_response({"error": "server_error"}, status=self.fault)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, self.secret):
            words = "AADSTS7000215: Invalid client secret provided."
            return web.json_response({"error": "invalid_client", "error_description": words}, status=401)
        content = {"access_token": f"entra-{len(self.forms)}", "token_type": "Bearer"}
        return web.json_response({**content, "expires_in": self.lifetime})


@pytest.fixture
async def entra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Entra]:
    async with Entra().serve(tmp_path) as serving_entra:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", serving_entra.url)
        yield serving_entra


@asynccontextmanager
async def source(entra: Entra, clock: ManualClock, secret: TokenSource) -> AsyncIterator[TokenSource]:
    principal = functools.partial(
        credentials.service_principal, TENANT, CLIENT_ID, ca_file=str(entra.ca_file)
    )
    made = EntraPrincipalToken(secret, principal, clock=clock)
    try:
        yield made
    finally:
        await made.close()


async def test_it_signs_in_once(entra: Entra) -> None:
    async with source(entra, ManualClock(), StaticToken(SECRET)) as tokens:
        assert [await tokens.token() for _ in range(3)] == ["entra-1"] * 3
    [form] = entra.forms
    assert (form["tenant"], form["client_id"], form["grant_type"]) == (
        TENANT,
        CLIENT_ID,
        "client_credentials",
    )
    assert form["scope"] == "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"


async def test_a_rotated_secret_is_read_again(entra: Entra, caplog: pytest.LogCaptureFixture) -> None:
    entra.secret = f"{SECRET}-rotated"
    secret = Tokens(current=SECRET, fresh=entra.secret)
    async with source(entra, ManualClock(), secret) as tokens:
        assert await tokens.token() == "entra-2"
    assert secret.refreshed == [SECRET]
    assert_no_leak(caplog, of=SECRET)


async def test_a_wrong_secret_says_what_to_check(entra: Entra, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock = ManualClock()
    async with source(entra, clock, StaticToken("Abc8Q~wrong-canary")) as tokens:
        with pytest.raises(TokenUnavailable, match="check the tenant id, the client id, and that") as caught:
            await tokens.token()
        assert_no_leak(caplog, caught.value, of="Abc8Q~wrong-canary")
        entra.secret = "Abc8Q~wrong-canary"
        clock.now += token_source._FORCED_PAUSE_SECONDS
        assert await tokens.token() == "entra-2"


async def test_a_token_at_its_end_is_replaced_and_an_outage_is_no_refusal(entra: Entra) -> None:
    entra.lifetime = 0
    clock = ManualClock()
    async with source(entra, clock, StaticToken(SECRET)) as tokens:
        assert await tokens.token() == "entra-1"
        entra.lifetime = 3600
        assert await tokens.token() == "entra-2"
    entra.fault = 503
    async with source(entra, clock, StaticToken(SECRET)) as tokens:
        with pytest.raises(TokenUnavailable, match="Microsoft Entra ID"):
            await tokens.token()


async def test_each_workspace_may_have_a_managed_identity_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "bbbbbbbb-1111-2222-3333-444455556666"
    async with FakeIdentity().serve() as identity:
        for name, value in identity.environment().items():
            monkeypatch.setenv(name, value)
        app = Application(
            settings.load(
                {
                    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                    "STATE_DB": str(tmp_path / "state.db"),
                    "DATABRICKS_HOST": "adb-1.7.azuredatabricks.net",
                    "DATABRICKS_AUTH": "entra",
                    "DATABRICKS_CLIENT_ID": CLIENT_ID,
                    "DATABRICKS_WORKSPACES": (
                        f'{{"eu": {{"host": "adb-2.8.x", "auth": "entra", "client_id": "{other}"}},'
                        ' "us": {"host": "adb-3.9.x", "auth": "entra"}}'
                    ),
                }
            )
        )
        try:
            tokens = [await app.tokens[name].token() for name in ("default", "eu", "us")]
        finally:
            await app.close()
    assert tokens == list(identity.issued)
    assert identity.clients == [CLIENT_ID, other, None]
