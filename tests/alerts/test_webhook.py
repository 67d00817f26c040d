"""How the receiver's behaviour decides whether an alert counts as delivered."""

import logging
import socket
from datetime import UTC, datetime

import aiohttp
import pytest

from orchestrator.adapters.webhook import Webhook
from orchestrator.core.alerts import Alert, Delivery, Kind, PassEvent, _as_json
from tests.alerts.receiver import SIGNATURE, Receiver

AT = datetime(2026, 1, 31, tzinfo=UTC)
ALERT = Alert(kind=Kind.LATE, passes=[PassEvent(name="trigger", since=AT)])


async def deliver(url: str, timeout_seconds: float = 5.0) -> Delivery:
    async with aiohttp.ClientSession() as session:
        webhook = Webhook(url, body=_as_json, session=lambda: session, timeout_seconds=timeout_seconds)
        return await webhook.deliver(ALERT, AT)


@pytest.mark.parametrize(
    ("answer", "delivery"),
    [
        (200, Delivery.SENT),
        (202, Delivery.SENT),
        (302, Delivery.REFUSED),
        (400, Delivery.REFUSED),
        (404, Delivery.REFUSED),
        (429, Delivery.REFUSED),
        (503, Delivery.REFUSED),
        (500, Delivery.UNCERTAIN),
        (502, Delivery.UNCERTAIN),
        ("drop", Delivery.UNCERTAIN),
        ("hang", Delivery.UNCERTAIN),
    ],
)
async def test_what_a_response_means(
    answer: int | str, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Receiver(answers=[answer]).serve() as receiver:
        assert await deliver(receiver.url, 0.2 if answer == "hang" else 5.0) is delivery
        assert receiver.paths == [f"/hooks/a?sig={SIGNATURE}"], "as it was set, and once"
    assert SIGNATURE[5:] not in caplog.text


async def test_receiver_that_does_not_listen(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert await deliver(f"http://127.0.0.1:{port}/?sig={SIGNATURE}") is Delivery.REFUSED
    assert "no connection" in caplog.text
    assert SIGNATURE[5:] not in caplog.text


async def test_unknown_host_name() -> None:
    assert await deliver("https://receiver.invalid/hook") is Delivery.REFUSED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_message_goes_to_no_other_address(status: int) -> None:
    """A 307 or 308 that is followed would send the message on, with what it says of entries."""
    async with Receiver().serve() as other, Receiver(answers=[status]).serve() as receiver:
        receiver.moved_to = other.url
        assert await deliver(receiver.url) is Delivery.REFUSED
        assert (receiver.calls, other.calls) == (1, 0)
