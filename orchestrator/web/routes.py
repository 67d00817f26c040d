"""The table of the API's routes, and their registration with Azure Functions.

What the routes do, and the packages that it takes, are imported by the first request: timer and queue
functions never pay for them.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import azure.functions as func

from orchestrator.web.http import (
    Problem,
    Request,
    Response,
    from_azure,
    problem_of,
    render_problem,
    to_azure,
)
from orchestrator.web.limits import Limiter, Rate, Rates

if TYPE_CHECKING:
    from orchestrator.web.api import Api

#: A request that takes longer is given up; Azure's own limit is 230 s.
_REQUEST_SECONDS = 30.0

#: Requests at once on an instance. More are refused, so that the API never crowds out the app's own work.
_MAX_AT_ONCE = 20

_READ, _CHANGE = "calls", "changes (one call may change many entries)"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One HTTP function."""

    #: of the function, as Azure lists it
    name: str
    method: str
    #: below ``/api/``
    path: str
    #: name of the method that serves it; of :class:`~orchestrator.web.api.Api` for all :data:`ROUTES`
    handler: str


ROUTES = (
    Route(name="api_status", method="GET", path="status", handler="status"),
    Route(name="api_health", method="GET", path="health", handler="health"),
    Route(name="api_check", method="GET", path="check", handler="check"),
    Route(name="api_entries", method="GET", path="entries", handler="entries"),
    Route(name="api_entry", method="GET", path="entries/{id}", handler="entry"),
    Route(name="api_add", method="POST", path="entries", handler="add"),
    Route(name="api_retry", method="POST", path="entries/{id}/retry", handler="retry"),
    Route(name="api_cancel", method="POST", path="entries/{id}/cancel", handler="cancel"),
    Route(name="api_resolve", method="POST", path="entries/{id}/resolve", handler="resolve"),
    Route(name="api_retry_many", method="POST", path="retry", handler="retry_many"),
    Route(name="api_cancel_many", method="POST", path="cancel", handler="cancel_many"),
    Route(name="api_resolve_many", method="POST", path="resolve", handler="resolve_many"),
    Route(name="api_trigger", method="POST", path="trigger", handler="trigger"),
    Route(name="api_waiting", method="GET", path="waiting", handler="waiting"),
    Route(name="api_history", method="GET", path="history", handler="history"),
    Route(name="api_tables", method="GET", path="tables", handler="tables"),
    Route(name="api_openapi", method="GET", path="openapi.json", handler="openapi"),
    Route(name="dashboard", method="GET", path="dashboard", handler="dashboard"),
)


@functools.cache
def _api() -> "Api":
    """Return the process's API."""
    from orchestrator import bootstrap
    from orchestrator.web.api import Api

    return Api(bootstrap.application)


class Server:
    """Serves requests: within limits, in time, and with every foreseen error as a problem.

    :param api: gives the API that serves them; without it, that of the process's application.
    """

    def __init__(
        self,
        api: "Callable[[], Api]" = _api,
        *,
        at_once: int = _MAX_AT_ONCE,
        seconds: float = _REQUEST_SECONDS,
        reads: Rate = Rates.READS,
        changes: Rate = Rates.CHANGES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._seconds = seconds
        self._limiter = Limiter(
            "calls",
            at_once=at_once,
            retry_after_seconds=1,
            rates={_READ: reads, _CHANGE: changes},
            monotonic=monotonic,
        )

    async def serve(self, route: Route, request: Request) -> Response:
        """Serve a request. An unforeseen error is raised: the host answers 500 without its text."""
        changes = request.method != "GET"
        try:
            _refuse_other_sites(request)
            readable = request.with_query()
            with self._limiter.admit(_CHANGE if changes else _READ):
                async with asyncio.timeout(self._seconds):
                    handle: Callable[[Request], Awaitable[Response]] = getattr(self._api(), route.handler)
                    return await handle(readable)
        except Exception as error:
            problem = problem_of(error, changes=changes)
            if problem is None:
                raise
            return render_problem(problem)


def _refuse_other_sites(request: Request) -> None:
    """Refuse changes that a browser sends from another site's page."""
    if request.method != "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        raise Problem(HTTPStatus.FORBIDDEN, "call this from the app's own pages")


def make_blueprint(server: Server | None = None) -> func.Blueprint:
    """Return the API as functions.

    :param server: serves the requests; one with the usual limits without it.
    """
    blueprint: func.Blueprint = func.Blueprint()  # type: ignore[no-untyped-call] # Microsoft left it untyped
    server = server or Server()
    for route in ROUTES:
        _register(blueprint, route, server)
    return blueprint


def _register(blueprint: func.Blueprint, route: Route, server: Server) -> None:
    async def handle(req: func.HttpRequest) -> func.HttpResponse:
        return to_azure(await server.serve(route, from_azure(req)))

    added = blueprint.route(
        route=route.path, methods=[route.method], auth_level=func.AuthLevel.FUNCTION, trigger_arg_name="req"
    )(handle)
    blueprint.function_name(route.name)(added)
