"""The queue listener at the end of the host, and when Storage is away."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from azure.storage.queue import QueueMessage

from devstack import azurite
from devstack.host.host import SYNC_FUNCTION_THREADS
from devstack.host.storage import MessageQueue
from tests.devstack.host.conftest import COLLECTS, FAST, WORK, App, Queue, RunHost

HOLDS_ON = (
    """
started = asyncio.Event()
release = asyncio.Event()
ended = 0
"""
    + WORK
    + """
async def work(message: func.QueueMessage) -> None:
    global ended
    started.set()
    await release.wait()
    ended += 1
"""
)


async def test_a_stop_lets_the_running_invocation_finish_and_takes_nothing_new(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(HOLDS_ON, queues={**FAST, "batchSize": 1, "newBatchThreshold": 0}, settings=queue.settings)
    await queue.send("first", "second")
    async with run_host() as running:
        await running.module.started.wait()
        stopping = asyncio.create_task(running.host.stop(timedelta(seconds=10)))
        await asyncio.sleep(0)
        running.module.release.set()
        assert await stopping
    assert running.module.ended == 1
    assert [message.dequeue_count for message in await queue.visible()] == [0]
    assert await queue.count() == 1


async def test_a_stop_gives_the_message_of_an_endless_invocation_back(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(HOLDS_ON, queues={**FAST, "visibilityTimeout": "00:10:00"}, settings=queue.settings)
    await queue.send("endless")
    async with run_host(stop_limit=timedelta(seconds=0.1)) as running:
        await running.module.started.wait()
    assert [message.dequeue_count for message in await queue.visible()] == [1]


async def test_messages_that_arrive_with_the_stop_are_given_back(
    app: App, queue: Queue, run_host: RunHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes while a fetch is under way: what it brings was never started."""
    fetched, go_on = asyncio.Event(), asyncio.Event()
    receive = MessageQueue.receive

    async def slow_receive(source: MessageQueue, count: int, invisible: timedelta) -> list[QueueMessage]:
        batch = await receive(source, count, invisible)
        fetched.set()
        await go_on.wait()
        return batch

    monkeypatch.setattr(MessageQueue, "receive", slow_receive)
    app.write(HOLDS_ON, queues=FAST, settings=queue.settings)
    await queue.send("first", "second")
    async with run_host() as running:
        await fetched.wait()
        stopping = asyncio.create_task(running.host.stop(timedelta(seconds=10)))
        await asyncio.sleep(0)
        go_on.set()
        assert await stopping
    assert not running.module.started.is_set()
    assert len(await queue.visible()) == 2


BLOCKS = (
    """
import threading

began = threading.Semaphore(0)
release = threading.Event()
"""
    + WORK
    + """
def work(message: func.QueueMessage) -> None:
    began.release()
    release.wait(30)
"""
)


async def test_messages_that_wait_for_a_thread_are_given_back_at_once(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    threads, waiting = SYNC_FUNCTION_THREADS, 3
    app.write(BLOCKS, queues={**FAST, "batchSize": 32, "newBatchThreshold": 32}, settings=queue.settings)
    await queue.send(*(str(number) for number in range(threads + waiting)))
    async with run_host() as running:
        for _ in range(threads):
            assert await asyncio.to_thread(running.module.began.acquire, timeout=30)
        while await queue.visible():
            pass  # the rest is fetched, too; the test's time-out is the bound
        stopping = asyncio.create_task(running.host.stop(timedelta(seconds=30)))
        while len(await queue.visible()) < waiting:
            pass
        assert not stopping.done()
        running.module.release.set()
        assert await stopping
    assert await queue.count() == len(await queue.visible()) == waiting


FAILS_OF_ITS_CANCELLATION = (
    """
started = asyncio.Event()
"""
    + WORK
    + """
async def work(message: func.QueueMessage) -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise RuntimeError("cut off") from None
"""
)


async def test_a_function_that_fails_of_the_stop_spends_no_wait_and_is_not_poison(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    queues = {**FAST, "visibilityTimeout": "00:10:00", "maxDequeueCount": 1}
    app.write(FAILS_OF_ITS_CANCELLATION, queues=queues, settings=queue.settings)
    await queue.send("endless")
    async with run_host(stop_limit=timedelta(seconds=0.1)) as running:
        await running.module.started.wait()
    assert [message.dequeue_count for message in await queue.visible()] == [1]


class LogSignal(logging.Handler):
    """An event that is set once a text is logged."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._logged = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._logged.set()

    async def wait(self) -> None:
        await self._logged.wait()


@pytest.fixture
def listener_log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], LogSignal]]:
    """Make signals of what the queue listener logs."""
    caplog.set_level(logging.INFO, logger="Host.Queue")
    logger = logging.getLogger("Host.Queue")
    signals: list[LogSignal] = []

    def signal(text: str) -> LogSignal:
        signals.append(LogSignal(text))
        logger.addHandler(signals[-1])
        return signals[-1]

    yield signal
    for each in signals:
        logger.removeHandler(each)


async def test_goes_on_when_storage_comes_back(
    app: App,
    run_host: RunHost,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    listener_log: Callable[[str], LogSignal],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    queue = Queue(azurite.connection_string(queue_url=azurite.account_url(f"http://127.0.0.1:{port}")))
    app.write(
        COLLECTS,
        queues=FAST,
        settings=queue.settings,
    )
    down, up = listener_log("trying on"), listener_log("can be read again")
    async with queue.client, queue.poison, run_host() as running:
        await down.wait()
        with azurite.emulator(tmp_path / "log", queue_port=port):
            await up.wait()
            await queue.send("late")
            assert await running.module.got.get() == b"late"
            await running.host.stop(timedelta(seconds=10))
    assert caplog.text.count("trying on") == 1
