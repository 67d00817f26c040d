"""``python -m devstack databricks``: serve the simulated workspace."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler

from devstack.databricks.control import ControlApi
from devstack.databricks.middleware import middlewares
from devstack.databricks.notebooks import NotebookRunner
from devstack.databricks.options import parse_arguments
from devstack.databricks.routes import JobsApi
from devstack.databricks.runs import Output
from devstack.databricks.simulator import Simulator

HOST = "127.0.0.1"

#: How long answers under way may take at the end.
SHUTDOWN_SECONDS = 2.0


def make_app(simulator: Simulator) -> web.Application:
    """The web application of a simulator."""
    app = web.Application(middlewares=middlewares(simulator))
    app.add_routes(JobsApi(simulator).routes())
    app.add_routes(ControlApi(simulator).routes())
    if simulator.notebooks:
        _run_notebooks(app, simulator, simulator.notebooks)
    return app


def _run_notebooks(app: web.Application, simulator: Simulator, notebooks: NotebookRunner) -> None:
    """Simulated runs move on when they are looked at; notebooks have to start by themselves."""
    changed = asyncio.Event()

    @web.middleware
    async def notice_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        changed.set()
        return response

    def attempt_over(attempt_id: int, result: str, output: Output) -> None:
        simulator.workspace.attempt_over(attempt_id, result, output)
        changed.set()

    async def keep_time(_app: web.Application) -> AsyncIterator[None]:
        timekeeper = asyncio.create_task(_keep_time(simulator, changed))
        yield
        timekeeper.cancel()
        await asyncio.gather(timekeeper, return_exceptions=True)
        await notebooks.close()

    notebooks.report_to(attempt_over)
    app.middlewares.append(notice_requests)
    app.cleanup_ctx.append(keep_time)


async def _keep_time(simulator: Simulator, changed: asyncio.Event) -> None:
    """Let things happen at their time, until cancelled."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(simulator.workspace.seconds_to_next()):
                await changed.wait()
        changed.clear()


async def serve(simulator: Simulator, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Prints the ready line."""
    runner = web.AppRunner(make_app(simulator), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"ready databricks http://{HOST}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main(argv: Sequence[str]) -> int:
    """Serve until stopped."""
    options, port = parse_arguments(argv)
    asyncio.run(serve(Simulator(options), port))
    return 0
