"""A workspace that answers as fast as it can, or after a time that is given: what the benchmarks submit to.

``python -m benchmarks.databricks_server``: a process of its own. It checks nothing and forgets nothing; the
simulator of the local stack is the one that behaves as Databricks does.
"""

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from devstack import processes
from devstack.processes import end_with_parent

NAME = "databricks-server"
ROOT = Path(__file__).parent.parent

#: Runs on a page of ``runs/list``, as the app asks for.
PAGE = 24


@dataclass
class Seen:
    """What the server has seen of ``run-now`` since it was told to begin again."""

    calls: int = 0
    at_once: int = 0
    most_at_once: int = 0
    first: float = 0.0
    last: float = 0.0

    def begin(self) -> None:
        """Note a call."""
        self.first = self.first if self.calls else time.perf_counter()
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

    def end(self) -> None:
        """Note its answer."""
        self.at_once -= 1
        self.last = time.perf_counter()


class Workspace:
    """Answers the calls that the app and the others make."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._seconds = 0.0
        self._seen = Seen()
        self._runs: dict[str, int] = {}
        #: calls of runs/list and runs/get
        self._looks = 0

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses that are served."""
        return [
            web.post("/api/{version}/jobs/run-now", self._run_now),
            web.get("/api/{version}/jobs/runs/list", self._list),
            web.get("/api/{version}/jobs/runs/get", self._get),
            web.get("/api/{version}/jobs/get", self._job),
            web.put("/benchmark", self._begin),
            web.get("/benchmark", self._report),
        ]

    async def _run_now(self, request: web.Request) -> web.Response:
        self._seen.begin()
        token = (await request.json()).get("idempotency_token", "")
        run_id = self._runs.setdefault(token, next(self._ids))
        if self._seconds:
            await asyncio.sleep(self._seconds)
        self._seen.end()
        return web.json_response({"run_id": run_id, "number_in_job": run_id})

    async def _list(self, request: web.Request) -> web.Response:
        self._looks += 1
        await asyncio.sleep(self._seconds)
        begin = int(request.query.get("page_token", "0"))
        ids = list(self._runs.values())[begin : begin + PAGE]
        answer: dict[str, Any] = {"runs": [_run(each) for each in ids]} if ids else {}
        if begin + PAGE < len(self._runs):
            answer |= {"has_more": True, "next_page_token": str(begin + PAGE)}
        return web.json_response(answer)

    async def _get(self, request: web.Request) -> web.Response:
        self._looks += 1
        await asyncio.sleep(self._seconds)
        return web.json_response(_run(int(request.query["run_id"])))

    async def _job(self, request: web.Request) -> web.Response:
        settings = {"name": "benchmark", "max_concurrent_runs": 1000, "queue": {"enabled": True}}
        return web.json_response({"job_id": int(request.query["job_id"]), "settings": settings})

    async def _begin(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self._seconds = float(wanted["seconds"])
        self._seen, self._looks = Seen(), 0
        if not wanted["keep_runs"]:
            self._ids, self._runs = itertools.count(1), {}
        return web.json_response({})

    async def _report(self, request: web.Request) -> web.Response:  # noqa: ARG002
        seen = self._seen
        return web.json_response(
            {
                "calls": seen.calls,
                "runs": len(self._runs),
                "at_once": seen.at_once,
                "most_at_once": seen.most_at_once,
                "first": seen.first,
                "last": seen.last,
                "looks": self._looks,
            }
        )


def _run(run_id: int) -> dict[str, Any]:
    state = {"life_cycle_state": "RUNNING", "state_message": ""}
    return {"run_id": run_id, "job_id": 1, "state": state, "status": {"state": "RUNNING"}, "start_time": 1}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the server saw of a measurement."""

    calls: int
    #: distinct tokens
    runs: int
    #: calls that have no answer yet
    at_once: int
    most_at_once: int
    #: of the first call and of the last answer, by the machine's monotonic clock, which all processes share
    first: float
    last: float
    #: calls of runs/list and runs/get
    looks: int

    @property
    def seconds(self) -> float:
        """From the first call to the last answer."""
        return self.last - self.first


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    url: str

    async def begin(self, seconds: float, *, keep_runs: bool = False) -> None:
        """Forget what was seen; answer after this time from now on."""
        wanted = {"seconds": seconds, "keep_runs": keep_runs}
        async with aiohttp.ClientSession() as session:
            response = await session.put(f"{self.url}/benchmark", json=wanted)
            response.raise_for_status()

    async def report(self) -> Report:
        """Return what was seen since then."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/benchmark") as response:
            return Report(**await response.json())


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Run the server in a process of its own for the time of the block.

    :param folder: for its log.
    """
    command = [sys.executable, "-m", "benchmarks.databricks_server"]
    process = processes.start(NAME, command, log=folder / f"{NAME}.log", cwd=ROOT)
    try:
        yield Server(url=process.url)
    finally:
        process.stop()


async def _serve() -> None:
    application = web.Application()
    application.add_routes(Workspace().routes())
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(host, port)] = runner.addresses
    print(f"{processes.READY}{NAME} http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the parent ends."""
    end_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())


if __name__ == "__main__":
    main()
