"""Signing in to Azure SQL: Microsoft's own credential against a fake of the identity endpoint."""

import asyncio
import functools
import logging
import struct
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager

import pytest

from devstack.fakes.identity import PATH, FakeIdentity
from orchestrator import settings
from orchestrator.adapters.credentials import blocking_credential
from orchestrator.adapters.store.access_token import _RENEW_AHEAD_SECONDS, SqlToken, _AccessToken
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.bootstrap import Application
from orchestrator.core.errors import StoreError, StoreUnavailable
from tests.store import odbc
from tests.web.conftest import ENVIRONMENT

#: Other variables that azure-identity reads. Their values on this machine must not count.
_OTHERS = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_TOKEN_CREDENTIALS")


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIdentity]:
    """Give this process a managed identity."""
    for name in _OTHERS:
        monkeypatch.delenv(name, raising=False)
    fake = FakeIdentity()
    async with fake.serve():
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        yield fake


async def fetch() -> _AccessToken:
    return await asyncio.to_thread(SqlToken(blocking_credential).get)


async def test_token_is_for_azure_sql(identity: FakeIdentity) -> None:
    token = await fetch()
    assert identity.issued == {token.value: "https://database.windows.net"}
    assert token.value not in repr(token)


async def test_connection_is_closed_before_its_token_expires(identity: FakeIdentity) -> None:
    identity.lifetime = 3600
    assert (await fetch()).seconds_left() == pytest.approx(3600 - _RENEW_AHEAD_SECONDS, abs=30)


async def test_a_short_lived_token_is_used_for_half_its_life(identity: FakeIdentity) -> None:
    """Each transaction would open a connection of its own otherwise."""
    identity.lifetime = int(_RENEW_AHEAD_SECONDS) - 60
    assert (await fetch()).seconds_left() == pytest.approx(120, abs=30)


def test_token_is_packed_as_the_driver_expects_it() -> None:
    packed = _AccessToken(value="abc", usable_until=0).attribute()
    length = struct.unpack("<I", packed[:4])[0]
    assert (length, packed[4:]) == (6, b"a\0b\0c\0")


@pytest.mark.parametrize("status", [400, 401])
async def test_failing_identity_is_a_clear_error(
    identity: FakeIdentity, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    identity.fault = status
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError, match="no access token") as caught:
        await fetch()
    for advice in ("managed identity", "az login", "SQL_CONNECTION_STRING"):
        assert advice in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert "azure.core" not in shown  # the SDK's own words are not shown
    assert identity.header not in shown + caplog.text


async def test_no_secret_in_the_log_of_a_success(
    identity: FakeIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = await fetch()
    assert token.value not in caplog.text
    assert identity.header not in caplog.text


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_overloaded_identity_is_waited_for_like_a_paused_database(
    identity: FakeIdentity, status: int
) -> None:
    identity.fault = status
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            identity.fault = None

    with odbc.silent_port() as port:
        connector = SqlServerConnector(
            odbc.without_credentials(port), token=SqlToken(blocking_credential), login_timeout_seconds=1
        )
        pool = Pool(connector, sleep=sleep, patience=2)
        with pytest.raises(StoreUnavailable, match="HYT00"):  # it has come as far as the server
            await Store(pool).now()
        await pool.close()
    assert len(identity.issued) == 1
    assert len(waits) >= 3


async def test_overloaded_identity_says_so_when_the_patience_is_over(identity: FakeIdentity) -> None:
    identity.fault = 429
    with pytest.raises(StoreUnavailable, match=r"no access token .* overloaded or away \(HTTP 429\)"):
        await fetch()


@pytest.mark.parametrize("port", [odbc.closed_port, odbc.silent_port])
async def test_silent_identity_is_away_for_a_while(
    identity: FakeIdentity,
    monkeypatch: pytest.MonkeyPatch,
    port: Callable[[], AbstractContextManager[int]],
) -> None:
    """All who wait for the one try share its error."""
    token = SqlToken(functools.partial(blocking_credential, timeout_seconds=0.5))
    with port() as number:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{odbc.HOST}:{number}{PATH}")
        began = time.monotonic()
        together = (asyncio.to_thread(token.get) for _ in range(4))
        for error in await asyncio.gather(*together, return_exceptions=True):
            assert isinstance(error, StoreUnavailable)
            assert "no answer" in str(error)
        assert time.monotonic() - began < 4


async def test_a_machine_without_an_identity_is_told_at_once(
    identity: FakeIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers in place of a virtual machine's endpoint, or does not, says nothing."""
    for name in identity.environment():
        monkeypatch.delenv(name)
    for name in ("PATH", "HOME"):  # no az, no azd
        monkeypatch.setenv(name, "/nowhere")
    with pytest.raises(StoreError, match="az login") as caught:
        await fetch()
    assert not isinstance(caught.value, StoreUnavailable)


async def test_one_token_serves_all_connections_until_it_ends(identity: FakeIdentity) -> None:
    token = SqlToken(blocking_credential)
    found = await asyncio.gather(*(asyncio.to_thread(token.get) for _ in range(10)))
    assert identity.issued.keys() == {each.value for each in found}
    assert len(identity.issued) == 1
    identity.lifetime = 0
    expired = SqlToken(blocking_credential)
    for _ in range(2):
        await asyncio.to_thread(expired.get)
    assert len(identity.issued) == 3


async def test_an_app_asks_once_for_all_its_connections(identity: FakeIdentity) -> None:
    with odbc.closed_port() as port:
        text = odbc.without_credentials(port)
        app = Application(settings.load({**ENVIRONMENT, "SQL_CONNECTION_STRING": text}), patience=0)
        tokens = {pool._connector._token for pool in (app.store.pool, app.web_store.pool, app._health_pool)}  # type: ignore[attr-defined]
        assert len(tokens) == 1
        await app.health()
        await app.health()
        await app.close()
    assert len(identity.issued) == 1


async def test_connection_string_without_credentials_signs_in_with_a_token(
    identity: FakeIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    """The real driver accepts the token as part of a connection, and shows it nowhere."""
    with odbc.silent_port() as port, caplog.at_level(logging.DEBUG):
        connector = SqlServerConnector(
            odbc.without_credentials(port), token=SqlToken(blocking_credential), login_timeout_seconds=1
        )
        store = Store(Pool(connector, patience=0))
        with pytest.raises(StoreUnavailable, match="HYT00") as caught:
            await store.now()
        await store.pool.close()
    [(token, resource)] = identity.issued.items()
    assert resource == "https://database.windows.net"
    assert token not in "".join(traceback.format_exception(caught.value)) + caplog.text
