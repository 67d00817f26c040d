"""Servers that send back what they were sent, in every way that may happen to the app."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.databricks.support import Reply, break_off, drop, endless, ok, plain


async def sent(request: web.Request) -> str:
    """Return all that a request held."""
    lines = [f"{request.method} {request.path_qs}", *(f"{k}: {v}" for k, v in request.headers.items())]
    return "\n".join([*lines, await request.text()])


def echo_json(status: int, code: str = "INVALID_PARAMETER_VALUE") -> Reply:
    """An error of Databricks' own shape that quotes the request."""

    async def reply(request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        values = await _values(request)
        message = f"Invalid parameter value {values}; bad token {token}; {await sent(request)}"
        return web.json_response({"error_code": code, "message": message}, status=status)

    return reply


def echo_in_code(status: int) -> Reply:
    """An error whose code is the token."""

    async def reply(request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return web.json_response({"error_code": token, "message": token}, status=status)

    return reply


def echo_page(status: int, content_type: str = "text/html") -> Reply:
    """A page that quotes the request."""

    async def reply(request: web.Request) -> web.Response:
        text = f"<p>{await _values(request)}</p><pre>{await sent(request)}</pre>"
        return web.Response(status=status, text=text, content_type=content_type)

    return reply


def echo_wrong_shape(key: str) -> Reply:
    """A good response whose every field is what was sent."""

    async def reply(request: web.Request) -> web.Response:
        text = await sent(request)
        fields = ("run_id", "job_id", "runs", "settings", "state", "status", "next_page_token", "tasks")
        content = dict.fromkeys(fields, text) if key == "all" else {key: {text: text}}
        return web.json_response(content)

    return reply


async def _values(request: web.Request) -> str:
    """Return the parameters that were sent, one by one and unchanged."""
    body = json.loads(await request.text() or "{}")
    values = body.get("notebook_params", {})
    return " ".join(values.values())


#: What a workspace may send instead of a result, by name.
FAULTS: dict[str, Reply] = {
    **{f"json {status}": echo_json(status) for status in (302, 400, 401, 403, 404, 409, 413, 429, 500, 503)},
    **{f"page {status}": echo_page(status) for status in (302, 400, 401, 403, 404, 418, 429, 500, 503)},
    **{f"code {status}": echo_in_code(status) for status in (400, 403, 429, 500)},
    "denied": echo_json(403, "PERMISSION_DENIED"),
    "no capacity": echo_json(429, "QUOTA_EXCEEDED"),
    "lock": echo_json(400, "COULD_NOT_ACQUIRE_LOCK"),
    "not JSON": echo_page(200),
    "wrong shape": echo_wrong_shape("all"),
    "wrong run id": echo_wrong_shape("run_id"),
    "empty": plain(200, ""),
    "null": ok(None),
    "dropped": drop,
    "broken off": break_off,
    "endless": endless,
}

#: Responses that are not HTTP, each with a place for what was sent. aiohttp quotes such bytes in its errors.
NO_HTTP = {
    "status line": b"HTTP/1.1 %s\r\n\r\n",
    "header": b"HTTP/1.1 200 OK\r\n%s\r\n\r\n",
    "header name": b"HTTP/1.1 200 OK\r\nbad name %s: x\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
    "encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 400\r\n\r\n%s",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
    "after the end": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n%s",
}


@asynccontextmanager
async def no_http(response: bytes) -> AsyncIterator[str]:
    """Serve responses that are not HTTP and yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:"))
        writer.write(response % line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
