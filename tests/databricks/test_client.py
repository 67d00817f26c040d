"""The client against a real HTTP server that misbehaves in every way a network can."""

import asyncio
from typing import Any

import pytest

from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.adapters.databricks.client import DatabricksClient, Limits, _workspace_url
from orchestrator.core.errors import (
    NoCapacity,
    RequestRefused,
    SettingsError,
    TokenUnavailable,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Run
from orchestrator.ports import Runs
from tests.databricks.support import (
    CANARY,
    REQUEST,
    ManualClock,
    Tokens,
    Workspace,
    assert_no_leak,
    break_off,
    connected,
    drop,
    endless,
    error,
    hang,
    ok,
    plain,
)

RUN = {"run_id": 11, "state": {"life_cycle_state": "RUNNING"}}


def test_it_is_the_port() -> None:
    def accepts(runs: Runs) -> Runs:
        return runs

    client = DatabricksClient(
        host="adb-1.2.azuredatabricks.net",
        tokens=StaticToken("x"),
        session=lambda: pytest.fail("a session before the first request"),
        clock=ManualClock(),
    )
    assert accepts(client) is client


async def test_each_operation_sends_what_the_api_wants(workspace: Workspace) -> None:
    workspace.replies = [
        ok({"run_id": 455644833, "number_in_job": 455644833}),
        ok(RUN),
        ok({}),
        ok(
            {
                "job_id": 7,
                "settings": {"name": "ingest", "max_concurrent_runs": 40, "queue": {"enabled": True}},
            }
        ),
        ok({"job_id": 8}),
    ]
    async with connected(workspace) as client:
        assert await client.run_now(REQUEST) == 455644833
        assert await client.get_run(11) == Run(run_id=11, life_cycle_state="RUNNING")
        await client.cancel(11)
        job = await client.get_job(7)
        assert (job.name, job.max_concurrent_runs, job.queue_enabled) == ("ingest", 40, True)
        assert await client.create_job(name="j", notebook_path="/n", max_concurrent_runs=9) == 8
    assert [(seen.method, seen.path, seen.query) for seen in workspace.seen] == [
        ("POST", "/api/2.2/jobs/run-now", {}),
        ("GET", "/api/2.2/jobs/runs/get", {"run_id": "11"}),
        ("POST", "/api/2.2/jobs/runs/cancel", {}),
        ("GET", "/api/2.2/jobs/get", {"job_id": "7"}),
        ("POST", "/api/2.2/jobs/create", {}),
    ]
    assert {seen.authorization for seen in workspace.seen} == {f"Bearer {CANARY}"}
    assert workspace.seen[0].json == {
        "job_id": 7,
        "idempotency_token": "0f3a-1",
        "notebook_params": {"table_name": "payroll", "api_key": "payroll-key-5d1c77"},
    }
    assert workspace.seen[4].json["tasks"] == [{"task_key": "main", "notebook_task": {"notebook_path": "/n"}}]


@pytest.mark.parametrize("fault", [drop, break_off, error(503, {}), error(500, "x"), plain(200, "<p>wait")])
async def test_after_an_uncertain_response_the_same_token_is_sent(workspace: Workspace, fault: Any) -> None:
    clock = ManualClock()
    workspace.replies = [fault, fault, ok({"run_id": 5})]
    async with connected(workspace, clock=clock) as client:
        assert await client.run_now(REQUEST) == 5
    assert len({str(seen.json) for seen in workspace.seen}) == 1
    assert clock.slept == [0.375, 0.75]


async def test_tries_are_bounded(workspace: Workspace) -> None:
    workspace.replies = [error(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "soon"})]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable, match="runs/get: HTTP 503 TEMPORARILY_UNAVAILABLE: soon"):
            await client.get_run(1)
    assert len(workspace.seen) == 4


async def test_a_job_is_never_created_twice(workspace: Workspace) -> None:
    workspace.replies = [drop]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable):
            await client.create_job(name="j", notebook_path="/n", max_concurrent_runs=9)
    assert len(workspace.seen) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.7),
        ({"Retry_After": "40"}, 44.0),
        ({"Retry_After": "2.5"}, 2.75),
        ({"Date": "Fri, 31 Dec 1999 23:59:50 GMT", "Retry_After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 9.9),
        ({"Date": "Fri, 31 Dec 1999 23:59:50 GMT", "Retry_After": "Fri, 31 Dec 1999 23:00:00 GMT"}, 0.75),
        ({"Retry_After": "0"}, 0.75),
        ({"Retry_After": "soon"}, 0.75),
        ({}, 0.75),
    ],
)
async def test_a_rate_limit_is_waited_out(
    workspace: Workspace, headers: dict[str, str], seconds: float
) -> None:
    clock = ManualClock()
    limited = error(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "too many requests"}, **headers)
    workspace.replies = [limited, ok({"run_id": 5})]
    async with connected(workspace, clock=clock) as client:
        assert await client.run_now(REQUEST) == 5
    assert clock.slept == [pytest.approx(seconds)]


async def test_a_full_workspace_is_not_retried(workspace: Workspace) -> None:
    message = "There are already 1000 active runs (limit: 1000)."
    workspace.replies = [error(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": message})]
    async with connected(workspace) as client:
        with pytest.raises(NoCapacity, match="already 1000 active runs"):
            await client.run_now(REQUEST)
    assert len(workspace.seen) == 1


@pytest.mark.parametrize(
    "no",
    [
        error(429, {"error_code": "QUOTA_EXCEEDED", "message": "full"}),
        error(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Unknown parameter"}),
    ],
)
async def test_a_refusal_after_a_lost_response_leaves_the_run_in_doubt(workspace: Workspace, no: Any) -> None:
    workspace.replies = [drop, no]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable, match="an earlier try got no usable response"):
            await client.run_now(REQUEST)


async def test_a_refusal_after_a_rate_limit_is_definite(workspace: Workspace) -> None:
    workspace.replies = [error(429, {}), error(400, {"error_code": "INVALID_PARAMETER_VALUE"})]
    async with connected(workspace) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.run_now(REQUEST)
    assert refused.value.permanent


async def test_a_closed_port(caplog: pytest.LogCaptureFixture) -> None:
    gone = Workspace()
    async with gone.serve():
        pass
    async with connected(gone) as client:
        with pytest.raises(WorkspaceUnavailable, match="ClientConnectorError") as caught:
            await client.run_now(REQUEST)
    assert_no_leak(caplog, caught.value)
    assert caught.value.__context__ is None  # aiohttp's errors hold the request's headers


async def test_a_hanging_request_and_a_hanging_operation_end(workspace: Workspace) -> None:
    workspace.replies = [hang]
    async with connected(workspace, limits=Limits(request_seconds=0.05, tries=2)) as client:
        with pytest.raises(WorkspaceUnavailable, match="TimeoutError"):
            await client.get_run(1)
    assert len(workspace.seen) == 2
    async with connected(workspace, limits=Limits(operation_seconds=0.05)) as client:
        with pytest.raises(WorkspaceUnavailable, match=r"runs/list: not done within 0\.05 s"):
            await client.active_runs()


async def test_a_hanging_token_source_ends() -> None:
    class Hanging(Tokens):
        async def token(self) -> str:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    workspace = Workspace()
    workspace.url = "http://127.0.0.1:9"
    async with connected(workspace, tokens=Hanging(), limits=Limits(operation_seconds=0.05)) as client:
        with pytest.raises(WorkspaceUnavailable, match="run-now: not done within"):
            await client.run_now(REQUEST)


async def test_an_endless_response_is_cut_off(workspace: Workspace) -> None:
    workspace.replies = [endless]
    async with connected(workspace, limits=Limits(response_bytes=100_000)) as client:
        with pytest.raises(WorkspaceUnavailable, match="more than 100000 bytes"):
            await client.run_now(REQUEST)
    assert len(workspace.seen) == 1


async def test_a_response_of_five_megabytes_is_read(workspace: Workspace) -> None:
    workspace.replies = [ok({"error": "boom", "error_trace": "x" * 5_000_000})]
    run = Run(run_id=1, life_cycle_state="TERMINATED", result_state="FAILED")
    async with connected(workspace) as client:
        failure = await client.failure_of(run)
    assert failure.message == "boom"
    assert len(failure.error_trace or "") == 10_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "/login.html?error=private-link-validation-error:6123456789",
        "https://adb-1.7.azuredatabricks.net/login.html?error=private-link-validation-error%3A6123456789",
        "/login.html?next=%2F&error=private-link-validation-error:6123456789&o=1#x",
    ],
)
async def test_a_redirect_of_private_link_says_so(workspace: Workspace, status: int, location: str) -> None:
    workspace.replies = [error(status, {}, Location=location)]
    async with connected(workspace) as client:
        for operation in (client.run_now(REQUEST), client.get_run(1), client.active_runs()):
            with pytest.raises(WorkspaceUnavailable, match="through Private Link only") as caught:
                await operation
            assert "private endpoint" in str(caught.value)
            assert "6123456789" not in str(caught.value)


@pytest.mark.parametrize("location", ["/login.html", "/login.html?error=other", "/x?error=private-link"])
async def test_another_redirect_is_not_private_link(workspace: Workspace, location: str) -> None:
    workspace.replies = [error(302, {}, Location=location)]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable, match="check that it is the address of the workspace"):
            await client.get_run(1)


async def test_a_redirect_is_not_followed(workspace: Workspace) -> None:
    async with Workspace().serve() as elsewhere:
        elsewhere.replies = [ok({"run_id": 5})]
        workspace.replies = [error(307, {}, Location=f"{elsewhere.url}steal")]
        async with connected(workspace) as client:
            with pytest.raises(WorkspaceUnavailable, match="redirect"):
                await client.run_now(REQUEST)
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("adb-1.2.azuredatabricks.net", "https://adb-1.2.azuredatabricks.net"),
        ("https://adb-1.2.azuredatabricks.net/?o=12#x", "https://adb-1.2.azuredatabricks.net"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_host_becomes_an_origin(host: str, url: str) -> None:
    assert str(_workspace_url(host)) == url


@pytest.mark.parametrize(
    "host",
    [
        "",
        "http://adb-1.2.azuredatabricks.net",
        "ftp://x",
        "http://127.0.0.1.example.com",
        "https://",
        "a b://",
    ],
)
def test_a_host_that_would_show_the_token_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="Databricks host"):
        _workspace_url(host)


RATE = error(429, {"error_code": "RESOURCE_EXHAUSTED", "message": "too many requests"})
REFUSED_TOKEN = error(
    401, {"error_code": 401, "message": "Credential was not sent or was of an unsupported type"}
)


@pytest.mark.parametrize(
    ("replies", "in_doubt"),
    [
        ([RATE], False),
        ([REFUSED_TOKEN], False),
        ([drop], True),
        ([error(503, {})], True),
        ([drop, RATE], True),
        ([drop, REFUSED_TOKEN], True),
        ([RATE, drop], True),
    ],
)
async def test_whether_a_run_may_have_been_started(
    workspace: Workspace, replies: list[Any], in_doubt: bool
) -> None:
    workspace.replies = replies
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.run_now(REQUEST)
    assert caught.value.in_doubt is in_doubt


class NoFurtherToken(Tokens):
    """Has a first token; Key Vault is unreachable when a second one is needed."""

    async def refresh(self, stale: str) -> str:
        raise TokenUnavailable("Key Vault does not response")


@pytest.mark.parametrize(("replies", "in_doubt"), [([REFUSED_TOKEN], False), ([drop, REFUSED_TOKEN], True)])
async def test_a_token_that_cannot_be_renewed_keeps_whether_a_run_is_in_doubt(
    workspace: Workspace, replies: list[Any], in_doubt: bool
) -> None:
    workspace.replies = replies
    async with connected(workspace, tokens=NoFurtherToken()) as client:
        with pytest.raises(TokenUnavailable) as caught:
            await client.run_now(REQUEST)
    assert caught.value.in_doubt is in_doubt
