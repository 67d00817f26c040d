"""Signing in to Azure SQL: Microsoft's own credential against a fake of the identity endpoint."""

import asyncio
import functools
import logging
import struct
import time
import traceback
from collections.abc import AsyncIterator

import pytest

from devstack.fakes.identity import PATH, FakeIdentity
from orchestrator.adapters.credentials import _TIMEOUT_SECONDS, blocking_credential
from orchestrator.adapters.store import access_token
from orchestrator.adapters.store.access_token import _RENEW_AHEAD_SECONDS, _AccessToken
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import StoreError, StoreUnavailable
from tests.store import odbc

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


async def fetch(timeout_seconds: float = _TIMEOUT_SECONDS) -> _AccessToken:
    credential = functools.partial(blocking_credential, timeout_seconds=timeout_seconds)
    return await asyncio.to_thread(access_token.fetch, credential)


async def test_token_is_for_azure_sql(identity: FakeIdentity) -> None:
    token = await fetch()
    assert identity.issued == {token.value: "https://database.windows.net"}
    assert token.value not in repr(token)


async def test_connection_is_closed_before_its_token_expires(identity: FakeIdentity) -> None:
    identity.lifetime = 3600
    assert (await fetch()).seconds_left() == pytest.approx(3600 - _RENEW_AHEAD_SECONDS, abs=30)
    identity.lifetime = int(_RENEW_AHEAD_SECONDS) - 60
    assert (await fetch()).seconds_left() < 0


def test_token_is_packed_as_the_driver_expects_it() -> None:
    packed = _AccessToken(value="abc", expires_on=0).attribute()
    length = struct.unpack("<I", packed[:4])[0]
    assert (length, packed[4:]) == (6, b"a\0b\0c\0")


@pytest.mark.parametrize("status", [400, 401, 503])
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


async def test_silent_identity_is_abandoned(identity: FakeIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    with odbc.silent_port() as port:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{odbc.HOST}:{port}{PATH}")
        began = time.monotonic()
        with pytest.raises(StoreError, match="no access token"):
            await fetch(timeout_seconds=0.2)
    # three tries of 0.2 s, and pauses that azure-identity doubles from 0.8 s
    assert time.monotonic() - began < 10


async def test_connection_string_without_credentials_signs_in_with_a_token(
    identity: FakeIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    """The real driver accepts the token as part of a connection, and shows it nowhere."""
    with odbc.silent_port() as port, caplog.at_level(logging.DEBUG):
        connector = SqlServerConnector(
            odbc.without_credentials(port), credential=blocking_credential, login_timeout_seconds=1
        )
        store = Store(Pool(connector, patience=0))
        with pytest.raises(StoreUnavailable, match="HYT00") as caught:
            await store.now()
        await store.pool.close()
    [(token, resource)] = identity.issued.items()
    assert resource == "https://database.windows.net"
    assert token not in "".join(traceback.format_exception(caught.value)) + caplog.text
