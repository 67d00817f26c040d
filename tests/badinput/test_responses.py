"""Whatever a workspace sends over the wire, read by the real client: broken HTTP, endless responses."""

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.databricks.client import DatabricksClient, Limits
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    RequestRefused,
    RunNotFound,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Run
from tests.badinput import server
from tests.badinput.server import RawServer, with_length
from tests.badinput.support import as_body, bodies, tries
from tests.badinput.test_response_shapes import CHECKS, GOOD_RUN, check_id
from tests.databricks.support import REQUEST, ManualClock, Tokens

#: Small enough for a test to reach each of them.
LIMITS = Limits(request_seconds=0.1, operation_seconds=0.5, tries=2, response_bytes=20_000)

#: What an operation may take beyond its limit on a machine that is busy with other tests.
PATIENCE_SECONDS = 5.0

Operation = Callable[[DatabricksClient], Any]

FAILED_RUN = Run(run_id=11, life_cycle_state="TERMINATED", result_state="FAILED")

OPERATIONS: dict[str, tuple[Operation, tuple[type[DatabricksError], ...]]] = {
    "run_now": (lambda client: client.run_now(REQUEST), (RequestRefused, NoCapacity)),
    "active_runs": (lambda client: client.active_runs(), ()),
    "get_run": (lambda client: client.get_run(11), (RunNotFound,)),
    "failure_of": (lambda client: client.failure_of(FAILED_RUN), ()),
    "result_of": (lambda client: client.result_of(FAILED_RUN), ()),
    "cancel": (lambda client: client.cancel(11), ()),
    "get_job": (lambda client: client.get_job(7), (RequestRefused,)),
    "create_job": (
        lambda client: client.create_job(name="j", notebook_path="/n", max_concurrent_runs=9),
        (RequestRefused,),
    ),
}
#: They return what could be read, if only the run's own message, and raise nothing.
INFORMING = frozenset({"failure_of", "result_of"})

every_operation = pytest.mark.parametrize("name", OPERATIONS)


@dataclass
class Line:
    """A raw server, a client of it, and the complaints of the event loop."""

    server: RawServer
    client: DatabricksClient
    complaints: list[str]
    #: measures, in seconds, how long an operation takes
    timer: Callable[[], float] = time.monotonic

    async def outcome(self, name: str) -> Any:
        """Return the result of an operation, or its documented error, in bounded time."""
        operation, errors = OPERATIONS[name]
        start = self.timer()
        try:
            result = await operation(self.client)
        except DatabricksError as error:
            result = error
        assert self.timer() - start < LIMITS.operation_seconds + PATIENCE_SECONDS
        assert self.complaints == []
        if isinstance(result, Exception):
            assert isinstance(result, (WorkspaceUnavailable, *errors))
        else:
            check_result(result)
        return result


def check_result(result: Any) -> None:
    if isinstance(result, tuple):
        for run in result:
            check_id(run.run_id)
    else:
        CHECKS[type(result)](result)


@asynccontextmanager
async def line(pieces: Iterable[bytes] = (), *, pause_seconds: float = 0.0) -> AsyncIterator[Line]:
    """A server that sends these pieces, and a client of it."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    async with (
        RawServer(pieces=pieces, pause_seconds=pause_seconds).serve() as raw,
        aiohttp.ClientSession() as session,
    ):
        client = DatabricksClient(
            host=raw.url, tokens=Tokens(), session=lambda: session, clock=ManualClock(), limits=LIMITS
        )
        yield Line(raw, client, complaints)


@contextmanager
def running_line() -> Iterator[tuple[asyncio.Runner, Line]]:
    """Run many examples of one property against one server."""
    with asyncio.Runner() as runner:
        opened = line()
        held = runner.run(opened.__aenter__())
        try:
            yield runner, held
        finally:
            runner.run(opened.__aexit__(None, None, None))


# --- malformed ---

status_lines = st.integers(100, 599).map(lambda status: f"HTTP/1.1 {status} OK") | st.sampled_from(
    [
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200",
        "HTTP/2 200",
        "HTTP/9.9 200 OK",
        "http/1.1 200 OK",
        "200 OK",
        "",
        *(f"HTTP/1.1 {status} OK" for status in ("", "0", "99", "600", "1000", "-1", "2 0 0", "٢٠٠")),
        f"HTTP/1.1 200 {'x' * 9_000}",
    ]
)
field_names = st.sampled_from(
    [
        "Content-Type",
        "Content-Encoding",
        "Connection",
        "Location",
        "Set-Cookie",
        "Retry-After",
        "Date",
        "Upgrade",
        "Trailer",
        "Content-Length",
        "Transfer-Encoding",
        "",
        "a b",
    ]
)
field_values = st.sampled_from(
    [
        "0",
        "1",
        "5",
        "-1",
        "99999999999999999999",
        "1, 2",
        "+5",
        "chunked",
        "gzip",
        "deflate",
        "br",
        "zstd",
        "identity",
        "gzip, gzip",
        "text/html; charset=utf-16",
        "application/json; charset=nonsense",
        "close",
        "keep-alive",
        "/",
        "http://127.0.0.1:1/x",
        "h2c",
        "=;;=",
        "\x00",
        "é",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
chunked = st.sampled_from(
    [b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"zz\r\n", b"-1\r\n", b"f" * 40]
)
good_bodies = bodies(GOOD_RUN) | st.just(as_body(GOOD_RUN))
any_bodies = good_bodies | good_bodies.map(gzip.compress) | good_bodies.map(zlib.compress) | chunked


@st.composite
def raw_responses(draw: st.DrawFn) -> bytes:
    """Draw something that is nearly an HTTP response."""
    start = draw(st.just("HTTP/1.1 200 OK") | status_lines)
    body = draw(any_bodies)
    length = [("Content-Length", str(len(body)))] if draw(st.booleans()) else []
    fields = length + draw(st.lists(st.tuples(field_names, field_values), max_size=3))
    head = "".join(f"{line}\r\n" for line in (start, *(f"{name}: {value}" for name, value in fields)))
    raw = head.encode("latin-1", "replace") + b"\r\n" + body
    cut_off = draw(st.sampled_from([False, False, False, True]))
    return raw[: draw(st.integers(0, len(raw)))] if cut_off else raw


@every_operation
def test_any_bytes_end_in_a_result_or_a_documented_error(name: str) -> None:
    with running_line() as (runner, held):

        @tries(60)
        @given(raw_responses() | st.binary(max_size=100))
        def attempt(raw: bytes) -> None:
            held.server.pieces = (raw,)
            runner.run(held.outcome(name))

        attempt()


@every_operation
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "nonsense"])
async def test_a_body_that_cannot_be_unpacked(name: str, encoding: str) -> None:
    for body in (b"garbage", b'{"run_id": 1}', gzip.compress(b"{}")[:-6], zlib.compress(b"{}")[:-3], b""):
        async with line([with_length(body, encoding=encoding)]) as held:
            await held.outcome(name)


@every_operation
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(with_length(b'{"run_id": 1', claimed=1_000), id="cut off"),
        pytest.param(with_length(b'{"run_id": 1}', claimed=4), id="longer than said"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", id="broken chunk"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="101"
        ),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", id="redirect"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="empty"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_broken_response_is_not_a_success(name: str, raw: bytes) -> None:
    for hangs in (False, True):
        async with line([raw]) as held:
            held.server.hangs = hangs
            outcome = await held.outcome(name)
            if name not in INFORMING:
                assert isinstance(outcome, WorkspaceUnavailable)
            if name == "run_now":
                assert outcome.in_doubt


# --- endless ---


@every_operation
@pytest.mark.parametrize(
    "pieces",
    [server.endless_body, server.endless_headers, server.endless_early_hints, server.endless_line],
    ids=lambda pieces: pieces.__name__,
)
async def test_an_endless_response_is_given_up(name: str, pieces: Callable[[], Iterator[bytes]]) -> None:
    async with line(Repeatable(pieces)) as held:
        held.timer = (
            time.thread_time
        )  # the server sends as fast as it can: on a busy machine only work counts
        outcome = await held.outcome(name)
        assert name in INFORMING or isinstance(outcome, WorkspaceUnavailable)


@every_operation
async def test_a_dripping_response_is_given_up(name: str) -> None:
    async with line(Repeatable(server.drip), pause_seconds=0.01) as held:
        outcome = await held.outcome(name)
        assert name in INFORMING or isinstance(outcome, WorkspaceUnavailable)


@every_operation
async def test_a_bomb_is_not_unpacked(name: str) -> None:
    async with line(Repeatable(lambda: server.bomb(4_096))) as held:
        tracemalloc.start()
        try:
            outcome = await held.outcome(name)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert name in INFORMING or isinstance(outcome, WorkspaceUnavailable)
        assert peak < 20 * 2**20


@dataclass(frozen=True)
class Repeatable:
    """Pieces that start again with each request."""

    make: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        return self.make()
