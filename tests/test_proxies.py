"""Every call out obeys one rule: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, through a real proxy."""

import base64
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.identity.aio import ClientSecretCredential, ManagedIdentityCredential

from devstack.fakes import certificate
from devstack.fakes.identity import FakeIdentity
from devstack.fakes.keyvault import FakeKeyVault
from devstack.serving import serving
from orchestrator import bootstrap, settings
from orchestrator.adapters.databricks.auth.entra import EntraToken
from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken
from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.adapters.databricks.client import DatabricksClient, Limits
from orchestrator.adapters.queue import StorageQueue
from orchestrator.adapters.webhook import Webhook
from orchestrator.bootstrap import Application
from orchestrator.core.alerts import Delivery, _as_json
from orchestrator.core.errors import SettingsError, TokenUnavailable, WorkspaceUnavailable
from orchestrator.core.models import Claim
from orchestrator.core.proxy import Proxy
from tests.alerts.receiver import Receiver
from tests.alerts.test_webhook import ALERT, AT
from tests.databricks.support import ManualClock, Workspace, assert_no_leak, error, ok
from tests.http_proxy import PASSWORD, HttpProxy

TOKEN = "dapi-the-apps-own-token"
JOB = {"job_id": 7, "settings": {"name": "ingest", "max_concurrent_runs": 5}}

#: The password as it is written in the address and as it is sent.
FORMS = (PASSWORD, PASSWORD.replace("@", "%40"), base64.b64encode(f"app:{PASSWORD}".encode()).decode())


@pytest.fixture
async def proxy() -> AsyncIterator[HttpProxy]:
    async with HttpProxy().serve() as serving_proxy:
        yield serving_proxy


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    async with Workspace().serve() as serving_workspace:
        serving_workspace.replies = [ok(JOB)]
        yield serving_workspace


@asynccontextmanager
async def app(folder: Path, host: str, **environment: str) -> AsyncIterator[Application]:
    """The app as production wires it."""
    made = Application(
        settings.load(
            {
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "STATE_DB": str(folder / "state.db"),
                "DATABRICKS_HOST": host,
                "DATABRICKS_TOKEN": TOKEN,
                **environment,
            }
        )
    )
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def tls_client(proxy: Proxy, workspace: Workspace, folder: Path) -> AsyncIterator[DatabricksClient]:
    """A client of a workspace behind TLS, in an address that only the proxy knows."""
    pem = certificate.create(folder)
    site = web.Application()
    site.router.add_route("*", "/{path:.*}", workspace._handle)
    async with serving(site, tls=certificate.server_context(pem)) as url:
        trust = ssl.create_default_context(cafile=str(pem))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            yield DatabricksClient(
                host=url,
                tokens=StaticToken(TOKEN),
                session=lambda: session,
                clock=ManualClock(),
                proxy=proxy,
                limits=Limits(tries=1),
            )


def assert_no_password(caplog: pytest.LogCaptureFixture, *errors: BaseException) -> None:
    for form in FORMS:
        assert_no_leak(caplog, *errors, of=form)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("from_process", [True, False])
async def test_databricks_goes_through_the_proxy(
    proxy: HttpProxy,
    workspace: Workspace,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    from_process: bool,
) -> None:
    """In the settings or only in the process's environment, where Azure's libraries read it."""
    changes = {} if from_process else {name: proxy.url}
    if from_process:
        monkeypatch.setenv(name, proxy.url)
    async with app(tmp_path, workspace.url.rstrip("/"), **changes) as running:
        assert (await running.runs["default"].get_job(7)).job_id == 7
        assert (await running.web_runs["default"].get_job(7)).job_id == 7
    assert proxy.forwarded == [f"GET {workspace.url}api/2.2/jobs/get?job_id=7"] * 2
    assert [seen.authorization for seen in workspace.seen] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "example.com, 127.0.0.1", "*", "127.0.0.1:{port}"])
async def test_no_proxy_is_honoured(
    proxy: HttpProxy, workspace: Workspace, tmp_path: Path, no_proxy: str
) -> None:
    excluded = no_proxy.format(port=workspace.url.rstrip("/").rpartition(":")[2])
    async with app(tmp_path, workspace.url.rstrip("/"), HTTP_PROXY=proxy.url, NO_PROXY=excluded) as running:
        assert (await running.runs["default"].get_job(7)).job_id == 7
    assert proxy.forwarded == []


@pytest.mark.parametrize("locked", [False, True])
async def test_https_is_tunnelled(
    proxy: HttpProxy, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, locked: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.locked = locked
    through = Proxy(url=proxy.url_with_password, setting="HTTPS_PROXY")
    async with tls_client(through, workspace, tmp_path) as client:
        assert (await client.get_job(7)).job_id == 7
        host = client._host.authority
    assert (proxy.forwarded, proxy.refused) == ([f"CONNECT {host}"], [])
    assert_no_password(caplog)


async def test_every_https_address_of_the_app_is_asked_of_the_proxy(proxy: HttpProxy, tmp_path: Path) -> None:
    """By name: the proxy alone may know the way, and the name is resolved there."""
    proxy.fault = 403
    async with app(
        tmp_path,
        "https://adb-1.7.azuredatabricks.net",
        HTTPS_PROXY=proxy.url_with_password,
        DATABRICKS_TOKEN="",
        DATABRICKS_TOKEN_SECRET="dbx",
        KEY_VAULT_URL="https://team.vault.azure.net",
        NO_PROXY="example.com",
    ) as running:
        with pytest.raises(TokenUnavailable, match=r"through the proxy 127\.0\.0\.1:\d+ \(HTTPS_PROXY\)"):
            await running.runs["default"].get_job(7)
    assert set(proxy.refused) == {"CONNECT team.vault.azure.net:443"}


async def test_a_proxy_that_refuses_is_named_without_its_password(
    proxy: HttpProxy, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.fault = 407
    through = Proxy(url=proxy.url_with_password, setting="HTTPS_PROXY")
    async with tls_client(through, workspace, tmp_path) as client:
        with pytest.raises(
            WorkspaceUnavailable, match=rf"407.*through the proxy 127\.0\.0\.1:{proxy.port} \(HTTPS_PROXY\)"
        ) as caught:
            await client.get_job(7)
    assert workspace.seen == []
    assert_no_password(caplog, caught.value)


async def test_a_plain_proxy_that_echoes_its_password(
    proxy: HttpProxy, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.fault = 403
    async with app(tmp_path, workspace.url.rstrip("/"), HTTP_PROXY=proxy.url_with_password) as running:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await running.runs["default"].get_job(7)
        assert set(FORMS) <= set(running.settings.secrets())
        assert PASSWORD not in repr(running.settings)
    assert_no_password(caplog, caught.value)


@pytest.mark.parametrize("host", ["https://adb-1.7.azuredatabricks.net", "http://127.0.0.1:9"])
async def test_a_dead_proxy_is_named(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    unused_tcp_port: int,
    host: str,
) -> None:
    monkeypatch.setattr(bootstrap, "SystemClock", ManualClock)  # the pauses between the tries
    caplog.set_level(logging.DEBUG)
    url = f"http://app:{PASSWORD.replace('@', '%40')}@127.0.0.1:{unused_tcp_port}"
    name = "HTTPS_PROXY" if host.startswith("https") else "HTTP_PROXY"
    async with app(tmp_path, host, **{name: url}) as running:
        with pytest.raises(
            WorkspaceUnavailable, match=rf"through the proxy 127\.0\.0\.1:{unused_tcp_port} \({name}\)"
        ) as caught:
            await running.runs["default"].get_job(7)
    assert_no_password(caplog, caught.value)


NETRC = ["machine 127.0.0.1 login thief password netrc-canary", "default login thief password netrc-canary"]


@pytest.mark.parametrize("netrc", NETRC)
async def test_our_token_is_sent_whatever_netrc_says(
    proxy: HttpProxy,
    workspace: Workspace,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    netrc: str,
) -> None:
    (tmp_path / ".netrc").write_text(netrc)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with app(tmp_path, workspace.url.rstrip("/"), HTTP_PROXY=proxy.url) as running:
        await running.runs["default"].get_job(7)
    assert [seen.authorization for seen in workspace.seen] == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("netrc", [None, *NETRC])
@pytest.mark.parametrize("with_proxy", [True, False])
async def test_key_vault(
    proxy: HttpProxy,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    netrc: str | None,
    with_proxy: bool,
) -> None:
    if netrc is not None:
        (tmp_path / ".netrc").write_text(netrc)
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    proxy.locked = True
    async with FakeIdentity().serve() as identity:
        for name, value in identity.environment().items():
            monkeypatch.setenv(name, value)
        async with FakeKeyVault(identity.accepts).serve(tmp_path) as vault, ManagedIdentityCredential() as me:
            vault.set_secret("dbx", TOKEN)
            source = KeyVaultToken(
                vault.url,
                "dbx",
                lambda: me,
                clock=ManualClock(),
                verify_challenge_resource=False,
                ca_file=str(vault.ca_file),
                proxy=Proxy(url=proxy.url_with_password, setting="HTTPS_PROXY") if with_proxy else None,
            )
            assert await source.token() == TOKEN
            await source.close()
    assert set(proxy.forwarded) == ({f"CONNECT {vault.url[8:]}"} if with_proxy else set())


async def test_alerts(proxy: HttpProxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.locked = True
    async with Receiver().serve() as receiver:
        through = Proxy(url=proxy.url_with_password, setting="HTTP_PROXY")
        assert await _deliver(receiver.url, through) is Delivery.SENT
        assert receiver.calls == 1
    [line] = proxy.forwarded
    assert line.startswith("POST http://127.0.0.1:")
    proxy.fault = 407
    assert await _deliver("https://hooks.example.com/a", through) is Delivery.REFUSED
    assert f"through the proxy 127.0.0.1:{proxy.port} (HTTP_PROXY)" in caplog.text
    assert_no_password(caplog)


async def test_azures_own_libraries(
    proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They read the same names from the process's environment."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url_with_password)
    monkeypatch.setenv("NO_PROXY", "core.windows.net.example.com")
    proxy.fault = 403
    queue = StorageQueue("q", service_url="https://acme.queue.core.windows.net", credential=AsyncSignIn)
    claim = Claim(entry_id=1, submission=1)
    assert await queue.send([claim]) == [claim]
    await queue.close()
    assert "the proxy (HTTPS_PROXY) refuses the connection" in caplog.text
    async with ClientSecretCredential("a-tenant", "a-client", "a-secret", retry_total=0) as credential:
        source = EntraToken(lambda: credential, clock=ManualClock())
        with pytest.raises(TokenUnavailable, match="check the network and any proxy"):
            await source.token()
    # The exporter that another test has started goes on in a thread of its own.
    assert set(proxy.refused) - {"CONNECT settings.sdk.monitor.azure.com:443"} == {
        "CONNECT acme.queue.core.windows.net:443",
        "CONNECT login.microsoftonline.com:443",
    }


class AsyncSignIn:
    """A credential that needs no network."""

    async def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken("x", 2_000_000_000_000)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> "AsyncSignIn":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def _deliver(url: str, proxy: Proxy) -> Delivery:
    async with aiohttp.ClientSession() as session:
        webhook = Webhook(url, body=_as_json, session=lambda: session, proxy=proxy)
        return await webhook.deliver(ALERT, AT)


BASE = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "STATE_DB": "state.db",
    "DATABRICKS_HOST": "adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": TOKEN,
}


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://a.example.com", False),
        ("example.com", "https://a.example.com", True),
        (".example.com", "https://example.com", True),
        ("Example.com", "https://A.EXAMPLE.com:8443", True),
        ("ample.com", "https://a.example.com", False),
        ("example.com:8443", "https://a.example.com", False),
        ("example.com:443", "https://a.example.com", True),
        ("10.0.0.1", "https://10.0.0.1", True),
        ("10.0.0.1", "https://10.0.0.11", False),
        ("::1", "https://[::1]:8443", True),
        ("[::1]", "https://[::1]:8443", True),
        ("*", "https://a.example.com", True),
        (" , ,example.com ,", "https://example.com", True),
        (",", "https://example.com", False),
        ("localhost", "https://127.0.0.1", False),
    ],
)
def test_which_hosts_are_excluded(no_proxy: str, url: str, *, direct: bool) -> None:
    proxies = settings.load({**BASE, "HTTPS_PROXY": "proxy:3128", "NO_PROXY": no_proxy}).proxies
    assert (proxies.of(url) is None) is direct
    assert proxies.of(url.replace("https", "http")) is None


def test_a_lower_case_name_takes_precedence() -> None:
    both = {"HTTPS_PROXY": "http://upper", "https_proxy": "http://lower"}
    assert str(settings.load({**BASE, **both}).proxies.https) == "the proxy lower (HTTPS_PROXY)"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "https://canary:canary@proxy.example.com",
        "socks5://canary@proxy.example.com:1080",
        "http://app:canary#1@proxy.example.com:3128",
        "http://app:can/ary@proxy.example.com:3128",
        "http://app:canary@",
        "http://proxy.example.com:canary",
        "http://app:can ary@proxy.example.com",
    ],
)
def test_a_proxy_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**BASE, name: value})
    [problem] = caught.value.problems
    assert problem.startswith(f"{name.upper()} must be the address of an HTTP proxy such as")
    assert "ary" not in problem.replace("necessary", "")


async def test_an_answer_of_the_workspace_does_not_blame_the_proxy(
    proxy: HttpProxy, workspace: Workspace, tmp_path: Path
) -> None:
    workspace.replies = [error(401, {"error_code": "UNAUTHENTICATED", "message": "no"})]
    through = Proxy(url=proxy.url, setting="HTTPS_PROXY")
    async with tls_client(through, workspace, tmp_path) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.get_job(7)
    assert "proxy" not in str(caught.value)
