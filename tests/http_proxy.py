"""A real HTTP proxy on this machine: it tunnels (CONNECT), passes plain requests on, and remembers both."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

USER = "app"
#: With a character that must be written as %40 in an address.
PASSWORD = "pr0xy@canary-6c1d"


@dataclass
class HttpProxy:
    """Forwards to the host that a request names, or to the one of ``hosts``. Start it with :meth:`serve`."""

    #: whether it asks for the user name and the password
    locked: bool = False
    #: refuse everything with this HTTP status; None = work
    fault: int | None = None
    #: ``host:port`` of a request → the port of this machine that plays it
    hosts: dict[str, int] = field(default_factory=dict)
    #: the first two words of each request that it forwarded: ``CONNECT host:443``, ``GET http://…``
    forwarded: list[str] = field(default_factory=list)
    #: the same of those that it refused
    refused: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url_with_password(self) -> str:
        return f"http://{USER}:{PASSWORD.replace('@', '%40')}@127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["HttpProxy"]:
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._forward(reader, writer)
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        is_known = headers.get("proxy-authorization") == f"Basic {credentials}"
        status = self.fault or (407 if self.locked and not is_known else None)
        (self.refused if status else self.forwarded).append(f"{method} {target}")
        if status:
            # A proxy that says again what it was sent.
            writer.write(f"HTTP/1.1 {status} {head!r}\r\nContent-Length: {len(head)}\r\n\r\n{head}".encode())
            return await writer.drain()
        there, back = await self._connect(target if method == "CONNECT" else urlsplit(target).netloc)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = target.split("/", 3)[3]
            kept = [line for line in lines[1:] if not line.lower().startswith("proxy-")]
            back.write("\r\n".join([f"{method} /{path} HTTP/1.1", *kept]).encode())
        await asyncio.wait(
            [asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        back.close()
        return None

    async def _connect(self, place: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = place.rpartition(":")
        played = self.hosts.get(place)
        return await asyncio.open_connection("127.0.0.1" if played else host, played or int(port))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
