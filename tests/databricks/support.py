"""A workspace with scripted responses, a clock that the test sets, and a search for leaked tokens."""

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from orchestrator.adapters.databricks.client import _DEFAULT_LIMITS, DatabricksClient, Limits
from orchestrator.core.models import RunRequest

#: The token that must be seen nowhere but in the Authorization header.
CANARY = "dapi-canary-4f1d0c9be2"

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST = RunRequest(
    job_id=7,
    idempotency_token="0f3a-1",
    parameter_style="notebook_params",
    parameters={"table_name": "payroll", "api_key": "payroll-key-5d1c77"},
)


class ManualClock:
    """A clock that moves when somebody sleeps, or when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        #: set as soon as somebody sleeps
        self.sleeping = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.sleeping.set()
        self.now += seconds
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return 0.5


@dataclass
class Tokens:
    """A token source with a second token to give."""

    current: str = CANARY
    fresh: str = f"{CANARY}-fresh"
    refreshed: list[str] = field(default_factory=list)

    async def token(self) -> str:
        return self.current

    async def refresh(self, stale: str) -> str:
        self.refreshed.append(stale)
        self.current = self.fresh
        return self.current

    def secrets(self) -> tuple[str, ...]:
        return (self.current,)

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class Seen:
    """A request as the workspace saw it."""

    method: str
    path: str
    query: dict[str, str]
    json: Any
    authorization: str


class Workspace:
    """A real HTTP server. Replies come in order; the last one is repeated."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.seen: list[Seen] = []
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Workspace"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server(shutdown_timeout=0.1)
        self.url = str(server.make_url("/"))
        try:
            yield self
        finally:
            await server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.query),
                json.loads(body) if body and request.content_type == "application/json" else None,
                request.headers.get("Authorization", ""),
            )
        )
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return await reply(request)


@asynccontextmanager
async def connected(
    workspace: Workspace,
    *,
    clock: ManualClock | None = None,
    tokens: Any = None,
    limits: Limits = _DEFAULT_LIMITS,
) -> AsyncIterator[DatabricksClient]:
    """A client of the workspace, with a session of its own."""
    async with aiohttp.ClientSession() as session:
        yield DatabricksClient(
            host=workspace.url,
            tokens=tokens or Tokens(),
            session=lambda: session,
            clock=clock or ManualClock(),
            limits=limits,
        )


def ok(content: Any) -> Reply:
    """A good response."""
    return error(200, content)


def error(status: int, content: Any, **headers: str) -> Reply:
    """A response in JSON; underscores in the headers' names stand for hyphens."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    async def reply(_: web.Request) -> web.StreamResponse:
        return web.json_response(content, status=status, headers=names)

    return reply


def plain(status: int, text: str) -> Reply:
    """A response that is not JSON."""

    async def reply(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type="text/html")

    return reply


def echo(status: int, *, as_json: bool) -> Reply:
    """An error that sends the token back."""

    async def reply(request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        content = {"error_code": f"E{token}", "message": f"bad {token}"}
        return await (error(status, content) if as_json else plain(status, f"<p>bad {token}"))(request)

    return reply


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without a response."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of a good response."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"run_id": 1')
    return await drop(request)


async def hang(_: web.Request) -> web.StreamResponse:
    """Never respond."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def endless(request: web.Request) -> web.StreamResponse:
    """Send the start of a good response and then endless blanks."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"run_id": 1, "x": "')
    while True:
        await response.write(b" " * 4096)


def assert_no_leak(caplog: pytest.LogCaptureFixture, *errors: BaseException, of: str = CANARY) -> None:
    """Check that the token is in no message, representation, traceback or log line."""
    texts = [
        text for error in errors for text in (str(error), repr(error), *traceback.format_exception(error))
    ]
    # Of the test itself: when a fixture is torn down, caplog.records are those of the tear-down.
    texts += [logging.Formatter().format(record) for record in caplog.get_records("call")]
    assert not [text for text in texts if of in text]
