"""The sender of queue messages, against a real Storage emulator and against services that fail."""

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from azure.storage.queue.aio import QueueClient

from devstack import azurite as emulator
from orchestrator.adapters.queue import StorageQueue, decode
from orchestrator.core.errors import QueueError
from orchestrator.core.models import Claim
from orchestrator.ports import Queue
from tests.conftest import Azurite

CLAIM = Claim(entry_id=1, submission=2)

#: A well-formed key that no account has.
WRONG_KEY = base64.b64encode(b"k" * 64).decode()

#: The response to a message that the service accepted:
#: https://learn.microsoft.com/rest/api/storageservices/put-message#response-body
ACCEPTED = """<?xml version="1.0" encoding="utf-8"?><QueueMessagesList><QueueMessage>
<MessageId>6d3a2b1c-0000-0000-0000-000000000001</MessageId><PopReceipt>AgAAAAMA</PopReceipt>
<InsertionTime>Thu, 01 Jan 2026 00:00:00 GMT</InsertionTime>
<ExpirationTime>Thu, 08 Jan 2026 00:00:00 GMT</ExpirationTime>
<TimeNextVisible>Thu, 01 Jan 2026 00:00:00 GMT</TimeNextVisible></QueueMessage></QueueMessagesList>"""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def claims(count: int) -> list[Claim]:
    """Return claims of different entries."""
    return [Claim(entry_id=entry_id, submission=1) for entry_id in range(1, count + 1)]


@asynccontextmanager
async def sender(
    connection: str, queue_name: str = "submit-jobs", **timeouts: Any
) -> AsyncIterator[StorageQueue]:
    """Yield a sender with a connection string."""
    queue = StorageQueue(queue_name, connection_string=connection, **timeouts)
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def service(handler: Handler) -> AsyncIterator[str]:
    """Run a queue service whose responses come from a handler, and yield its connection string."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield emulator.connection_string(queue_url=f"http://127.0.0.1:{port}/{emulator.ACCOUNT}")
    finally:
        await runner.cleanup()


async def received(azurite: Azurite, queue_name: str) -> list[str]:
    """Return the raw text of all messages of a queue, as the Functions host reads it."""
    async with QueueClient.from_connection_string(azurite.connection_string, queue_name) as queue:
        return [message.content async for message in queue.receive_messages(messages_per_page=32)]


# --- the sender, against Azurite ---


async def test_messages_arrive_as_the_functions_host_expects_them(azurite: Azurite, queue_name: str) -> None:
    async with sender(azurite.connection_string, queue_name) as queue:
        port: Queue = queue
        assert await port.send([CLAIM]) == []
    [text] = await received(azurite, queue_name)
    assert decode(base64.b64decode(text, validate=True)) == CLAIM


async def test_a_claim_of_130_entries_arrives_once_each(azurite: Azurite, queue_name: str) -> None:
    """The queue is missing at first: all ten concurrent sends find that out."""
    async with sender(azurite.connection_string, queue_name) as queue:
        assert await queue.send(claims(130)) == []
    arrived = [decode(base64.b64decode(text)) for text in await received(azurite, queue_name)]
    assert sorted(claim.entry_id for claim in arrived) == list(range(1, 131))


async def test_nothing_to_send_connects_to_nothing() -> None:
    async with sender("not a connection string") as queue:
        assert await queue.send([]) == []


async def test_check_creates_the_queue_and_sends_nothing(azurite: Azurite, queue_name: str) -> None:
    async with sender(azurite.connection_string, queue_name) as queue:
        await queue.check()
        await queue.check()
    assert await received(azurite, queue_name) == []


async def test_a_closed_sender_opens_again(azurite: Azurite, queue_name: str) -> None:
    async with sender(azurite.connection_string, queue_name) as queue:
        for _ in range(2):
            assert await queue.send([CLAIM]) == []
            await queue.close()
        assert len(await received(azurite, queue_name)) == 2


async def test_a_wrong_key_sends_nothing_and_is_explained(
    azurite: Azurite, queue_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = azurite.connection_string.replace(emulator.ACCOUNT_KEY, WRONG_KEY)
    async with sender(connection, queue_name) as queue:
        assert await queue.send([CLAIM]) == [CLAIM]
        with pytest.raises(QueueError, match=r"HTTP 403 AuthenticationFailed.*AzureWebJobsStorage"):
            await queue.check()
    assert f"1 of 1 messages may not be on the queue {queue_name}: HTTP 403" in caplog.text
    assert WRONG_KEY not in caplog.text


# --- the sender, against a queue that fails ---


async def test_a_connection_string_that_the_sdk_refuses_raises_only_in_the_check() -> None:
    async with sender("AccountName;AccountKey") as queue:
        assert await queue.send([CLAIM]) == [CLAIM]
        with pytest.raises(QueueError, match="malformed"):
            await queue.check()


async def test_a_dead_port_is_given_up_in_bounded_time(unused_tcp_port: int) -> None:
    connection = emulator.connection_string(queue_url=f"http://127.0.0.1:{unused_tcp_port}/dev")
    async with sender(connection) as queue:
        started = time.monotonic()
        assert await queue.send(claims(10)) == claims(10)
        assert time.monotonic() - started < 10  # two retries, each after 0 to 2 seconds


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (500, 3)])
async def test_only_a_fault_of_the_service_is_tried_again(status: int, requests: int) -> None:
    seen: list[str] = []

    async def refuse(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        return web.Response(status=status)

    async with service(refuse) as connection, sender(connection) as queue:
        assert await queue.send([CLAIM]) == [CLAIM]
    assert seen == ["POST"] * requests


async def test_one_bad_send_does_not_stop_the_others() -> None:
    """The third message is refused for good; all others are accepted."""

    async def refuse_the_third(request: web.Request) -> web.StreamResponse:
        text = (await request.text()).partition("<MessageText>")[2].partition("<")[0]
        if decode(base64.b64decode(text)).entry_id == 3:
            return web.Response(status=400)
        return web.Response(status=201, text=ACCEPTED, content_type="application/xml")

    async with service(refuse_the_third) as connection, sender(connection) as queue:
        assert await queue.send(claims(12)) == [Claim(entry_id=3, submission=1)]


async def test_at_most_ten_are_sent_concurrently() -> None:
    now = most = 0
    ten = asyncio.Event()

    async def hold_until_ten(_request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 10:
            ten.set()
        await ten.wait()
        now -= 1
        return web.Response(status=201, text=ACCEPTED, content_type="application/xml")

    async with service(hold_until_ten) as connection, sender(connection) as queue:
        assert await queue.send(claims(25)) == []
    assert most == 10


async def test_a_service_that_never_responds_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        service(hang) as connection,
        sender(connection, send_timeout=0.5, batch_timeout=0.8) as queue,
    ):
        assert await queue.send(claims(25)) == claims(25)
        with pytest.raises(QueueError, match=r"no response within 0\.5 seconds"):
            await queue.check()
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == (
        "25 of 25 messages may not be on the queue submit-jobs: "
        "no response within 0.5 seconds; not sent within 0.8 seconds"
    )
