"""Who may send an event, and what one may look like."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable

import azure.functions as func
import pytest

from orchestrator.core.errors import SettingsError, StoreUnavailable
from orchestrator.web import databricks_events
from orchestrator.web.databricks_events import _MAX_AT_ONCE, _MAX_BODY_BYTES, NotificationHandler
from orchestrator.web.http import Request
from orchestrator.web.limits import Rate, Rates
from tests.fakes import SetClock

SECRET = "sPcr-8f2!kWq:9ä-secret"
BODY = json.dumps(
    {"event_type": "jobs.on_success", "workspace_id": 1, "run": {"run_id": 77}, "job": {"job_id": 5}}
).encode()


def basic(password: str, user: str = "databricks") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def event(headers: dict[str, str], body: bytes) -> Request:
    return Request(method="POST", headers=headers, body=body)


class Finisher:
    """Takes the runs' ids; raises on request."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.error: Exception | None = None

    async def __call__(self, run_id: int) -> bool:
        self.seen.append(run_id)
        if self.error is not None:
            raise self.error
        return True


@pytest.fixture
def finish() -> Finisher:
    return Finisher()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def handler(finish: Finisher, clock: SetClock) -> NotificationHandler:
    return NotificationHandler(secret=SECRET, finish=finish, monotonic=clock)


async def test_event_of_databricks(handler: NotificationHandler, finish: Finisher) -> None:
    given = await handler.handle(event(basic(SECRET), BODY))
    assert (given.status, json.loads(given.content)) == (200, {"finished": True})
    assert finish.seen == [77]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("wrong"),
        basic(""),
        basic(SECRET[:-1]),
        basic(SECRET + "x"),
        basic("databricks", user=SECRET),
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": "Basic"},
        {"authorization": "Basic ????"},
        {"authorization": "Basic ä"},
        {"authorization": f"Basic {base64.b64encode(SECRET.encode()).decode()}x"},
        {"x-functions-key": SECRET},
    ],
)
async def test_without_the_secret_nothing_is_looked_at(
    handler: NotificationHandler, finish: Finisher, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = await handler.handle(event(headers, BODY))
    assert given.status == 401
    assert given.headers["WWW-Authenticate"].startswith("Basic")
    assert finish.seen == []
    assert SECRET not in given.content + caplog.text


async def test_without_the_setting_there_is_no_such_thing(finish: Finisher) -> None:
    handler = NotificationHandler(secret=None, finish=finish)
    assert (await handler.handle(event(basic(SECRET), BODY))).status == 404
    assert (await handler.handle(event(basic(""), BODY))).status == 404
    assert finish.seen == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b'"run"', 400),
        (b"{}", 400),
        (b'{"run": 77}', 400),
        (b'{"run": {"run_id": "77"}}', 400),
        (b'{"run": {"run_id": true}}', 400),
        (b'{"run": {"run_id": 7.5}}', 400),
        (b'{"run": {"run_id": 0}}', 400),
        (b'{"run": {"run_id": -1}}', 400),
        (b'{"run": {"run_id": 9223372036854775808}}', 400),
        (b'{"run": {"run_id": 1' + b"0" * 5000 + b"}}", 400),
        (b"[" * 16_000, 400),
        (b'{"run": {"run_id": 77}}' + b" " * _MAX_BODY_BYTES, 413),
    ],
)
async def test_what_is_no_event(
    handler: NotificationHandler, finish: Finisher, body: bytes, status: int
) -> None:
    given = await handler.handle(event(basic(SECRET), body))
    assert (given.status, json.loads(given.content)["status"]) == (status, status)
    assert given.content_type == "application/problem+json"
    assert finish.seen == []


@pytest.mark.parametrize("error", [StoreUnavailable("the database is resumed"), TimeoutError()])
async def test_what_cannot_be_done_now(
    handler: NotificationHandler, finish: Finisher, error: Exception
) -> None:
    finish.error = error
    assert (await handler.handle(event(basic(SECRET), BODY))).status == 503
    finish.error = None
    assert (await handler.handle(event(basic(SECRET), BODY))).status == 200


async def test_more_at_once_than_are_good_for_databricks() -> None:
    release = asyncio.Event()

    async def finish(_: int) -> bool:
        await release.wait()
        return True

    handler = NotificationHandler(secret=SECRET, finish=finish)
    under_way = [asyncio.create_task(handler.handle(event(basic(SECRET), BODY))) for _ in range(_MAX_AT_ONCE)]
    await asyncio.sleep(0)  # each has begun
    refused = await handler.handle(event(basic(SECRET), BODY))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10")
    release.set()
    assert {(await task).status for task in under_way} == {200}
    assert (await handler.handle(event(basic(SECRET), BODY))).status == 200


async def test_more_than_workspaces_can_send(
    handler: NotificationHandler, finish: Finisher, clock: SetClock
) -> None:
    assert {(await handler.handle(event(basic(SECRET), BODY))).status for _ in range(Rates.EVENTS.burst)} == {
        200
    }
    refused = await handler.handle(event(basic(SECRET), BODY))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert len(finish.seen) == Rates.EVENTS.burst
    clock.now += 1
    assert [(await handler.handle(event(basic(SECRET), BODY))).status for _ in range(11)] == [200] * 10 + [
        429
    ]


async def test_a_stranger_takes_nothing_from_the_events(finish: Finisher, clock: SetClock) -> None:
    """Neither wrong passwords nor bodies that make no sense count as events."""
    handler = NotificationHandler(
        secret=SECRET, finish=finish, events=Rate(per_second=1, burst=1), monotonic=clock
    )
    for _ in range(100):
        assert (await handler.handle(event(basic(SECRET), b"{}"))).status == 400
        assert (await handler.handle(event(basic("wrong"), BODY))).status == 401
    assert (await handler.handle(event(basic(SECRET), BODY))).status == 200


async def call_route(handler: Callable[[], NotificationHandler]) -> func.HttpResponse:
    """Call the route as Azure does."""
    app = func.FunctionApp()
    app.register_functions(databricks_events.make_blueprint(handler))
    [function] = app.get_functions()
    request = func.HttpRequest(
        "POST",
        "http://127.0.0.1/api/databricks-events",
        headers={"Authorization": basic(SECRET)["authorization"]},
        body=BODY,
    )
    answered: func.HttpResponse = await function.get_user_function()(request)
    return answered


async def test_route_of_azure(handler: NotificationHandler) -> None:
    response = await call_route(lambda: handler)
    assert (response.status_code, json.loads(response.get_body())) == (200, {"finished": True})


async def test_settings_that_cannot_be_used() -> None:
    def handler() -> NotificationHandler:
        raise SettingsError(["DATABRICKS_HOST is missing"])

    response = await call_route(handler)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    assert "DATABRICKS_HOST is missing" in json.loads(response.get_body())["detail"]
