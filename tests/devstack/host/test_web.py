"""HTTP functions and running a function by hand."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from devstack.host.settings import HostError
from tests.devstack.host.conftest import App, Queue, RunHost

ROUTES = """
@app.route("items/{id:int}/{name?}", methods=["GET"])
async def item(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"{req.route_params} {dict(req.params)} {req.headers['x-test']}")

@app.route("items/all", methods=["GET"])
def every(req: func.HttpRequest) -> str:
    return "all"

@app.route("echo")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(
        req.get_body(), status_code=201, mimetype="application/json", headers={"X-Method": req.method}
    )

@app.route("files/{*path}")
def files(req: func.HttpRequest) -> str:
    return req.route_params["path"]

@app.route("fails")
async def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("secret detail")

@app.route("nothing")
async def nothing(req: func.HttpRequest) -> None:
    return None

@app.route("wrong")
async def wrong(req: func.HttpRequest) -> int:
    return 1

started = asyncio.Event()
release = asyncio.Event()

@app.route("slow")
async def slow(req: func.HttpRequest) -> str:
    started.set()
    await release.wait()
    return "done"
"""

BY_HAND = """
ran = asyncio.Queue()

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
async def yearly(timer: func.TimerRequest) -> None:
    await ran.put(timer.past_due)

@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def work(message: func.QueueMessage) -> None:
    await ran.put(message.get_body())

@app.route("page")
def page(req: func.HttpRequest) -> str:
    return ""
"""


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/api/items/7/ann?q=1", 200, "{'id': '7', 'name': 'ann'} {'q': '1'} yes"),
        ("GET", "/api/items/7", 200, "{'id': '7'} {} yes"),
        ("GET", "/api/items/all", 200, "all"),
        ("GET", "/api/items/x", 404, ""),
        ("POST", "/api/items/7", 404, ""),
        ("GET", "/items/7", 404, ""),
        ("PUT", "/api/echo", 201, "body"),
        ("GET", "/api/files/a/b.txt", 200, "a/b.txt"),
        ("GET", "/api/fails", 500, ""),
        ("GET", "/api/nothing", 204, ""),
        ("GET", "/api/wrong", 500, ""),
    ],
)
async def test_routes(
    app: App,
    run_host: RunHost,
    http: aiohttp.ClientSession,
    *,
    method: str,
    path: str,
    status: int,
    text: str,
) -> None:
    app.write(ROUTES)
    async with run_host() as running:
        url = running.host.url + path
        async with http.request(method, url, data=b"body", headers={"X-Test": "yes"}) as answer:
            assert answer.status == status
            assert await answer.text() == text


async def test_the_functions_headers_are_sent(
    app: App, run_host: RunHost, http: aiohttp.ClientSession
) -> None:
    app.write(ROUTES)
    async with run_host() as running, http.post(running.host.url + "/api/echo", data=b"{}") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Method"] == "POST"


async def test_the_route_prefix_of_host_json(
    app: App, run_host: RunHost, http: aiohttp.ClientSession
) -> None:
    app.write(ROUTES, host={"extensions": {"http": {"routePrefix": ""}}})
    async with run_host() as running, http.get(running.host.url + "/items/all") as answer:
        assert await answer.text() == "all"


async def test_a_body_over_the_platforms_limit_reaches_no_function(
    app: App, run_host: RunHost, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "1000")
    app.write(ROUTES)
    async with run_host() as running:
        for size, status in ((1000, 201), (1001, 413)):
            async with http.post(running.host.url + "/api/echo", data=b"x" * size) as answer:
                assert answer.status == status
    monkeypatch.setenv("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "much")
    with pytest.raises(HostError, match="must be a number of bytes"):
        async with run_host():
            pass


async def test_functions_run_by_hand(
    app: App, queue: Queue, run_host: RunHost, http: aiohttp.ClientSession
) -> None:
    app.write(BY_HAND, settings=queue.settings)
    async with run_host() as running:
        admin = running.host.url + "/admin/functions/"
        async with http.post(admin + "yearly", json={"input": ""}) as answer:
            assert answer.status == 202
        assert await running.module.ran.get() is False
        async with http.post(admin + "work", json={"input": "by hand"}) as answer:
            assert answer.status == 202
        assert await running.module.ran.get() == b"by hand"


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nobody", b'{"input": ""}', 404),
        ("yearly", b"", 400),
        ("yearly", b'{"input": 1}', 400),
        ("yearly", b"[]", 400),
        ("page", b'{"input": ""}', 400),
    ],
)
async def test_what_cannot_be_run_by_hand(
    app: App,
    queue: Queue,
    run_host: RunHost,
    http: aiohttp.ClientSession,
    *,
    name: str,
    body: bytes,
    status: int,
) -> None:
    app.write(BY_HAND, settings=queue.settings)
    async with run_host() as running:
        async with http.post(f"{running.host.url}/admin/functions/{name}", data=body) as answer:
            assert answer.status == status
        assert running.module.ran.empty()


async def test_a_stopping_host_finishes_requests_and_takes_no_new_ones(
    app: App, run_host: RunHost, http: aiohttp.ClientSession
) -> None:
    app.write(ROUTES + BY_HAND.replace("%QUEUE%", "unused").split("@app.queue_trigger")[0])
    async with run_host() as running:
        url = running.host.url
        slow = asyncio.create_task(http.get(url + "/api/slow"))
        await running.module.started.wait()
        stopping = asyncio.create_task(running.host.stop(timedelta(seconds=10)))
        await asyncio.sleep(0)
        async with http.get(url + "/api/items/all") as answer:
            assert answer.status == 503
        async with http.post(url + "/admin/functions/yearly", json={"input": ""}) as answer:
            assert answer.status == 503
        running.module.release.set()
        async with await slow as answer:
            assert await answer.text() == "done"
        assert await stopping
