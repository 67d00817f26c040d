"""The blueprint: every route of the API, its method and its level of authorization, in one table."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import azure.functions as func

from orchestrator import bootstrap
from orchestrator.core.errors import OrchestratorError
from orchestrator.web import api, functions, problems
from orchestrator.web.api import Api
from orchestrator.web.http import Answer, Call, query_of, told
from orchestrator.web.limits import Rate, TokenBucket
from orchestrator.web.problems import Problem

#: A call that takes longer is given up; Azure's own limit is 230 s.
CALL_SECONDS = 30.0

#: Calls at once on an instance. More are refused, so that the API never crowds out the app's own work.
MAX_CALLS = 20

#: Calls that change something, on an instance. One row a call makes 36,000 rows an hour, more than three
#: workspaces start (10,000 runs an hour each); the burst, posted row by row, is what one call may insert.
CHANGES = Rate(per_second=10, burst=1000)

#: All other calls, on an instance. A dashboard asks five times each 10 s: sixty people may look.
READS = Rate(per_second=30, burst=300)

#: Gives the API, which is made when it is needed first.
Provider = Callable[[], Api]

Work = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One HTTP function."""

    #: of the function, as Azure lists it
    name: str
    method: str
    #: below ``/api/``
    path: str
    work: Callable[[Provider, Call], Awaitable[Answer]]


@functools.cache
def _api() -> Api:
    """The process's API, made at the first call. :raises SettingsError: the settings cannot be used."""
    return Api(bootstrap.application())


def _of_api(
    method: Callable[[Api, Call], Awaitable[Answer]],
) -> Callable[[Provider, Call], Awaitable[Answer]]:
    async def work(provider: Provider, call: Call) -> Answer:
        return await method(provider(), call)

    return work


async def _health(provider: Provider, call: Call) -> Answer:
    try:
        return await provider().health(call)
    except OrchestratorError as error:
        return api.ill([str(error)])


async def _openapi(_provider: Provider, _call: Call) -> Answer:
    return api.openapi()


async def _dashboard(_provider: Provider, _call: Call) -> Answer:
    return api.dashboard_page()


ROUTES = (
    Route(name="api_status", method="GET", path="status", work=_of_api(Api.status)),
    Route(name="api_health", method="GET", path="health", work=_health),
    Route(name="api_entries", method="GET", path="entries", work=_of_api(Api.entries)),
    Route(name="api_entry", method="GET", path="entries/{id}", work=_of_api(Api.entry)),
    Route(name="api_add", method="POST", path="entries", work=_of_api(Api.add)),
    Route(name="api_retry", method="POST", path="entries/{id}/retry", work=_of_api(Api.retry)),
    Route(name="api_cancel", method="POST", path="entries/{id}/cancel", work=_of_api(Api.cancel)),
    Route(name="api_retry_many", method="POST", path="retry", work=_of_api(Api.retry_many)),
    Route(name="api_cancel_many", method="POST", path="cancel", work=_of_api(Api.cancel_many)),
    Route(name="api_trigger", method="POST", path="trigger", work=_of_api(Api.trigger)),
    Route(name="api_waiting", method="GET", path="waiting", work=_of_api(Api.waiting)),
    Route(name="api_history", method="GET", path="history", work=_of_api(Api.history)),
    Route(name="api_tables", method="GET", path="tables", work=_of_api(Api.tables)),
    Route(name="api_openapi", method="GET", path="openapi.json", work=_openapi),
    Route(name="dashboard", method="GET", path="dashboard", work=_dashboard),
)


class Door:
    """Lets so many calls in at once and in a time, ends them in time, and turns errors into answers."""

    def __init__(
        self,
        *,
        most: int = MAX_CALLS,
        seconds: float = CALL_SECONDS,
        reads: Rate = READS,
        changes: Rate = CHANGES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._reads = TokenBucket(reads, monotonic)
        self._changes = TokenBucket(changes, monotonic)
        self._inside = 0

    async def answer(self, work: Work, request: func.HttpRequest) -> Answer:
        """Do the work. An error that nobody foresaw is raised: the host answers 500 without its text."""
        try:
            return await self._bounded(work, _call(request))
        except Exception as error:
            problem = problems.of(error, changes=request.method != "GET")
            if problem is None:
                raise
            return told(problem)

    async def _bounded(self, work: Work, call: Call) -> Answer:
        self._admit(call)
        self._inside += 1
        try:
            async with asyncio.timeout(self._seconds):
                return await work(call)
        finally:
            self._inside -= 1

    def _admit(self, call: Call) -> None:
        """Count a call. :raises Problem: it is one too many."""
        if self._inside >= self._most:
            raise problems.too_many("too many calls at once", retry_after_seconds=1)
        if call.method == "GET":
            wait, what = self._reads.take(), "too many calls"
        else:
            wait, what = self._changes.take(), "too many changes: one call may be for many rows"
        if wait:
            raise problems.too_many(what, retry_after_seconds=wait)


def _call(request: func.HttpRequest) -> Call:
    headers = functions.headers_of(request)
    if request.method != "GET" and headers.get("sec-fetch-site") == "cross-site":
        # A browser says so of another site's page, which must not act for the person who looks at it.
        raise Problem(HTTPStatus.FORBIDDEN, "call this from the app's own pages")
    return Call(
        method=request.method,
        route=request.route_params,
        query=query_of(request.url),
        headers=headers,
        body=request.get_body(),
    )


def register(blueprint: func.Blueprint, route: Route, door: Door) -> None:
    """Add a route's function to a blueprint."""

    async def handle(req: func.HttpRequest) -> func.HttpResponse:
        return functions.response(await door.answer(functools.partial(route.work, _api), req))

    added = blueprint.route(
        route=route.path, methods=[route.method], auth_level=func.AuthLevel.FUNCTION, trigger_arg_name="req"
    )(handle)
    blueprint.function_name(route.name)(added)


def make_blueprint(door: Door | None = None) -> func.Blueprint:
    """Return the API as functions.

    :param door: has the bounds; the usual ones without it.
    """
    made: func.Blueprint = func.Blueprint()  # type: ignore[no-untyped-call] # Microsoft left it untyped
    door = door or Door()
    for route in ROUTES:
        register(made, route, door)
    return made
