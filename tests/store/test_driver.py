"""The SQL Server connector over Microsoft's real ODBC driver, without a server behind it."""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import _THREADS, Pool
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import StoreError, StoreUnavailable
from tests.store import odbc
from tests.store.odbc import LOGIN_TIMEOUT_SECONDS, PASSWORD

#: What a loaded machine may add to a time-out of the driver.
SLACK_SECONDS = 5


def connector(connection_string: str) -> SqlServerConnector:
    return SqlServerConnector(connection_string, login_timeout_seconds=LOGIN_TIMEOUT_SECONDS)


class Heartbeat:
    """A task that runs as often as the event loop lets it."""

    def __init__(self) -> None:
        #: seconds between two of its turns, at the most
        self.largest_gap = 0.0

    @asynccontextmanager
    async def beating(self) -> AsyncIterator["Heartbeat"]:
        """Beat for the time of the block."""
        task = asyncio.create_task(self._beat())
        try:
            yield self
        finally:
            task.cancel()

    async def _beat(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            self.largest_gap = max(self.largest_gap, now - last)
            last = now


@pytest.mark.parametrize("port", [odbc.silent_port, odbc.closed_port], ids=["silent", "closed"])
def test_no_answer_ends_with_the_login_time_out(port: Callable[[], AbstractContextManager[int]]) -> None:
    with port() as number:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"\[HYT00\].*check SERVER"):
            connector(odbc.with_password(number)).connect()
    assert LOGIN_TIMEOUT_SECONDS * 0.9 < time.monotonic() - began < LOGIN_TIMEOUT_SECONDS + SLACK_SECONDS


def test_name_that_does_not_resolve() -> None:
    text = odbc.with_password(1).replace(f"{odbc.HOST},1", "no-such-server.invalid")
    with pytest.raises(StoreUnavailable, match=r"\[HYT00\].*check SERVER"):
        connector(text).connect()


async def test_server_that_hangs_up_may_come_back() -> None:
    async with odbc.hanging_up_port() as port:
        with pytest.raises(StoreUnavailable, match=r"\[(08001|08S01|HYT00)\].*check "):
            await asyncio.to_thread(connector(odbc.with_password(port)).connect)


@pytest.mark.parametrize("driver", ["{No Such Driver}", "/no/such/libmsodbcsql.so"])
def test_driver_that_is_not_there(driver: str) -> None:
    text = f"DRIVER={driver};SERVER=x;UID=u;PWD={PASSWORD}"
    with pytest.raises(StoreError, match=r"install Microsoft's ODBC Driver 18") as caught:
        connector(text).connect()
    assert not isinstance(caught.value, StoreUnavailable)


@pytest.mark.parametrize(
    "connection_string",
    [
        pytest.param(f"DRIVER={{No Such Driver}};SERVER=x;UID=u;PWD={PASSWORD}", id="no driver"),
        pytest.param(f"{odbc.with_password(1)};Authentication={PASSWORD}", id="bad value"),
        pytest.param(f"{odbc.with_password(1)};{PASSWORD}=1;Encrypt={PASSWORD}", id="bad keyword"),
        pytest.param(f"{odbc.with_password(1)};{PASSWORD}", id="no keyword"),
        pytest.param(odbc.with_password(1), id="no server"),
    ],
)
async def test_no_secret_is_shown(connection_string: str, caplog: pytest.LogCaptureFixture) -> None:
    made = connector(connection_string)
    store = Store(Pool(made, patience=0))
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError) as caught:
        await store.now()
    await store.pool.close()
    shown = "".join(traceback.format_exception(caught.value)) + repr(made) + repr(store) + caplog.text
    assert PASSWORD not in shown
    assert "direct cause" not in shown  # the driver's own error ends here, whatever it quotes


async def test_event_loop_goes_on_while_fifty_calls_wait() -> None:
    """Ten threads wait in the driver at a time, each the whole login time-out: the loop never does."""
    calls = 5 * _THREADS
    with odbc.silent_port() as port:
        store = Store(Pool(connector(odbc.with_password(port)), patience=0))
        began = time.monotonic()
        async with Heartbeat().beating() as heartbeat:
            outcomes = await asyncio.gather(*(store.now() for _ in range(calls)), return_exceptions=True)
        waited = time.monotonic() - began
        await store.pool.close()
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * calls
    assert waited > 5 * LOGIN_TIMEOUT_SECONDS * 0.9
    assert (
        waited < 5 * LOGIN_TIMEOUT_SECONDS + SLACK_SECONDS
    )  # one after the other would take 50 times as long
    assert heartbeat.largest_gap < LOGIN_TIMEOUT_SECONDS / 2
