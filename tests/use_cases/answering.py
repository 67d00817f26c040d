"""The use cases and the real client against a workspace whose answers the test writes, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.core.reports import Known, KnownWorkspace
from orchestrator.usecases.overview import ActiveRuns, Overview
from orchestrator.usecases.refill import Refill
from orchestrator.usecases.run_ended import RunEnded
from tests.databricks.support import ManualClock, Tokens
from tests.fakes import FakeClock
from tests.world import Database, DeliveredUseCases, overview_of, workspace

#: An answer: its status and its body, text as it is. Status 0: the connection is closed without an answer.
Answer = tuple[int, dict[str, Any] | str]

#: 2026-01-01, in milliseconds.
START_MS = 1_767_225_600_000

UNAVAILABLE: Answer = (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "try again"})


def ended(
    code: str | None = None,
    kind: str | None = None,
    *,
    message: str = "",
    end_time: int = START_MS,
    life_cycle: str = "TERMINATED",
    result: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return how ``runs/get`` tells the end of a run; without a code only by the deprecated ``state``."""
    told: dict[str, Any] = {"end_time": end_time, **more}
    if code is not None:
        details = {"code": code, "type": kind, "message": message}
        told["status"] = {"state": "TERMINATED", "termination_details": details}
    if code is None or result is not None:
        told["state"] = {"life_cycle_state": life_cycle, "state_message": message}
        if result is not None:
            told["state"]["result_state"] = result
    return told


def goes_on(state: str = "RUNNING", **more: Any) -> dict[str, Any]:
    """Return how ``runs/get`` and ``runs/list`` show an active run."""
    return {"status": {"state": state}, **more}


@dataclass
class JobsApi:
    """As much of the Jobs API as the tests need. Runs are listed while they are not over."""

    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    by_token: dict[str, int] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)
    #: answers instead of the usual ones, by the end of the path or by ``runs/get/`` and a run's id
    answers: dict[str, Answer] = field(default_factory=dict)
    #: answers by the page's token, by the end of the path
    by_page: dict[str, dict[str | None, Answer]] = field(default_factory=dict)
    #: runs that the list lacks although they are active
    unlisted: set[int] = field(default_factory=set)
    #: raw answers of ``runs/get-output`` by the task's run id
    outputs: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: called before a list is sent
    before_list: Callable[[], Any] | None = None
    calls: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request."""
        call = request.path.removeprefix("/api/2.2/jobs/")
        body = await request.json() if request.method == "POST" else dict(request.query)
        self.calls.append(call)
        for name in (f"{call}/{body.get('run_id')}", call):
            if name in self.by_page:
                status, content = self.by_page[name][body.get("page_token")]
                return web.json_response(content, status=status)
            if name in self.answers:
                return _answer(request, *self.answers[name])
        if call == "runs/list" and self.before_list is not None:
            await self.before_list()
        method = {
            "run-now": self._run_now,
            "get": self._get_job,
            "runs/list": self._list,
            "runs/get": self._get,
            "runs/get-output": self._output,
            "runs/cancel": self._cancel,
            "runs/repair": self._repair,
        }[call]
        return method(body)

    def _run_now(self, body: dict[str, Any]) -> web.Response:
        run_id = self.by_token.setdefault(body["idempotency_token"], 1000 + len(self.by_token))
        self.runs.setdefault(run_id, goes_on())
        return web.json_response({"run_id": run_id})

    def _get_job(self, body: dict[str, Any]) -> web.Response:
        settings = {"name": "load", "max_concurrent_runs": 100}
        return web.json_response({"job_id": int(body["job_id"]), "settings": settings})

    def _list(self, _: dict[str, Any]) -> web.Response:
        active = [
            {"run_id": run_id, "job_id": 5, **run}
            for run_id, run in self.runs.items()
            if "end_time" not in run and run_id not in self.unlisted
        ]
        return web.json_response({"runs": active} if active else {})

    def _get(self, body: dict[str, Any]) -> web.Response:
        run_id = int(body["run_id"])
        if run_id not in self.runs:
            message = f"Run {run_id} does not exist."
            return web.json_response(
                {"error_code": "INVALID_PARAMETER_VALUE", "message": message}, status=400
            )
        return web.json_response({"run_id": run_id, "job_id": 5, **self.runs[run_id]})

    def _output(self, body: dict[str, Any]) -> web.Response:
        return web.json_response(self.outputs.get(int(body["run_id"]), {"metadata": {}}))

    def _repair(self, body: dict[str, Any]) -> web.Response:
        run = self.runs[int(body["run_id"])]
        history = [*run.get("repair_history", []), {"id": 77, "start_time": START_MS + 1}]
        self.runs[int(body["run_id"])] = goes_on(repair_history=history)
        return web.json_response({"repair_id": 77})

    def _cancel(self, body: dict[str, Any]) -> web.Response:
        run_id = int(body["run_id"])
        self.cancelled.append(run_id)
        if run_id in self.runs and "end_time" not in self.runs[run_id]:
            self.runs[run_id] = ended("USER_CANCELED", "CLIENT_ERROR", result="CANCELED")
        return web.json_response({})


def _answer(request: web.Request, status: int, content: dict[str, Any] | str) -> web.Response:
    if status == 0 and request.transport is not None:
        request.transport.close()
    if isinstance(content, str):
        return web.Response(text=content, status=status or 200, content_type="text/html")
    return web.json_response(content, status=status or 200)


@dataclass(kw_only=True)
class AnsweredWorld(DeliveredUseCases):
    """The app and a workspace whose answers the test writes."""

    api: JobsApi
    database: Database

    async def notify(self, run_id: int) -> bool:
        """Report a run as over, as Databricks' notification does."""
        event = RunEnded(
            store=self.store,
            runs=self.runs,
            workspaces=self.workspaces,
            settle=self.make_settle(),
            refill=Refill(trigger=self.make_trigger(), clock=self.clock),
        )
        return await event(run_id)

    async def next_pass(self, seconds: float = 3700) -> None:
        """Let time pass, make a trigger pass and deliver its messages."""
        self.database.pass_time(seconds)
        await self.trigger()
        await self.deliver()


@asynccontextmanager
async def served(api: JobsApi) -> AsyncIterator[str]:
    """Serve a workspace and return its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


@asynccontextmanager
async def answering(folder: Path, api: JobsApi | None = None) -> AsyncIterator[AnsweredWorld]:
    """Serve a workspace and wire the app to it."""
    api = api or JobsApi()
    database = Database(folder)
    async with served(api) as host, aiohttp.ClientSession() as session:
        client = DatabricksClient(host=host, tokens=Tokens(), session=lambda: session, clock=ManualClock())
        world = AnsweredWorld(
            store=Store(Pool(database.connector)),
            runs={"default": client},
            workspaces={"default": workspace(cap=130)},
            api=api,
            database=database,
        )
        yield world
        await world.store.pool.close()


def overview_at(world: AnsweredWorld, host: str) -> Overview:
    """Return the overview of a world whose workspace is at this address in the settings."""
    shown = KnownWorkspace(name="default", host=host, job_id=5, cap=130)
    known = Known(workspaces=(shown,), policy=world.policy, pass_late_seconds=600)
    return overview_of(world, known, ActiveRuns(world.runs, FakeClock()))


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
