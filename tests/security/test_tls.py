"""A server with an untrusted certificate is sent nothing: no token, no key, no password."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from azure.identity.aio import DefaultAzureCredential

from devstack import azurite as emulator
from devstack.fakes import certificate
from devstack.fakes.identity import FakeIdentity
from devstack.fakes.keyvault import FakeKeyVault
from devstack.serving import serving
from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken
from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.queue import StorageQueue
from orchestrator.adapters.store.sqlserver import SqlServerConnector, _complete
from orchestrator.core.errors import StoreError, TokenUnavailable, WorkspaceUnavailable
from orchestrator.core.models import Claim
from tests.conftest import ROOT
from tests.databricks.support import ManualClock, Workspace
from tests.security.app import Apps
from tests.security.canary import PASSWORD, TOKEN
from tests.security.tds import SqlServer
from tests.store import odbc


@dataclass
class Impostor:
    """A server with a self-made certificate that accepts whatever it is sent."""

    folder: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)

    @property
    def certificate(self) -> Path:
        return self.folder / "fake-key-vault.pem"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Impostor"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        tls = certificate.server_context(certificate.create(self.folder))
        async with serving(app, tls=tls) as self.url:
            yield self

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response({})


@pytest.fixture
async def impostor(tmp_path: Path) -> AsyncIterator[Impostor]:
    async with Impostor(tmp_path).serve() as serving_impostor:
        yield serving_impostor


async def test_databricks(apps: Apps, impostor: Impostor) -> None:
    workspace = Workspace()
    workspace.url = impostor.url
    async with apps.app(workspace) as running:
        with pytest.raises(WorkspaceUnavailable, match=r"(?i)certificate"):
            await running.app.runs["default"].active_runs()
    assert impostor.requests == []


async def test_databricks_with_a_trusted_certificate(impostor: Impostor) -> None:
    """Once its certificate is trusted, the same server gets its request: so it was the certificate."""
    trust = ssl.create_default_context(cafile=str(impostor.certificate))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        client = DatabricksClient(
            host=impostor.url, tokens=StaticToken(TOKEN), session=lambda: session, clock=ManualClock()
        )
        assert await client.active_runs() == ()
    assert impostor.requests == ["/api/2.2/jobs/runs/list"]


class Misled(AbstractResolver):
    """A resolver that answers every look-up with this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Do nothing: nothing is open."""


async def test_a_trusted_certificate_of_another_host(impostor: Impostor) -> None:
    """A name that leads to a server with a good certificate, but not for this name."""
    trust = ssl.create_default_context(cafile=str(impostor.certificate))
    connector = aiohttp.TCPConnector(ssl=trust, resolver=Misled(), family=socket.AF_INET)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = DatabricksClient(
            host=impostor.url.replace("127.0.0.1", "adb-1.azuredatabricks.net"),
            tokens=StaticToken(TOKEN),
            session=lambda: session,
            clock=ManualClock(),
        )
        with pytest.raises(WorkspaceUnavailable, match=r"(?i)certificate"):
            await client.active_runs()
    assert impostor.requests == []


async def test_key_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeIdentity().serve() as identity, FakeKeyVault(identity.accepts).serve(tmp_path) as vault:
        for name, value in identity.environment().items():
            monkeypatch.setenv(name, value)
        vault.set_secret("token", TOKEN)
        async with DefaultAzureCredential() as credential:
            for ca_file in (None, str(vault.ca_file)):
                source = KeyVaultToken(
                    vault.url,
                    "token",
                    lambda: credential,
                    clock=ManualClock(),
                    verify_challenge_resource=False,
                    ca_file=ca_file,
                )
                if ca_file is None:
                    with pytest.raises(TokenUnavailable):
                        await source.token()
                    assert identity.issued == {}
                else:
                    assert await source.token() == TOKEN
                await source.close()


async def test_the_queue(
    impostor: Impostor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``tests/test_queue_identity.py`` shows that a trusted certificate works the same way."""
    monkeypatch.setattr("orchestrator.adapters.queue._RETRY_OPTIONS", {"retry_total": 0})
    connection = emulator.connection_string(queue_url=f"{impostor.url}/acme")
    queue = StorageQueue("submit-jobs", connection_string=connection)
    claim = Claim(entry_id=1, submission=1)
    assert await queue.send([claim]) == [claim]
    await queue.close()
    assert re.search("(?i)1 of 1 messages may not be on the queue.*certificate", caplog.text)
    assert impostor.requests == []


@pytest.mark.parametrize(("extra", "logins"), [("", 0), (";TrustServerCertificate=yes", 1)])
async def test_the_database(tmp_path: Path, extra: str, logins: int) -> None:
    """Microsoft's driver sends the password only if the connection string itself trusts the server."""
    text = f"DRIVER={odbc.driver()};SERVER=127.0.0.1,{{port}};UID=u;PWD={PASSWORD}{extra}"
    tls = certificate.server_context(certificate.create(tmp_path))
    async with SqlServer().serve(tls) as server:
        connector = SqlServerConnector(text.format(port=server.port), login_timeout_seconds=2)
        with pytest.raises(StoreError) as caught:
            await asyncio.to_thread(connector.connect)
        assert server.connections >= 1
        assert server.logins == logins
    assert ("certificate verify failed" in str(caught.value)) == (not logins)


def test_encryption_is_asked_for_where_the_connection_string_is_silent() -> None:
    text = _complete("SERVER=s;DATABASE=d", ["ODBC Driver 18 for SQL Server"])
    assert text.endswith(";Encrypt=yes")
    assert "TrustServerCertificate" not in text


#: Ways to turn verification off, in the libraries that the app uses.
UNVERIFIED = re.compile(
    r"verify\s*=\s*False|ssl\s*=\s*False|verify_ssl|connection_verify[\"']?\s*[:=]\s*False|CERT_NONE"
    r"|check_hostname\s*=\s*False|_create_unverified_context|TrustServerCertificate\s*=\s*yes|Encrypt\s*=\s*no",
    re.IGNORECASE,
)


#: Looks which versions of TLS a server takes, and sends it nothing.
LOOKS_ONLY = ROOT / "orchestrator" / "checks" / "exposure.py"


def test_nothing_in_the_app_turns_verification_off() -> None:
    files = [ROOT / "function_app.py", *(ROOT / "orchestrator").rglob("*.*")]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in {".py", ".sql"}}
    assert len(texts) > 30
    assert [path for path, text in texts.items() if UNVERIFIED.search(text)] == [LOOKS_ONLY]
    assert UNVERIFIED.search("aiohttp.TCPConnector(ssl=False)")
