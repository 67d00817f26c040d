"""The host against a Databricks server that is not our simulator, given only its address and a token.

This one speaks the newer half of the API alone (``status``, no ``state``) and pages one run at a time.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from devstack import processes
from tests.conftest import ROOT, Azurite
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(100)]

TOKEN = "their-token"


@dataclass
class OtherServer:
    """As little of the Jobs API as a run needs, written from its documentation alone."""

    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    looks: dict[int, int] = field(default_factory=dict)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/api/2.2/jobs/run-now", self.run_now)
        app.router.add_get("/api/2.2/jobs/runs/list", self.list_runs)
        app.router.add_get("/api/2.2/jobs/runs/get", self.get_run)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def run_now(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        body = await request.json()
        for run_id, run in self.runs.items():
            if run["idempotency_token"] == body["idempotency_token"]:
                return web.json_response({"run_id": run_id})
        run_id = 10**14 + len(self.runs)
        self.runs[run_id] = body
        return web.json_response({"run_id": run_id, "number_in_job": run_id})

    async def list_runs(self, request: web.Request) -> web.Response:
        active = [run_id for run_id in self.runs if self.looks.get(run_id, 0) < 2]
        for run_id in active:
            self.looks[run_id] = self.looks.get(run_id, 0) + 1
        start = int(request.query.get("page_token", 0))
        page: dict[str, Any] = {"has_more": start + 1 < len(active)}
        if start < len(active):
            page["runs"] = [{"run_id": active[start], "status": {"state": "RUNNING"}}]
        if page["has_more"]:
            page["next_page_token"] = str(start + 1)
        return web.json_response(page)

    async def get_run(self, request: web.Request) -> web.Response:
        run_id = int(request.query["run_id"])
        details = {"code": "SUCCESS", "type": "SUCCESS", "message": ""}
        status = {"state": "TERMINATED", "termination_details": details}
        return web.json_response({"run_id": run_id, "job_id": 1, "status": status})


def _command(folder: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        timeout=30,
        check=True,
    )


async def test_host_needs_only_address_and_token(stack: Stack, azurite: Azurite) -> None:
    shutil.copy(ROOT / "local.settings.sample.json", stack.folder / "local.settings.json")
    path = stack.folder / "local.settings.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    # The sample names Azurite's usual ports and schedules for people; this machine's tests have their own.
    settings["Values"] |= {
        "AzureWebJobsStorage": azurite.connection_string,
        "SUBMIT_QUEUE_NAME": stack.queue_name,
        "TRIGGER_SCHEDULE": "* * * * * *",
        "MONITOR_SCHEDULE": "* * * * * *",
        "STATE_DB": str(stack.database),
    }
    path.write_text(json.dumps(settings), encoding="utf-8")
    _command(stack.folder, "init-db")
    for table in ("sales", "orders", "customers"):
        _command(stack.folder, "add", table)
    server = OtherServer()
    async with server.serve() as url:
        host = processes.start(
            "host",
            [sys.executable, "-m", "devstack", "host", "--app", str(stack.folder), "--port", "0"],
            log=stack.folder / "host.log",
            env={"DATABRICKS_HOST": url, "DATABRICKS_TOKEN": TOKEN},
            cwd=ROOT,
        )
        stack.processes.append(host)
        await stack.until_all_ended(40)
        host.stop()
    assert stack.count("DONE") == 3
    assert sorted(run["notebook_params"]["table_name"] for run in server.runs.values()) == [
        "customers",
        "orders",
        "sales",
    ]
