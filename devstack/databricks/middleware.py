"""What every request passes: counting, faults, the bearer check and the wording of errors."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from devstack.databricks.errors import ApiError
from devstack.databricks.faults import Fault, Kind
from devstack.databricks.simulator import Simulator

API = "/api/"

#: Counted in place of a status when the connection was closed without an answer.
DROPPED = "dropped"


def middlewares(simulator: Simulator) -> list[Middleware]:
    """The chain, outermost first."""

    @web.middleware
    async def count_and_disturb(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API):
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
            message = f"No API found for '{request.method} {request.path}'"
            return web.json_response({"error_code": "ENDPOINT_NOT_FOUND", "message": message}, status=404)

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(API):
            simulator.check_token(request.headers.get("Authorization", ""))
        return await handler(request)

    return [count_and_disturb, word_errors, authenticate]


async def _disturbed(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    if fault.kind == Kind.STATUS:
        if isinstance(fault.body, str):
            return web.Response(text=fault.body, status=fault.status, headers=fault.headers)
        return web.json_response(fault.body, status=fault.status, headers=fault.headers)
    response = web.Response() if fault.kind == Kind.DROP_BEFORE else await handler(request)
    if fault.kind == Kind.DELAY:
        await asyncio.sleep(fault.seconds)
    elif request.transport is not None:
        request.transport.abort()
    return response
