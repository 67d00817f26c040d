"""The start of a SQL Server: it agrees on TLS, presents its certificate and waits for the login.

Microsoft's driver carries the TLS handshake in packets of the database's own protocol. The formats are those
of https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"

PRELOGIN = 0x12
LOGIN = 0x10
_ANSWER = 0x04
_LAST = 0x01

_HEADER = struct.Struct(">BBHHBB")

#: Version, encryption (3 = required) and the end of the list: offsets count from the start of the list.
_PRELOGIN_ANSWER = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF) + bytes([16, 0, 0, 0, 0, 0]) + bytes([3])


@dataclass
class SqlServer:
    """Counts what came in. A login means that the driver accepted the certificate and sent the password."""

    port: int = 0
    connections: int = 0
    logins: int = 0
    _tls: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), repr=False)

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext) -> AsyncIterator["SqlServer"]:
        """Listen on a free port during the block."""
        self._tls = tls
        # TLS 1.3 sends tickets after the handshake, for which this protocol has no place before version 8.
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (ssl.SSLError, OSError, asyncio.IncompleteReadError):
            pass  # the driver hung up, which is what it should do
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _packet(reader)
        writer.write(_packed(_PRELOGIN_ANSWER, _ANSWER))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        channel = self._tls.wrap_bio(incoming, outgoing, server_side=True)
        while not _done(channel.do_handshake):
            writer.write(_packed(outgoing.read(), PRELOGIN))
            incoming.write(await _packet(reader))
        writer.write(_packed(outgoing.read(), PRELOGIN))
        while True:  # ends with the connection
            incoming.write(await _some(reader))
            try:
                self.logins += channel.read(1) == bytes([LOGIN])
            except ssl.SSLWantReadError:
                continue
            return


def _done(step: object) -> bool:
    try:
        step()  # type: ignore[operator]  # a method of the channel
    except ssl.SSLWantReadError:
        return False
    return True


def _packed(content: bytes, kind: int) -> bytes:
    return _HEADER.pack(kind, _LAST, _HEADER.size + len(content), 0, 0, 0) + content if content else b""


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """Return the content of one packet."""
    _, _, length, _, _, _ = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return await reader.readexactly(length - _HEADER.size)


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(4096)
    if not data:
        raise asyncio.IncompleteReadError(b"", 1)
    return data
