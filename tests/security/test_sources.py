"""Canaries in what the app signs in with: Key Vault, the identity, the Storage account, the database."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from azure.identity.aio import DefaultAzureCredential

from devstack import azurite as emulator
from devstack.fakes import certificate
from devstack.fakes.identity import FakeIdentity
from devstack.fakes.keyvault import RESOURCE, FakeKeyVault
from devstack.serving import serving
from orchestrator.adapters.credentials import blocking_credential
from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken
from orchestrator.adapters.queue import StorageQueue
from orchestrator.adapters.store.access_token import SqlToken, _AccessToken
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import OrchestratorError, QueueError, StoreError, TokenUnavailable
from orchestrator.core.models import Claim
from orchestrator.settings.queue import QueueConnection
from tests.conftest import Azurite
from tests.databricks.support import ManualClock, Reply, drop
from tests.security.canary import ACCESS_TOKEN, PASSWORD, SIGNATURE, TOKEN, WRONG_STORAGE_KEY, Evidence
from tests.security.servers import echo_page, sent
from tests.store import odbc

SECRET = "databricks-token"

CLAIM = Claim(entry_id=1, submission=1)


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIdentity]:
    """A managed identity in this process's environment."""
    async with FakeIdentity().serve() as serving_identity:
        for name, value in serving_identity.environment().items():
            monkeypatch.setenv(name, value)
        yield serving_identity


@asynccontextmanager
async def every_path(reply: Reply, folder: Path | None = None) -> AsyncIterator[str]:
    """Serve one response to every request, with TLS if there is a folder for its certificate."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", reply)
    tls = certificate.server_context(certificate.create(folder)) if folder else None
    async with serving(app, tls=tls) as url:
        yield url


async def failing(work: Awaitable[object], evidence: Evidence) -> OrchestratorError:
    """Do what must fail with an error of ours, and keep its text as evidence."""
    with pytest.raises(OrchestratorError) as caught:
        await work
    evidence.error(caught.value)
    return caught.value


def key_vault(url: str, folder: Path, credential: DefaultAzureCredential) -> KeyVaultToken:
    return KeyVaultToken(
        url,
        SECRET,
        lambda: credential,
        clock=ManualClock(),
        verify_challenge_resource=False,
        ca_file=str(folder / "fake-key-vault.pem"),
    )


# --- Key Vault ---


def vault_that_echoes(status: int) -> Reply:
    """A vault that asks for a token and then sends it back."""

    async def reply(request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return web.json_response(
                {"error": {"code": await sent(request), "message": await sent(request)}},
                status=status,
                reason=request.headers["Authorization"],
            )
        challenge = f'Bearer authorization="https://login.windows.net/tenant", resource="{RESOURCE}"'
        return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})

    return reply


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_key_vault_refuses_and_sends_the_access_token_back(
    tmp_path: Path, identity: FakeIdentity, evidence: Evidence, status: int
) -> None:
    async with (
        every_path(vault_that_echoes(status), tmp_path) as url,
        DefaultAzureCredential() as credential,
    ):
        source = key_vault(url, tmp_path, credential)
        error = await failing(source.token(), evidence)
        await source.close()
    assert isinstance(error, TokenUnavailable)
    assert str(status) in str(error)
    assert all(token.startswith(ACCESS_TOKEN) for token in identity.issued)
    assert identity.issued


@pytest.mark.parametrize("reply", [drop, echo_page(200)], ids=["drops", "not JSON"])
async def test_key_vault_sends_nothing_usable(
    tmp_path: Path, identity: FakeIdentity, evidence: Evidence, reply: Reply
) -> None:
    async with every_path(reply, tmp_path) as url, DefaultAzureCredential() as credential:
        source = key_vault(url, tmp_path, credential)
        await failing(source.token(), evidence)
        await source.close()


async def test_a_secret_that_is_not_a_token(
    tmp_path: Path, identity: FakeIdentity, evidence: Evidence
) -> None:
    """The secret has words around the token."""
    async with (
        FakeKeyVault(identity.accepts).serve(tmp_path) as vault,
        DefaultAzureCredential() as credential,
    ):
        vault.set_secret(SECRET, f"the token is {TOKEN}\n")
        source = key_vault(vault.url, tmp_path, credential)
        await failing(source.token(), evidence)
        await source.close()
    assert vault.reads == 1


async def test_the_identity_fails(tmp_path: Path, identity: FakeIdentity, evidence: Evidence) -> None:
    identity.fault = 400
    async with (
        FakeKeyVault(identity.accepts).serve(tmp_path) as vault,
        DefaultAzureCredential() as credential,
    ):
        source = key_vault(vault.url, tmp_path, credential)
        error = await failing(source.token(), evidence)
        await source.close()
    assert identity.header not in str(error)
    assert identity.header not in "".join(text for _, text in evidence.texts)


# --- the Storage account ---


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off the SDK's own retries, which show nothing new and take seconds."""
    monkeypatch.setattr("orchestrator.adapters.queue._RETRY_OPTIONS", {"retry_total": 0})


async def use_queue(connection_string: str, evidence: Evidence) -> None:
    """Send and check, both of which must fail."""
    queue = StorageQueue("submit-jobs", connection_string=connection_string, send_timeout=8, batch_timeout=8)
    evidence.add("connection", repr(QueueConnection(connection_string=connection_string)))
    assert await queue.send([CLAIM]) == [CLAIM]
    error = await failing(queue.check(), evidence)
    await queue.close()
    assert isinstance(error, QueueError)


@pytest.mark.usefixtures("no_retries")
async def test_a_storage_key_that_is_refused(azurite: Azurite, evidence: Evidence) -> None:
    await use_queue(azurite.connection_string.replace(emulator.ACCOUNT_KEY, WRONG_STORAGE_KEY), evidence)


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.usefixtures("no_retries")
async def test_storage_that_sends_the_request_back(evidence: Evidence, status: int) -> None:
    """With a key only a signature is sent; a shared access signature is part of the address itself."""
    async with every_path(echo_page(status, "application/xml")) as url:
        await use_queue(emulator.connection_string(queue_url=f"{url}/acme"), evidence)
        await use_queue(
            f"QueueEndpoint={url}/acme;SharedAccessSignature=sv=2026-01-01&sig={SIGNATURE}", evidence
        )


@pytest.mark.usefixtures("no_retries")
async def test_storage_that_cannot_be_reached(evidence: Evidence) -> None:
    with odbc.closed_port() as port:
        url = f"http://127.0.0.1:{port}/acme"
        await use_queue(f"QueueEndpoint={url};SharedAccessSignature=sv=2026-01-01&sig={SIGNATURE}", evidence)


@pytest.mark.parametrize(
    "connection_string",
    [
        f"AccountName;AccountKey={WRONG_STORAGE_KEY}",
        f"AccountKey={WRONG_STORAGE_KEY};QueueEndpoint=http://[{WRONG_STORAGE_KEY}",
        f"{WRONG_STORAGE_KEY}",
    ],
)
async def test_a_storage_connection_string_that_is_not_one(
    connection_string: str, evidence: Evidence
) -> None:
    await use_queue(connection_string, evidence)


# --- the database ---


@asynccontextmanager
async def port_that_echoes() -> AsyncIterator[int]:
    """A port that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(echo, odbc.HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def use_database(connection_string: str, evidence: Evidence) -> None:
    """Ask the database for the time, which must fail."""
    connector = SqlServerConnector(
        connection_string,
        token=SqlToken(blocking_credential),
        login_timeout_seconds=odbc.LOGIN_TIMEOUT_SECONDS,
    )
    store = Store(Pool(connector, patience=0))
    evidence.add("connector", f"{connector!r} {store!r}")
    error = await failing(store.now(), evidence)
    await store.pool.close()
    assert isinstance(error, StoreError)


async def test_a_server_that_is_not_a_database(evidence: Evidence, identity: FakeIdentity) -> None:
    """Microsoft's own driver, with a password and with an access token, against something else."""
    async with port_that_echoes() as port:
        await use_database(f"{odbc.without_credentials(port)};UID=u;PWD={PASSWORD}", evidence)
        await use_database(odbc.without_credentials(port), evidence)
    assert all(token.startswith(ACCESS_TOKEN) for token in identity.issued)
    assert identity.issued


@pytest.mark.parametrize(
    "text",
    [
        "DRIVER={{No Such Driver}};SERVER=x;UID=u;PWD={password}",
        "{good};PWD={{{password}",
        "{good};PWD={password};{password}=1;Encrypt={password}",
        "{good};Authentication={password}",
        "{password}",
    ],
)
async def test_a_database_connection_string_that_is_not_one(text: str, evidence: Evidence) -> None:
    with odbc.closed_port() as port:
        good = odbc.without_credentials(port)
        await use_database(text.format(good=good, password=PASSWORD), evidence)


async def test_the_access_token_s_form_for_the_driver_is_not_shown(evidence: Evidence) -> None:
    token = _AccessToken(value=TOKEN, usable_until=0)
    evidence.add("token", repr(token))
    assert token.attribute()[4:].decode("utf-16-le") == TOKEN
    assert struct.unpack("<I", token.attribute()[:4]) == (2 * len(TOKEN),)
