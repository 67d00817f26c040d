"""The HTTP side: tokens, faults, limits, control routes. The server runs inside the test."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from devstack.databricks.options import Options
from devstack.databricks.server import make_app
from devstack.databricks.simulator import Simulator
from tests.devstack.databricks.conftest import JOB_ID, Client

RUN_NOW = "/api/2.2/jobs/run-now"
LIST = "/api/2.2/jobs/runs/list"


async def submit(client: Client, **body: Any) -> tuple[int, dict[str, Any]]:
    """Send a ``run-now``; return status and body."""
    response = await client.post(RUN_NOW, json={"job_id": JOB_ID, **body})
    return response.status, await response.json()


async def control(client: Client, route: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call a control route without a token."""
    async with aiohttp.ClientSession() as session:
        response = await session.post(client.make_url(f"/_sim/{route}"), json=body)
        answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
        return answer


async def stats(client: Client) -> dict[str, Any]:
    answer: dict[str, Any] = await (await client.get("/_sim/stats")).json()
    return answer


@pytest.fixture
async def limited() -> AsyncIterator[Client]:
    """A server that takes two ``run-now`` a second, one run at a time, and any token."""
    options = Options(rate_limit=2.0, max_active_runs=1, run_seconds=60.0, jobs=((JOB_ID, "/n"),))
    headers = {"Authorization": "Bearer any"}
    async with TestClient(TestServer(make_app(Simulator(options))), headers=headers) as client:
        yield client


@pytest.mark.parametrize("version", ["2.1", "2.2"])
async def test_both_versions_are_served(client: Client, version: str) -> None:
    assert (await client.get(f"/api/{version}/jobs/runs/list")).status == 200


async def test_runs_is_absent_when_there_are_none(client: Client) -> None:
    assert await (await client.get(LIST)).json() == {"has_more": False}
    await submit(client)
    listed = await (await client.get(LIST, params={"active_only": "true"})).json()
    assert len(listed["runs"]) == 1
    assert "tasks" not in listed["runs"][0]


@pytest.mark.parametrize(
    ("header", "status", "code"), [("", 401, 401), ("Basic secret", 401, 401), ("Bearer wrong", 403, 403)]
)
async def test_the_bearer_token_is_checked(client: Client, header: str, status: int, code: int) -> None:
    response = await client.get(LIST, headers={"Authorization": header})
    assert (response.status, (await response.json())["error_code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/2.2/jobs/runs/get?run_id=--5", 400),
        ("/api/2.2/jobs/runs/get?run_id=²", 400),
        ("/api/2.2/jobs/runs/get?run_id=5", 400),
        ("/api/2.2/jobs/runs/list?limit=0", 400),
        ("/api/2.2/jobs/runs/list?run_type=NONSENSE", 400),
        ("/api/2.2/jobs/nothing", 404),
    ],
)
async def test_an_error_has_code_message_and_details(client: Client, path: str, status: int) -> None:
    response = await client.get(path)
    body = await response.json()
    assert response.status == status
    assert body.keys() == {"error_code", "message", "details"}
    assert body["details"] == []


async def test_the_output_of_a_run_is_that_of_its_only_task(client: Client) -> None:
    rule = {"run_seconds": 0, "results": ["FAILED"], "error": "ValueError: boom"}
    await control(client, "outcomes", rule)
    _, run = await submit(client)
    got = await (await client.get("/api/2.2/jobs/runs/get", params={"run_id": run["run_id"]})).json()
    (task,) = got["tasks"]
    of_run, of_task = [
        await (await client.get("/api/2.2/jobs/runs/get-output", params={"run_id": run_id})).json()
        for run_id in (run["run_id"], task["run_id"])
    ]
    assert of_run == of_task
    assert of_run["error"] == "ValueError: boom"


async def test_a_run_that_never_started_has_no_output(client: Client) -> None:
    created = await client.post("/api/2.2/jobs/create", json={"tasks": [{"task_key": "a"}]})
    job = (await created.json())["job_id"]
    await submit(client, job_id=job)
    _, skipped = await submit(client, job_id=job)
    response = await client.get("/api/2.2/jobs/runs/get-output", params={"run_id": skipped["run_id"]})
    assert response.status == 400
    assert "never started" in (await response.json())["message"]


async def test_tokens_can_be_replaced(client: Client) -> None:
    await control(client, "tokens", {"tokens": ["new"]})
    assert (await client.get(LIST)).status == 403
    assert (await client.get(LIST, headers={"Authorization": "Bearer new"})).status == 200


async def test_a_body_that_is_no_json_object_is_refused(client: Client) -> None:
    for text in ("{", "[]", "5"):
        response = await client.post(RUN_NOW, data=text)
        assert (response.status, (await response.json())["error_code"]) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("path", ["/api/2.2/jobs/runs/submit", "/api/2.0/jobs/list", "/elsewhere"])
async def test_what_is_not_served_says_so(client: Client, path: str) -> None:
    response = await client.get(path)
    assert (response.status, (await response.json())["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


async def test_a_user_removes_a_run_that_is_over(client: Client) -> None:
    await control(client, "outcomes", {"run_seconds": 0})
    _, run = await submit(client)
    response = await client.post("/api/2.2/jobs/runs/delete", json={"run_id": run["run_id"]})
    assert response.status == 200
    assert (await client.get("/api/2.2/jobs/runs/get", params={"run_id": run["run_id"]})).status == 400


class TestLimits:
    async def test_the_rate_limit_names_a_time_to_wait(self, limited: Client) -> None:
        await submit(limited)
        await submit(limited)
        response = await limited.post(RUN_NOW, json={"job_id": JOB_ID})
        assert response.status == 429
        assert (await response.json())["error_code"] == "RESOURCE_EXHAUSTED"
        assert response.headers["Retry-After"] == "1"
        assert (await limited.get(LIST)).status == 200

    async def test_a_full_workspace_does_not(self, limited: Client) -> None:
        await submit(limited)
        response = await limited.post(RUN_NOW, json={"job_id": JOB_ID})
        body = await response.json()
        assert (response.status, body["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
        assert body["message"] == "There are already 1 active runs (limit: 1)."
        assert "Retry-After" not in response.headers


class TestFaults:
    async def test_a_status_comes_instead_of_the_effect(self, client: Client) -> None:
        body = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}
        fault = {
            "match": "run-now",
            "kind": "status",
            "status": 503,
            "body": body,
            "headers": {"Retry-After": 2},
        }
        await control(client, "faults", {**fault, "times": 1})
        response = await client.post(RUN_NOW, json={"job_id": JOB_ID})
        assert (response.status, await response.json()) == (503, body)
        assert response.headers["Retry-After"] == "2"
        assert (await submit(client))[0] == 200
        assert (await stats(client))["runs_created"] == 1

    async def test_a_body_can_be_plain_text(self, client: Client) -> None:
        await control(client, "faults", {"kind": "status", "status": 502, "body": "<html>"})
        response = await client.get(LIST)
        assert (response.status, await response.text(), response.content_type) == (
            502,
            "<html>",
            "text/plain",
        )

    @pytest.mark.parametrize("name", ["Content-Type", "content-type"])
    async def test_a_body_can_be_of_any_type(self, client: Client, name: str) -> None:
        headers = {name: "application/problem+json"}
        await control(client, "faults", {"kind": "status", "headers": headers, "body": {"a": 1}})
        response = await client.get(LIST)
        assert (response.status, response.content_type) == (503, "application/problem+json")
        assert await response.text() == '{"a": 1}'

    async def test_a_delay_holds_only_the_answer_back(self, client: Client) -> None:
        await control(client, "faults", {"kind": "delay", "seconds": 30})
        answer = asyncio.create_task(submit(client))
        async with asyncio.timeout(10):
            while not (await stats(client))["runs_created"]:
                pass
        assert not answer.done()
        answer.cancel()

    @pytest.mark.parametrize(("kind", "created"), [("drop_before", 0), ("drop_after", 1)])
    async def test_a_dropped_connection(self, client: Client, kind: str, created: int) -> None:
        await control(client, "faults", {"match": "run-now", "kind": kind})
        with pytest.raises(aiohttp.ClientConnectionError):
            await submit(client, idempotency_token="x")
        assert (await stats(client))["runs_created"] == created
        assert (await submit(client, idempotency_token="x"))[0] == 200
        assert (await stats(client))["runs_created"] == 1
        assert (await stats(client))["calls_by_status"] == {"dropped": 1, "200": 1}

    async def test_an_outage_lasts_until_it_is_over_or_cleared(self, client: Client) -> None:
        await control(client, "faults", {"kind": "drop_before", "for_seconds": 600})
        for _ in range(3):
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get(LIST)
        assert (await client.delete("/_sim/faults")).status == 200
        assert (await client.get(LIST)).status == 200

    async def test_control_routes_meet_no_fault(self, client: Client) -> None:
        await control(client, "faults", {"kind": "status", "for_seconds": 600})
        assert (await client.get("/_sim/stats")).status == 200


class TestControl:
    async def test_every_run_is_recorded(self, client: Client) -> None:
        await control(
            client, "outcomes", {"match": {"table_name": "t"}, "run_seconds": 0, "results": ["FAILED"]}
        )
        _, failed = await submit(client, idempotency_token="x", notebook_params={"table_name": "t"})
        _, active = await submit(client, python_params=["a"])
        records = (await (await client.get("/_sim/runs")).json())["runs"]
        assert [record["run_id"] for record in records] == [failed["run_id"], active["run_id"]]
        first, second = records
        assert first["job_id"] == JOB_ID
        assert first["idempotency_token"] == "x"
        assert first["parameters"] == {"table_name": "t"}
        assert (first["life_cycle_state"], first["result_state"]) == ("INTERNAL_ERROR", "FAILED")
        assert first["end_time"] >= first["start_time"]
        assert second["arguments"] == ["a"]
        assert (second["end_time"], second["result_state"], second["idempotency_token"]) == (None, None, None)

    async def test_stats_count(self, client: Client) -> None:
        await control(client, "foreign-runs", {"count": 3, "seconds": 60})
        _, run = await submit(client, idempotency_token="x")
        await submit(client, idempotency_token="x")
        await client.post("/api/2.2/jobs/runs/cancel", json={"run_id": 1})
        assert await stats(client) == {
            "active": 4,
            "max_active": 4,
            "runs_created": 1,
            "by_token": {"x": run["run_id"]},
            "requests": {RUN_NOW: 2, "/api/2.2/jobs/runs/cancel": 1},
            "by_workspace_id": {},
            "calls_by_status": {"200": 2, "400": 1},
        }

    async def test_runs_of_others_are_listed_among_ours(self, client: Client) -> None:
        ids = (await control(client, "foreign-runs", {"count": 2, "seconds": 60}))["run_ids"]
        listed = (await (await client.get(LIST, params={"active_only": "true"})).json())["runs"]
        assert {run["run_id"] for run in listed} == set(ids)

    async def test_a_run_can_be_removed(self, client: Client) -> None:
        await control(client, "outcomes", {"run_seconds": 0})
        _, run = await submit(client)
        assert (await client.delete(f"/_sim/runs/{run['run_id']}")).status == 200
        response = await client.get("/api/2.2/jobs/runs/get", params={"run_id": run["run_id"]})
        assert response.status == 400
        assert (await response.json())["message"] == f"Run {run['run_id']} does not exist."

    async def test_outcomes_can_be_cleared(self, client: Client) -> None:
        await control(client, "outcomes", {"run_seconds": 0})
        assert (await client.delete("/_sim/outcomes")).status == 200
        await submit(client)
        assert (await stats(client))["active"] == 1

    @pytest.mark.parametrize(
        ("route", "body"),
        [
            ("faults", {"kind": "explode"}),
            ("tokens", {"tokens": []}),
            ("tokens", {}),
            ("outcomes", {"results": ["GREAT"]}),
            ("outcomes", {"results": [[]]}),
            ("faults", {"kind": "status", "times": -1}),
            ("foreign-runs", {"count": 0}),
            ("foreign-runs", {"count": "many"}),
        ],
    )
    async def test_a_bad_request_is_refused(self, client: Client, route: str, body: dict[str, Any]) -> None:
        assert (await client.post(f"/_sim/{route}", json=body)).status == 400

    async def test_a_browser_sees_jobs_and_runs_and_no_markup_of_theirs(self, client: Client) -> None:
        task = {"task_key": "main", "notebook_task": {"notebook_path": "/n"}}
        job = {"name": "<script>a & b</script>", "tasks": [task]}
        created = await (await client.post("/api/2.2/jobs/create", json=job)).json()
        _, run = await submit(client, job_id=created["job_id"], notebook_params={"x": "<i>"})
        response = await client.get("/")
        page = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
        assert page.count("<td>&lt;script&gt;a &amp; b&lt;/script&gt;</td>") == 2
        assert "&lt;i&gt;" in page
        assert "<i>" not in page
        assert f'<a href="#job/{created["job_id"]}/run/{run["run_id"]}">{run["run_id"]}</a>' in page
