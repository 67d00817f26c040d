"""The host's HTTP side: the app's routes, and running a function by hand."""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence

import azure.functions as func
from aiohttp import web

from devstack.host.indexing import Function, HttpTrigger, TimerTrigger
from devstack.host.invocation import Invoker, Outcome
from devstack.host.settings import body_limit
from devstack.host.timers import timer_request

logger = logging.getLogger("Host.Http")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebFrontEnd:
    """Answers for the HTTP functions, ``POST /admin/functions/NAME`` and ``GET /admin/host/status``.

    :param home: where the root leads to; None = there is nothing, unless a function has that route.
    """

    def __init__(self, functions: Sequence[Function], invoker: Invoker, *, home: str | None = None) -> None:
        self._functions = {function.name: function for function in functions}
        self._invoker = invoker
        self._home = home
        self._invocations: set[asyncio.Task[Outcome]] = set()
        self._is_stopping = False

    def application(self) -> web.Application:
        """Return the aiohttp application. :raises HostError: a setting is wrong."""
        application = web.Application(client_max_size=body_limit(os.environ), middlewares=[self._refuse])
        application.router.add_post("/admin/functions/{name}", self._run_by_hand)
        application.router.add_get("/admin/host/status", self._status)
        for function in self._functions.values():
            if isinstance(function.trigger, HttpTrigger):
                self._add_route(application, function, function.trigger)
        if self._home is not None:
            application.router.add_get("/", self._lead_home)
        return application

    async def drain(self, stop: asyncio.Event) -> None:
        """After the stop, refuse every request and wait for the invocations under way."""
        await stop.wait()
        self._is_stopping = True
        if self._invocations:
            await asyncio.wait(set(self._invocations))

    def _add_route(self, application: web.Application, function: Function, trigger: HttpTrigger) -> None:
        for path in trigger.route.paths:
            for method in trigger.route.methods or {"*"}:
                application.router.add_route(method, path, self._route_handler(function))

    async def _lead_home(self, _request: web.Request) -> web.Response:
        raise web.HTTPFound(self._home or "/")

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer as the real host does: 503 while it stops, 404 for a method that a route does not take."""
        if self._is_stopping:
            return web.Response(status=503, text="the host is stopping")
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            # A wrong method is 404, too: https://github.com/Azure/azure-functions-host/issues/10098
            return web.Response(status=404)

    async def _status(self, _request: web.Request) -> web.Response:
        """Say that the host runs, as Core Tools do: it answers no earlier than that."""
        return web.json_response({"state": "Running"})

    async def _run_by_hand(self, request: web.Request) -> web.Response:
        function = self._functions.get(request.match_info["name"])
        if function is None:
            return web.Response(status=404, text="there is no such function")
        if isinstance(function.trigger, HttpTrigger):
            return web.Response(status=400, text="call an HTTP function by its route")
        try:
            body = _input(await request.read())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        is_timer = isinstance(function.trigger, TimerTrigger)
        argument = timer_request() if is_timer else func.QueueMessage(id="", body=body)
        self._start(function, argument)
        return web.Response(status=202)

    def _start(self, function: Function, argument: object) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(self._invoker.invoke(function, argument))
        self._invocations.add(task)
        task.add_done_callback(self._invocations.discard)
        return task

    def _route_handler(self, function: Function) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            outcome = await self._start(function, await _function_request(request))
            if outcome.stopped:
                return web.Response(status=503, text="the host is stopping")
            if outcome.error is not None:
                return web.Response(status=500)
            try:
                return _web_response(outcome.value)
            except TypeError:
                logger.exception("the answer of function %s cannot be sent", function.name)
                return web.Response(status=500)

        return handle


def _input(body: bytes) -> bytes:
    """Return the input in a request to run a function. :raises ValueError: the body is not of that form."""
    content = json.loads(body)
    text = content.get("input", "") if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise ValueError('the body must be {"input": "…"}')  # noqa: TRY004  (a wrong request, not a wrong type)
    return text.encode()


async def _function_request(request: web.Request) -> func.HttpRequest:
    return func.HttpRequest(
        request.method,
        str(request.url),
        headers=request.headers,
        params=request.query,
        route_params=dict(request.match_info),
        body=await request.read(),
    )


def _web_response(value: object) -> web.Response:
    """Return the response that a function's result stands for. :raises TypeError: it stands for none."""
    if value is None:
        return web.Response(status=204)
    if isinstance(value, str):
        return web.Response(text=value)
    if not isinstance(value, func.HttpResponse):
        raise TypeError(f"a function returns an HttpResponse or a str, not {type(value).__name__}")
    response = web.Response(status=value.status_code, body=value.get_body())
    is_text = value.mimetype.startswith("text/")
    response.headers["Content-Type"] = (
        f"{value.mimetype}; charset={value.charset}" if is_text else value.mimetype
    )
    for name in dict.fromkeys(value.headers.keys()):
        response.headers.popall(name, None)
    for name, content in value.headers.items():
        response.headers.add(name, content)
    return response
