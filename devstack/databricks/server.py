"""``python -m devstack databricks``: serve the simulated workspace."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from devstack.databricks.control import ControlApi
from devstack.databricks.errors import ApiError, no_such_endpoint
from devstack.databricks.faults import Fault, Kind
from devstack.databricks.journal import Journal, JournalError, open_journal
from devstack.databricks.oauth import OAuthApi
from devstack.databricks.options import Options, parse_arguments
from devstack.databricks.routes import JobsApi
from devstack.databricks.runs import Output
from devstack.databricks.simulator import Simulator, origin_of
from devstack.processes import READY
from devstack.serving import asked_to_stop, serving

API = "/api/"
OIDC = "/oidc/"

#: An exit value that is asked for may be longer than a workspace keeps.
MAX_BODY_BYTES = 16 * 1024 * 1024

#: Counted in place of a status when the connection was closed without an answer.
DROPPED = "dropped"


def make_app(simulator: Simulator) -> web.Application:
    """The web application of a simulator."""
    app = web.Application(middlewares=_middlewares(simulator), client_max_size=MAX_BODY_BYTES)
    app.add_routes(JobsApi(simulator).routes())
    app.add_routes(OAuthApi(simulator).routes())
    app.add_routes(ControlApi(simulator).routes())
    if simulator.notebooks or simulator.notifier:
        _let_time_pass(app, simulator)
    return app


def _middlewares(simulator: Simulator) -> list[Middleware]:
    """What every request passes, outermost first: counts and faults, wording of errors, bearer check."""

    @web.middleware
    async def count_and_disturb(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith((API, OIDC)):
            return await handler(request)
        simulator.requests[request.path] += 1
        fault = simulator.faults.take(request.path)
        response = await (_disturbed(fault, request, handler) if fault else handler(request))
        dropped = request.transport is None or request.transport.is_closing()
        simulator.answers[DROPPED if dropped else str(response.status)] += 1
        return response

    @web.middleware
    async def word_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return web.json_response(error.body, status=error.status, headers=error.headers)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            unknown = no_such_endpoint(request.method, request.path)
            return web.json_response(unknown.body, status=unknown.status)

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check_caller(simulator, request)
        return await handler(request)

    return [count_and_disturb, word_errors, authenticate]


def _check_caller(simulator: Simulator, request: web.Request) -> None:
    if request.path.startswith((API, OIDC)):
        simulator.check_workspace(request.headers.get("X-Databricks-Workspace-Id", ""))
    if request.path.startswith(API):
        simulator.credentials.check(request.headers.get("Authorization", ""))


async def _disturbed(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    if fault.kind == Kind.STATUS:
        return web.Response(body=fault.payload, status=fault.status, headers=fault.headers)
    response = web.Response() if fault.kind == Kind.DROP_BEFORE else await handler(request)
    if fault.kind == Kind.DELAY:
        await asyncio.sleep(fault.seconds)
    elif request.transport is not None:
        request.transport.abort()
    return response


def _let_time_pass(app: web.Application, simulator: Simulator) -> None:
    """Simulated runs move on when they are looked at; notebooks and notifications come by themselves."""
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
        tasks = [asyncio.create_task(_keep_time(simulator, changed))]
        if simulator.notifier:
            tasks.append(asyncio.create_task(simulator.notifier.send()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if simulator.notebooks:
            await simulator.notebooks.close()

    if simulator.notebooks:
        simulator.notebooks.report_to(attempt_over)
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
    asked = asked_to_stop()
    async with serving(make_app(simulator), port=port) as url:
        print(f"{READY}databricks {url}", flush=True)
        await asked.wait()


def main(argv: Sequence[str]) -> int:
    """Serve until stopped; returns 1 when the journal cannot be used."""
    options, port = parse_arguments(argv)
    try:
        with _journal(options) as journal:
            asyncio.run(serve(Simulator(options, journal), port))
    except JournalError as error:
        print(f"databricks: {error}", file=sys.stderr)
        return 1
    return 0


def _journal(options: Options) -> AbstractContextManager[Journal | None]:
    if options.journal is None:
        return nullcontext()
    return open_journal(options.journal, origin_of(options), any_seed=options.seed is None)
