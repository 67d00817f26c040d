"""A server below HTTP: it sends the bytes that the test gives it, at the pace that the test sets."""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import repeat

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass
class RawServer:
    """Responds to each request with ``pieces``, then closes the connection or leaves it hanging."""

    pieces: Iterable[bytes] = (b"",)
    #: whether to leave the connection open without sending more
    hangs: bool = False
    #: seconds between two pieces
    pause_seconds: float = 0.0
    url: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["RawServer"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # The client leaves in the middle of most of these responses.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._response(reader, writer)
        writer.close()

    async def _response(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")  # the rest does not matter
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            if self.pause_seconds:
                await asyncio.sleep(self.pause_seconds)
        if self.hangs:
            await reader.read()  # until the client closes: it sends nothing more


def with_length(body: bytes, *, claimed: int | None = None, encoding: str = "") -> bytes:
    """A good response's head and a body, whose stated length may be wrong."""
    named = f"Content-Encoding: {encoding}\r\n".encode() if encoding else b""
    length = len(body) if claimed is None else claimed
    return _HEAD + named + f"Content-Length: {length}\r\n\r\n".encode() + body


def endless_body() -> Iterator[bytes]:
    """Endless blanks in a JSON text."""
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b'14\r\n{"run_id": 1, "x": "\r\n'
    yield from repeat(b"1000\r\n" + b" " * 4096 + b"\r\n")


def endless_headers() -> Iterator[bytes]:
    """Endless headers of ordinary length."""
    yield b"HTTP/1.1 200 OK\r\n"
    yield from repeat(b"X-More: " + b"x" * 1_000 + b"\r\n")


def endless_early_hints() -> Iterator[bytes]:
    """Endless interim responses, which announce the final one."""
    return repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def endless_line() -> Iterator[bytes]:
    """An endless status line."""
    yield b"HTTP/1.1 200 "
    yield from repeat(b"x" * 4096)


def drip() -> Iterator[bytes]:
    """A good response, a byte at a time. It would take minutes."""
    return (bytes([byte]) for byte in with_length(b'{"run_id": 1}' + b" " * 10_000))


def bomb(megabytes: int) -> Iterator[bytes]:
    """A body that is a thousand times longer when it is unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits=31)
    start = packer.compress(b'{"run_id": 1, "x": "') + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * 2**20) + packer.flush(
        zlib.Z_FULL_FLUSH
    )  # complete in itself, so that it can be repeated
    yield _HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + start
    yield from repeat(block, megabytes)
