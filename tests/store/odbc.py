"""Microsoft's ODBC driver, loaded by its path, and local servers that misbehave."""

import asyncio
import importlib.util
import platform
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from orchestrator.adapters.store.sqlserver import address

HOST = "127.0.0.1"

#: In every connection string that signs in with a password; it must not appear anywhere.
PASSWORD = "password-canary"

#: How long a connection to a silent server takes; the driver takes whole seconds.
LOGIN_TIMEOUT_SECONDS = 1

_BUFFER_BYTES = 65536


def driver() -> Path:
    """Return the path of this machine's driver in PyPI's mssql-python-odbc."""
    spec = importlib.util.find_spec("mssql_python_odbc")
    assert spec is not None, "install requirements-dev.txt"
    assert spec.submodule_search_locations is not None
    system = "macos" if platform.system() == "Darwin" else "linux/debian_ubuntu"
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    folder = Path(spec.submodule_search_locations[0]) / "libs" / system / machine / "lib"
    return next(folder.glob("libmsodbcsql*18*"))


def without_credentials(port: int) -> str:
    """Return a connection string without credentials for a port of this machine: it needs an access token."""
    return f"DRIVER={driver()};SERVER={HOST},{port};DATABASE=d;Encrypt=yes"


def with_password(port: int) -> str:
    """Return a connection string for a port of this machine, with user and password."""
    return f"{without_credentials(port)};UID=u;PWD={PASSWORD}"


def changed(connection_string: str, **values: str) -> str:
    """Replace values in a connection string."""
    for name, value in values.items():
        connection_string, count = re.subn(
            rf"(?i)(^|;){name}=[^;]*", rf"\g<1>{name}={value}", connection_string
        )
        assert count == 1, f"there is no {name}= in the connection string"
    return connection_string


@contextmanager
def silent_port() -> Iterator[int]:
    """Open a port that accepts connections and never answers."""
    with socket.create_server((HOST, 0), backlog=128) as listener:
        yield listener.getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    """Reserve a port that refuses connections."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


@asynccontextmanager
async def hanging_up_port() -> AsyncIterator[int]:
    """Open a port that closes each connection after the first bytes."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Line:
    """A connection to a server on which an answer can get lost."""

    def __init__(self, connection_string: str) -> None:
        self._direct = connection_string
        #: the server's next answer gets lost, and the connection with it
        self.lose_next_answer = False
        #: the same database, reached through this line; set once it is open
        self.connection_string = ""
        #: how many connections were opened, and how often the server answered
        self.connections = 0
        self.round_trips = 0
        self._asked = False
        self._carried: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        """Forward connections while the block runs."""
        server = await asyncio.start_server(self._take, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        self.connection_string = changed(self._direct, SERVER=f"{HOST},{port}")
        async with server:
            yield self
            for carried in self._carried:
                carried.cancel()
            await asyncio.gather(*self._carried, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._carried.append(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = address(self._direct)
        assert server is not None, "TEST_SQLSERVER must name a server and its port"
        far_reader, far_writer = await asyncio.open_connection(*server)
        directions = [
            asyncio.create_task(self._requests(reader, far_writer)),
            asyncio.create_task(self._answers(far_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            for end in (writer, far_writer):
                end.close()
                with suppress(OSError):  # the other side was faster
                    await end.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        while data := await reader.read(_BUFFER_BYTES):
            self._asked = True
            far.write(data)

    async def _answers(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await far.read(_BUFFER_BYTES):
            if self.lose_next_answer:
                self.lose_next_answer = False
                return
            self.round_trips += self._asked
            self._asked = False
            writer.write(data)
