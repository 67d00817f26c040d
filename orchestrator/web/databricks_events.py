"""``POST /api/databricks-events``: a notification of a Databricks job, sent when one of its runs is over.

Databricks signs nothing, but sends a user name and a password with each call (a notification destination of
the kind Webhook): the password is the setting ``EVENTS_SECRET``. Of the body only the run's id is read.
"""

import base64
import binascii
import functools
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import azure.functions as func

from orchestrator import bootstrap
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.numbers import MAX_ID, whole
from orchestrator.web import functions, problems
from orchestrator.web.http import Answer, answer, told
from orchestrator.web.limits import Rate, TokenBucket
from orchestrator.web.problems import Problem

logger = logging.getLogger(__name__)

#: A notification has some 500 bytes, a job's and a workspace's names included.
MAX_BODY_BYTES = 16 * 1024

#: Events that are looked at at once on an instance; the rest is told to come later, or left to the next pass.
MAX_AT_ONCE = 10

#: Events with the password, on an instance. A workspace starts 10,000 runs an hour, three a second, and sends
#: a notification of each; all runs of two workspaces (130 each by default) may end at once.
EVENTS = Rate(per_second=10, burst=300)


class EventDesk:
    """Takes events: so many at once, and so many in a time.

    Wrong passwords are not counted: with a bound on them, a stranger who guesses would keep Databricks' own
    notifications out, and a random secret of the least length stands far longer than any guessing.

    :param secret: the password; None = events are not taken.
    :param finish: looks at a run and says whether its row was finished.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        finish: Callable[[int], Awaitable[bool]],
        events: Rate = EVENTS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = secret
        self._finish = finish
        self._events = TokenBucket(events, monotonic)
        self._under_way = 0

    async def __call__(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take one event.

        :param headers: by name in lower case.
        """
        try:
            self._admit(headers)
            return answer({"finished": await self._bounded(_run_id(body))})
        except Problem as problem:
            logger.info("event: %s", problem.detail)
            return told(problem)
        except (OrchestratorError, TimeoutError) as error:
            return _unable(error)

    def _admit(self, headers: Mapping[str, str]) -> None:
        """Check the password. :raises Problem: it is not the secret."""
        if self._secret is None:
            raise problems.not_found("events are not taken: EVENTS_SECRET is not set")
        if not _is_password(headers.get("authorization", ""), self._secret):
            challenge = {"WWW-Authenticate": 'Basic realm="databricks-events"'}
            raise Problem(HTTPStatus.UNAUTHORIZED, "the password is not EVENTS_SECRET", challenge)

    async def _bounded(self, run_id: int) -> bool:
        if self._under_way >= MAX_AT_ONCE:
            raise problems.too_many("too many events at once", retry_after_seconds=10)
        wait = self._events.take()
        if wait:
            raise problems.too_many("too many events", retry_after_seconds=wait)
        self._under_way += 1
        try:
            return await self._finish(run_id)
        finally:
            self._under_way -= 1


def _unable(error: OrchestratorError | TimeoutError) -> Answer:
    problem = problems.of(error) or problems.unavailable("it could not be done now")
    logger.warning("event: %s", problem.detail)
    return told(problem)


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
    if len(body) > MAX_BODY_BYTES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BODY_BYTES // 1024} KB")
    try:
        content = json.loads(body)
        run_id = content["run"]["run_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise problems.bad_request("the body is no notification of a job: it has no run.run_id") from None
    try:
        return whole(run_id, least=1, most=MAX_ID)
    except ValueError as error:
        raise problems.bad_request(f"$.run.run_id {error}") from None


def make_blueprint(desk: Callable[[], EventDesk] | None = None) -> func.Blueprint:
    """Return the route as a function. Its own shared secret stands in place of a function key.

    :param desk: gives what takes the events; the process's application does without it.
    """
    made: func.Blueprint = func.Blueprint()  # type: ignore[no-untyped-call] # Microsoft left it untyped
    desk_of = desk or functools.cache(_desk)

    async def databricks_events(req: func.HttpRequest) -> func.HttpResponse:
        """Finish a run's row at once."""
        try:
            take = desk_of()
        except OrchestratorError as error:
            return functions.response(_unable(error))
        return functions.response(await take(functions.headers_of(req), req.get_body()))

    route = made.route(route="databricks-events", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
    made.function_name("databricks_events")(route(databricks_events))
    return made


def _desk() -> EventDesk:
    app = bootstrap.application()
    return EventDesk(secret=app.settings.events_secret, finish=app.run_ended)
