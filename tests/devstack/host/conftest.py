"""Small apps in a folder, and the host in this process."""

import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from azure.storage.queue import QueueMessage, TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient

from devstack.host.host import Host
from devstack.host.main import load_app
from devstack.host.queues import INVISIBILITY
from tests.conftest import Azurite

HEADER = """
import asyncio
import time
import azure.functions as func

app = func.FunctionApp()
"""

#: ``extensions.queues`` of tests that do not want to wait for the next poll
FAST = {"maxPollingInterval": "00:00:00.1"}

#: what stands above the queue function of an app
WORK = """
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
"""

#: an app that hands the messages' bodies to the test
COLLECTS = (
    "got = asyncio.Queue()\n"
    + WORK
    + """
async def work(message: func.QueueMessage) -> None:
    await got.put(message.get_body())
"""
)


@dataclass(frozen=True)
class App:
    """The folder of an app."""

    folder: Path

    def write(
        self,
        script: str,
        *,
        host: Mapping[str, Any] | None = None,
        queues: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the app's files; ``host`` and ``queues`` are added to what ``host.json`` needs."""
        content = {"version": "2.0", "extensions": {"queues": queues or {}}, **(host or {})}
        local = {"IsEncrypted": False, "Values": settings or {}}
        (self.folder / "function_app.py").write_text(HEADER + script, encoding="utf-8")
        (self.folder / "host.json").write_text(json.dumps(content), encoding="utf-8")
        (self.folder / "local.settings.json").write_text(json.dumps(local), encoding="utf-8")


@dataclass(frozen=True)
class Running:
    """A host that runs in this process."""

    host: Host
    #: the app's module, through which a test sees what the functions did
    module: ModuleType


class Queue:
    """A queue of this test alone, and its poison queue."""

    def __init__(self, connection: str) -> None:
        self.name = f"q{uuid.uuid4().hex}"
        self.connection = connection
        self.client = QueueClient.from_connection_string(connection, self.name)
        self.poison = QueueClient.from_connection_string(connection, f"{self.name}-poison")

    @property
    def settings(self) -> dict[str, str]:
        """The settings that the queue functions of the tests' apps name."""
        return {"QUEUE": self.name, "AzureWebJobsStorage": self.connection}

    async def send(self, *texts: str) -> None:
        """Send messages as a Functions app expects them."""
        encode = TextBase64EncodePolicy().encode
        for text in texts:
            await self.client.send_message(encode(text))

    async def count(self) -> int:
        """Return how many messages there are, visible or not."""
        count = (await self.client.get_queue_properties()).approximate_message_count
        assert count is not None
        return count

    async def visible(self) -> list[QueueMessage]:
        """Return the messages that can be received now."""
        return await self.client.peek_messages(max_messages=32)


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what loading an app does to this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    sys.modules.pop("function_app", None)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An empty folder for an app."""
    return App(tmp_path)


@pytest.fixture
async def queue(azurite: Azurite) -> AsyncIterator[Queue]:
    """A queue that exists and is empty."""
    queue = Queue(azurite.connection_string)
    async with queue.client, queue.poison:
        await queue.client.create_queue()
        yield queue


RunHost = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def run_host(app: App) -> RunHost:
    """Run the host with the app's folder until the end of a ``with`` block."""

    @asynccontextmanager
    async def run(
        *, invisibility: timedelta = INVISIBILITY, stop_limit: timedelta = timedelta(seconds=10)
    ) -> AsyncIterator[Running]:
        functions, options = load_app(app.folder)
        host = Host(functions, options, port=0, invisibility=invisibility)
        try:
            await host.start()
            yield Running(host, sys.modules["function_app"])
        finally:
            await host.stop(stop_limit)

    return run
