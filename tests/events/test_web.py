"""Who may send an event, and what one may look like."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Mapping

import azure.functions as func
import pytest

from orchestrator.core.errors import SettingsError, StoreUnavailable
from orchestrator.web import databricks_events
from orchestrator.web.databricks_events import _MAX_AT_ONCE, _MAX_BODY_BYTES, NotificationHandler
from orchestrator.web.http import Request
from orchestrator.web.limits import Rate, Rates
from orchestrator.web.tally import Tally
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
    refused = await handler.handle(event(basic(SECRET), BODY))
    assert refused.status == 503
    assert "the database" not in refused.content
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


class Sent(func.HttpRequest):
    """A request that notes whether its body was read."""

    def __init__(self, headers: Mapping[str, str], body: bytes = BODY) -> None:
        super().__init__("POST", "http://127.0.0.1/api/databricks-events", headers=headers, body=body)
        self.is_read = False

    def get_body(self) -> bytes:
        self.is_read = True
        return super().get_body()


async def call_route(
    handler: Callable[[], NotificationHandler], request: func.HttpRequest | None = None
) -> func.HttpResponse:
    """Call the route as Azure does."""
    app = func.FunctionApp()
    app.register_functions(databricks_events.make_blueprint(handler))
    [function] = app.get_functions()
    request = request or Sent({"Authorization": basic(SECRET)["authorization"]})
    answered: func.HttpResponse = await function.get_user_function()(request)
    return answered


async def test_route_of_azure(handler: NotificationHandler) -> None:
    response = await call_route(lambda: handler)
    assert (response.status_code, json.loads(response.get_body())) == (200, {"finished": True})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("wrong"), 401),
        ({**basic(SECRET), "content-length": "94371840"}, 413),
        ({**basic(SECRET), "content-length": "9" * 5000}, 413),
    ],
)
async def test_who_is_refused_is_not_read(
    handler: NotificationHandler, headers: dict[str, str], status: int
) -> None:
    sent = Sent(headers)
    assert (await call_route(lambda: handler, sent)).status_code == status
    assert not sent.is_read


class Later:
    """Calls functions when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        self.waiting.append((seconds, call))

    def pass_by(self) -> float:
        """Let the time pass until the next call is made; return it, in seconds."""
        [(seconds, call)], self.waiting = self.waiting, []
        call()
        return seconds


async def test_guesses_are_summed_up_in_the_log(finish: Finisher, caplog: pytest.LogCaptureFixture) -> None:
    later = Later()
    tally = Tally(logging.getLogger("events"), call_later=later)
    handler = NotificationHandler(secret=SECRET, finish=finish, refusals=tally)
    said, waited = [], []
    for guesses in (1051, 200, 1, 0, 1):
        for _ in range(guesses):
            assert (await handler.handle(event(basic("wrong"), BODY))).status == 401
        waited.append(later.pass_by() if later.waiting else None)
        said.append([record.getMessage() for record in caplog.records])
        caplog.clear()
    text = "event: the password is not EVENTS_SECRET"
    assert said == [
        [text, f"{text} (1050 more in 60 s)"],
        [f"{text} (200 more in 120 s)"],
        [f"{text} (1 more in 240 s)"],
        [],
        [text],
    ]
    assert waited == [60, 120, 240, 480, 60]


async def test_why_settings_cannot_be_used_is_for_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    def handler() -> NotificationHandler:
        raise SettingsError(["DATABRICKS_HOST is missing"])

    response = await call_route(handler)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    told = response.get_body().decode()
    assert json.loads(told)["detail"] == "it could not be done now; the next pass does it"
    assert "DATABRICKS" not in told
    assert "DATABRICKS_HOST is missing" in caplog.text
