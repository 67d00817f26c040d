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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import azure.functions as func

from orchestrator import bootstrap
from orchestrator.errors import OrchestratorError
from orchestrator.web import problems
from orchestrator.web.messages import Answer, answer, told
from orchestrator.web.problems import Problem

logger = logging.getLogger(__name__)

#: A notification has some 500 bytes, a job's and a workspace's names included.
MAX_BODY_BYTES = 16 * 1024

#: Events that are looked at at once on an instance; the rest is told to come later, or left to the next pass.
MAX_AT_ONCE = 10

_MAX_RUN_ID = 2**63 - 1


@dataclass
class EventDesk:
    """Takes events, so many at once.

    :param finish: looks at a run and says whether its row was finished.
    """

    secret: str | None
    finish: Callable[[int], Awaitable[bool]]
    under_way: int = 0

    async def __call__(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take one event.

        :param headers: by name in lower case.
        """
        try:
            run_id = self._admit(headers, body)
            return answer({"finished": await self._finish(run_id)})
        except (Problem, OrchestratorError, TimeoutError) as error:
            problem = problems.of(error) or problems.unavailable("it could not be done now")
            logger.log(
                logging.INFO if isinstance(error, Problem) else logging.WARNING, "event: %s", problem.detail
            )
            return told(problem)

    def _admit(self, headers: Mapping[str, str], body: bytes) -> int:
        """Return the run that an event tells of. :raises Problem: it is none of ours, or makes no sense."""
        if self.secret is None:
            raise problems.not_found("events are not taken: EVENTS_SECRET is not set")
        if not _is_password(headers.get("authorization", ""), self.secret):
            challenge = {"WWW-Authenticate": 'Basic realm="databricks-events"'}
            raise Problem(HTTPStatus.UNAUTHORIZED, "the password is not EVENTS_SECRET", challenge)
        if len(body) > MAX_BODY_BYTES:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BODY_BYTES // 1024} KB"
            )
        return _run_id(body)

    async def _finish(self, run_id: int) -> bool:
        if self.under_way >= MAX_AT_ONCE:
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many events at once", {"Retry-After": "10"})
        self.under_way += 1
        try:
            return await self.finish(run_id)
        finally:
            self.under_way -= 1


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
    """Return the run's id in ``{"run": {"run_id": …}}``. :raises Problem: there is none."""
    try:
        content = json.loads(body)
        run_id = content["run"]["run_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise problems.bad_request("the body is no notification of a job: it has no run.run_id") from None
    if not isinstance(run_id, int) or isinstance(run_id, bool) or not 0 < run_id <= _MAX_RUN_ID:
        raise problems.bad_request("run.run_id is no run id")
    return run_id


@functools.cache
def _desk() -> EventDesk:
    app = bootstrap.application()
    return EventDesk(secret=app.settings.events_secret, finish=app.run_ended)


def make_blueprint() -> func.Blueprint:
    """Return the route as a function. Its own shared secret stands in place of a function key."""
    made: func.Blueprint = func.Blueprint()  # type: ignore[no-untyped-call] # Microsoft left it untyped
    route = made.route(route="databricks-events", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
    made.function_name("databricks_events")(route(databricks_events))
    return made


async def databricks_events(req: func.HttpRequest) -> func.HttpResponse:
    """Finish a run's row at once."""
    headers = {name.lower(): value for name, value in req.headers.items()}
    given = await _desk()(headers, req.get_body())
    return func.HttpResponse(
        given.content,
        status_code=given.status.value,
        headers=dict(given.headers),
        mimetype=given.content_type,
    )
