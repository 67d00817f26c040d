"""HTTP as plain records: requests, responses and problems, from and to Azure Functions.

No text of a problem holds a secret or an entry's parameters.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import azure.functions as func

from orchestrator.core.errors import (
    Conflict,
    EntryNotFound,
    InvalidEntry,
    OrchestratorError,
    PackageMissing,
    RequestConflict,
    SettingsError,
    StoreError,
    StoreInDoubt,
    WorkspaceUnavailable,
)
from orchestrator.core.numbers import refuse_constant

if TYPE_CHECKING:
    from msgspec import Struct

#: Largest body of a request; a thousand entries with small parameters fit.
_MAX_BODY_BYTES = 256 * 1024

#: Most fields in a query string; nobody needs as many.
_MAX_QUERY_FIELDS = 100

JSON = "application/json"
PROBLEM = "application/problem+json"

#: Responses are not for caches, and never taken for another type than they say.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Problem(Exception):
    """A response that is an error: ``application/problem+json`` (RFC 9457).

    :param detail: says what is wrong and what to do.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def bad_request(detail: str) -> Problem:
    """Return a 400: the request itself is wrong."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> Problem:
    """Return a 404: what was asked for does not exist."""
    return Problem(HTTPStatus.NOT_FOUND, detail)


def conflict(detail: str) -> Problem:
    """Return a 409: the current state does not allow it."""
    return Problem(HTTPStatus.CONFLICT, detail)


def too_large(limit_bytes: int) -> Problem:
    """Return a 413: the body is too large."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {limit_bytes // 1024} KB")


def too_many(detail: str, *, retry_after_seconds: float) -> Problem:
    """Return a 429. The wait is rounded up to whole seconds, the unit of ``Retry-After``."""
    seconds = max(1, math.ceil(retry_after_seconds))
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS, f"{detail}; retry in {seconds} s", {"Retry-After": str(seconds)}
    )


def unavailable(detail: str, *, retry_after_seconds: int = 10) -> Problem:
    """Return a 503: the request cannot be served now."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(retry_after_seconds)})


def problem_of(error: Exception, *, changes: bool = False) -> Problem | None:
    """Return how an error is shown; None for an unforeseen one.

    :param changes: the request changes something; when its time is over, the change may still be made.
    """
    from orchestrator.core.search import InvalidCursor

    if isinstance(error, Problem):
        return error
    if isinstance(error, TimeoutError) and changes:
        return unavailable(
            "no result in time, and the change may still be made: look at the entries before you retry; "
            "with an Idempotency-Key simply retry"
        )
    if isinstance(error, TimeoutError):
        return unavailable("no result in time: retry, and ask for less if you can")
    if isinstance(error, (InvalidCursor, InvalidEntry)):
        return bad_request(str(error))
    if isinstance(error, (Conflict, RequestConflict)):
        return conflict(str(error))
    if isinstance(error, ModuleNotFoundError):
        error = PackageMissing(error.name)
    return _of_ours(error) if isinstance(error, OrchestratorError) else None


def _of_ours(error: OrchestratorError) -> Problem:
    if isinstance(error, EntryNotFound):
        return not_found(str(error))
    if isinstance(error, StoreInDoubt):
        return unavailable(
            f"{error}: look at the entries before you retry; with an Idempotency-Key simply retry"
        )
    if isinstance(error, (StoreError, SettingsError, PackageMissing)):
        return unavailable(str(error))
    if isinstance(error, WorkspaceUnavailable):
        return Problem(HTTPStatus.BAD_GATEWAY, str(error))
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request."""

    method: str
    url: str = ""
    #: values of the placeholders in the route's path
    route: Mapping[str, str] = field(default_factory=dict)
    #: by name in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    #: the fields of the query string, each with all its values; empty before :meth:`with_query`
    query: Mapping[str, list[str]] = field(default_factory=dict)

    def with_query(self) -> "Request":
        """Return the request with its query string read.

        :raises Problem: there are too many fields, or they are not valid UTF-8.
        """
        try:
            fields = parse_qs(
                urlsplit(self.url).query,
                keep_blank_values=True,
                max_num_fields=_MAX_QUERY_FIELDS,
                errors="strict",
            )
        except ValueError:
            raise bad_request("the query string cannot be read") from None
        return replace(self, query=fields)

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body. :raises Problem: it is not one, or it is too large."""
        if len(self.body) > _MAX_BODY_BYTES:
            raise too_large(_MAX_BODY_BYTES)
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != JSON:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the body as Content-Type: {JSON}")
        return json_object(self.body)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body. :raises Problem: it is not one."""
    try:
        content = json.loads(body, parse_constant=refuse_constant)
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None
    except ValueError:  # not JSON, not UTF-8, or a number of thousands of digits
        raise bad_request("the body is not valid JSON") from None
    if not isinstance(content, dict):
        raise bad_request("the body is not a JSON object")
    return content


@dataclass(frozen=True, kw_only=True)
class Response:
    """One HTTP response."""

    status: HTTPStatus = HTTPStatus.OK
    content: str
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(content: "Struct | Mapping[str, Any]", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an object as JSON."""
    import msgspec

    return Response(status=status, content=msgspec.json.encode(content).decode(), headers=_HEADERS)


def render_problem(problem: Problem) -> Response:
    """Return the response that a problem is."""
    details = {  # schemas.ProblemDetails, which takes a package that may be what is missing
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
    }
    return Response(
        status=problem.status,
        content=json.dumps(details),
        content_type=PROBLEM,
        headers={**_HEADERS, **problem.headers},
    )


def from_azure(request: func.HttpRequest, *, body: bool = True) -> Request:
    """Return a request of the Functions host as a record.

    :param body: read it; without, the record's is empty.
    """
    return Request(
        method=request.method,
        url=request.url,
        route=request.route_params,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.get_body() if body else b"",
    )


def to_azure(response: Response) -> func.HttpResponse:
    """Return a response as the Functions host takes it."""
    return func.HttpResponse(
        response.content,
        status_code=response.status.value,
        mimetype=response.content_type,
        headers=dict(response.headers),
    )
