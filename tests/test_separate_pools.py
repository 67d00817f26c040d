"""Submissions and HTTP callers never wait for each other's connections or threads."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from orchestrator.adapters import queue
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.http_session import Connections
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import _THREADS
from orchestrator.bootstrap import _CONNECTIONS, _WEB_CONNECTIONS, Application
from orchestrator.core.states import Status
from orchestrator.web.api import Api
from orchestrator.web.http import Request
from tests.applications import served_application
from tests.databricks.support import Workspace
from tests.store.helpers import entry_of, queued, running

#: A run whose look-up gets no response for as long as the test wants.
SLOW = 1

#: A run that is over.
OVER = 77

#: Far longer than a request takes, and shorter than any wait in the app.
SOON_SECONDS = 5.0


@dataclass
class Databricks:
    """Responds immediately, except to look-ups of one run."""

    held: int = 0
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def reply(self, request: web.Request) -> web.StreamResponse:
        """Respond to a request."""
        if request.path.endswith("runs/list"):
            return web.json_response({"has_more": False})
        if request.path.endswith("run-now"):
            return web.json_response({"run_id": 501})
        if request.path.endswith("jobs/get"):
            return web.json_response({"job_id": 5, "settings": {"name": "load", "max_concurrent_runs": 9}})
        if request.query["run_id"] == str(SLOW):
            await self._hold()
        state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
        return web.json_response({"run_id": int(request.query["run_id"]), "state": state})

    async def _hold(self) -> None:
        async with self.came:
            self.held += 1
            self.came.notify_all()
        await self.release.wait()

    @asynccontextmanager
    async def busy(self, client: DatabricksClient, connections: int) -> AsyncIterator[None]:
        """Occupy all of a client's connections, with more requests waiting for them."""
        calls = [asyncio.create_task(client.get_run(SLOW)) for _ in range(_CONNECTIONS + _WEB_CONNECTIONS)]
        async with asyncio.timeout(SOON_SECONDS), self.came:
            await self.came.wait_for(lambda: self.held >= connections)
        try:
            yield
            assert self.held == connections
        finally:
            self.release.set()
            await asyncio.gather(*calls)


@asynccontextmanager
async def busy(store: Store) -> AsyncIterator[None]:
    """Occupy all of a store's threads."""
    release = threading.Event()
    calls = [
        asyncio.create_task(store.pool.transact(lambda _: release.wait(), writes=False))
        for _ in range(_THREADS)
    ]
    await asyncio.sleep(0)  # each has begun
    try:
        yield
    finally:
        release.set()
        await asyncio.gather(*calls)


@pytest.fixture
def databricks() -> Databricks:
    return Databricks()


@pytest.fixture
async def app(tmp_path: Path, databricks: Databricks) -> AsyncIterator[Application]:
    """An application with one workspace on an empty store."""
    async with served_application(tmp_path, databricks.reply) as made:
        yield made


async def test_http_callers_delay_no_submission(app: Application, databricks: Databricks) -> None:
    claim = await queued(app.store)
    async with databricks.busy(app.web_runs["default"], _WEB_CONNECTIONS), busy(app.web_store):
        async with asyncio.timeout(SOON_SECONDS):
            await app.submit(queue._encode(claim).encode())
            assert (await entry_of(app.store, claim.entry_id)).runid == 501


async def test_an_event_and_a_dashboard_wait_for_no_submission(
    app: Application, databricks: Databricks
) -> None:
    """They use other connections and threads, so they take none from submissions either."""
    entry = await running(app.store, OVER)
    async with databricks.busy(app.runs["default"], _CONNECTIONS), busy(app.store):
        async with asyncio.timeout(SOON_SECONDS):
            assert await app.run_ended(OVER)
            assert (await entry_of(app.web_store, entry.id)).status is Status.DONE
            answer = await Api(lambda: app).status(Request(method="GET"))
            assert json.loads(answer.content)["workspaces"][0]["active"]["error"] is None


async def test_a_host_that_does_not_respond_delays_no_other() -> None:
    slow, quick = Workspace(), Workspace()
    databricks = Databricks()
    slow.replies = quick.replies = [databricks.reply]
    connections = Connections(per_host=1)
    async with slow.serve(), quick.serve():
        held = asyncio.create_task(_get(connections, f"{slow.url}runs/get?run_id={SLOW}"))
        async with databricks.came:
            await databricks.came.wait_for(lambda: databricks.held == 1)
        async with asyncio.timeout(SOON_SECONDS):
            assert await _get(connections, f"{quick.url}runs/get?run_id={OVER}") == 200
        assert not held.done()
        databricks.release.set()
        assert await held == 200
        await connections.close()


async def _get(connections: Connections, url: str) -> int:
    timeout = aiohttp.ClientTimeout(total=30)
    async with connections.session().get(url, timeout=timeout) as response:
        return response.status
