"""``POST /api/databricks-events``: a notification of a Databricks job, sent when one of its runs is over.

Databricks signs nothing, but sends a user name and a password with each call (a notification destination of
the kind Webhook): the password is the setting ``EVENTS_SECRET``. Of the body only the run's id is read.
"""

import base64
import binascii
import functools
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import azure.functions as func

from orchestrator.core.errors import OrchestratorError
from orchestrator.web.http import (
    Problem,
    Request,
    Response,
    from_azure,
    json_object,
    json_response,
    not_found,
    render_problem,
    to_azure,
    too_large,
    unavailable,
)
from orchestrator.web.limits import Limiter, Rate, Rates
from orchestrator.web.routes import Route
from orchestrator.web.tally import Tally

_logger = logging.getLogger(__name__)

ROUTE = Route(name="databricks_events", method="POST", path="databricks-events", handler="handle")

#: A notification has some 500 bytes, including the names of a job and a workspace.
_MAX_BODY_BYTES = 16 * 1024

#: Events handled at once on an instance; the rest is refused and may come later, or is left to the next pass.
_MAX_AT_ONCE = 10

_EVENT = "events"


class NotificationHandler:
    """Handles Databricks' notifications, within limits.

    Wrong passwords take nothing from the limits: otherwise a stranger who guesses would keep Databricks' own
    notifications out, and a random secret of the least length cannot be guessed. The log has them in sums.

    :param secret: the password; None = events are not taken.
    :param finish: looks at a run and says whether its entry was finished.
    :param refusals: counts the calls without the password.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        finish: Callable[[int], Awaitable[bool]],
        events: Rate = Rates.EVENTS,
        monotonic: Callable[[], float] = time.monotonic,
        refusals: Tally | None = None,
    ) -> None:
        self._refusals = refusals or Tally(_logger)
        self._secret = secret
        self._finish = finish
        self._limiter = Limiter(
            _EVENT,
            at_once=_MAX_AT_ONCE,
            retry_after_seconds=10,
            rates={_EVENT: events},
            monotonic=monotonic,
        )

    def refusal(self, head: Request) -> Response | None:
        """Return the response to a request that is refused before its body is read; None = it is not.

        :param head: the request; its body is not looked at.
        """
        try:
            self._check_password(head)
        except Problem as problem:
            self._refusals.add(f"event: {problem.detail}")
            return render_problem(problem)
        length = head.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > _MAX_BODY_BYTES:
            return render_problem(too_large(_MAX_BODY_BYTES))
        return None

    async def handle(self, request: Request) -> Response:
        """Handle one notification."""
        from orchestrator.web.schemas import NotificationResult

        refused = self.refusal(request)
        if refused is not None:
            return refused
        try:
            run_id = _run_id(request.body)
            with self._limiter.admit(_EVENT):
                finished = await self._finish(run_id)
        except Problem as problem:
            _logger.info("event: %s", problem.detail)
            return render_problem(problem)
        except (OrchestratorError, TimeoutError) as error:
            _logger.warning("event: %s", error or "no result in time")
            return _not_now()
        return json_response(NotificationResult(finished=finished))

    def _check_password(self, request: Request) -> None:
        """:raises Problem: the password is not the secret."""
        if self._secret is None:
            raise not_found("events are not taken: the app has no EVENTS_SECRET")
        if not _is_password(request.headers.get("authorization", ""), self._secret):
            challenge = {"WWW-Authenticate": 'Basic realm="databricks-events"'}
            raise Problem(HTTPStatus.UNAUTHORIZED, "the password is not EVENTS_SECRET", challenge)


def _not_now() -> Response:
    """Return a 503 that says no more: who calls here has no key, and details name hosts and workspaces."""
    return render_problem(unavailable("it could not be done now; the next pass does it"))


def _is_password(authorization: str, secret: str) -> bool:
    """Say whether this is HTTP's basic authentication with the secret as the password, in constant time."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    _user, _, password = decoded.partition(b":")
    return hmac.compare_digest(password, secret.encode())


def _run_id(body: bytes) -> int:
    """Return the run's id in ``{"run": {"run_id": …}}``. :raises Problem: it is too large, or has none."""
    from orchestrator.web.schemas import Notification
    from orchestrator.web.validation import read_json

    if len(body) > _MAX_BODY_BYTES:
        raise too_large(_MAX_BODY_BYTES)
    return read_json(json_object(body), Notification).run.run_id


def make_blueprint(handler: Callable[[], NotificationHandler] | None = None) -> func.Blueprint:
    """Return the route as a function. Its own shared secret replaces a function key.

    :param handler: gives what handles notifications; without it, that of the process's application.
    """
    blueprint: func.Blueprint = func.Blueprint()  # type: ignore[no-untyped-call] # Microsoft left it untyped
    handler_of = handler or functools.cache(_handler)
    unusable = Tally(_logger)

    async def databricks_events(req: func.HttpRequest) -> func.HttpResponse:
        """Finish a run's entry at once."""
        try:
            found = handler_of()
        except OrchestratorError as error:
            unusable.add(f"event: {error}")
            return to_azure(_not_now())
        refused = found.refusal(from_azure(req, body=False))
        return to_azure(refused or await found.handle(from_azure(req)))

    added = blueprint.route(route=ROUTE.path, methods=[ROUTE.method], auth_level=func.AuthLevel.ANONYMOUS)
    blueprint.function_name(ROUTE.name)(added(databricks_events))
    return blueprint


def _handler() -> NotificationHandler:
    from orchestrator import bootstrap

    app = bootstrap.application()
    return NotificationHandler(secret=app.settings.events_secret, finish=app.run_ended)
