"""The sender with each identity: the real credentials and SDK against fake token endpoints and a fake queue.

The sender runs in a process of its own, because the trusted certificates are read when aiohttp is imported.
"""

import asyncio
import base64
import datetime
import ipaddress
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devstack.fakes.identity import FakeIdentity
from orchestrator.adapters.queue import decode
from orchestrator.core.models import Claim
from tests.conftest import ROOT
from tests.databricks.test_entra_principal import CLIENT_ID, SECRET, TENANT, Entra
from tests.test_queue_sender import ACCEPTED

#: Sends one claim with the settings in the environment and prints what was not sent.
SEND = """
import asyncio
from orchestrator import bootstrap, settings
from orchestrator.core.models import Claim

async def main():
    app = bootstrap.Application(settings.load())
    print(await app.queue.send([Claim(entry_id=1, submission=2)]))
    await app.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def server(
    handler: Callable[[web.Request], Awaitable[web.Response]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve a handler on a free port and yield the address without its scheme."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def run_sender(environ: dict[str, str]) -> str:
    """Run the sender in a process of its own and return what it printed."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", SEND),
        env=environ,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), 40)
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, err.decode()
    return out.decode().strip()


@dataclass
class Queue:
    """A queue over TLS that takes every message."""

    #: the bearer token and the claim of each message
    sent: list[tuple[str, Claim]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        text = (await request.text()).partition("<MessageText>")[2].partition("<")[0]
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.sent.append((token, decode(base64.b64decode(text))))
        return web.Response(status=201, text=ACCEPTED, content_type="application/xml")


@asynccontextmanager
async def queue(certificate: Path) -> AsyncIterator[tuple[Queue, dict[str, str]]]:
    """Serve a queue; yield it with the settings of an app that uses it."""
    taking = Queue()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with server(taking.take, tls) as address:
        settings = {
            "AzureWebJobsStorage__queueServiceUri": f"https://{address}/acme",
            "SSL_CERT_FILE": str(certificate),
            "DATABRICKS_HOST": "http://127.0.0.1:1",
            "DATABRICKS_TOKEN": "t",
            "STATE_DB": "state.db",
        }
        yield taking, settings


def bundle(folder: Path, *certificates: Path) -> str:
    """Put certificates into one file and return its path."""
    path = folder / "trusted.pem"
    path.write_bytes(b"".join(each.read_bytes() for each in certificates))
    return str(path)


RESOURCE_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"clientId": "c1"}, ("c1", None)),
        ({"credential": "managedidentity", "clientId": "c1"}, ("c1", None)),
        ({"credential": "managedidentity", "managedIdentityResourceId": RESOURCE_ID}, (None, RESOURCE_ID)),
        ({"credential": "managedidentity"}, (None, None)),
        ({"CREDENTIAL": "ManagedIdentity", "CLIENTID": "c1"}, ("c1", None)),
        ({}, ("of-another", None)),  # the host's default credential obeys AZURE_CLIENT_ID, too
    ],
)
async def test_the_managed_identity_that_the_host_uses_sends(
    certificate: Path, settings: dict[str, str], asked: tuple[str | None, str | None]
) -> None:
    async with FakeIdentity().serve() as identity, queue(certificate) as (taking, environ):
        environ |= {f"AzureWebJobsStorage__{name}": value for name, value in settings.items()}
        unsent = await run_sender(environ | identity.environment() | {"AZURE_CLIENT_ID": "of-another"})
    assert unsent == "[]"
    [token] = identity.issued
    assert taking.sent == [(token, Claim(entry_id=1, submission=2))]
    assert identity.issued[token] == "https://storage.azure.com"
    assert list(zip(identity.clients, identity.resources, strict=True)) == [asked]


async def test_a_service_principal_sends(certificate: Path, tmp_path: Path) -> None:
    async with Entra().serve(tmp_path) as entra, queue(certificate) as (taking, environ):
        trusted = bundle(tmp_path, certificate, entra.ca_file)
        principal = {"tenantId": TENANT, "clientId": CLIENT_ID, "clientSecret": SECRET}
        environ |= {f"AzureWebJobsStorage__{name}": value for name, value in principal.items()}
        unsent = await run_sender({**environ, "AZURE_AUTHORITY_HOST": entra.url, "SSL_CERT_FILE": trusted})
    assert unsent == "[]"
    assert taking.sent == [("entra-1", Claim(entry_id=1, submission=2))]
    assert [(form["tenant"], form["client_id"]) for form in entra.forms] == [(TENANT, CLIENT_ID)]
