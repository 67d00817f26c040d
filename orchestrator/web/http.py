"""A request and an answer as plain records, so that what the API does needs no Functions host. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from orchestrator.core.numbers import refuse_constant
from orchestrator.web.problems import Problem, bad_request

#: A request's body; a thousand rows with small parameters fit.
MAX_BODY_BYTES = 256 * 1024

#: Fields of an address; nobody needs as many.
MAX_QUERY_FIELDS = 100

#: Deeper JSON than this is refused: reading and checking it would cost more than it can mean.
_TOO_DEEP = "the body is nested too deeply"

JSON = "application/json"
PROBLEM = "application/problem+json"

#: Not for caches, and never taken for another type than it says.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request."""

    method: str
    #: what stands in the route's braces
    route: Mapping[str, str] = field(default_factory=dict)
    #: the address's fields, each with all its values
    query: Mapping[str, list[str]] = field(default_factory=dict)
    #: by name in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body's object. :raises Problem: it is none, or too large."""
        if len(self.body) > MAX_BODY_BYTES:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BODY_BYTES // 1024} KB"
            )
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the body as Content-Type: {JSON}")
        try:
            content = json.loads(self.body, parse_constant=refuse_constant)
        except RecursionError:
            raise bad_request(_TOO_DEEP) from None
        except ValueError:  # not JSON, not UTF-8, or a number of thousands of digits
            raise bad_request("the body is no JSON") from None
        if not isinstance(content, dict):
            raise bad_request("the body must be a JSON object")
        return content


def query_of(url: str) -> dict[str, list[str]]:
    """Return the fields of an address. :raises Problem: there are too many, or they are no UTF-8."""
    try:
        return parse_qs(
            urlsplit(url).query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict"
        )
    except ValueError:
        raise bad_request("the address's fields cannot be read") from None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus = HTTPStatus.OK
    content: str
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return an object as JSON."""
    return Answer(status=status, content=json.dumps(content), headers=_HEADERS)


def told(problem: Problem) -> Answer:
    """Return an error's answer."""
    content = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
    }
    return Answer(
        status=problem.status,
        content=json.dumps(content),
        content_type=PROBLEM,
        headers={**_HEADERS, **problem.headers},
    )
