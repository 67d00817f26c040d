"""What ``check`` sees of plain HTTP and old TLS at the app's own address."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from devstack.fakes import certificate
from orchestrator import settings
from orchestrator.bootstrap import Application
from orchestrator.checks import exposure, installation
from orchestrator.settings.site import Site
from tests.store.test_check import ELSEWHERE

REDIRECT = "HTTP/1.1 301 Moved Permanently\r\nLocation: https://app.azurewebsites.net/\r\n\r\n"


@asynccontextmanager
async def server(answer: str = "", context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answer every request in the same way, and give the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(asyncio.current_task())
        with suppress(OSError):
            if answer:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer.encode())
            writer.close()
            await writer.wait_closed()

    conversations: list[asyncio.Task[None] | None] = []
    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with running:
        yield running.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, conversations))


@pytest.mark.parametrize(
    ("answer", "ok", "text"),
    [
        (REDIRECT, True, "sends plain HTTP on to https"),
        (
            REDIRECT.replace("Location", "LOCATION").replace("301", "307"),
            True,
            "sends plain HTTP on to https",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", False, "answers plain HTTP (200)"),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", False, "answers plain HTTP (401)"),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", False, "answers plain HTTP (302)"),
        ("HTTP/1.1 302 Found\r\n\r\n", False, "answers plain HTTP (302)"),
        ("HTTP/1.1 403 Ip Forbidden\r\n\r\n", True, "cannot be seen from here"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", True, "cannot be seen from here"),
        ("", True, "cannot be seen from here"),
        (f"HTTP/1.1 200 OK\r\nX: {'x' * 100_000}\r\n\r\n", True, "cannot be seen from here"),
    ],
)
async def test_plain_http(answer: str, ok: bool, text: str) -> None:
    async with server(answer) as port:
        seen = await exposure.plain_http("127.0.0.1", port)
    assert (seen.ok, text in seen.text) == (ok, True), seen.text
    assert "docs/deploy.md#close-what-is-not-used" in seen.text or seen.text.endswith("https")


async def test_an_address_that_does_not_answer_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server() as port:
        pass
    for look in (exposure.plain_http, exposure.old_tls):
        seen = await look("127.0.0.1", port)
        assert (seen.ok, "cannot be seen from here" in seen.text) == (True, True)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    over = asyncio.Event()
    monkeypatch.setattr(exposure, "_SECONDS", 0.1)
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as hanging:
        seen = await exposure.plain_http("127.0.0.1", hanging.sockets[0].getsockname()[1])
        await over.wait()
    assert (seen.ok, "no answer in time" in seen.text) == (True, True)


@pytest.mark.parametrize(
    ("newest", "ok"), [(ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False), (None, True)]
)
async def test_old_tls(tmp_path: Path, newest: ssl.TLSVersion | None, ok: bool) -> None:
    context = certificate.server_context(certificate.create(tmp_path))
    if newest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
    async with server(context=context) as port:
        seen = await exposure.old_tls("127.0.0.1", port)
    assert (seen.ok, ("accepts TLSv1" in seen.text)) == (ok, not ok), seen.text


async def test_check_looks_at_the_function_app_in_azure_only(tmp_path: Path) -> None:
    environment = {**ELSEWHERE, "STATE_DB": str(tmp_path / "state.db"), "WEBSITE_HOSTNAME": "localhost:7071"}
    app = Application(settings.load(environment))
    try:
        assert app.settings.site_host is None, "Core Tools sets the name on a developer's machine, too"
        app.settings = replace(app.settings, site_host="127.0.0.1")
        async with aclosing(installation.run(app, seconds=60)) as findings:
            found = [await anext(findings) for _ in range(5)]
    finally:
        await app.close()
    assert [each.subject for each in found[1:]] == [
        "request bodies",
        "function app, plain HTTP",
        "function app, TLS",
        "function app, publishing",
    ]
    assert found[-1].text.startswith("FTP and basic authentication for publishing cannot be seen from here")


async def test_check_names_a_slot_that_works_by_itself(tmp_path: Path) -> None:
    app = Application(settings.load({**ELSEWHERE, "STATE_DB": str(tmp_path / "state.db")}))
    site = Site(name="shop", slot="staging", host_id=None, cuts_names=True, enabled=("trigger",))
    app.settings = replace(app.settings, site=site)
    try:
        async with aclosing(installation.run(app, seconds=60)) as findings:
            found = [await anext(findings) for _ in range(3)]
    finally:
        await app.close()
    assert (found[-1].subject, found[-1].ok, found[-1].warning) == (
        "function app, deployment slot",
        True,
        True,
    )
