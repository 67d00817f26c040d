"""Notifications of runs that are over."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from devstack.databricks.options import Options
from devstack.databricks.server import make_app
from devstack.databricks.simulator import Simulator
from tests.devstack.databricks.conftest import JOB_ID

JOBS = "/api/2.2/jobs"


async def test_a_repaired_run_is_told_of_again() -> None:
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        events.put_nowait(await request.json())
        return web.Response()

    receiver = web.Application()
    receiver.router.add_post("/events", receive)
    async with TestServer(receiver) as destination:
        options = Options(
            pending_seconds=0.0,
            run_seconds=0.0,
            jobs=((JOB_ID, "/simulated"),),
            webhook=str(destination.make_url("/events")),
        )
        headers = {"Authorization": "Bearer any"}
        async with TestClient(TestServer(make_app(Simulator(options))), headers=headers) as client:
            await client.post("/_sim/outcomes", json={"results": ["FAILED", "SUCCESS"]})
            answer = await client.post(f"{JOBS}/run-now", json={"job_id": JOB_ID})
            run_id = (await answer.json())["run_id"]
            first = await events.get()
            repair = {"run_id": run_id, "rerun_all_failed_tasks": True}
            assert (await client.post(f"{JOBS}/runs/repair", json=repair)).status == 200
            second = await events.get()
    assert [event["run"]["run_id"] for event in (first, second)] == [run_id, run_id]
    assert [event["event_type"] for event in (first, second)] == ["jobs.on_failure", "jobs.on_success"]
