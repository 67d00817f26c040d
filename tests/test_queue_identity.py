"""The sender with a managed identity: the real credential and SDK against a fake identity endpoint and queue.

The sender runs in a process of its own, because the trusted certificates are read when aiohttp is imported.
"""

import asyncio
import base64
import datetime
import ipaddress
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.adapters.queue import decode
from orchestrator.core.models import Claim
from tests.conftest import ROOT
from tests.test_queue_sender import ACCEPTED

TOKEN = "token-of-the-identity"

#: Sends one claim with the settings in the environment and prints what was not sent.
SEND = """
import asyncio, os
from orchestrator.core.models import Claim
from orchestrator.adapters.credentials import async_credential
from orchestrator.adapters.queue import StorageQueue
from orchestrator.settings.queue import read_queue
from orchestrator.settings.reader import Reader

async def main():
    settings = read_queue(Reader(os.environ))
    queue = StorageQueue(
        "submit-jobs",
        connection_string=settings.connection_string,
        service_url=settings.service_url,
        credential=lambda: async_credential(settings.client_id),
    )
    print(await queue.send([Claim(entry_id=1, submission=2)]))
    await queue.close()

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


async def test_a_user_assigned_identity_sends_with_its_token(certificate: Path) -> None:
    asked: list[dict[str, str]] = []
    sent: list[tuple[str, Claim]] = []

    async def identity(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        body = {"access_token": TOKEN, "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        return web.json_response({**body, "resource": request.query["resource"]})

    async def queue(request: web.Request) -> web.Response:
        text = (await request.text()).partition("<MessageText>")[2].partition("<")[0]
        sent.append((request.headers["Authorization"], decode(base64.b64decode(text))))
        return web.Response(status=201, text=ACCEPTED, content_type="application/xml")

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with server(identity) as identity_address, server(queue, tls) as queue_address:
        unsent = await run_sender(
            {
                "IDENTITY_ENDPOINT": f"http://{identity_address}/token",
                "IDENTITY_HEADER": "header",
                "SSL_CERT_FILE": str(certificate),
                "AzureWebJobsStorage__queueServiceUri": f"https://{queue_address}/acme",
                "AzureWebJobsStorage__clientId": "c1",
            }
        )
    assert unsent == "[]"
    assert sent == [(f"Bearer {TOKEN}", Claim(entry_id=1, submission=2))]
    assert [(query["resource"], query["client_id"]) for query in asked] == [
        ("https://storage.azure.com", "c1")
    ]
